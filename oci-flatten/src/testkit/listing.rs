use std::collections::BTreeMap;
use std::fmt::Write;

use super::{MemoryContent, MemorySink};
use crate::apply::{ApplyError, LayerApplier, LayerReport};
use crate::entry::{Metadata, Timestamp};
use crate::limits::Limits;
use crate::path::Escaped;
use crate::rootfs::{NodeId, NodeKind, Rootfs};

/// The time in seconds that [`flatten`] gives to directories that no layer describes.
pub const IMPLIED_MTIME: i64 = 7;

/// Merges layers in memory and lists the tree.
///
/// # Errors
/// The text of what went wrong.
pub fn flatten(layers: &[Vec<u8>]) -> Result<(Vec<String>, Vec<LayerReport>), String> {
    let mtime = Timestamp {
        seconds: IMPLIED_MTIME,
        nanoseconds: 0,
    };
    let mut rootfs = Rootfs::new(&Limits::default(), mtime);
    let mut sink = MemorySink::default();
    let mut apply = |layer: &[u8]| -> Result<LayerReport, ApplyError<_>> {
        let mut applier = LayerApplier::new(&mut rootfs, &mut sink)?;
        applier.push(layer)?;
        applier.finish()
    };
    let reports: Result<Vec<_>, _> = layers.iter().map(|layer| apply(layer)).collect();
    reports
        .map(|reports| (list(&rootfs, &sink), reports))
        .map_err(|error| error.to_string())
}

/// One line for each name below the root, in order of bytes, directory by directory.
///
/// A line is `name/`, `name=content`, `name->target`, `name|` (a pipe), `name c1:3` or `name b8:0`, a further name of
/// a file `name==first`; then what is not usual: `mode=600`, `owner=1:2`, `mtime=3+500ns`, `user.x=y`. Usual are mode 755
/// for directories, 777 for symbolic links and 644 for the rest, owner root and time 0.
pub fn list(rootfs: &Rootfs<MemoryContent>, sink: &MemorySink) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first_names = BTreeMap::new();
    let mut pending = vec![(String::new(), rootfs.root())];
    while let Some((path, id)) = pending.pop() {
        let children: Vec<_> = rootfs.children(id).into_iter().collect();
        if id != rootfs.root() {
            lines.push(line(rootfs, sink, &path, id, &mut first_names));
        }
        let prefix = if path.is_empty() { path } else { path + "/" };
        for child in children.into_iter().rev() {
            pending.push((
                format!("{prefix}{}", Escaped(rootfs.name(child))),
                child.node,
            ));
        }
    }
    lines
}

fn line(
    rootfs: &Rootfs<MemoryContent>,
    sink: &MemorySink,
    path: &str,
    id: NodeId,
    first_names: &mut BTreeMap<NodeId, String>,
) -> String {
    let node = rootfs.node(id);
    if node.links > 1 {
        if let Some(first) = first_names.get(&id) {
            return format!("{path}=={first}");
        }
        first_names.insert(id, path.to_owned());
    }
    let (text, usual_mode) = match node.kind {
        NodeKind::Directory => (format!("{path}/"), 0o755),
        NodeKind::File { content, .. } => {
            let bytes = content
                .and_then(|content| sink.bytes(*content))
                .unwrap_or(b"(released)");
            (format!("{path}={}", Escaped(bytes)), 0o644)
        }
        NodeKind::Symlink(target) => (format!("{path}->{}", Escaped(target)), 0o777),
        NodeKind::CharDevice(number) => (
            format!("{path} c{}:{}", number.major(), number.minor()),
            0o644,
        ),
        NodeKind::BlockDevice(number) => (
            format!("{path} b{}:{}", number.major(), number.minor()),
            0o644,
        ),
        NodeKind::Fifo => (format!("{path}|"), 0o644),
    };
    text + &unusual(node.metadata, usual_mode)
}

fn unusual(metadata: &Metadata, usual_mode: u16) -> String {
    let Metadata {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    } = metadata;
    let mut text = String::new();
    let mut add = |part: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = text.write_fmt(part);
    };
    if *mode != usual_mode {
        add(format_args!(" mode={mode:o}"));
    }
    if (*uid, *gid) != (0, 0) {
        add(format_args!(" owner={uid}:{gid}"));
    }
    match (mtime.seconds, mtime.nanoseconds) {
        (0, 0) => {}
        (seconds, 0) => add(format_args!(" mtime={seconds}")),
        (seconds, nanoseconds) => add(format_args!(" mtime={seconds}+{nanoseconds}ns")),
    }
    for (name, value) in xattrs.iter() {
        add(format_args!(" {}={}", Escaped(name), Escaped(value)));
    }
    text
}
