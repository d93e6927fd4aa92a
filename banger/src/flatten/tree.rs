//! The merged root filesystem of the layers, as the tree of an ext4 image.

use std::collections::HashMap;

use ext4_writer::{
    Content, FileKind, FileTree, Metadata, Timestamp, TreeError, XattrError, Xattrs,
};
use oci_flatten::entry;
use oci_flatten::rootfs::{NodeId, OwnedEntry, OwnedKind, Rootfs};

/// Why a merged tree does not fit ext4.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConvertError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("extended attribute cannot be stored: {path}")]
    Xattr {
        /// From the root of the image; `/` for itself.
        path: String,
        source: XattrError,
    },
}

/// What of a tree is left out, or was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct LeaveOut {
    /// Character and block devices.
    pub(super) devices: bool,
    /// SELinux labels.
    pub(super) selinux: bool,
}

/// Moves the tree over, directory by directory, but for what is to be left out; hard links stay names of one file. Says also what
/// was left out.
///
/// The merged tree shrinks while the other grows, so that both together take little more than either.
pub(super) fn ext4_tree(
    rootfs: Rootfs<Content>,
    leave_out: LeaveOut,
) -> Result<(FileTree<Content>, LeaveOut), ConvertError> {
    let mut left_out = LeaveOut::default();
    let mut metadata = |from: &entry::Metadata| {
        let (metadata, without_selinux) = metadata(from, leave_out.selinux)?;
        left_out.selinux |= without_selinux;
        Ok(metadata)
    };
    let (root, mut rootfs) = rootfs.drain();
    let metadata_of_root = metadata(&root.metadata).map_err(|source| ConvertError::Xattr {
        path: "/".into(),
        source,
    })?;
    let mut tree = FileTree::new(metadata_of_root)?;
    let mut linked: HashMap<NodeId, ext4_writer::NodeId> = HashMap::new();
    let mut directories = vec![(root.kind, tree.root())];
    let mut without_devices = false;
    while let Some((directory, parent)) = directories.pop() {
        let OwnedKind::Directory(entries) = directory else {
            continue;
        };
        for child in rootfs.children(entries) {
            let Some(OwnedEntry { name, file, .. }) = rootfs.take(child) else {
                continue;
            };
            let Some(file) = file else {
                // Devices that are not wanted are not under any of their names.
                if let Some(&known) = linked.get(&child.node) {
                    tree.link(parent, &name, known)?;
                }
                continue;
            };
            if leave_out.devices && is_device(&file.kind) {
                without_devices = true;
                continue;
            }
            let metadata = metadata(&file.metadata).map_err(|source| ConvertError::Xattr {
                path: path_of(&tree, parent, &name),
                source,
            })?;
            let (kind, directory) = ext4_kind(file.kind);
            let added = tree.insert(parent, &name, kind, metadata)?;
            if let Some(directory) = directory {
                directories.push((directory, added));
            } else if file.links > 1 {
                linked.insert(child.node, added);
            }
        }
    }
    left_out.devices = without_devices;
    Ok((tree, left_out))
}

/// A name's path from the root of the image, escaped.
fn path_of<C>(tree: &FileTree<C>, directory: ext4_writer::NodeId, name: &[u8]) -> String {
    let mut parts = vec![name.escape_ascii().to_string()];
    let mut at = directory;
    while let Some(above) = tree.parent(at) {
        let here = tree.children(above).find(|child| child.node == at);
        parts.extend(here.map(|child| child.name.escape_ascii().to_string()));
        at = above;
    }
    parts.reverse();
    parts.join("/")
}

fn is_device<C>(kind: &OwnedKind<C>) -> bool {
    matches!(kind, OwnedKind::CharDevice(_) | OwnedKind::BlockDevice(_))
}

/// The same kind of file; a directory itself comes back, to be looked into.
fn ext4_kind(kind: OwnedKind<Content>) -> (FileKind<Content>, Option<OwnedKind<Content>>) {
    let kind = match kind {
        OwnedKind::Directory(_) => return (FileKind::Directory, Some(kind)),
        OwnedKind::File { content, .. } => FileKind::File(content.unwrap_or_default()),
        OwnedKind::Symlink(target) => FileKind::Symlink(target),
        OwnedKind::CharDevice(number) => FileKind::CharacterDevice {
            major: number.major(),
            minor: number.minor(),
        },
        OwnedKind::BlockDevice(number) => FileKind::BlockDevice {
            major: number.major(),
            minor: number.minor(),
        },
        OwnedKind::Fifo => FileKind::Fifo,
    };
    (kind, None)
}

/// Also says whether an SELinux label was left out.
fn metadata(from: &entry::Metadata, leave_selinux: bool) -> Result<(Metadata, bool), XattrError> {
    let time = Timestamp::new(from.mtime.seconds, from.mtime.nanoseconds);
    let mut xattrs = Xattrs::new();
    let mut left_selinux = false;
    for (name, value) in from.xattrs.iter() {
        if leave_selinux && name == b"security.selinux" {
            left_selinux = true;
        } else {
            xattrs.insert(name, value)?;
        }
    }
    let metadata = Metadata::new(from.mode, time)
        .uid(from.uid)
        .gid(from.gid)
        .xattrs(xattrs);
    Ok((metadata, left_selinux))
}
