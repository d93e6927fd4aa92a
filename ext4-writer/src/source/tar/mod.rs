//! A tree from a tar stream: ustar, GNU and PAX headers.

mod acl;
mod archive;
mod extensions;
mod libarchive;
mod pax;
mod sparse;

use std::io::{self, Read};

use tar::{EntryType, Header};

use self::archive::{Archive, Member, number, unsigned};
use self::extensions::Extensions;
use self::sparse::Sparse;
use super::{SourceError, io_error, shown};
use crate::content::Content;
use crate::device::Device;
use crate::image::ImageWriter;
use crate::tree::{FileKind, FileTree, FileType, Metadata, NodeId, Timestamp, TreeError};

/// Stores the contents of an uncompressed tar stream and returns the tree, to be finished as it is or changed before.
///
/// Owners, modes, times to the nanosecond, devices, hard links and extended attributes (`SCHILY.xattr.*`,
/// `LIBARCHIVE.xattr.*`, `RHT.security.selinux`) are taken from the archive. A later entry of a name replaces an earlier one, but a directory keeps what is in it. Parents that the archive
/// lacks become directories of root with mode 0755 and time 0. All four times are the time of modification.
///
/// Sparse files are taken in GNU and in PAX format. Access control lists are taken as attributes
/// (`SCHILY.xattr.system.posix_acl_access`) and in text form (`SCHILY.acl.*`, from `tar --acls`). A text that gives a
/// user or a group no number, as GNU tar's does for names of the machine that wrote it, is refused, not dropped.
///
/// # Errors
/// Where the stream ends within a file or is malformed (that the end is marked is not asked for), an entry climbs out of the tree or passes through what is no
/// directory, a hard link's target is missing, or ext4 cannot hold an entry.
///
/// ```
/// use ext4_writer::{FormatOptions, ImageWriter, MemoryDevice, read_tar};
///
/// let mut archive = tar::Builder::new(Vec::new());
/// let mut header = tar::Header::new_gnu();
/// header.set_size(6);
/// header.set_mode(0o644);
/// header.set_uid(0);
/// header.set_gid(0);
/// header.set_mtime(1_700_000_000);
/// archive.append_data(&mut header, "etc/hello", &b"hello\n"[..])?;
/// let archive = archive.into_inner()?;
///
/// let device = MemoryDevice::new();
/// let mut image = ImageWriter::new(&device, FormatOptions::default())?;
/// let tree = read_tar(&mut image, archive.as_slice())?;
/// image.finish(tree)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_tar<D: Device, R: Read>(
    image: &mut ImageWriter<D>,
    stream: R,
) -> Result<FileTree<Content>, SourceError> {
    let tree = FileTree::new(Metadata::new(0o755, Timestamp::default()))?;
    let archive = Archive::new(stream);
    let mut reader = Reader {
        image,
        tree,
        archive,
    };
    while let Some(member) = reader.archive.next()? {
        reader.take(member)?;
    }
    Ok(reader.tree)
}

struct Reader<'a, D: Device, R> {
    image: &'a mut ImageWriter<D>,
    tree: FileTree<Content>,
    archive: Archive<R>,
}

impl<D: Device, R: Read> Reader<'_, D, R> {
    fn take(&mut self, member: Member) -> Result<(), SourceError> {
        let mut path = member.path;
        let mut extensions = extensions::read(&member.records, &path)?;
        let mut sparse = member.sparse.or(extensions.sparse.take());
        if let Some(name) = sparse.as_mut().and_then(|sparse| sparse.name.take()) {
            path = name.into();
        }
        let parts = parts(&path)?;
        let metadata = metadata(&member.header, extensions, &path)?;
        let Some((name, parents)) = parts.split_last() else {
            if member.kind != EntryType::Directory {
                let what = "the root, and no directory".to_owned();
                let path = shown(&path);
                return Err(SourceError::Unsupported { path, what });
            }
            let root = self.tree.root();
            return Ok(self.tree.set_metadata(root, metadata)?);
        };
        let parent = self.parent(parents)?;
        match member.kind {
            EntryType::Directory => return self.directory(parent, name, metadata),
            EntryType::Link => return self.link(parent, name, &member.link, &path),
            _ => {}
        }
        let kind = match member.kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                FileKind::File(match sparse {
                    Some(sparse) => self.store_sparse(member.size, sparse, &path)?,
                    None => self.store(member.size, &path)?,
                })
            }
            EntryType::Symlink => FileKind::Symlink(member.link.into()),
            EntryType::Fifo => FileKind::Fifo,
            EntryType::Char | EntryType::Block => device(&member.header, &path)?,
            other => {
                let what = format!("of type {:?}", char::from(other.as_byte()));
                return Err(SourceError::Unsupported {
                    path: shown(&path),
                    what,
                });
            }
        };
        let (_, gone) = self.tree.replace(parent, name, kind, metadata)?;
        gone.into_iter()
            .try_for_each(|content| self.image.release(content))?;
        Ok(())
    }

    /// The directory of a path, made where the archive has not named it.
    fn parent(&mut self, parts: &[&[u8]]) -> Result<NodeId, SourceError> {
        let mut at = self.tree.root();
        for part in parts {
            at = match self.tree.lookup(at, part) {
                Some(found) => found,
                None => {
                    let metadata = Metadata::new(0o755, Timestamp::default());
                    self.tree.insert(at, part, FileKind::Directory, metadata)?
                }
            };
        }
        Ok(at)
    }

    fn directory(
        &mut self,
        parent: NodeId,
        name: &[u8],
        metadata: Metadata,
    ) -> Result<(), SourceError> {
        let old = self.tree.lookup(parent, name);
        if let Some(old) = old
            && self.tree.file_type(old) == Some(FileType::Directory)
        {
            return Ok(self.tree.set_metadata(old, metadata)?);
        }
        let (_, gone) = self
            .tree
            .replace(parent, name, FileKind::Directory, metadata)?;
        gone.into_iter()
            .try_for_each(|content| self.image.release(content))?;
        Ok(())
    }

    fn link(
        &mut self,
        parent: NodeId,
        name: &[u8],
        target: &[u8],
        path: &[u8],
    ) -> Result<(), SourceError> {
        let missing = || SourceError::LinkTarget {
            path: shown(path),
            target: shown(target),
        };
        let mut node = self.tree.root();
        for part in parts(target)? {
            node = self.tree.lookup(node, part).ok_or_else(missing)?;
        }
        if self.tree.lookup(parent, name) == Some(node) {
            return Ok(());
        }
        if self.tree.file_type(node) == Some(FileType::Directory) {
            return Err(missing());
        }
        if self.tree.lookup(parent, name).is_some() {
            let gone = self.tree.remove(parent, name)?;
            gone.into_iter()
                .try_for_each(|content| self.image.release(content))?;
        }
        match self.tree.link(parent, name, node) {
            // What was replaced may have been the target, or held it.
            Err(TreeError::NotLinkable { .. }) => Err(missing()),
            other => Ok(other?),
        }
    }

    fn store(&mut self, size: u64, path: &[u8]) -> Result<Content, SourceError> {
        self.image.begin_content(size)?;
        self.copy(size, path)?;
        Ok(self.image.end_content()?)
    }

    fn store_sparse(
        &mut self,
        stored: u64,
        sparse: Sparse,
        path: &[u8],
    ) -> Result<Content, SourceError> {
        let map = sparse
            .map(stored, &mut self.archive)
            .map_err(|error| io_error("read sparse map of", path, error))?;
        self.image.begin_content(map.size)?;
        let mut end = 0;
        for piece in map.pieces {
            self.image.skip_content(piece.offset - end)?;
            self.copy(piece.length, path)?;
            end = piece.offset + piece.length;
        }
        self.image.skip_content(map.size - end)?;
        Ok(self.image.end_content()?)
    }

    /// Appends the next bytes of a member to the content that is being stored.
    fn copy(&mut self, length: u64, path: &[u8]) -> Result<(), SourceError> {
        let mut left = length;
        let mut buffer = vec![0; left.min(256 * 1024) as usize];
        while left > 0 {
            let wanted = left.min(buffer.len() as u64) as usize;
            let count = self
                .archive
                .read(&mut buffer[..wanted])
                .map_err(|error| io_error("read", path, error))?;
            if count == 0 {
                return Err(io_error("read", path, io::ErrorKind::UnexpectedEof));
            }
            self.image.write_content(&buffer[..count])?;
            left -= count as u64;
        }
        Ok(())
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The parts of a path without empty ones and `.`.
fn parts(path: &[u8]) -> Result<Vec<&[u8]>, SourceError> {
    let parts: Vec<&[u8]> = path
        .split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err(SourceError::ParentPath { path: shown(path) });
    }
    Ok(parts)
}

fn metadata(header: &Header, extensions: Extensions, path: &[u8]) -> Result<Metadata, SourceError> {
    let failed = |error| io_error("read header of", path, error);
    let fields = header.as_old();
    let id = |given: Option<u64>, field: &[u8]| {
        let id = given.map_or_else(|| number(field).and_then(unsigned), Ok)?;
        u32::try_from(id).map_err(|_| io::ErrorKind::InvalidData.into())
    };
    let uid = id(extensions.uid, &fields.uid).map_err(failed)?;
    let gid = id(extensions.gid, &fields.gid).map_err(failed)?;
    let mode = (number(&fields.mode).map_err(failed)? & 0o7777) as u16;
    let time = match extensions.modified {
        Some(time) => time,
        None => Timestamp::new(number(&fields.mtime).map_err(failed)?, 0),
    };
    Ok(Metadata {
        uid,
        gid,
        xattrs: extensions.xattrs,
        ..Metadata::new(mode, time)
    })
}

fn device(header: &Header, path: &[u8]) -> Result<FileKind<Content>, SourceError> {
    // Version 7 had no numbers of devices, and its headers have nothing in their place.
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(fields), _) => (fields.dev_major, fields.dev_minor),
        (_, Some(fields)) => (fields.dev_major, fields.dev_minor),
        _ => ([0; 8], [0; 8]),
    };
    let part = |field: &[u8]| {
        let part = number(field).map(u32::try_from);
        let part = part.and_then(|part| part.map_err(|_| io::ErrorKind::InvalidData.into()));
        part.map_err(|error| io_error("read device number of", path, error))
    };
    let (major, minor) = (part(&major)?, part(&minor)?);
    Ok(match header.entry_type() {
        EntryType::Char => FileKind::CharacterDevice { major, minor },
        _ => FileKind::BlockDevice { major, minor },
    })
}
