//! Random stacks of random layers: ours against what `umoci unpack` lays out.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

use oci_flatten::testkit::{Entry, IMPLIED_MTIME, Layer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[path = "support/peers.rs"]
mod peers;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/trees.rs"]
mod trees;

use peers::Peer;
use trees::{Tree, assert_same, merged};

/// A layer: whiteouts first, as every tool writes them, then entries of which none contradicts another.
#[derive(Debug, Clone)]
struct Stack(Vec<Vec<Op>>);

#[derive(Debug, Clone)]
enum Op {
    Whiteout(String),
    Opaque(String),
    File(String, u8),
    Directory(String, i64),
    Symlink(String, String),
    HardLink(String, String),
}

impl Op {
    fn path(&self) -> &str {
        match self {
            Self::Whiteout(path)
            | Self::Opaque(path)
            | Self::File(path, _)
            | Self::Directory(path, _)
            | Self::Symlink(path, _)
            | Self::HardLink(path, _) => path,
        }
    }

    fn is_marker(&self) -> bool {
        matches!(self, Self::Whiteout(_) | Self::Opaque(_))
    }

    fn entry(&self) -> Entry {
        match self {
            Self::Whiteout(path) => {
                let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
                Entry::file(format!("{parent}/.wh.{name}"), "")
            }
            Self::Opaque(path) => Entry::file(format!("{path}/.wh..wh..opq"), ""),
            Self::File(path, content) => Entry::file(path, content.to_string()).mtime(5),
            Self::Directory(path, mode) => Entry::directory(path).mode(*mode).mtime(6),
            Self::Symlink(path, target) => Entry::symlink(path, target).mtime(5),
            // umoci leaves the file's metadata as it is, so the link must not have its own.
            Self::HardLink(path, target) => Entry::hard_link(path, target).mtime(5),
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => path().prop_map(Op::Whiteout),
        1 => path().prop_map(Op::Opaque),
        4 => (path(), any::<u8>()).prop_map(|(path, content)| Op::File(path, content)),
        3 => (path(), prop::sample::select(vec![0o700, 0o755])).prop_map(|(path, mode)| Op::Directory(path, mode)),
        1 => (path(), path()).prop_map(|(path, target)| Op::Symlink(path, format!("/{target}"))),
        1 => (path(), path(), path())
            .prop_map(|(path, a, b)| Op::Symlink(path, format!("/{a}/../{b}"))),
        2 => (path(), path()).prop_map(|(path, target)| Op::HardLink(path, target)),
    ]
}

fn stack() -> impl Strategy<Value = Stack> {
    vec(vec(op(), 0..10), 1..4).prop_map(|layers| Stack(layers.into_iter().map(in_order).collect()))
}

fn in_order(ops: Vec<Op>) -> Vec<Op> {
    let mut kept: Vec<Op> = Vec::new();
    let (markers, entries): (Vec<_>, Vec<_>) = ops.into_iter().partition(Op::is_marker);
    for op in entries {
        let is_below = |a: &Op, b: &Op| a.path().starts_with(&format!("{}/", b.path()));
        let conflicts = kept.iter().any(|other| {
            op.path() == other.path()
                || is_below(&op, other) && !matches!(other, Op::Directory(..))
                || is_below(other, &op) && !matches!(op, Op::Directory(..))
        });
        if !conflicts {
            kept.push(op);
        }
    }
    markers.into_iter().chain(kept).collect()
}

/// Leaves out what is known to differ: times of directories, which umoci takes from the clock where no layer gives
/// them, and directories that only a whiteout of a missing path implies, which it does not make.
fn comparable(tree: Tree, other: &Tree) -> Tree {
    let is_implied =
        |facts: &trees::Facts| facts.kind == "directory" && facts.mtime == (IMPLIED_MTIME, 0);
    tree.into_iter()
        .filter(|(name, facts)| other.contains_key(name) || !is_implied(facts))
        .map(|(name, mut facts)| {
            if facts.kind == "directory" {
                facts.mtime = (0, 0);
            }
            facts.owner = (0, 0);
            (name, facts)
        })
        .collect()
}

#[test]
fn random_stacks() {
    if !tools::is_there("umoci") {
        return;
    }
    let asked_for = std::env::var("PROPTEST_CASES");
    let cases = asked_for
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(100);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        max_global_rejects: cases.saturating_mul(16),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&stack(), |Stack(ops)| {
        let layers: Vec<_> = ops
            .iter()
            .map(|ops| {
                ops.iter()
                    .map(Op::entry)
                    .fold(Layer::new(), Layer::entry)
                    .finish()
            })
            .collect();
        let Ok(ours) = merged(&layers) else {
            return Err(TestCaseError::reject("refused"));
        };
        let theirs = match Peer::Umoci.unpack(&layers) {
            Ok(theirs) => theirs,
            // umoci before 0.5 makes no directory where a file of a lower layer is.
            Err(error) if error.contains("not a directory") => {
                return Err(TestCaseError::reject("umoci refuses"));
            }
            Err(error) => return Err(TestCaseError::fail(error)),
        };
        assert_same(
            &comparable(ours.clone(), &theirs),
            &comparable(theirs, &ours),
            "umoci",
        );
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
