//! The merge rules, case by case: each test is one row of the table in docs/flattening.md.

mod rows {
    mod conflicts;
    mod hardlinks;
    mod implied;
    mod metadata;
    mod names;
    mod types;
    mod whiteouts;

    use oci_flatten::apply::LayerApplier;
    use oci_flatten::entry::Timestamp;
    use oci_flatten::limits::Limits;
    use oci_flatten::rootfs::Rootfs;
    use oci_flatten::testkit::{Entry, IMPLIED_MTIME, Layer, MemoryContent, MemorySink, flatten};
    use oci_flatten::warning::Warning;

    /// A layer of these entries.
    fn layer<const N: usize>(entries: [Entry; N]) -> Vec<u8> {
        entries
            .into_iter()
            .fold(Layer::new(), Layer::entry)
            .finish()
    }

    /// Merging gives these lines.
    #[track_caller]
    fn merges(layers: &[Vec<u8>], expected: &[&str]) {
        let (lines, _) = flatten(layers).expect("layers merge");
        assert_eq!(lines, expected);
    }

    /// Merging fails with this text.
    #[track_caller]
    fn fails(layers: &[Vec<u8>], expected: &str) {
        assert_eq!(
            flatten(layers).expect_err("layers must not merge"),
            expected
        );
    }

    /// The warnings of the last layer.
    #[track_caller]
    fn warnings(layers: &[Vec<u8>]) -> Vec<Warning> {
        let (_, reports) = flatten(layers).expect("layers merge");
        reports
            .last()
            .map(|report| report.warnings.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// The tree of one layer itself.
    fn merged(layer: &[u8]) -> (Rootfs<MemoryContent>, MemorySink) {
        let mtime = Timestamp {
            seconds: IMPLIED_MTIME,
            nanoseconds: 0,
        };
        let mut rootfs = Rootfs::new(&Limits::default(), mtime);
        let mut sink = MemorySink::default();
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("one layer");
        applier
            .push(layer)
            .and_then(|()| applier.finish())
            .expect("layer merges");
        (rootfs, sink)
    }
}
