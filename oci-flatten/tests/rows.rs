//! The merge rules, case by case: each test is one row of the table in docs/flattening.md.
//!
//! What a row merges to is also compared with what umoci and containers-storage lay out. Where one of them does
//! otherwise, the row says so and why.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

#[path = "support/engines.rs"]
mod engines;
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

    use super::engines::Engine::{self, Storage, Umoci};
    use super::tools;
    use super::trees::{self, Facts, Tree};
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
        unlike(&[]).merges(layers, expected);
    }

    /// Merging fails with this text.
    #[track_caller]
    fn fails(layers: &[Vec<u8>], expected: &str) {
        unlike(&[]).fails(layers, expected);
    }

    /// Engines that do otherwise, and why we do not follow them.
    fn unlike<'a>(engines: &'a [(Engine, &'a str)]) -> Unlike<'a> {
        Unlike(engines)
    }

    fn both(why: &str) -> [(Engine, &str); 2] {
        [(Umoci, why), (Storage, why)]
    }

    struct Unlike<'a>(&'a [(Engine, &'a str)]);

    impl Unlike<'_> {
        #[track_caller]
        fn merges(&self, layers: &[Vec<u8>], expected: &[&str]) {
            let (lines, _) = flatten(layers).expect("layers merge");
            assert_eq!(lines, expected);
            let ours = trees::merged(layers).expect("layers merge");
            self.compare(layers, |theirs| match theirs {
                Ok(theirs) => trees::differences(&comparable(&ours), &comparable(theirs)),
                Err(error) => vec![error.clone()],
            });
        }

        #[track_caller]
        fn fails(&self, layers: &[Vec<u8>], expected: &str) {
            assert_eq!(
                flatten(layers).expect_err("layers must not merge"),
                expected
            );
            self.compare(layers, |theirs| match theirs {
                Ok(theirs) => vec![format!("accepted: {theirs:?}")],
                Err(_) => Vec::new(),
            });
        }

        #[track_caller]
        fn compare(
            &self,
            layers: &[Vec<u8>],
            differences: impl Fn(&Result<Tree, String>) -> Vec<String>,
        ) {
            for engine in [Engine::Umoci, Engine::Storage] {
                if !tools::is_root() || !tools::is_there(engine.tool()) {
                    continue;
                }
                let differences = differences(&engine.unpack(layers)).join("\n");
                match self.0.iter().find(|(other, _)| *other == engine) {
                    None => assert_eq!(differences, "", "unlike {engine:?}"),
                    Some((_, why)) => {
                        assert_ne!(differences, "", "{engine:?} does the same, not: {why}")
                    }
                }
            }
        }
    }

    /// Leaves out the times of directories: engines take them from the clock when a child comes or goes.
    fn comparable(tree: &Tree) -> Tree {
        let without_time = |(name, facts): (&String, &Facts)| {
            let mut facts = facts.clone();
            if facts.kind == "directory" {
                facts.mtime = (0, 0);
            }
            (name.clone(), facts)
        };
        tree.iter().map(without_time).collect()
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
