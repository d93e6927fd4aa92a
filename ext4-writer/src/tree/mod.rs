//! The tree of files that becomes an image.
//!
//! Everything a tree holds is valid for ext4: names, link counts, device numbers and times are checked where
//! they enter. Nothing here recurses, so depth is bounded by memory alone.

pub(crate) mod acl;
mod check;
mod error;
mod kind;
mod metadata;
mod names;
mod node;
mod read;
mod walk;
mod xattr_error;
mod xattrs;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use self::check::{check_device, check_metadata, check_target};
pub use self::error::TreeError;
pub(crate) use self::kind::DeviceNumber;
pub use self::kind::{FileKind, FileType};
pub(crate) use self::metadata::PackedTime;
pub use self::metadata::{Metadata, Timestamp};
use self::names::{Entries, EntryId};
pub(crate) use self::node::{Directory, Node, NodeKind, XattrSetId, XattrSets};
pub use self::read::Child;
pub use self::xattr_error::XattrError;
pub(crate) use self::xattrs::Xattr;
pub use self::xattrs::Xattrs;

/// The longest file name in bytes.
const MAX_NAME_BYTES: usize = 255;
/// The longest target of a symbolic link, one byte below `PATH_MAX`.
const MAX_TARGET_BYTES: usize = 4095;
/// `EXT4_LINK_MAX`.
pub(crate) const MAX_LINKS: u16 = 65_000;

/// Names a file of one [`FileTree`]; never reused within it. Any other tree refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    tree: u32,
    pub(crate) index: NodeIndex,
}

/// Names a file within its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeIndex(pub(crate) u32);

impl NodeIndex {
    pub(crate) const ROOT: Self = Self(0);
}

/// Files by name, with `C` standing for the content of each regular file.
///
/// Hard links are several names of one [`NodeIndex`], so link counts cannot be wrong.
///
/// ```
/// use ext4_writer::{FileKind, FileTree, Metadata, Timestamp};
///
/// let time = Timestamp::new(0, 0);
/// let mut tree: FileTree<&str> = FileTree::new(Metadata::new(0o755, time))?;
/// let etc = tree.insert(tree.root(), b"etc", FileKind::Directory, Metadata::new(0o755, time))?;
/// let file = tree.insert(etc, b"hostname", FileKind::File("vm"), Metadata::new(0o644, time))?;
/// tree.link(etc, b"hostname.old", file)?;
/// assert_eq!(tree.lookup(etc, b"hostname.old"), Some(file));
/// assert!(tree.remove(etc, b"hostname")?.is_empty());
/// assert_eq!(tree.remove(etc, b"hostname.old")?, ["vm"]);
/// # Ok::<(), ext4_writer::TreeError>(())
/// ```
#[derive(Debug)]
pub struct FileTree<C> {
    /// Tells its nodes from those of other trees.
    tag: u32,
    nodes: Vec<Node<C>>,
    names: Entries,
    xattrs: XattrSets,
    /// Files whose project is not 0, which are few.
    projects: BTreeMap<NodeIndex, u32>,
}

impl<C> FileTree<C> {
    /// A tree of one directory, the root.
    ///
    /// # Errors
    /// Where the mode or a time of the root is out of range.
    pub fn new(root: Metadata) -> Result<Self, TreeError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut tree = Self {
            tag: NEXT.fetch_add(1, Ordering::Relaxed),
            nodes: Vec::new(),
            names: Entries::new(),
            xattrs: XattrSets::default(),
            projects: BTreeMap::new(),
        };
        check_metadata(&root, true, || "/".to_owned())?;
        let xattrs = tree.xattrs.intern(root.xattrs.clone());
        let kind = NodeKind::Directory(Directory::new(EntryId::NONE));
        tree.nodes.push(Node::new(kind, &root, xattrs));
        Ok(tree)
    }

    /// The root directory.
    pub fn root(&self) -> NodeId {
        self.id(NodeIndex::ROOT)
    }

    /// Adds a file under a new name.
    ///
    /// # Errors
    /// Where the name exists or anything about the file does not fit ext4; the content is lost then.
    pub fn insert(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: FileKind<C>,
        metadata: Metadata,
    ) -> Result<NodeId, TreeError> {
        let parent = self.index(parent)?;
        self.check_new_name(parent, name)?;
        let path = || self.path_of(parent, name);
        let is_directory = matches!(kind, FileKind::Directory);
        check_metadata(&metadata, is_directory, path)?;
        let kind = match kind {
            FileKind::File(content) => NodeKind::File(content),
            FileKind::Directory => NodeKind::Directory(Directory::new(EntryId::NONE)),
            FileKind::Symlink(target) => NodeKind::Symlink(check_target(target, path)?),
            FileKind::CharacterDevice { major, minor } => {
                NodeKind::CharacterDevice(check_device(major, minor, path)?)
            }
            FileKind::BlockDevice { major, minor } => {
                NodeKind::BlockDevice(check_device(major, minor, path)?)
            }
            FileKind::Fifo => NodeKind::Fifo,
            FileKind::Socket => NodeKind::Socket,
        };
        if self.nodes.len() >= u32::MAX as usize - 1 {
            return Err(TreeError::TooManyEntries {
                path: path(),
                limit: u32::MAX - 1,
            });
        }
        let id = NodeIndex(self.nodes.len() as u32);
        let xattrs = self.xattrs.intern(metadata.xattrs.clone());
        self.nodes.push(Node::new(kind, &metadata, xattrs));
        self.append(parent, name, id);
        Ok(self.id(id))
    }

    /// Gives a file that is no directory one more name.
    ///
    /// # Errors
    /// Where the name exists, or the file cannot have another.
    pub fn link(&mut self, parent: NodeId, name: &[u8], target: NodeId) -> Result<(), TreeError> {
        let (parent, target) = (self.index(parent)?, self.index(target)?);
        self.check_new_name(parent, name)?;
        let links = match self.node(target) {
            Some(Node {
                kind: NodeKind::Directory(_) | NodeKind::Removed,
                ..
            })
            | None => {
                return Err(TreeError::NotLinkable {
                    path: self.path_of(parent, name),
                });
            }
            Some(node) => node.links,
        };
        if links == MAX_LINKS {
            return Err(TreeError::TooManyLinks {
                path: self.path_of(parent, name),
            });
        }
        self.append(parent, name, target);
        Ok(())
    }

    /// The file of a name in a directory.
    pub fn lookup(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let parent = self.index(parent).ok()?;
        let entry = self.names.find(parent, name)?;
        Some(self.id(self.names.at(entry).node))
    }

    /// Removes a name; a directory goes with everything below it.
    ///
    /// Returns the contents whose last name went, for [`ImageWriter::release`](crate::ImageWriter::release).
    ///
    /// # Errors
    /// Where there is no such name.
    pub fn remove(&mut self, parent: NodeId, name: &[u8]) -> Result<Vec<C>, TreeError> {
        let parent = self.index(parent)?;
        let Some(entry) = self.names.find(parent, name) else {
            return Err(TreeError::NotFound {
                path: self.path_of(parent, name),
            });
        };
        let mut contents = Vec::new();
        let mut doomed = vec![entry];
        while let Some(&entry) = doomed.last() {
            let node = self.names.at(entry).node;
            match &self.nodes[node.0 as usize].kind {
                NodeKind::Directory(directory) if directory.first != EntryId::NONE => {
                    doomed.push(directory.first);
                }
                _ => {
                    doomed.pop();
                    contents.extend(self.remove_entry(entry));
                }
            }
        }
        Ok(contents)
    }

    /// Replaces what a name stands for, whether or not it exists; returns the contents that went with the old file.
    ///
    /// # Errors
    /// As for [`FileTree::insert`]. The old file is gone even then.
    pub fn replace(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: FileKind<C>,
        metadata: Metadata,
    ) -> Result<(NodeId, Vec<C>), TreeError> {
        let gone = match self.lookup(parent, name) {
            Some(_) => self.remove(parent, name)?,
            None => Vec::new(),
        };
        Ok((self.insert(parent, name, kind, metadata)?, gone))
    }

    /// Changes the metadata of a file.
    ///
    /// # Errors
    /// Where the mode or a time is out of range, or the file was removed.
    pub fn set_metadata(&mut self, id: NodeId, metadata: Metadata) -> Result<(), TreeError> {
        let (id, file_type) = self.live(id)?;
        let is_directory = file_type == FileType::Directory;
        check_metadata(&metadata, is_directory, || self.path(id))?;
        let xattrs = self.xattrs.intern(metadata.xattrs.clone());
        let node = &mut self.nodes[id.0 as usize];
        let kind = std::mem::replace(&mut node.kind, NodeKind::Removed);
        let links = node.links;
        *node = Node {
            links,
            ..Node::new(kind, &metadata, xattrs)
        };
        Ok(())
    }

    /// Gives a file to a project; files belong to project 0 otherwise. Images need
    /// [`Features::PROJECT`](crate::Features::PROJECT) for it.
    ///
    /// # Errors
    /// Where the file was removed.
    pub fn set_project(&mut self, id: NodeId, project: u32) -> Result<(), TreeError> {
        let (id, _) = self.live(id)?;
        self.projects.insert(id, project);
        Ok(())
    }

    fn node(&self, id: NodeIndex) -> Option<&Node<C>> {
        self.nodes.get(id.0 as usize)
    }

    fn directory(&self, id: NodeIndex) -> Option<&Directory> {
        match &self.node(id)?.kind {
            NodeKind::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn id(&self, index: NodeIndex) -> NodeId {
        NodeId {
            tree: self.tag,
            index,
        }
    }

    /// Refuses a node of another tree.
    fn index(&self, id: NodeId) -> Result<NodeIndex, TreeError> {
        match id.tree == self.tag {
            true => Ok(id.index),
            false => Err(TreeError::ForeignNode),
        }
    }

    /// Refuses a node that was removed, too.
    fn live(&self, id: NodeId) -> Result<(NodeIndex, FileType), TreeError> {
        let index = self.index(id)?;
        let file_type = self.node(index).and_then(Node::file_type);
        file_type
            .map(|file_type| (index, file_type))
            .ok_or(TreeError::Removed)
    }

    fn check_new_name(&self, parent: NodeIndex, name: &[u8]) -> Result<(), TreeError> {
        let path = || self.path_of(parent, name);
        if name.len() > MAX_NAME_BYTES {
            return Err(TreeError::NameTooLong {
                path: path(),
                length: name.len(),
            });
        }
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|&byte| matches!(byte, 0 | b'/')) {
            return Err(TreeError::InvalidName { path: path() });
        }
        if self.directory(parent).is_none() {
            return Err(TreeError::NotADirectory { path: path() });
        }
        if self.names.find(parent, name).is_some() {
            return Err(TreeError::Exists { path: path() });
        }
        if self.names.is_full() {
            return Err(TreeError::TooManyEntries {
                path: path(),
                limit: u32::MAX - 1,
            });
        }
        Ok(())
    }

    /// Adds a checked name at the end of a directory.
    fn append(&mut self, parent: NodeIndex, name: &[u8], id: NodeIndex) {
        let entry = self.names.add(parent, name, id);
        let node = &mut self.nodes[id.0 as usize];
        node.links = node.links.saturating_add(1);
        let is_directory = match &mut node.kind {
            NodeKind::Directory(directory) => {
                directory.entry = entry;
                true
            }
            _ => false,
        };
        let NodeKind::Directory(parent) = &mut self.nodes[parent.0 as usize].kind else {
            return;
        };
        parent.entries += 1;
        parent.subdirectories += u32::from(is_directory);
        let last = std::mem::replace(&mut parent.last, entry);
        match last.some() {
            Some(last) => {
                self.names.at_mut(last).next = entry;
                self.names.at_mut(entry).previous = last;
            }
            None => parent.first = entry,
        }
    }

    /// Removes an entry whose node has no entries of its own; returns the content of a file without names left.
    fn remove_entry(&mut self, entry: EntryId) -> Option<C> {
        let node = self.unlink(entry);
        let node = &mut self.nodes[node.0 as usize];
        if node.links > 0 {
            return None;
        }
        match std::mem::replace(&mut node.kind, NodeKind::Removed) {
            NodeKind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Takes an entry out of its directory; its node stays.
    fn unlink(&mut self, entry: EntryId) -> NodeIndex {
        let names::Entry {
            parent,
            node,
            previous,
            next,
            ..
        } = self.names.at(entry).clone();
        if let Some(previous) = previous.some() {
            self.names.at_mut(previous).next = next;
        }
        if let Some(next) = next.some() {
            self.names.at_mut(next).previous = previous;
        }
        let was_directory = self.directory(node).is_some();
        if let NodeKind::Directory(parent) = &mut self.nodes[parent.0 as usize].kind {
            parent.entries -= 1;
            parent.subdirectories -= u32::from(was_directory);
            if parent.first == entry {
                parent.first = next;
            }
            if parent.last == entry {
                parent.last = previous;
            }
        }
        self.names.remove(entry);
        self.nodes[node.0 as usize].links -= 1;
        node
    }
}

#[cfg(test)]
mod tests;
