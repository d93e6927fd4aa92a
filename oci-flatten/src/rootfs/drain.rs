//! Taking a tree apart, so that what is built from it takes over its memory instead of as much again.

use super::inode::{DentryId, DirectoryLinks, Inode, InodeKind};
use super::names::Names;
use super::tree::{Dentry, Parts};
use super::{Child, Rootfs};
use crate::entry::{DeviceNumber, Metadata};

/// Bytes of the stretches in which memory goes back: what glibc maps by itself whatever was freed before, and so gives
/// back.
const CHUNK_BYTES: usize = 32 << 20;

/// A tree that is being taken apart: every name and every file can be taken once, and memory goes back to the system
/// stretch by stretch. [`Rootfs::drain`] makes it.
///
/// ```
/// use oci_flatten::rootfs::{OwnedKind, Rootfs};
///
/// fn count_directories<C>(rootfs: Rootfs<C>) -> usize {
///     let (root, mut tree) = rootfs.drain();
///     let mut pending = vec![root.kind];
///     let mut count = 0;
///     while let Some(kind) = pending.pop() {
///         if let OwnedKind::Directory(entries) = kind {
///             count += 1;
///             for child in tree.children(entries) {
///                 pending.extend(tree.take(child).and_then(|entry| entry.file).map(|file| file.kind));
///             }
///         }
///     }
///     count
/// }
/// # use oci_flatten::{entry::Timestamp, limits::Limits};
/// # assert_eq!(count_directories(Rootfs::<()>::new(&Limits::default(), Timestamp::default())), 1);
/// ```
#[derive(Debug)]
pub struct Drain<C> {
    inodes: Chunks<Inode<C>>,
    dentries: Chunks<Dentry>,
    names: Names,
    /// Names that are left in each chunk of names.
    names_left: Vec<u32>,
}

/// A name, taken from the tree.
#[derive(Debug)]
#[non_exhaustive]
pub struct OwnedEntry<C> {
    /// The name.
    pub name: Vec<u8>,
    /// What it stands for; `None` where another name of the same file was taken before.
    pub file: Option<OwnedNode<C>>,
}

/// A file of any kind, taken from the tree.
#[derive(Debug)]
#[non_exhaustive]
pub struct OwnedNode<C> {
    /// What it is.
    pub kind: OwnedKind<C>,
    /// Owner, permissions, time and attributes.
    pub metadata: Metadata,
    /// How many names it has; 1 for directories.
    pub links: u32,
}

/// The kinds of file, with what belongs to each.
#[derive(Debug)]
pub enum OwnedKind<C> {
    /// A regular file.
    File {
        /// Bytes, holes included.
        size: u64,
        /// What the sink gave for its content; `None` once [`Rootfs::take_content`] took it.
        content: Option<C>,
    },
    /// A directory; [`Drain::children`] takes its entries.
    Directory(DirectoryEntries),
    /// A symbolic link with its target.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
}

/// The entries of a directory that was taken, until they are asked for.
#[derive(Debug)]
pub struct DirectoryEntries(DentryId);

impl<C> Rootfs<C> {
    /// Takes the tree apart: its root, and all the rest.
    #[must_use]
    pub fn drain(self) -> (OwnedNode<C>, Drain<C>) {
        let Parts {
            inodes,
            free_inodes,
            dentries,
            free_dentries,
            names,
        } = self.tree.into_parts();
        let mut dentries = Chunks::new(dentries);
        for free in free_dentries {
            dentries.take(free.0);
        }
        let mut names_left = vec![0; names.chunks()];
        for dentry in dentries.iter() {
            names_left[dentry.name.chunk()] += 1;
        }
        let mut inodes = Chunks::new(inodes);
        for free in free_inodes {
            inodes.take(free.0);
        }
        let root = inodes.take(Self::ROOT.0).map(OwnedNode::from);
        let root = root.expect("a tree has a root");
        let drain = Drain {
            inodes,
            dentries,
            names,
            names_left,
        };
        (root, drain)
    }
}

impl<C> Drain<C> {
    /// The entries of a directory, sorted by the bytes of their names; each is to be taken.
    #[must_use]
    pub fn children(&self, entries: DirectoryEntries) -> Vec<Child> {
        let mut children = Vec::new();
        let mut next = entries.0.some();
        while let Some((id, dentry)) = next.and_then(|id| Some((id, self.dentries.get(id.0)?))) {
            children.push(Child {
                dentry: id,
                node: dentry.node,
            });
            next = dentry.next.some();
        }
        let name = |child: &Child| {
            let dentry = self.dentries.get(child.dentry.0)?;
            Some(self.names.bytes(dentry.name))
        };
        children.sort_unstable_by(|a, b| name(a).cmp(&name(b)));
        children
    }

    /// Takes an entry, with its file where this is the first of its names; `None` the second time.
    pub fn take(&mut self, child: Child) -> Option<OwnedEntry<C>> {
        let dentry = self.dentries.take(child.dentry.0)?;
        let name = self.names.bytes(dentry.name).to_vec();
        let chunk = dentry.name.chunk();
        self.names_left[chunk] -= 1;
        if self.names_left[chunk] == 0 {
            self.names.forget_chunk(chunk);
        }
        let file = self.inodes.take(dentry.node.0).map(OwnedNode::from);
        Some(OwnedEntry { name, file })
    }
}

impl<C> From<Inode<C>> for OwnedNode<C> {
    fn from(inode: Inode<C>) -> Self {
        let kind = match inode.kind {
            InodeKind::File { size, content } => OwnedKind::File { size, content },
            InodeKind::Directory(DirectoryLinks { first, .. }) => {
                OwnedKind::Directory(DirectoryEntries(first))
            }
            InodeKind::Free => OwnedKind::Directory(DirectoryEntries(DentryId::NONE)),
            InodeKind::Symlink(target) => OwnedKind::Symlink(target),
            InodeKind::CharDevice(number) => OwnedKind::CharDevice(number),
            InodeKind::BlockDevice(number) => OwnedKind::BlockDevice(number),
            InodeKind::Fifo => OwnedKind::Fifo,
        };
        Self {
            kind,
            metadata: inode.metadata,
            links: inode.links,
        }
    }
}

/// What was one array, in stretches that are freed as soon as nothing is left in them, and before that lose what is
/// empty at their ends. Trees are walked from their last directories to their first, so that is most of it.
#[derive(Debug)]
struct Chunks<T>(Vec<Chunk<T>>);

#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<Option<T>>,
    left: usize,
}

impl<T> Chunks<T> {
    /// Items of one stretch.
    const LENGTH: usize = CHUNK_BYTES.div_ceil(size_of::<Option<T>>());

    /// Moves an array over from its end, so that it shrinks while the stretches grow.
    fn new(mut all: Vec<T>) -> Self {
        let mut chunks = Vec::with_capacity(all.len().div_ceil(Self::LENGTH));
        while !all.is_empty() {
            let start = (all.len() - 1) / Self::LENGTH * Self::LENGTH;
            // The capacity is what allocators go by; what is not used of it takes no memory.
            let mut slots = Vec::with_capacity(Self::LENGTH);
            slots.extend(all.drain(start..).map(Some));
            all.shrink_to_fit();
            chunks.push(Chunk {
                left: slots.len(),
                slots,
            });
        }
        chunks.reverse();
        Self(chunks)
    }

    fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        let chunk = self.0.get(index / Self::LENGTH)?;
        chunk.slots.get(index % Self::LENGTH)?.as_ref()
    }

    fn take(&mut self, index: u32) -> Option<T> {
        let index = index as usize;
        let chunk = self.0.get_mut(index / Self::LENGTH)?;
        let item = chunk.slots.get_mut(index % Self::LENGTH)?.take()?;
        chunk.left -= 1;
        if chunk.left == 0 {
            chunk.slots = Vec::new();
        }
        while chunk.slots.pop_if(|last| last.is_none()).is_some() {}
        if chunk.slots.capacity() - chunk.slots.len() > Self::LENGTH / 32 {
            chunk.slots.shrink_to_fit();
        }
        Some(item)
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|chunk| chunk.slots.iter().flatten())
    }
}
