//! What a layer takes away from the layers below, and what it must remember for that until its end.

use std::collections::{BTreeMap, HashSet};

use super::Rootfs;
use super::error::MergeError;
use super::inode::{DentryId, NodeId};
use super::resolve::Missing;
use crate::entry::Metadata;
use crate::limits::LimitExceeded;

/// What a whiteout met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// Nothing, or something of a lower layer.
    Lower,
    /// A file that its own layer wrote, which stays.
    OwnLayer,
}

/// What the layer at work has done so far.
#[derive(Debug, Default)]
pub(super) struct LayerState {
    pub(super) number: u16,
    /// Names that a whiteout of this layer hides.
    pub(super) whiteouts: HashSet<(NodeId, Box<[u8]>)>,
    /// Directories that hold nothing of lower layers any more.
    pub(super) cleared: HashSet<NodeId>,
    /// Whiteouts whose directories were not there yet.
    deferred: Vec<Deferred>,
    /// Contents that AUFS kept for hard links, by name.
    pub(super) aufs_links: BTreeMap<Box<[u8]>, NodeId>,
    pub(super) heap_bytes: u64,
}

/// A whiteout, or without a name an opaque marker, and the directory that it acts in.
#[derive(Debug)]
struct Deferred {
    directory: Box<[u8]>,
    name: Option<Box<[u8]>>,
}

impl LayerState {
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.heap_bytes + (self.whiteouts.len() * 48 + self.cleared.len() * 8) as u64
    }
}

impl<C> Rootfs<C> {
    /// Begins the next layer, above all before.
    pub(crate) fn begin_layer(&mut self) -> Result<(), LimitExceeded> {
        let number = self.layer.number.checked_add(1);
        let limit = u64::from(u16::MAX);
        self.layer.number = number.ok_or(LimitExceeded {
            what: "image",
            value: limit + 1,
            unit: "layers",
            limit,
        })?;
        Ok(())
    }

    /// Ends the layer: applies the whiteouts that had to wait, and forgets what only its own entries could ask for.
    ///
    /// A whiteout's missing directory is created, as engines do, unless the layer hides it. Only now is it known
    /// what the layer hides, and what it brings.
    pub(crate) fn end_layer(&mut self) -> Result<(), MergeError> {
        for Deferred { directory, name } in std::mem::take(&mut self.layer.deferred) {
            if let Some(directory) = self.directory(&directory, Missing::CreateHideable)? {
                match name {
                    Some(name) => self.hide_name(directory, &name),
                    None => {
                        self.clear_lower(directory);
                        Hidden::Lower
                    }
                };
            }
        }
        for node in std::mem::take(&mut self.layer.aufs_links).into_values() {
            self.tree.release(node);
        }
        self.layer = LayerState {
            number: self.layer.number,
            ..LayerState::default()
        };
        self.tree.reuse_directories();
        self.forget_paths();
        Ok(())
    }

    pub(super) fn forget_paths(&mut self) {
        self.entry_cache.clear();
        self.link_cache.clear();
    }

    /// Hides a name that lower layers have.
    pub(crate) fn whiteout(&mut self, parent: &[u8], name: &[u8]) -> Result<Hidden, MergeError> {
        match self.directory(parent, Missing::Stop)? {
            Some(directory) => Ok(self.hide_name(directory, name)),
            None => {
                self.defer(parent, Some(name));
                Ok(Hidden::Lower)
            }
        }
    }

    /// Hides all that lower layers have in a directory.
    pub(crate) fn opaque(&mut self, path: &[u8]) -> Result<(), MergeError> {
        match self.directory(path, Missing::Stop)? {
            Some(directory) => self.clear_lower(directory),
            None => self.defer(path, None),
        }
        Ok(())
    }

    fn defer(&mut self, parent: &[u8], name: Option<&[u8]>) {
        let entry = size_of::<Deferred>() + 32;
        self.layer.heap_bytes += (entry + parent.len() + name.map_or(0, <[u8]>::len)) as u64;
        let directory = parent.into();
        self.layer.deferred.push(Deferred {
            directory,
            name: name.map(Box::from),
        });
    }

    fn hide_name(&mut self, directory: NodeId, name: &[u8]) -> Hidden {
        if self.layer.whiteouts.insert((directory, name.into())) {
            self.layer.heap_bytes += name.len() as u64;
        }
        let Some(dentry) = self.tree.find(directory, name) else {
            return Hidden::Lower;
        };
        if self.tree.touch(dentry).layer == self.layer.number {
            self.clear_lower_entry(dentry);
            return Hidden::OwnLayer;
        }
        self.remove(dentry);
        Hidden::Lower
    }

    fn remove(&mut self, dentry: DentryId) {
        self.forget_paths_through(dentry);
        self.tree.remove(dentry);
    }

    /// Takes away what lower layers have at and below an entry of this layer.
    fn clear_lower_entry(&mut self, dentry: DentryId) {
        let node = self.tree.node(dentry);
        if self.tree.inode(node).kind.is_directory() {
            self.forget_lower_metadata(dentry, node);
            self.clear_lower(node);
        }
    }

    /// Takes away what lower layers have below a directory. No directory is looked through twice in a layer.
    fn clear_lower(&mut self, directory: NodeId) {
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            if !self.layer.cleared.insert(directory) {
                continue;
            }
            let entries: Vec<_> = self.tree.entries(directory).collect();
            for dentry in entries {
                if self.tree.touch(dentry).layer != self.layer.number {
                    self.remove(dentry);
                    continue;
                }
                let node = self.tree.node(dentry);
                if self.tree.inode(node).kind.is_directory() {
                    self.forget_lower_metadata(dentry, node);
                    pending.push(node);
                }
            }
        }
    }

    /// A directory that its layer only implies is, once the lower one is hidden, one that nothing describes.
    fn forget_lower_metadata(&mut self, dentry: DentryId, node: NodeId) {
        if !self.tree.touch(dentry).described {
            let metadata = Metadata::implied_directory(self.implied_mtime);
            self.tree.change_metadata(node, |old| *old = metadata);
        }
    }

    pub(super) fn is_whited_out(&self, directory: NodeId, name: &[u8]) -> bool {
        !self.layer.whiteouts.is_empty() && self.layer.whiteouts.contains(&(directory, name.into()))
    }

    /// Whether this layer hides what lower layers have at a name: by the name, or by a directory above it.
    pub(super) fn is_hidden_in_layer(&self, directory: NodeId, name: &[u8]) -> bool {
        if self.is_whited_out(directory, name) {
            return true;
        }
        let mut directory = directory;
        loop {
            if self.layer.cleared.contains(&directory) {
                return true;
            }
            let Some(entry) = self.tree.directory_entry(directory) else {
                return false;
            };
            let parent = self.tree.parent(entry);
            if self.is_whited_out(parent, self.tree.name(entry)) {
                return true;
            }
            directory = parent;
        }
    }
}
