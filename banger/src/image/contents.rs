//! What is in an image's root filesystem: names, contents, and copies of both on the host.

use ext4_writer::FileType;
use ext4_writer::reader::{Found, Inode, WalkEntry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rootfs::{Bounds, Ext4Tree};
use crate::error::{Error, ErrorKind};
use crate::store::Image;

/// Files that are listed at once.
const LIST_LIMIT: usize = 200_000;

/// What a file of an image is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileEntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl From<FileType> for FileEntryKind {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::Regular => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
        }
    }
}

/// A file of an image.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// The path from the root; what is not UTF-8 is replaced.
    pub path: String,
    /// What it is.
    pub kind: FileEntryKind,
    /// Permission, set-id and sticky bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of the content in bytes, as the filesystem claims it.
    pub size: u64,
    /// Last change of the content, in seconds from 1970.
    pub modified: i64,
    /// Number of the inode: names with one number are one file.
    pub inode: u32,
    /// The target of a symbolic link; what is not UTF-8 is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// Lists what `path` leads to in the root filesystem of an image: the entries of a directory, or with `recursive` all that is below it, or
/// the file itself. `is_cancelled` is asked meanwhile.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] when the path leads nowhere; [`ErrorKind::Integrity`] for more than 200,000 files, and as for
/// [`Ext4Tree::ask`].
pub fn list_files(
    image: &Image,
    path: &str,
    recursive: bool,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<FileEntry>, Error> {
    let (file, rootfs) = (image.open_rootfs()?, image.artifacts().rootfs);
    Ext4Tree::ask_within(Bounds::LISTING, file, &rootfs, is_cancelled, |tree| {
        let found = tree.must_be_there(path)?;
        if found.inode.file_type() != FileType::Directory {
            return Ok(vec![describe(tree, &found.path, &found.inode)?]);
        }
        let mut entries = Vec::new();
        match recursive {
            true => below(tree, &found, &mut entries)?,
            false => within(tree, &found, &mut entries)?,
        }
        Ok(entries)
    })
}

fn within(
    tree: &Ext4Tree<'_>,
    directory: &Found,
    entries: &mut Vec<FileEntry>,
) -> Result<(), Error> {
    for entry in tree.try_read(|reader| reader.names(&directory.inode))? {
        let inode = tree.try_read(|reader| reader.inode(entry.inode))?;
        let mut path = directory.path.clone();
        if path != b"/" {
            path.push(b'/');
        }
        path.extend_from_slice(&entry.name);
        add(tree, &path, &inode, entries)?;
    }
    Ok(())
}

fn below(tree: &Ext4Tree<'_>, start: &Found, entries: &mut Vec<FileEntry>) -> Result<(), Error> {
    tree.walk(
        start,
        &mut |entry: WalkEntry<'_>| match entry.path == start.path {
            true => Ok(()),
            false => add(tree, entry.path, entry.inode, entries),
        },
    )
}

fn add(
    tree: &Ext4Tree<'_>,
    path: &[u8],
    inode: &Inode,
    entries: &mut Vec<FileEntry>,
) -> Result<(), Error> {
    if entries.len() >= LIST_LIMIT {
        let message = format!("more than {LIST_LIMIT} files");
        return Err(Error::new(ErrorKind::Integrity, message)
            .with_hint("name a directory further down in the image"));
    }
    entries.push(describe(tree, path, inode)?);
    Ok(())
}

fn describe(tree: &Ext4Tree<'_>, path: &[u8], inode: &Inode) -> Result<FileEntry, Error> {
    let metadata = inode.metadata();
    let target = match metadata.file_type {
        FileType::Symlink => Some(tree.try_read(|reader| reader.target(inode))?),
        _ => None,
    };
    Ok(FileEntry {
        path: String::from_utf8_lossy(path).into_owned(),
        kind: metadata.file_type.into(),
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        size: metadata.size,
        modified: metadata.mtime.seconds,
        inode: inode.number(),
        target: target.map(|target| String::from_utf8_lossy(&target).into_owned()),
    })
}

/// A part of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilePart {
    /// Length of the whole file in bytes.
    pub size: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Reads up to `length` bytes from `offset` on of the file that `path` leads to in the root filesystem of an image; fewer only at
/// its end.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] when the path leads nowhere, [`ErrorKind::Usage`] when to something that is no regular file; and as for
/// [`Ext4Tree::ask`].
pub fn read_file(
    image: &Image,
    path: &str,
    offset: u64,
    length: u32,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<FilePart, Error> {
    let (file, rootfs) = (image.open_rootfs()?, image.artifacts().rootfs);
    Ext4Tree::ask(file, &rootfs, is_cancelled, |tree| {
        let found = tree.must_be_there(path)?;
        if found.inode.file_type() != FileType::Regular {
            let message = format!("{path} is not a regular file");
            return Err(Error::new(ErrorKind::Usage, message)
                .with_hint("`banger image files` shows what there is"));
        }
        let mut bytes = Vec::new();
        let range = offset..offset.saturating_add(length.into());
        tree.try_read(|reader| {
            reader.content_with_zeros(&found.inode, range, &mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })
        })?;
        Ok(FilePart {
            size: found.inode.size(),
            bytes,
        })
    })
}
