//! Entries, put into the tree one by one.

use tar_events::{Entry, EntryKind, Event};

use super::attributes;
use crate::content::{Content, ContentWriter, SuspendedContent};
use crate::device::Device;
use crate::error::Error;
use crate::escape::escaped;
use crate::image::ImageWriter;
use crate::source::SourceError;
use crate::tree::{FileKind, FileTree, FileType, Metadata, NodeId, Timestamp, TreeError};

pub(super) struct Builder<'a, D: Device> {
    image: &'a mut ImageWriter<D>,
    tree: FileTree<Content>,
    /// The file whose content arrives; contents of other entries are passed over.
    open: Option<OpenFile>,
}

struct OpenFile {
    parent: NodeId,
    name: Vec<u8>,
    metadata: Metadata,
    content: SuspendedContent,
}

impl<'a, D: Device> Builder<'a, D> {
    /// Begins with a root directory of root, mode 0755 and time 0.
    pub(super) fn new(image: &'a mut ImageWriter<D>) -> Result<Self, TreeError> {
        Ok(Self {
            image,
            tree: FileTree::new(implied_directory())?,
            open: None,
        })
    }

    pub(super) fn into_tree(self) -> FileTree<Content> {
        self.tree
    }

    pub(super) fn take(&mut self, event: Event<'_>) -> Result<(), SourceError> {
        match event {
            Event::Entry(entry) => self.entry(&entry),
            Event::Data(bytes) => self.extend(|content| content.append(bytes)),
            Event::Hole(length) => self.extend(|content| content.hole(length)),
            Event::EntryEnd => match self.open.take() {
                Some(file) => {
                    let content = self.image.resume(file.content)?.finish()?;
                    self.replace(
                        file.parent,
                        &file.name,
                        FileKind::File(content),
                        file.metadata,
                    )
                }
                None => Ok(()),
            },
        }
    }

    /// Adds to the content of the open file, where there is one.
    fn extend(
        &mut self,
        add: impl FnOnce(&mut ContentWriter<'_, D>) -> Result<(), Error>,
    ) -> Result<(), SourceError> {
        if let Some(file) = self.open.take() {
            let mut content = self.image.resume(file.content)?;
            add(&mut content)?;
            let content = content.suspend()?;
            self.open = Some(OpenFile { content, ..file });
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        if entry.kind == EntryKind::VolumeLabel {
            return Ok(());
        }
        let parts = parts(entry.path)?;
        let metadata = metadata(entry)?;
        let Some((&name, parents)) = parts.split_last() else {
            if entry.kind != EntryKind::Directory {
                return Err(unsupported(entry.path, "the root, and no directory"));
            }
            let root = self.tree.root();
            return Ok(self.tree.set_metadata(root, metadata)?);
        };
        let parent = self.parent(parents)?;
        let kind = match entry.kind {
            EntryKind::Directory => return self.directory(parent, name, metadata),
            EntryKind::HardLink => return self.link(parent, name, entry),
            EntryKind::File => {
                self.open = Some(OpenFile {
                    parent,
                    name: name.to_vec(),
                    metadata,
                    content: self.image.content(entry.size).suspend()?,
                });
                return Ok(());
            }
            EntryKind::Symlink => FileKind::Symlink(entry.link.into()),
            EntryKind::Fifo => FileKind::Fifo,
            EntryKind::CharDevice => {
                let (major, minor) = device_number(entry)?;
                FileKind::CharacterDevice { major, minor }
            }
            EntryKind::BlockDevice => {
                let (major, minor) = device_number(entry)?;
                FileKind::BlockDevice { major, minor }
            }
            EntryKind::VolumeLabel => return Ok(()),
            EntryKind::Unknown(flag) => {
                let what = format!("of type {:?}", char::from(flag));
                return Err(unsupported(entry.path, what));
            }
        };
        self.replace(parent, name, kind, metadata)
    }

    /// The directory of a path, made where the archive has not named it.
    fn parent(&mut self, parts: &[&[u8]]) -> Result<NodeId, SourceError> {
        let mut at = self.tree.root();
        for part in parts {
            at = match self.tree.lookup(at, part) {
                Some(found) => found,
                None => {
                    let kind = FileKind::Directory;
                    self.tree.insert(at, part, kind, implied_directory())?
                }
            };
        }
        Ok(at)
    }

    /// Puts a file at a name, and gives back what loses its last name by that.
    fn replace(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: FileKind<Content>,
        metadata: Metadata,
    ) -> Result<(), SourceError> {
        let (_, gone) = self.tree.replace(parent, name, kind, metadata)?;
        self.release(gone)
    }

    fn release(&mut self, gone: Vec<Content>) -> Result<(), SourceError> {
        gone.into_iter()
            .try_for_each(|content| self.image.release(content))?;
        Ok(())
    }

    fn directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        metadata: Metadata,
    ) -> Result<(), SourceError> {
        if let Some(old) = self.tree.lookup(parent, name)
            && self.tree.file_type(old) == Some(FileType::Directory)
        {
            return Ok(self.tree.set_metadata(old, metadata)?);
        }
        self.replace(parent, name, FileKind::Directory, metadata)
    }

    fn link(&mut self, parent: NodeId, name: &[u8], entry: &Entry<'_>) -> Result<(), SourceError> {
        let missing = || SourceError::LinkTarget {
            path: escaped(entry.path),
            target: escaped(entry.link),
        };
        let mut node = self.tree.root();
        for part in parts(entry.link)? {
            node = self.tree.lookup(node, part).ok_or_else(missing)?;
        }
        let old = self.tree.lookup(parent, name);
        if old == Some(node) {
            return Ok(());
        }
        if self.tree.file_type(node) == Some(FileType::Directory) {
            return Err(missing());
        }
        if old.is_some() {
            let gone = self.tree.remove(parent, name)?;
            self.release(gone)?;
        }
        match self.tree.link(parent, name, node) {
            // What was replaced may have been the target, or held it.
            Err(TreeError::NotLinkable { .. }) => Err(missing()),
            other => Ok(other?),
        }
    }
}

fn implied_directory() -> Metadata {
    Metadata::new(0o755, Timestamp::default())
}

/// The parts of a path without empty ones and `.`.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>, SourceError> {
    let parts: Vec<&[u8]> = path
        .split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err(SourceError::ParentPath {
            path: escaped(path),
        });
    }
    Ok(parts)
}

fn metadata(entry: &Entry<'_>) -> Result<Metadata, SourceError> {
    let id = |what, id: i64| {
        u32::try_from(id).map_err(|_| unsupported(entry.path, format!("owned by {what} {id}")))
    };
    let mode = match entry.kind {
        // Linux has no other, whatever the archive says.
        EntryKind::Symlink => 0o777,
        _ => (entry.mode & 0o7777) as u16,
    };
    let time = Timestamp::new(entry.mtime.seconds, entry.mtime.nanoseconds);
    Ok(Metadata::new(mode, time)
        .uid(id("user", entry.uid)?)
        .gid(id("group", entry.gid)?)
        .xattrs(attributes::read(entry)?))
}

fn device_number(entry: &Entry<'_>) -> Result<(u32, u32), SourceError> {
    let (major, minor) = (entry.device_major, entry.device_minor);
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok((major, minor)),
        _ => Err(unsupported(entry.path, format!("device {major}:{minor}"))),
    }
}

fn unsupported(path: &[u8], what: impl Into<String>) -> SourceError {
    SourceError::Unsupported {
        path: escaped(path),
        what: what.into(),
    }
}
