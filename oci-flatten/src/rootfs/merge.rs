//! What a layer's entries do to the tree of the layers below.

use super::Rootfs;
use super::error::MergeError;
use super::inode::{DentryId, InodeKind, NodeId};
use super::resolve::Missing;
use super::tree::Touch;
use crate::entry::{DeviceNumber, Metadata};
use crate::path::EntryPath;

/// A file to be placed; directories keep what is in them.
#[derive(Debug)]
pub(crate) enum NewKind {
    File { size: u64 },
    Directory,
    Symlink(Box<[u8]>),
    CharDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
}

impl<C> Rootfs<C> {
    /// Puts a file at a path, in place of what is there; a directory over a directory keeps what is inside.
    pub(crate) fn place(
        &mut self,
        path: &EntryPath<'_>,
        kind: NewKind,
        metadata: Metadata,
    ) -> Result<NodeId, MergeError> {
        let (directory, name) = self.parent_of(path)?;
        let found = self.tree.find(directory, name);
        if let (NewKind::Directory, Some(dentry)) = (&kind, found) {
            let node = self.tree.node(dentry);
            if self.tree.inode(node).kind.is_directory() {
                self.tree.change_metadata(node, |old| *old = metadata);
                self.tree.set_touch(dentry, self.described());
                return Ok(node);
            }
        }
        let node = self.tree.create(kind.into(), metadata)?;
        self.enter_node(directory, name, found, node)?;
        Ok(node)
    }

    /// Gives the root its metadata.
    pub(crate) fn describe_root(&mut self, metadata: Metadata) {
        let root = self.root();
        self.tree.change_metadata(root, |old| *old = metadata);
    }

    fn parent_of<'p>(&mut self, path: &'p EntryPath<'_>) -> Result<(NodeId, &'p [u8]), MergeError> {
        let (parent, name) = path.split_last().ok_or(MergeError::Root)?;
        let directory = self
            .directory(parent, Missing::Create)?
            .ok_or(MergeError::Root)?;
        Ok((directory, name))
    }

    fn described(&self) -> Touch {
        Touch {
            layer: self.layer.number,
            described: true,
        }
    }

    fn enter_node(
        &mut self,
        directory: NodeId,
        name: &[u8],
        found: Option<DentryId>,
        node: NodeId,
    ) -> Result<(), MergeError> {
        let touch = self.described();
        match found {
            None => {
                self.tree.insert(directory, name, node, touch)?;
            }
            Some(dentry) => {
                self.forget_paths_through(dentry);
                self.tree.replace(dentry, node);
                self.tree.set_touch(dentry, touch);
            }
        }
        Ok(())
    }

    /// Remembered paths stay right while only files come and go.
    pub(super) fn forget_paths_through(&mut self, dentry: DentryId) {
        let node = self.tree.node(dentry);
        if matches!(
            self.tree.inode(node).kind,
            InodeKind::Directory(_) | InodeKind::Symlink(_)
        ) {
            self.forget_paths();
        }
    }

    /// Gives an existing file a further name and the link entry's metadata.
    pub(crate) fn link(
        &mut self,
        path: &EntryPath<'_>,
        target: &EntryPath<'_>,
        metadata: Metadata,
    ) -> Result<(), MergeError> {
        let (directory, name) = self.parent_of(path)?;
        let (target_parent, target_name) =
            target.split_last().ok_or(MergeError::LinkToDirectory)?;
        let target_directory = self
            .directory(target_parent, Missing::Stop)?
            .ok_or(MergeError::LinkTargetMissing)?;
        if (target_directory, target_name) == (directory, name) {
            return Err(MergeError::LinkToSelf);
        }
        let node = match self.tree.find(target_directory, target_name) {
            Some(dentry) => self.tree.node(dentry),
            None if self.is_whited_out(target_directory, target_name) => {
                return Err(MergeError::LinkTargetRemoved);
            }
            None => return Err(MergeError::LinkTargetMissing),
        };
        let replaced = self.tree.find(directory, name);
        let replaced = replaced.map(|entry| self.tree.node(entry));
        if replaced.is_some_and(|replaced| self.tree.is_within(target_directory, replaced)) {
            return Err(MergeError::LinkReplacesTarget);
        }
        self.link_node(directory, name, node)?;
        self.overlay_metadata(node, metadata);
        Ok(())
    }

    /// What a link entry says goes to the file it links. A symbolic link's mode means nothing, and attributes that
    /// the entry does not name stay: most writers of tars give them with the first name only.
    fn overlay_metadata(&mut self, node: NodeId, metadata: Metadata) {
        let kind = &self.tree.inode(node).kind;
        let is_symlink = matches!(kind, InodeKind::Symlink(_));
        let is_file = matches!(kind, InodeKind::File { .. });
        self.tree.change_metadata(node, |old| {
            let mode = if is_symlink { old.mode } else { metadata.mode };
            let mut xattrs = std::mem::take(&mut old.xattrs);
            for (name, value) in metadata.xattrs.iter() {
                if is_file || !name.starts_with(b"user.") {
                    xattrs.set(name, value);
                }
            }
            *old = Metadata {
                mode,
                xattrs,
                uid: metadata.uid,
                gid: metadata.gid,
                mtime: metadata.mtime,
            };
        });
    }

    /// Gives a file that AUFS kept aside a name.
    pub(crate) fn link_aufs(
        &mut self,
        path: &EntryPath<'_>,
        source: &[u8],
    ) -> Result<(), MergeError> {
        let (directory, name) = self.parent_of(path)?;
        let known = self.layer.aufs_links.get(source);
        let node = known.ok_or(MergeError::LinkTargetMissing)?;
        self.link_node(directory, name, *node)
    }

    fn link_node(
        &mut self,
        directory: NodeId,
        name: &[u8],
        node: NodeId,
    ) -> Result<(), MergeError> {
        if self.tree.inode(node).kind.is_directory() {
            return Err(MergeError::LinkToDirectory);
        }
        let found = self.tree.find(directory, name);
        self.enter_node(directory, name, found, node)
    }

    /// Keeps a file for the hard links of this layer only.
    pub(crate) fn place_aufs(
        &mut self,
        source: &[u8],
        size: u64,
        metadata: Metadata,
    ) -> Result<NodeId, MergeError> {
        let node = self.tree.create(
            InodeKind::File {
                size,
                content: None,
            },
            metadata,
        )?;
        self.tree.hold(node);
        self.layer.heap_bytes += source.len() as u64 + 64;
        if let Some(old) = self.layer.aufs_links.insert(source.into(), node) {
            self.tree.release(old);
        }
        Ok(node)
    }
}

impl<C> From<NewKind> for InodeKind<C> {
    fn from(kind: NewKind) -> Self {
        match kind {
            NewKind::File { size } => Self::File {
                size,
                content: None,
            },
            NewKind::Directory => Self::empty_directory(),
            NewKind::Symlink(target) => Self::Symlink(target),
            NewKind::CharDevice(number) => Self::CharDevice(number),
            NewKind::BlockDevice(number) => Self::BlockDevice(number),
            NewKind::Fifo => Self::Fifo,
        }
    }
}
