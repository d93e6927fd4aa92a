//! Random stacks of random layers: ours against a model that keeps whole paths in a map and scans it all each time.

mod model {
    pub(crate) mod naive;
}

use model::naive::{Metadata, Model, Op};
use oci_flatten::apply::LayerApplier;
use oci_flatten::entry::{Metadata as FileMetadata, Timestamp};
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::{NodeId, NodeKind, OwnedKind, Rootfs};
use oci_flatten::testkit::{IMPLIED_MTIME, Layer, MemorySink, list};
use proptest::collection::vec;
use proptest::prelude::*;

fn path() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..5).prop_map(|names| names.join("/"))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => path(),
        1 => path().prop_map(|path| format!("/{path}")),
        1 => path().prop_map(|path| format!("../{path}")),
        1 => (path(), path()).prop_map(|(a, b)| format!("{a}/../{b}")),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let mode = prop::sample::select(vec![0o600, 0o644, 0o700, 0o755]);
    let xattrs = prop::collection::btree_map(0u8..3, any::<u8>(), 0..2);
    (mode, 0i64..3, xattrs).prop_map(|(mode, mtime, xattrs)| Metadata {
        mode,
        mtime,
        xattrs,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (path(), any::<u8>(), metadata())
            .prop_map(|(path, content, metadata)| Op::File { path, content, metadata }),
        3 => (path(), metadata()).prop_map(|(path, metadata)| Op::Directory { path, metadata }),
        2 => (path(), target()).prop_map(|(path, target)| Op::Symlink { path, target }),
        2 => (path(), path(), metadata())
            .prop_map(|(path, target, metadata)| Op::HardLink { path, target, metadata }),
        3 => path().prop_map(|path| Op::Whiteout { path }),
        2 => prop_oneof![path(), Just(String::new())].prop_map(|path| Op::Opaque { path }),
    ]
}

/// Ours, applied layer by layer until one fails; contents in use must be those of files in the tree.
fn ours(layers: &[Vec<Op>]) -> (usize, Vec<String>) {
    let mtime = Timestamp {
        seconds: IMPLIED_MTIME,
        nanoseconds: 0,
    };
    let mut rootfs = Rootfs::new(&Limits::default(), mtime);
    let mut sink = MemorySink::default();
    for (index, ops) in layers.iter().enumerate() {
        let mut layer = Layer::new();
        layer.extend(ops.iter().map(Op::entry));
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink).expect("few layers");
        if applier
            .push(&layer.finish())
            .and_then(|()| applier.finish())
            .is_err()
        {
            return (index, Vec::new());
        }
        assert_eq!(
            sink.live(),
            files(&rootfs),
            "contents in use after layer {index}"
        );
    }
    let lines = list(&rootfs, &sink);
    let walked = walked(&rootfs);
    assert_eq!(drained(rootfs), walked, "what is taken is what was there");
    (layers.len(), lines)
}

/// A name, its file's id, kind, metadata and number of names; kind and the rest with the first name only.
type Seen = (Vec<u8>, NodeId, Option<(String, FileMetadata, u32)>);

fn walked<C>(rootfs: &Rootfs<C>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let mut pending = vec![rootfs.root()];
    while let Some(directory) = pending.pop() {
        for child in rootfs.children(directory) {
            let node = rootfs.node(child.node);
            let kind = match node.kind {
                NodeKind::Directory => {
                    pending.push(child.node);
                    "directory".to_owned()
                }
                NodeKind::File { size, content } => format!("{size} {}", content.is_some()),
                NodeKind::Symlink(target) => target.escape_ascii().to_string(),
                other => panic!("{:?}", std::mem::discriminant(&other)),
            };
            let file = (kind, node.metadata.clone(), node.links);
            let first = known.insert(child.node).then_some(file);
            seen.push((rootfs.name(child).to_vec(), child.node, first));
        }
    }
    seen
}

fn drained<C>(rootfs: Rootfs<C>) -> Vec<Seen> {
    let mut seen = Vec::new();
    let (root, mut rootfs) = rootfs.drain();
    let mut pending = vec![root.kind];
    while let Some(OwnedKind::Directory(entries)) = pending.pop() {
        for child in rootfs.children(entries) {
            let entry = rootfs.take(child).expect("nobody took it before");
            assert!(rootfs.take(child).is_none(), "taken twice");
            let file = entry.file.map(|file| {
                let kind = match file.kind {
                    OwnedKind::Directory(_) => {
                        pending.push(file.kind);
                        "directory".to_owned()
                    }
                    OwnedKind::File { size, content } => format!("{size} {}", content.is_some()),
                    OwnedKind::Symlink(target) => target.escape_ascii().to_string(),
                    other => panic!("{:?}", std::mem::discriminant(&other)),
                };
                (kind, file.metadata, file.links)
            });
            seen.push((entry.name, child.node, file));
        }
    }
    seen
}

fn files<C>(rootfs: &Rootfs<C>) -> usize {
    let mut pending = vec![rootfs.root()];
    let mut files = std::collections::BTreeSet::new();
    let mut names = 0;
    while let Some(directory) = pending.pop() {
        for child in rootfs.children(directory) {
            names += 1;
            match rootfs.node(child.node).kind {
                NodeKind::Directory => pending.push(child.node),
                NodeKind::File { .. } => {
                    files.insert(child.node);
                }
                _ => {}
            }
        }
    }
    assert_eq!(names, rootfs.len());
    files.len()
}

fn models(layers: &[Vec<Op>]) -> (usize, Vec<String>) {
    let mut model = Model::default();
    for (index, ops) in layers.iter().enumerate() {
        if model.apply(ops).is_err() {
            return (index, Vec::new());
        }
    }
    (layers.len(), model.list())
}

/// Whether its meaning does not hang on what else is in the layer.
fn is_plain(op: &Op) -> bool {
    matches!(op, Op::File { .. } | Op::Directory { .. })
}

fn is_marker(op: &Op) -> bool {
    matches!(op, Op::Whiteout { .. } | Op::Opaque { .. })
}

/// A layer as the specification wants it: no path twice, none below a file.
fn without_conflicts(ops: Vec<Op>) -> Vec<Op> {
    let mut kept: Vec<Op> = Vec::new();
    for op in ops {
        let conflicts = kept
            .iter()
            .any(|other| match (path_of(&op), path_of(other)) {
                (a, b) if a == b => true,
                (a, b) if a.starts_with(&format!("{b}/")) => matches!(other, Op::File { .. }),
                (a, b) if b.starts_with(&format!("{a}/")) => matches!(op, Op::File { .. }),
                _ => false,
            });
        if !conflicts {
            kept.push(op);
        }
    }
    kept
}

fn path_of(op: &Op) -> &str {
    match op {
        Op::File { path, .. }
        | Op::Directory { path, .. }
        | Op::Symlink { path, .. }
        | Op::HardLink { path, .. }
        | Op::Whiteout { path }
        | Op::Opaque { path } => path,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(layers in vec(vec(op(), 0..10), 1..5)) {
        prop_assert_eq!(ours(&layers), models(&layers));
    }

    /// Whiteouts and opaque markers act on lower layers only, so they may stand anywhere in theirs.
    #[test]
    fn place_of_whiteouts_does_not_matter(
        lower in vec(op(), 0..12),
        upper in vec(op().prop_filter("plain", is_plain), 0..8),
        markers in vec((op().prop_filter("marker", is_marker), any::<prop::sample::Index>()), 1..4),
    ) {
        let upper = without_conflicts(upper);
        let first: Vec<_> = markers.iter().map(|(op, _)| op.clone()).chain(upper.iter().cloned()).collect();
        let mut mixed = upper;
        for (op, place) in markers {
            mixed.insert(place.index(mixed.len() + 1), op);
        }
        let lower: Vec<_> = lower.into_iter().filter(|op| !matches!(op, Op::Symlink { .. })).collect();
        prop_assert_eq!(ours(&[lower.clone(), first]), ours(&[lower, mixed]));
    }
}
