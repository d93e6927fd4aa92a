//! The merged root filesystem of the layers, as the tree of an ext4 image.

use std::collections::HashMap;

use ext4_writer::{
    Content, FileKind, FileTree, Metadata, Timestamp, TreeError, XattrError, Xattrs,
};
use oci_flatten::entry;
use oci_flatten::rootfs::{NodeId, NodeKind, Rootfs};

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
pub(super) fn ext4_tree(
    mut rootfs: Rootfs<Content>,
    leave_out: LeaveOut,
) -> Result<(FileTree<Content>, LeaveOut), ConvertError> {
    let mut left_out = LeaveOut::default();
    let mut metadata = |from: &entry::Metadata| {
        let (metadata, without_selinux) = metadata(from, leave_out.selinux)?;
        left_out.selinux |= without_selinux;
        Ok(metadata)
    };
    let root = rootfs.root();
    let metadata_of_root = metadata(rootfs.node(root).metadata);
    let metadata_of_root = metadata_of_root.map_err(|source| ConvertError::Xattr {
        path: "/".into(),
        source,
    })?;
    let mut tree = FileTree::new(metadata_of_root)?;
    let mut linked: HashMap<NodeId, ext4_writer::NodeId> = HashMap::new();
    let mut directories = vec![(root, tree.root())];
    let mut without_devices = false;
    while let Some((directory, parent)) = directories.pop() {
        for child in rootfs.children(directory) {
            let id = child.node;
            if let Some(&known) = linked.get(&id) {
                tree.link(parent, rootfs.name(child), known)?;
                continue;
            }
            let content = rootfs.take_content(id).unwrap_or_default();
            let node = rootfs.node(id);
            let kind = match node.kind {
                NodeKind::File { .. } => FileKind::File(content),
                NodeKind::Directory => FileKind::Directory,
                NodeKind::Symlink(target) => FileKind::Symlink(target.into()),
                NodeKind::CharDevice(_) | NodeKind::BlockDevice(_) if leave_out.devices => {
                    without_devices = true;
                    continue;
                }
                NodeKind::CharDevice(number) => FileKind::CharacterDevice {
                    major: number.major(),
                    minor: number.minor(),
                },
                NodeKind::BlockDevice(number) => FileKind::BlockDevice {
                    major: number.major(),
                    minor: number.minor(),
                },
                NodeKind::Fifo => FileKind::Fifo,
            };
            let is_directory = matches!(kind, FileKind::Directory);
            let shared = node.links > 1;
            let metadata = metadata(node.metadata).map_err(|source| ConvertError::Xattr {
                path: rootfs.path(child).escape_ascii().to_string(),
                source,
            })?;
            let added = tree.insert(parent, rootfs.name(child), kind, metadata)?;
            if is_directory {
                directories.push((id, added));
            } else if shared {
                linked.insert(id, added);
            }
        }
    }
    left_out.devices = without_devices;
    Ok((tree, left_out))
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
