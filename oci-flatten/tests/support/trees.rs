//! The same facts about a tree on the host and about a merged one, to be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci_flatten::apply::LayerApplier;
use oci_flatten::entry::Timestamp;
use oci_flatten::limits::Limits;
use oci_flatten::path::Escaped;
use oci_flatten::rootfs::{NodeKind, Rootfs};
use oci_flatten::testkit::{IMPLIED_MTIME, MemoryContent, MemorySink};

/// What is known of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `file CONTENT`, `directory`, `link TARGET`, `char 1:3`, `block 8:0` or `pipe`.
    pub(crate) kind: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, u32),
    /// `name=value`, in order of names; SELinux labels are left out, since the host may add its own.
    pub(crate) xattrs: Vec<String>,
    /// The first of the names that stand for this file.
    pub(crate) first: String,
}

pub(crate) type Tree = BTreeMap<String, Facts>;

/// The tree below a directory of the host.
pub(crate) fn of_host(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut firsts = BTreeMap::new();
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let place = root.join(OsStr::from_bytes(&path));
        let metadata = fs::symlink_metadata(&place).expect("path is readable");
        if metadata.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&place)
                .expect("directory is readable")
                .map(|entry| entry.expect("directory is readable").file_name().into_vec())
                .collect();
            names.sort();
            names.reverse();
            let prefix = if path.is_empty() {
                Vec::new()
            } else {
                [&path[..], b"/"].concat()
            };
            pending.extend(names.into_iter().map(|name| [&prefix[..], &name].concat()));
        }
        if path.is_empty() {
            continue;
        }
        let name = Escaped(&path).to_string();
        let first = firsts
            .entry(metadata.ino())
            .or_insert_with(|| name.clone())
            .clone();
        let facts = Facts {
            kind: host_kind(&place, &metadata),
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
            xattrs: host_xattrs(&place),
            first,
        };
        tree.insert(name, facts);
    }
    tree
}

fn host_kind(place: &Path, metadata: &fs::Metadata) -> String {
    let kind = metadata.file_type();
    let number = || {
        let device = metadata.rdev();
        format!(
            "{}:{}",
            device >> 8 & 0xfff,
            device & 0xff | device >> 12 & 0xfff00
        )
    };
    if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        let target = fs::read_link(place).expect("link is readable");
        format!("link {}", Escaped(target.as_os_str().as_bytes()))
    } else if kind.is_file() {
        content(&fs::read(place).expect("file is readable"))
    } else if kind.is_char_device() {
        format!("char {}", number())
    } else if kind.is_block_device() {
        format!("block {}", number())
    } else {
        "pipe".to_owned()
    }
}

fn host_xattrs(place: &Path) -> Vec<String> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(place, &mut names).unwrap_or(0);
    let mut xattrs = Vec::new();
    for name in names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(place, name, &mut value).expect("attribute is readable");
        xattrs.extend(xattr(name, &value[..length]));
    }
    xattrs.sort();
    xattrs
}

fn xattr(name: &[u8], value: &[u8]) -> Option<String> {
    (name != b"security.selinux").then(|| format!("{}={}", Escaped(name), Escaped(value)))
}

/// Long contents are told by their length and a sum.
fn content(bytes: &[u8]) -> String {
    if bytes.len() <= 64 {
        return format!("file {}", Escaped(bytes));
    }
    let sum = bytes.iter().fold(7u64, |sum, &byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    format!("file of {} bytes, sum {sum:x}", bytes.len())
}

/// The tree that layers merge to.
pub(crate) fn merged(layers: &[Vec<u8>]) -> Result<Tree, String> {
    let mtime = Timestamp {
        seconds: IMPLIED_MTIME,
        nanoseconds: 0,
    };
    let mut rootfs = Rootfs::new(&Limits::default(), mtime);
    let mut sink = MemorySink::default();
    for layer in layers {
        let mut applier =
            LayerApplier::new(&mut rootfs, &mut sink).map_err(|error| error.to_string())?;
        applier
            .push(layer)
            .and_then(|()| applier.finish())
            .map_err(|error| error.to_string())?;
    }
    Ok(of_rootfs(&rootfs, &sink))
}

fn of_rootfs(rootfs: &Rootfs<MemoryContent>, sink: &MemorySink) -> Tree {
    let mut tree = Tree::new();
    let mut firsts = BTreeMap::new();
    let mut pending = vec![(Vec::new(), rootfs.root())];
    while let Some((path, id)) = pending.pop() {
        let prefix = if path.is_empty() {
            Vec::new()
        } else {
            [&path[..], b"/"].concat()
        };
        for child in rootfs.children(id).into_iter().rev() {
            pending.push(([&prefix[..], rootfs.name(child)].concat(), child.node));
        }
        if path.is_empty() {
            continue;
        }
        let name = Escaped(&path).to_string();
        let node = rootfs.node(id);
        let kind = match node.kind {
            NodeKind::File {
                content: stored, ..
            } => {
                let bytes = stored.and_then(|stored| sink.bytes(*stored));
                content(bytes.expect("content is in use"))
            }
            NodeKind::Directory => "directory".to_owned(),
            NodeKind::Symlink(target) => format!("link {}", Escaped(target)),
            NodeKind::CharDevice(number) => format!("char {}:{}", number.major(), number.minor()),
            NodeKind::BlockDevice(number) => format!("block {}:{}", number.major(), number.minor()),
            NodeKind::Fifo => "pipe".to_owned(),
        };
        let metadata = node.metadata;
        let facts = Facts {
            kind,
            mode: u32::from(metadata.mode),
            owner: (metadata.uid, metadata.gid),
            mtime: (metadata.mtime.seconds, metadata.mtime.nanoseconds),
            xattrs: metadata
                .xattrs
                .iter()
                .filter_map(|(name, value)| xattr(name, value))
                .collect(),
            first: firsts.entry(id).or_insert_with(|| name.clone()).clone(),
        };
        tree.insert(name, facts);
    }
    tree
}

/// What differs, name by name.
pub(crate) fn differences(ours: &Tree, theirs: &Tree) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| {
            format!(
                "{name}\n  ours:   {:?}\n  theirs: {:?}",
                ours.get(name),
                theirs.get(name)
            )
        })
        .collect()
}

/// Fails with what differs.
#[allow(dead_code, reason = "not every test asserts at once")]
#[track_caller]
pub(crate) fn assert_same(ours: &Tree, theirs: &Tree, whose: &str) {
    let differences = differences(ours, theirs);
    assert!(
        differences.is_empty(),
        "unlike {whose}:\n{}",
        differences.join("\n")
    );
}
