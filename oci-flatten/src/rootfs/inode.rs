//! What a file is, apart from its names.

use crate::entry::{DeviceNumber, Metadata};

/// A file of any kind in the merged tree. Hard links are entries with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DentryId(pub(super) u32);

impl DentryId {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

#[derive(Debug)]
pub(super) struct Inode<C> {
    pub(super) kind: InodeKind<C>,
    pub(super) metadata: Metadata,
    pub(super) links: u32,
}

#[derive(Debug)]
pub(super) enum InodeKind<C> {
    Free,
    File { size: u64, content: Option<C> },
    Symlink(Box<[u8]>),
    CharDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
    Directory(DirectoryLinks),
}

/// A directory's first entry and its own entry in its parent; the root has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryLinks {
    pub(super) first: DentryId,
    pub(super) dentry: DentryId,
}

impl<C> InodeKind<C> {
    pub(super) fn empty_directory() -> Self {
        Self::Directory(DirectoryLinks {
            first: DentryId::NONE,
            dentry: DentryId::NONE,
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        match self {
            Self::Symlink(target) => target.len() as u64 + 16,
            _ => 0,
        }
    }
}
