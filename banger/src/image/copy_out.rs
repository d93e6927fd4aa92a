//! Files and directories of an image, copied to the host.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ext4_writer::FileType;
use ext4_writer::reader::{Inode, InodeMetadata, Piece};
use oci_flatten::directory::Directory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rootfs::{Bounds, Ext4Tree};
use crate::artifact::{failed, failed_in};
use crate::error::{Error, ErrorKind};
use crate::store::Image;

/// Files left out that are reported one by one.
const WARNINGS_LIMIT: usize = 20;

/// What was copied out of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopiedOut {
    /// Where it is.
    pub target: PathBuf,
    /// Regular files; two names of one file count once.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Sum of the lengths of the files, in bytes.
    pub bytes: u64,
    /// Devices, pipes and sockets, which are left out.
    pub left_out: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Copies what `path` leads to in the root filesystem of an image to `target`, or into it where it is a directory. Directories are copied with
/// everything below them, symbolic links as they are, holes as holes. Permissions, and the times of files, come along; owners, set-id
/// bits and attributes do not. `is_cancelled` is asked meanwhile.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] when the path leads nowhere; [`ErrorKind::Exists`] when the target does, or a file of that name in it; what
/// writing gives; and as for [`Ext4Tree::ask`]. Nothing is left then.
pub fn copy_out(
    image: &Image,
    path: &str,
    target: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<CopiedOut, Error> {
    let (file, rootfs) = (image.open_rootfs()?, image.artifacts().rootfs);
    let bounds = Bounds::copying(image.record().sizes.rootfs_bytes);
    Ext4Tree::ask_within(bounds, file, &rootfs, is_cancelled, |tree| {
        let found = tree.must_be_there(path)?;
        let slash = found.path.iter().rposition(|byte| *byte == b'/');
        let name = &found.path[slash.map_or(0, |slash| slash + 1)..];
        let (parent, name) = place(target, OsStr::from_bytes(name))?;
        let mut copy = Copy {
            tree,
            from: found.path.len(),
            staged: format!(".banger-cp-{}", Uuid::now_v7()).into(),
            parent: &parent,
            directories: Vec::new(),
            names: HashMap::new(),
            copied: CopiedOut {
                target: parent.path_of(&name),
                ..CopiedOut::default()
            },
        };
        let outcome = tree
            .walk(&found, &mut |entry| copy.entry(entry.path, entry.inode))
            .and_then(|()| copy.publish(&name));
        match outcome {
            Ok(()) => Ok(copy.copied),
            Err(error) => {
                // Where it was not even begun there is nothing to remove.
                let _ = parent.remove(&copy.staged);
                Err(error)
            }
        }
    })
}

/// The directory and the name there that a copy of `name` to `target` gets.
fn place(target: &Path, name: &OsStr) -> Result<(Directory, OsString), Error> {
    let exists = || {
        let message = format!("{} exists already", target.display());
        Error::new(ErrorKind::Exists, message).with_hint("name another target")
    };
    match Directory::open(target) {
        // The root of an image has no name.
        Ok(_) if name.is_empty() => return Err(exists()),
        Ok(directory) => return Ok((directory, name.into())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(exists()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("open", target, error)),
    }
    let Some(name) = target.file_name() else {
        let message = format!("{} names no file", target.display());
        return Err(Error::new(ErrorKind::Usage, message));
    };
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = Directory::open(parent).map_err(|error| failed("open", parent, error))?;
    Ok((directory, name.into()))
}

struct Copy<'a> {
    tree: &'a Ext4Tree<'a>,
    /// The length of the path of what is copied.
    from: usize,
    /// Where it is made, and under which name until it is whole.
    parent: &'a Directory,
    staged: OsString,
    /// The directories that were made, parents first, as paths below the copy, with the permissions they get at the end.
    directories: Vec<(PathBuf, u32)>,
    /// Where a file with several names was copied to, below the copy.
    names: HashMap<u32, PathBuf>,
    copied: CopiedOut,
}

impl Copy<'_> {
    fn entry(&mut self, path: &[u8], inode: &Inode) -> Result<(), Error> {
        let below = path.get(self.from..).unwrap_or_default();
        let below = Path::new(OsStr::from_bytes(below.strip_prefix(b"/").unwrap_or(below)));
        let (directory, name) = self.open(below)?;
        match inode.file_type() {
            FileType::Directory => {
                directory
                    .create_directory(&name)
                    .map_err(|error| failed_in("create", &directory, &name, error))?;
                let mode = u32::from(inode.metadata().mode) & 0o777;
                self.directories.push((below.to_owned(), mode));
                self.copied.directories += 1;
                Ok(())
            }
            FileType::Regular => self.file(&directory, &name, below, inode),
            FileType::Symlink => {
                let target = self.tree.try_read(|reader| reader.target(inode))?;
                directory
                    .create_symlink(&name, Path::new(OsStr::from_bytes(&target)))
                    .map_err(|error| failed_in("create", &directory, &name, error))?;
                self.copied.links += 1;
                Ok(())
            }
            _ => {
                self.leave_out(path);
                Ok(())
            }
        }
    }

    fn leave_out(&mut self, path: &[u8]) {
        if self.copied.warnings.len() < WARNINGS_LIMIT {
            let path = String::from_utf8_lossy(path);
            let text = format!("{path} is left out: it is a device, pipe or socket");
            self.copied.warnings.push(text);
        }
        self.copied.left_out += 1;
    }

    /// The directory that holds a path below the copy, opened anew so that a wide tree takes few descriptors, and the name in it.
    fn open(&self, below: &Path) -> Result<(Directory, OsString), Error> {
        let failed = |error| failed_in("open", self.parent, &self.staged, error);
        match (below.parent(), below.file_name()) {
            (Some(parent), Some(name)) => {
                let root = self.parent.directory(&self.staged).map_err(failed)?;
                Ok((root.below(parent).map_err(failed)?, name.into()))
            }
            _ => Ok((self.parent.clone(), self.staged.clone())),
        }
    }

    fn file(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        below: &Path,
        inode: &Inode,
    ) -> Result<(), Error> {
        if let Some(first) = self.names.get(&inode.number()) {
            let (from, first) = self.open(first)?;
            return from
                .link(&first, directory, name)
                .map_err(|error| failed_in("link", directory, name, error));
        }
        let failed = |verb, error| failed_in(verb, directory, name, error);
        let mut file = directory
            .create_file(name)
            .map_err(|error| failed("create", error))?;
        let mut failure = None;
        let outcome = self.tree.try_read(|reader| {
            reader.content(inode, 0..u64::MAX, &mut |piece| {
                put(&mut file, piece).map_err(|error| {
                    failure = Some(failed("write", error));
                    io::Error::other("the copy failed")
                })
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        outcome?;
        // A hole at the end is only there when the file is that long.
        file.set_len(inode.size())
            .and_then(|()| set_metadata(&file, &inode.metadata()))
            .map_err(|error| failed("write", error))?;
        self.copied.files += 1;
        self.copied.bytes = self.copied.bytes.saturating_add(inode.size());
        if inode.metadata().links > 1 {
            self.names.insert(inode.number(), below.to_owned());
        }
        Ok(())
    }

    /// Gives the directories their permissions, and the copy its name.
    fn publish(&mut self, name: &OsStr) -> Result<(), Error> {
        let failed = |error| failed_in("create", self.parent, name, error);
        if !self.parent.contains(&self.staged).map_err(failed)? {
            let message = "a device, pipe or socket is not copied";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        for (below, mode) in self.directories.iter().rev() {
            let root = self.parent.directory(&self.staged).map_err(failed)?;
            let directory = root.below(below).map_err(failed)?;
            directory.set_mode(*mode).map_err(failed)?;
        }
        if self.copied.left_out > WARNINGS_LIMIT as u64 {
            let left_out = self.copied.left_out;
            let text = format!("{left_out} devices, pipes and sockets are left out in all");
            self.copied.warnings.push(text);
        }
        self.parent
            .rename_new(&self.staged, name)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    let path = self.parent.path_of(name);
                    let message = format!("{} exists already", path.display());
                    Error::new(ErrorKind::Exists, message).with_hint("name another target")
                }
                _ => failed(error),
            })
    }
}

fn put(file: &mut File, piece: Piece<'_>) -> io::Result<()> {
    match piece {
        Piece::Data(bytes) => file.write_all(bytes),
        Piece::Hole(length) => {
            let length = i64::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
            file.seek(SeekFrom::Current(length)).map(drop)
        }
    }
}

fn set_metadata(file: &File, metadata: &InodeMetadata) -> io::Result<()> {
    let (seconds, nanoseconds) = (metadata.mtime.seconds, metadata.mtime.nanoseconds);
    let time = match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)),
        Err(_) => SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    };
    if let Some(time) = time {
        file.set_times(FileTimes::new().set_modified(time))?;
    }
    file.set_permissions(Permissions::from_mode(u32::from(metadata.mode) & 0o777))
}
