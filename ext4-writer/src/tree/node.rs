//! What the tree keeps for each file, and the sets of extended attributes that files share.

use std::collections::HashMap;
use std::sync::Arc;

use super::metadata::PackedTime;
use super::names::EntryId;
use super::{DeviceNumber, FileType, Metadata, Timestamp, Xattrs};
use crate::ids::InodeNumber;

/// One file. About 100 bytes, as trees have millions.
#[derive(Debug)]
pub(crate) struct Node<C> {
    pub(crate) kind: NodeKind<C>,
    pub(crate) mtime: PackedTime,
    pub(crate) atime: PackedTime,
    pub(crate) ctime: PackedTime,
    pub(crate) crtime: PackedTime,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) xattrs: XattrSetId,
    /// Assigned when the plan is made.
    pub(crate) inode: InodeNumber,
    /// Permission bits.
    pub(crate) mode: u16,
    /// Names of what is no directory.
    pub(crate) links: u16,
}

impl<C> Node<C> {
    pub(super) fn new(kind: NodeKind<C>, metadata: &Metadata, xattrs: XattrSetId) -> Self {
        let [mtime, atime, ctime, crtime] = metadata.times().map(Timestamp::pack);
        Self {
            kind,
            mtime,
            atime,
            ctime,
            crtime,
            uid: metadata.uid,
            gid: metadata.gid,
            xattrs,
            inode: InodeNumber::default(),
            mode: metadata.mode,
            links: 0,
        }
    }

    pub(crate) fn times_mut(&mut self) -> [&mut PackedTime; 4] {
        [
            &mut self.mtime,
            &mut self.atime,
            &mut self.ctime,
            &mut self.crtime,
        ]
    }

    pub(crate) fn file_type(&self) -> Option<FileType> {
        Some(match self.kind {
            NodeKind::File(_) => FileType::Regular,
            NodeKind::Directory(_) => FileType::Directory,
            NodeKind::Symlink(_) => FileType::Symlink,
            NodeKind::CharacterDevice(_) => FileType::CharacterDevice,
            NodeKind::BlockDevice(_) => FileType::BlockDevice,
            NodeKind::Fifo => FileType::Fifo,
            NodeKind::Socket => FileType::Socket,
            NodeKind::Removed => return None,
        })
    }
}

/// A kind with what the tree keeps for it.
#[derive(Debug)]
pub(crate) enum NodeKind<C> {
    File(C),
    Directory(Directory),
    Symlink(Box<[u8]>),
    CharacterDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
    Socket,
    /// Its last name is gone; the slot stays so that ids are never reused.
    Removed,
}

/// A directory: its entries as a list, and where its blocks will lie.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The directory's own name; `NONE` for the root.
    pub(super) entry: EntryId,
    pub(super) first: EntryId,
    pub(super) last: EntryId,
    pub(crate) entries: u32,
    pub(crate) subdirectories: u32,
    /// Blocks of the directory, set by the plan.
    pub(crate) blocks: u32,
    /// Distance of the first block from the start of all directories' blocks, set by the plan.
    pub(crate) start: u64,
}

impl Directory {
    pub(super) fn new(entry: EntryId) -> Self {
        Self {
            entry,
            first: EntryId::NONE,
            last: EntryId::NONE,
            entries: 0,
            subdirectories: 0,
            blocks: 0,
            start: 0,
        }
    }
}

/// Index of a set of extended attributes; 0 is the empty set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct XattrSetId(pub(crate) u32);

/// The distinct sets of extended attributes of a tree.
#[derive(Debug, Default)]
pub(crate) struct XattrSets {
    sets: Vec<Arc<Xattrs>>,
    known: HashMap<Arc<Xattrs>, XattrSetId>,
}

impl XattrSets {
    pub(super) fn intern(&mut self, xattrs: Xattrs) -> XattrSetId {
        if xattrs.is_empty() {
            return XattrSetId(0);
        }
        if let Some(&id) = self.known.get(&xattrs) {
            return id;
        }
        let shared = Arc::new(xattrs);
        self.sets.push(Arc::clone(&shared));
        // Sets are no more than nodes, whose number fits 32 bits.
        let id = XattrSetId(self.sets.len() as u32);
        self.known.insert(shared, id);
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The set of an id that is not the empty set's.
    pub(crate) fn set(&self, id: XattrSetId) -> Option<&Xattrs> {
        self.sets
            .get((id.0 as usize).checked_sub(1)?)
            .map(|set| &**set)
    }
}
