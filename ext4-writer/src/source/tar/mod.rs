//! A tree from a tar stream: ustar, GNU and PAX headers.

mod sparse;

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use self::sparse::Sparse;
use super::{SourceError, io_error, shown};
use crate::content::Content;
use crate::device::Device;
use crate::image::ImageWriter;
use crate::tree::{FileKind, FileTree, FileType, Metadata, NodeId, Timestamp, TreeError, Xattrs};

/// Stores the contents of an uncompressed tar stream and returns the tree, to be finished as it is or changed before.
///
/// Owners, modes, times to the nanosecond, devices, hard links and extended attributes (`SCHILY.xattr.*`) are taken from
/// the archive. A later entry of a name replaces an earlier one, but a directory keeps what is in it. Parents that the archive
/// lacks become directories of root with mode 0755 and time 0. All four times are the time of modification.
///
/// Sparse files are taken in GNU and in PAX format. Access control lists are taken as attributes
/// (`SCHILY.xattr.system.posix_acl_access`); in text form (`SCHILY.acl.*`, from `tar --acls`) they name users of the machine
/// that wrote them, and are refused, not dropped.
///
/// # Errors
/// Where the stream ends early or is malformed, an entry climbs out of the tree or passes through what is no
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
    let mut reader = Reader { image, tree };
    let mut archive = Archive::new(stream);
    for entry in archive
        .entries()
        .map_err(|error| io_error("read", b"archive", error))?
    {
        reader.take(entry.map_err(|error| io_error("read", b"archive", error))?)?;
    }
    Ok(reader.tree)
}

/// What PAX records say beyond what the tar crate applies by itself.
#[derive(Default)]
struct Extensions {
    modified: Option<Timestamp>,
    xattrs: Xattrs,
    sparse: Option<Sparse>,
}

struct Reader<'a, D: Device> {
    image: &'a mut ImageWriter<D>,
    tree: FileTree<Content>,
}

impl<D: Device> Reader<'_, D> {
    fn take<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), SourceError> {
        let mut path = entry.path_bytes().into_owned();
        let extensions = extensions(&mut entry, &path)?;
        let mut sparse = extensions.sparse;
        if let Some(name) = sparse.as_mut().and_then(|sparse| sparse.name.take()) {
            path = name.into();
        }
        let parts = parts(&path)?;
        let metadata = metadata(&entry, extensions.modified, extensions.xattrs, &path)?;
        let Some((name, parents)) = parts.split_last() else {
            let root = self.tree.root();
            return Ok(self.tree.set_metadata(root, metadata)?);
        };
        let parent = self.parent(parents)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Directory => return self.directory(parent, name, metadata),
            EntryType::Link => return self.link(parent, name, &entry, &path),
            EntryType::XGlobalHeader => return Ok(()),
            _ => {}
        }
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                FileKind::File(match sparse {
                    Some(sparse) => self.store_sparse(&mut entry, sparse, &path)?,
                    None => self.store(&mut entry, &path)?,
                })
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                FileKind::Symlink(target.into_boxed_slice())
            }
            EntryType::Fifo => FileKind::Fifo,
            EntryType::Char | EntryType::Block => device(&entry, &path)?,
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

    fn link<R: Read>(
        &mut self,
        parent: NodeId,
        name: &[u8],
        entry: &Entry<'_, R>,
        path: &[u8],
    ) -> Result<(), SourceError> {
        let target = entry.link_name_bytes().unwrap_or_default();
        let missing = || SourceError::LinkTarget {
            path: shown(path),
            target: shown(&target),
        };
        let mut node = self.tree.root();
        for part in parts(&target)? {
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

    fn store<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &[u8],
    ) -> Result<Content, SourceError> {
        let size = entry.size();
        self.image.begin_content(size)?;
        self.copy(entry, size, path)?;
        Ok(self.image.end_content()?)
    }

    fn store_sparse<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        sparse: Sparse,
        path: &[u8],
    ) -> Result<Content, SourceError> {
        let map = sparse
            .map(entry.size(), entry)
            .map_err(|error| io_error("read sparse map of", path, error))?;
        self.image.begin_content(map.size)?;
        let mut end = 0;
        for piece in map.pieces {
            self.image.skip_content(piece.offset - end)?;
            self.copy(entry, piece.length, path)?;
            end = piece.offset + piece.length;
        }
        self.image.skip_content(map.size - end)?;
        Ok(self.image.end_content()?)
    }

    /// Appends the next bytes of an entry to the content that is being stored.
    fn copy<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        length: u64,
        path: &[u8],
    ) -> Result<(), SourceError> {
        let mut left = length;
        let mut buffer = vec![0; left.min(256 * 1024) as usize];
        while left > 0 {
            let wanted = left.min(buffer.len() as u64) as usize;
            let count = entry
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

fn extensions<R: Read>(entry: &mut Entry<'_, R>, path: &[u8]) -> Result<Extensions, SourceError> {
    let mut out = Extensions::default();
    let failed = |error| io_error("read", path, error);
    let Some(records) = entry.pax_extensions().map_err(failed)? else {
        return Ok(out);
    };
    for record in records {
        let record = record.map_err(failed)?;
        let key = record.key_bytes();
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            out.xattrs
                .insert(name, record.value_bytes())
                .map_err(|source| TreeError::Xattr {
                    path: shown(path),
                    source,
                })?;
        } else if key == b"mtime" {
            let malformed = || io_error("read time of", path, io::ErrorKind::InvalidData);
            out.modified = Some(decimal_time(record.value_bytes()).ok_or_else(malformed)?);
        } else if let Some(key) = key.strip_prefix(sparse::PREFIX) {
            out.sparse
                .get_or_insert_default()
                .take(key, record.value_bytes())
                .map_err(|error| io_error("read sparse map of", path, error))?;
        } else if key.starts_with(b"SCHILY.acl.") {
            return Err(SourceError::Unsupported {
                path: shown(path),
                what: "given an access control list in text form".into(),
            });
        }
    }
    Ok(out)
}

/// Parses `-?[0-9]+(.[0-9]*)?`; digits beyond nanoseconds are dropped towards the past.
fn decimal_time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let padded: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = padded.parse().ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp::new(seconds, nanoseconds),
        (true, 0) => Timestamp::new(-seconds, 0),
        (true, _) => Timestamp::new(-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

fn metadata<R: Read>(
    entry: &Entry<'_, R>,
    modified: Option<Timestamp>,
    xattrs: Xattrs,
    path: &[u8],
) -> Result<Metadata, SourceError> {
    let header = entry.header();
    let failed = |error| io_error("read header of", path, error);
    let id = |value: u64| u32::try_from(value).map_err(|_| io::ErrorKind::InvalidData.into());
    let uid = header.uid().and_then(id).map_err(failed)?;
    let gid = header.gid().and_then(id).map_err(failed)?;
    let mode = (header.mode().map_err(failed)? & 0o7777) as u16;
    let time = match modified {
        Some(time) => time,
        // Base-256 fields hold negative times in two's complement.
        None => Timestamp::new(header.mtime().map_err(failed)? as i64, 0),
    };
    Ok(Metadata {
        uid,
        gid,
        xattrs,
        ..Metadata::new(mode, time)
    })
}

fn device<R: Read>(entry: &Entry<'_, R>, path: &[u8]) -> Result<FileKind<Content>, SourceError> {
    let header = entry.header();
    let failed = |error| io_error("read header of", path, error);
    let major = header.device_major().map_err(failed)?.unwrap_or(0);
    let minor = header.device_minor().map_err(failed)?.unwrap_or(0);
    Ok(match header.entry_type() {
        EntryType::Char => FileKind::CharacterDevice { major, minor },
        _ => FileKind::BlockDevice { major, minor },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_fractions_round_to_the_past() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("1700000000.123456789123", 1_700_000_000, 123_456_789),
            ("-1", -1, 0),
            ("-0.5", -1, 500_000_000),
            ("-1.25", -2, 750_000_000),
            ("5.", 5, 0),
        ] {
            let time = Timestamp::new(seconds, nanoseconds);
            assert_eq!(decimal_time(text.as_bytes()), Some(time), "{text}");
        }
        for text in ["", "x", "1.x", "--1", "99999999999999999999"] {
            assert_eq!(decimal_time(text.as_bytes()), None, "{text}");
        }
    }
}
