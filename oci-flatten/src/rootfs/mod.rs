//! The merged tree of all layers, generic over what stands for a file's content.
//!
//! Layers are applied bottom-up by a [`LayerApplier`](crate::apply::LayerApplier). Each entry remembers the layer
//! that wrote it or something below it; whiteouts and opaque markers hide what *lower* layers left, so their place
//! within a layer does not matter (OCI image specification, `layer.md`). A finished tree is read by walking, or taken apart
//! by [`Rootfs::drain`] while something else is built from it:
//!
//! ```
//! use oci_flatten::rootfs::{NodeKind, Rootfs};
//!
//! fn count_directories<C>(rootfs: &Rootfs<C>) -> usize {
//!     let mut pending = vec![rootfs.root()];
//!     let mut count = 0;
//!     while let Some(directory) = pending.pop() {
//!         count += 1;
//!         let is_directory = |node: &_| matches!(rootfs.node(*node).kind, NodeKind::Directory);
//!         pending.extend(rootfs.children(directory).iter().map(|child| child.node).filter(is_directory));
//!     }
//!     count
//! }
//! # use oci_flatten::{entry::Timestamp, limits::Limits};
//! # assert_eq!(count_directories(&Rootfs::<()>::new(&Limits::default(), Timestamp::default())), 1);
//! ```

mod drain;
mod error;
mod inode;
mod layer;
mod merge;
mod names;
mod resolve;
mod tree;

use crate::entry::{DeviceNumber, Metadata, Timestamp};
use crate::limits::{LimitExceeded, Limits};
use crate::path::EntryPath;

pub use drain::{DirectoryEntries, Drain, OwnedEntry, OwnedKind, OwnedNode};
pub use error::MergeError;
pub use inode::NodeId;
pub(crate) use layer::Hidden;
pub(crate) use merge::NewKind;

use inode::{DentryId, InodeKind};
use layer::LayerState;
use resolve::PathCache;
use tree::Tree;

/// What a sink needs to remember of a hole, about.
const HOLE_BYTES: u64 = 16;

/// A root filesystem in memory, without the contents of its files.
///
/// Takes under 200 bytes for an entry with a name of usual length and no extended attributes.
#[derive(Debug)]
pub struct Rootfs<C> {
    tree: Tree<C>,
    layer: LayerState,
    entry_cache: PathCache,
    link_cache: PathCache,
    implied_mtime: Timestamp,
    limits: Limits,
    usage: Usage,
    /// Holes in the files of all layers.
    holes: u64,
}

/// What has been read into a [`Rootfs`] over all layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tar entries.
    pub entries: u64,
    /// Decoded tar bytes.
    pub expanded_bytes: u64,
}

/// A name in a directory and the file it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Child {
    dentry: DentryId,
    /// The file; the same for hard links.
    pub node: NodeId,
}

/// A file of any kind, as it lies in the tree.
#[derive(Debug)]
pub struct Node<'a, C> {
    /// What it is.
    pub kind: NodeKind<'a, C>,
    /// Owner, permissions, time and attributes.
    pub metadata: &'a Metadata,
    /// How many names it has; 1 for directories.
    pub links: u32,
}

/// The kinds of file a tree can hold.
#[derive(Debug)]
pub enum NodeKind<'a, C> {
    /// A regular file.
    File {
        /// Bytes, holes included.
        size: u64,
        /// What the sink gave for its content; `None` once it was taken.
        content: Option<&'a C>,
    },
    /// A directory; see [`Rootfs::children`].
    Directory,
    /// A symbolic link with its target, byte by byte as the layer has it.
    Symlink(&'a [u8]),
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
}

impl<C> Rootfs<C> {
    const ROOT: NodeId = Tree::<C>::ROOT;

    /// An empty tree: a root directory, `0755 root:root`.
    ///
    /// `implied_mtime` is given to the root and to directories that no layer describes. Take it from the image,
    /// never from a clock, so that the same image gives the same tree.
    pub fn new(limits: &Limits, implied_mtime: Timestamp) -> Self {
        let implied_mtime = implied_mtime.clamped();
        Self {
            tree: Tree::new(Metadata::implied_directory(implied_mtime)),
            layer: LayerState::default(),
            entry_cache: PathCache::default(),
            link_cache: PathCache::default(),
            implied_mtime,
            limits: limits.clone(),
            usage: Usage::default(),
            holes: 0,
        }
    }

    /// The root directory.
    pub fn root(&self) -> NodeId {
        Self::ROOT
    }

    /// A file of the tree.
    pub fn node(&self, id: NodeId) -> Node<'_, C> {
        let inode = self.tree.inode(id);
        let kind = match &inode.kind {
            InodeKind::File { size, content } => NodeKind::File {
                size: *size,
                content: content.as_ref(),
            },
            // An id that a later layer freed reads as an empty directory.
            InodeKind::Directory(_) | InodeKind::Free => NodeKind::Directory,
            InodeKind::Symlink(target) => NodeKind::Symlink(target),
            InodeKind::CharDevice(number) => NodeKind::CharDevice(*number),
            InodeKind::BlockDevice(number) => NodeKind::BlockDevice(*number),
            InodeKind::Fifo => NodeKind::Fifo,
        };
        Node {
            kind,
            metadata: &inode.metadata,
            links: self.tree.links(id),
        }
    }

    /// The entries of a directory, sorted by the bytes of their names; none for what is no directory.
    pub fn children(&self, directory: NodeId) -> Vec<Child> {
        let mut children: Vec<_> = self
            .tree
            .entries(directory)
            .map(|dentry| Child {
                dentry,
                node: self.tree.node(dentry),
            })
            .collect();
        children.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        children
    }

    /// A child's name.
    pub fn name(&self, child: Child) -> &[u8] {
        self.tree.name(child.dentry)
    }

    /// A child's path from the root.
    pub fn path(&self, child: Child) -> Vec<u8> {
        let above = self.tree.upwards(self.tree.parent(child.dentry));
        let mut names = vec![self.name(child)];
        names.extend(above.map(|entry| self.tree.name(entry)));
        names.reverse();
        names.join(&b'/')
    }

    /// The file at a path; symbolic links on the way are not followed.
    pub fn lookup(&self, path: &EntryPath<'_>) -> Option<NodeId> {
        path.components().try_fold(self.root(), |directory, name| {
            self.tree
                .find(directory, name)
                .map(|dentry| self.tree.node(dentry))
        })
    }

    /// Takes a file's content out; `None` for other kinds and the second time.
    pub fn take_content(&mut self, id: NodeId) -> Option<C> {
        self.tree.content_mut(id)?.take()
    }

    /// Names in the tree, the root not counted.
    pub fn len(&self) -> u64 {
        self.tree.live()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that the tree takes, in bytes, as it is held against [`Limits::metadata_bytes`].
    pub fn memory_bytes(&self) -> u64 {
        self.tree.memory_bytes() + self.layer.memory_bytes() + self.holes * HOLE_BYTES
    }

    /// Counts a hole, behind which a content goes on: its sink will remember where.
    pub(crate) fn count_hole(&mut self) {
        self.holes += 1;
    }

    /// What has been read so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts decoded bytes before they are looked at.
    pub(crate) fn count_bytes(&mut self, bytes: u64) -> Result<(), LimitExceeded> {
        self.usage.expanded_bytes = self.usage.expanded_bytes.saturating_add(bytes);
        let limit = self.limits.expanded_bytes;
        LimitExceeded::check("image", self.usage.expanded_bytes, "decoded bytes", limit)
    }

    /// Counts one entry before it is applied.
    pub(crate) fn count_entry(&mut self) -> Result<(), LimitExceeded> {
        self.usage.entries += 1;
        LimitExceeded::check("image", self.usage.entries, "entries", self.limits.entries)?;
        LimitExceeded::check("merged tree", self.len(), "entries", self.limits.entries)?;
        let memory = self.memory_bytes();
        LimitExceeded::check(
            "merged tree",
            memory,
            "bytes of memory",
            self.limits.metadata_bytes,
        )
    }

    /// Gives a file placed before its content.
    pub(crate) fn set_content(&mut self, id: NodeId, content: C) {
        if let Some(slot) = self.tree.content_mut(id) {
            *slot = Some(content);
        }
    }

    /// Contents of files that lost their last name.
    pub(crate) fn take_released(&mut self) -> std::vec::Drain<'_, C> {
        self.tree.take_released()
    }

    pub(crate) fn has_released(&self) -> bool {
        self.tree.has_released()
    }
}
