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
    #[error("{source}: {path}")]
    Xattr {
        /// From the root of the image; `/` for itself.
        path: String,
        source: XattrError,
    },
}

/// Moves the tree over, directory by directory, devices only where they are wanted; hard links stay names of one file.
pub(super) fn ext4_tree(
    mut rootfs: Rootfs<Content>,
    skip_devices: bool,
) -> Result<FileTree<Content>, ConvertError> {
    let root = rootfs.root();
    let metadata_of_root = metadata(rootfs.node(root).metadata);
    let metadata_of_root = metadata_of_root.map_err(|source| ConvertError::Xattr {
        path: "/".into(),
        source,
    })?;
    let mut tree = FileTree::new(metadata_of_root)?;
    let mut linked: HashMap<NodeId, ext4_writer::NodeId> = HashMap::new();
    let mut directories = vec![(root, tree.root())];
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
                NodeKind::CharDevice(_) | NodeKind::BlockDevice(_) if skip_devices => continue,
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
    Ok(tree)
}

fn metadata(from: &entry::Metadata) -> Result<Metadata, XattrError> {
    let time = Timestamp::new(from.mtime.seconds, from.mtime.nanoseconds);
    let mut xattrs = Xattrs::new();
    for (name, value) in from.xattrs.iter() {
        xattrs.insert(name, value)?;
    }
    Ok(Metadata {
        uid: from.uid,
        gid: from.gid,
        xattrs,
        ..Metadata::new(from.mode, time)
    })
}
