//! How callers look through a tree, and change what is in it.

use super::{FileKind, FileTree, FileType, Metadata, Node, NodeId, NodeIndex, NodeKind, TreeError};

/// A name in a directory and the file that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Child<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The file.
    pub node: NodeId,
}

impl<C> FileTree<C> {
    /// What is in a directory, in the order in which it came; nothing where `id` is no directory of this tree.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = Child<'_>> {
        let index = self.index(id).ok();
        let entries = index.into_iter().flat_map(|index| self.entries(index));
        entries.map(|entry| Child {
            name: entry.name,
            node: self.id(entry.node),
        })
    }

    /// The file at a path from the root. Empty parts and `.` are passed over; symbolic links are not followed, and `..` is
    /// a name that there is not.
    ///
    /// ```
    /// # use ext4_writer::{FileKind, FileTree, Metadata, Timestamp};
    /// # let directory = || Metadata::new(0o755, Timestamp::default());
    /// let mut tree: FileTree<()> = FileTree::new(directory())?;
    /// let etc = tree.insert(tree.root(), b"etc", FileKind::Directory, directory())?;
    /// let ssl = tree.insert(etc, b"ssl", FileKind::Directory, directory())?;
    /// assert_eq!(tree.find(b"/etc/ssl/"), Some(ssl));
    /// assert_eq!(tree.find(b"/"), Some(tree.root()));
    /// # Ok::<(), ext4_writer::TreeError>(())
    /// ```
    pub fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut at = self.root();
        for part in path.split(|&byte| byte == b'/') {
            if !matches!(part, b"" | b".") {
                at = self.lookup(at, part)?;
            }
        }
        Some(at)
    }

    /// What a file is; `None` once it was removed.
    pub fn file_type(&self, id: NodeId) -> Option<FileType> {
        self.read(id)?.file_type()
    }

    /// What a file is, with what only its kind has; `None` once it was removed.
    pub fn kind(&self, id: NodeId) -> Option<FileKind<&C>> {
        Some(match &self.read(id)?.kind {
            NodeKind::File(content) => FileKind::File(content),
            NodeKind::Directory(_) => FileKind::Directory,
            NodeKind::Symlink(target) => FileKind::Symlink(target.clone()),
            NodeKind::CharacterDevice(number) => FileKind::CharacterDevice {
                major: number.major(),
                minor: number.minor(),
            },
            NodeKind::BlockDevice(number) => FileKind::BlockDevice {
                major: number.major(),
                minor: number.minor(),
            },
            NodeKind::Fifo => FileKind::Fifo,
            NodeKind::Socket => FileKind::Socket,
            NodeKind::Removed => return None,
        })
    }

    /// The content of a regular file.
    pub fn content(&self, id: NodeId) -> Option<&C> {
        match &self.read(id)?.kind {
            NodeKind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Owner, mode, times and extended attributes of a file; `None` once it was removed.
    pub fn metadata(&self, id: NodeId) -> Option<Metadata> {
        let node = self.read(id)?;
        node.file_type()?;
        Some(Metadata {
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            mtime: node.mtime.unpack(),
            atime: node.atime.unpack(),
            ctime: node.ctime.unpack(),
            crtime: node.crtime.unpack(),
            xattrs: self.xattrs.set(node.xattrs).cloned().unwrap_or_default(),
        })
    }

    /// Number of names of a file: 1 for a directory, 0 for the root and for what was removed.
    pub fn names(&self, id: NodeId) -> u16 {
        self.read(id).map_or(0, |node| node.links)
    }

    /// The directory that holds a directory; the root has none, and files may have several.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        match &self.read(id)?.kind {
            NodeKind::Directory(directory) => {
                let entry = directory.entry.some()?;
                Some(self.id(self.names.at(entry).parent))
            }
            _ => None,
        }
    }

    /// The project of a file, 0 where none was set.
    pub fn project(&self, id: NodeId) -> u32 {
        self.index(id).map_or(0, |index| self.project_of(index))
    }

    /// Replaces the content of a regular file under all its names; returns the old one, for
    /// [`ImageWriter::release`](crate::ImageWriter::release).
    ///
    /// # Errors
    /// Where it is no regular file, or was removed.
    pub fn set_content(&mut self, id: NodeId, content: C) -> Result<C, TreeError> {
        let (index, _) = self.live(id)?;
        match &mut self.slot_mut(index).kind {
            NodeKind::File(old) => Ok(std::mem::replace(old, content)),
            _ => Err(TreeError::NotAFile {
                path: self.some_path(index),
            }),
        }
    }

    /// Gives a file or directory another name, in the same directory or in another.
    ///
    /// # Errors
    /// Where there is no such name, the new one exists or is not valid, or a directory would come to lie in itself.
    pub fn rename(
        &mut self,
        parent: NodeId,
        name: &[u8],
        new_parent: NodeId,
        new_name: &[u8],
    ) -> Result<(), TreeError> {
        let (parent, new_parent) = (self.index(parent)?, self.index(new_parent)?);
        let Some(entry) = self.names.find(parent, name) else {
            return Err(TreeError::NotFound {
                path: self.path_of(parent, name),
            });
        };
        let node = self.names.at(entry).node;
        if parent == new_parent && name == new_name {
            return Ok(());
        }
        self.check_new_name(new_parent, new_name)?;
        if self.is_within(new_parent, node) {
            return Err(TreeError::IntoItself {
                path: self.path_of(new_parent, new_name),
            });
        }
        self.unlink(entry);
        self.append(new_parent, new_name, node);
        Ok(())
    }

    /// Whether a directory is another one or lies in it.
    fn is_within(&self, directory: NodeIndex, other: NodeIndex) -> bool {
        let mut at = directory;
        loop {
            if at == other {
                return true;
            }
            match self.directory(at).and_then(|found| found.entry.some()) {
                Some(entry) => at = self.names.at(entry).parent,
                None => return false,
            }
        }
    }

    fn read(&self, id: NodeId) -> Option<&Node<C>> {
        self.node(self.index(id).ok()?)
    }
}
