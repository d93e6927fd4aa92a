//! The merge rules, case by case: each test is one row of the table in docs/flattening.md.
//!
//! What a row merges to is also compared with what umoci and containers-storage lay out. Where one of them does
//! otherwise, the row says so and why.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

#[path = "support/peers.rs"]
mod peers;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/trees.rs"]
mod trees;

mod rows {
    mod conflicts;
    mod hardlinks;
    mod implied;
    mod metadata;
    mod names;
    mod types;
    mod whiteouts;

    use super::peers::Peer::{self, Storage, Umoci};
    use super::peers::{Unlike, unlike};
    use super::trees;
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
        Unlike::default().merges(layers, expected);
    }

    /// Merging fails with this text.
    #[track_caller]
    fn fails(layers: &[Vec<u8>], expected: &str) {
        Unlike::default().fails(layers, expected);
    }

    /// The same, but for what some engines do.
    trait Checks {
        fn merges(&self, layers: &[Vec<u8>], expected: &[&str]);
        fn fails(&self, layers: &[Vec<u8>], expected: &str);
    }

    impl Checks for Unlike<'_> {
        #[track_caller]
        fn merges(&self, layers: &[Vec<u8>], expected: &[&str]) {
            let (lines, _) = flatten(layers).expect("layers merge");
            assert_eq!(lines, expected);
            let ours = trees::merged(layers).expect("layers merge");
            self.check(&Peer::ENGINES, layers, Some(&ours));
        }

        #[track_caller]
        fn fails(&self, layers: &[Vec<u8>], expected: &str) {
            assert_eq!(
                flatten(layers).expect_err("layers must not merge"),
                expected
            );
            self.check(&Peer::ENGINES, layers, None);
        }
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
