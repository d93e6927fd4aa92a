//! The merged tree's memory: inodes, directory entries, and the table that finds an entry by directory and name.
//!
//! Everything lies in flat arenas and refers by index, so neither walking nor dropping recurses.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::inode::{DentryId, Inode, InodeKind, NodeId};
use super::names::{Name, Names};
use crate::entry::Metadata;

/// What layers did to an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Touch {
    /// The last layer that wrote the entry or something below it, from 1; 0 if none did.
    pub(super) layer: u16,
    /// Whether that layer describes it, and not only something below.
    pub(super) described: bool,
}

#[derive(Debug)]
pub(super) struct Dentry {
    parent: NodeId,
    pub(super) node: NodeId,
    pub(super) next: DentryId,
    previous: DentryId,
    pub(super) name: Name,
    touch: Touch,
}

/// What a tree is made of, but for the table that finds entries.
pub(super) struct Parts<C> {
    pub(super) inodes: Vec<Inode<C>>,
    pub(super) free_inodes: Vec<NodeId>,
    pub(super) dentries: Vec<Dentry>,
    pub(super) free_dentries: Vec<DentryId>,
    pub(super) names: Names,
}

#[derive(Debug)]
pub(super) struct Tree<C> {
    inodes: Vec<Inode<C>>,
    dentries: Vec<Dentry>,
    free_inodes: Vec<NodeId>,
    free_dentries: Vec<DentryId>,
    /// Ids of directories removed since the last [`Tree::reuse_directories`].
    removed_directories: Vec<NodeId>,
    table: HashTable<DentryId>,
    /// Randomly keyed, so that no layer can be made of colliding names; the table is never iterated.
    hasher: RandomState,
    names: Names,
    /// Symlink targets and extended attributes.
    heap_bytes: u64,
    live: u64,
    /// Contents of files without a name left, to be handed back.
    released: Vec<C>,
}

/// The tree cannot address more entries.
#[derive(Debug)]
pub(super) struct TreeFull;

impl<C> Tree<C> {
    pub(super) const ROOT: NodeId = NodeId(0);

    pub(super) fn new(root: Metadata) -> Self {
        let inode = Inode {
            kind: InodeKind::empty_directory(),
            metadata: root,
            links: 1,
        };
        Self {
            inodes: vec![inode],
            dentries: Vec::new(),
            free_inodes: Vec::new(),
            free_dentries: Vec::new(),
            removed_directories: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::new(),
            names: Names::default(),
            heap_bytes: 0,
            live: 0,
            released: Vec::new(),
        }
    }

    /// Takes the tree apart.
    pub(super) fn into_parts(mut self) -> Parts<C> {
        self.reuse_directories();
        Parts {
            inodes: self.inodes,
            free_inodes: self.free_inodes,
            dentries: self.dentries,
            free_dentries: self.free_dentries,
            names: self.names,
        }
    }

    /// Entries in the tree, the root not counted.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// Memory that the tree takes, as near as can be told without asking the allocator. Places of removed entries are part of it:
    /// they are used again, those of directories from the next layer on, and never given back.
    pub(super) fn memory_bytes(&self) -> u64 {
        let inodes = self.inodes.len() * (size_of::<Inode<C>>() + size_of::<NodeId>());
        let dentries = self.dentries.len() * (size_of::<Dentry>() + size_of::<DentryId>());
        (inodes + dentries) as u64 + self.names.live_bytes() + self.heap_bytes
    }

    pub(super) fn inode(&self, id: NodeId) -> &Inode<C> {
        &self.inodes[id.0 as usize]
    }

    pub(super) fn links(&self, id: NodeId) -> u32 {
        self.inode(id).links
    }

    pub(super) fn content_mut(&mut self, id: NodeId) -> Option<&mut Option<C>> {
        match &mut self.inodes[id.0 as usize].kind {
            InodeKind::File { content, .. } => Some(content),
            _ => None,
        }
    }

    /// Changes metadata, keeping count of its memory.
    pub(super) fn change_metadata(&mut self, id: NodeId, change: impl FnOnce(&mut Metadata)) {
        let metadata = &mut self.inodes[id.0 as usize].metadata;
        self.heap_bytes -= metadata.xattrs.heap_bytes();
        change(metadata);
        self.heap_bytes += metadata.xattrs.heap_bytes();
    }

    pub(super) fn name(&self, id: DentryId) -> &[u8] {
        self.names.bytes(self.dentry(id).name)
    }

    pub(super) fn node(&self, id: DentryId) -> NodeId {
        self.dentry(id).node
    }

    pub(super) fn touch(&self, id: DentryId) -> Touch {
        self.dentry(id).touch
    }

    pub(super) fn set_touch(&mut self, id: DentryId, touch: Touch) {
        self.dentries[id.0 as usize].touch = touch;
    }

    fn dentry(&self, id: DentryId) -> &Dentry {
        &self.dentries[id.0 as usize]
    }

    /// A directory's own entry; `None` for the root and for what is no directory.
    pub(super) fn directory_entry(&self, id: NodeId) -> Option<DentryId> {
        match self.inode(id).kind {
            InodeKind::Directory(links) => links.dentry.some(),
            _ => None,
        }
    }

    /// The directory that holds an entry.
    pub(super) fn parent(&self, id: DentryId) -> NodeId {
        self.dentry(id).parent
    }

    /// Whether a directory is `node` or below it.
    pub(super) fn is_within(&self, directory: NodeId, node: NodeId) -> bool {
        self.inode(node).kind.is_directory()
            && (directory == node
                || self
                    .upwards(directory)
                    .any(|entry| self.parent(entry) == node))
    }

    /// A directory's own entry, that of the directory it is in, and so on up to the root, which has none.
    pub(super) fn upwards(&self, directory: NodeId) -> impl Iterator<Item = DentryId> {
        let above = |&entry: &DentryId| self.directory_entry(self.parent(entry));
        std::iter::successors(self.directory_entry(directory), above)
    }

    /// The entries of a directory, in no order that means anything.
    pub(super) fn entries(&self, directory: NodeId) -> impl Iterator<Item = DentryId> {
        let first = match self.inode(directory).kind {
            InodeKind::Directory(links) => links.first.some(),
            _ => None,
        };
        std::iter::successors(first, |&id| self.dentry(id).next.some())
    }

    pub(super) fn find(&self, directory: NodeId, name: &[u8]) -> Option<DentryId> {
        let hash = self.hasher.hash_one((directory, name));
        let is_same = |&id: &DentryId| {
            let dentry = self.dentry(id);
            dentry.parent == directory && self.names.bytes(dentry.name) == name
        };
        self.table.find(hash, is_same).copied()
    }

    /// A new file without a name yet; hold it by [`Tree::insert`] or [`Tree::hold`].
    pub(super) fn create(
        &mut self,
        kind: InodeKind<C>,
        metadata: Metadata,
    ) -> Result<NodeId, TreeFull> {
        self.heap_bytes += kind.heap_bytes() + metadata.xattrs.heap_bytes();
        let inode = Inode {
            kind,
            metadata,
            links: 0,
        };
        if let Some(id) = self.free_inodes.pop() {
            self.inodes[id.0 as usize] = inode;
            return Ok(id);
        }
        let id = u32::try_from(self.inodes.len()).map_err(|_| TreeFull)?;
        self.inodes.push(inode);
        Ok(NodeId(id))
    }

    /// Enters a name that the directory does not have yet.
    pub(super) fn insert(
        &mut self,
        directory: NodeId,
        name: &[u8],
        node: NodeId,
        touch: Touch,
    ) -> Result<DentryId, TreeFull> {
        let hash = self.hasher.hash_one((directory, name));
        let name = self.names.insert(name).ok_or(TreeFull)?;
        let first = match self.inode(directory).kind {
            InodeKind::Directory(links) => links.first,
            _ => DentryId::NONE,
        };
        let dentry = Dentry {
            parent: directory,
            node,
            next: first,
            previous: DentryId::NONE,
            name,
            touch,
        };
        let id = match self.free_dentries.pop() {
            Some(id) => {
                self.dentries[id.0 as usize] = dentry;
                id
            }
            None => {
                let id = u32::try_from(self.dentries.len())
                    .ok()
                    .filter(|&id| id != u32::MAX);
                self.dentries.push(dentry);
                DentryId(id.ok_or(TreeFull)?)
            }
        };
        if let Some(first) = first.some() {
            self.dentries[first.0 as usize].previous = id;
        }
        self.set_first(directory, id);
        let Self {
            table,
            dentries,
            names,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, id, |id| {
            let dentry = &dentries[id.0 as usize];
            hasher.hash_one((dentry.parent, names.bytes(dentry.name)))
        });
        self.live += 1;
        self.adopt(id, node);
        Ok(id)
    }

    /// Lets an entry stand for another file and drops what it stood for, a whole tree if it was a directory.
    pub(super) fn replace(&mut self, id: DentryId, node: NodeId) {
        let old = self.node(id);
        self.dentries[id.0 as usize].node = node;
        self.adopt(id, node);
        self.drop_entries(old);
        self.release(old);
    }

    fn adopt(&mut self, id: DentryId, node: NodeId) {
        let inode = &mut self.inodes[node.0 as usize];
        inode.links += 1;
        if let InodeKind::Directory(links) = &mut inode.kind {
            links.dentry = id;
        }
    }

    /// Removes an entry with all below it.
    pub(super) fn remove(&mut self, id: DentryId) {
        let node = self.node(id);
        self.drop_entries(node);
        self.unlink(id);
        self.release(node);
    }

    /// Removes all that is below a directory; it may itself be out of the tree already.
    fn drop_entries(&mut self, directory: NodeId) {
        let mut pending: Vec<DentryId> = self.entries(directory).collect();
        while let Some(id) = pending.pop() {
            let node = self.node(id);
            pending.extend(self.entries(node));
            self.unlink(id);
            self.release(node);
        }
    }

    /// Takes one entry out of its directory.
    fn unlink(&mut self, id: DentryId) {
        let Dentry {
            parent,
            next,
            previous,
            name,
            ..
        } = *self.dentry(id);
        let hash = self.hasher.hash_one((parent, self.names.bytes(name)));
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        match previous.some() {
            Some(previous) => self.dentries[previous.0 as usize].next = next,
            None => self.set_first(parent, next),
        }
        if let Some(next) = next.some() {
            self.dentries[next.0 as usize].previous = previous;
        }
        self.names.remove(name);
        self.free_dentries.push(id);
        self.live -= 1;
    }

    fn set_first(&mut self, directory: NodeId, first: DentryId) {
        if let InodeKind::Directory(links) = &mut self.inodes[directory.0 as usize].kind {
            links.first = first;
        }
    }

    /// Keeps a file alive that has no name, until [`Tree::release`].
    pub(super) fn hold(&mut self, id: NodeId) {
        self.inodes[id.0 as usize].links += 1;
    }

    /// Takes one link from a file; with the last one its content is given back.
    pub(super) fn release(&mut self, id: NodeId) {
        let inode = &mut self.inodes[id.0 as usize];
        inode.links = inode.links.saturating_sub(1);
        if inode.links > 0 {
            return;
        }
        self.heap_bytes -= inode.kind.heap_bytes() + inode.metadata.xattrs.heap_bytes();
        inode.metadata = Metadata::default();
        match std::mem::replace(&mut inode.kind, InodeKind::Free) {
            InodeKind::File { content, .. } => {
                self.released.extend(content);
                self.free_inodes.push(id);
            }
            InodeKind::Directory(_) => self.removed_directories.push(id),
            _ => self.free_inodes.push(id),
        }
    }

    /// Lets ids of removed directories be given out again; before, whoever kept one would not mistake another for it.
    pub(super) fn reuse_directories(&mut self) {
        self.free_inodes.append(&mut self.removed_directories);
    }

    /// Contents that lost their last name since the last call.
    pub(super) fn take_released(&mut self) -> std::vec::Drain<'_, C> {
        self.released.drain(..)
    }

    pub(super) fn has_released(&self) -> bool {
        !self.released.is_empty()
    }
}
