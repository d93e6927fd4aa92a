//! Artifacts on their way into the store: copies that share blocks or keep holes, and durable writes.
//!
//! [`copy_file`] and [`copy_tree`] are the only ways by which a kernel, an initrd, a module directory
//! or a root filesystem enters a staging directory. Both leave synced files behind; the caller syncs
//! the directory that names them before it publishes.

mod copy;
mod tree;

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use oci_flatten::directory::Directory;

pub use copy::{CopyMethod, copy_file};
pub use tree::{TreeSummary, copy_tree};

use crate::error::{Error, ErrorKind};

/// Something to be copied or read.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A path that the user named: symbolic links lead to what is meant.
    Named(&'a Path),
    /// An entry of a directory of ours: a symbolic link is not what belongs there.
    Own(&'a Directory, &'a str),
}

impl Origin<'_> {
    /// Its path, for messages.
    #[must_use]
    pub fn path(self) -> PathBuf {
        match self {
            Self::Named(path) => path.to_owned(),
            Self::Own(directory, name) => directory.path_of(name),
        }
    }

    /// Opens it as a regular file.
    pub(crate) fn open_file(self) -> Result<(File, Metadata), Error> {
        match self {
            Self::Named(path) => open_regular(path),
            Self::Own(directory, name) => {
                let failed = |error| failed_in("open", directory, name, error);
                let file = directory.open_file(name).map_err(failed)?;
                let metadata = file.metadata().map_err(failed)?;
                Ok((file, metadata))
            }
        }
    }

    /// Opens it as a directory.
    pub(crate) fn open_directory(self) -> Result<Directory, Error> {
        match self {
            Self::Named(path) => Directory::open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotADirectory => wrong_kind(path, "a directory"),
                _ => failed("read", path, error),
            }),
            Self::Own(directory, name) => directory
                .directory(name)
                .map_err(|error| failed_in("read", directory, name, error)),
        }
    }
}

/// The mode of a copy: neither set-id and sticky bits nor anybody else's right to write come along. The owner is who copies.
fn copied_mode(mode: u32) -> u32 {
    mode & 0o755
}

/// Writes a new file with mode 0600 and syncs it.
pub(crate) fn write_new(directory: &Directory, name: &str, bytes: &[u8]) -> Result<(), Error> {
    directory
        .write_new(name, bytes)
        .map_err(|error| failed_in("write", directory, name, error))
}

/// Opens a regular file that the user named; symbolic links are followed.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), Error> {
    open_named(path, "a regular file", Metadata::is_file)
}

/// Opens a file or block device that the user named, for reading; symbolic links are followed.
pub(crate) fn open_disk(path: &Path) -> Result<File, Error> {
    use std::os::unix::fs::FileTypeExt;
    let is_disk =
        |metadata: &Metadata| metadata.is_file() || metadata.file_type().is_block_device();
    let (file, _) = open_named(path, "a regular file or block device", is_disk)?;
    Ok(file)
}

/// Opens what the user named, if it is `wanted`, which `is_wanted` tells.
#[expect(
    clippy::disallowed_methods,
    reason = "the user names the path, and may mean what a link leads to"
)]
fn open_named(
    path: &Path,
    wanted: &'static str,
    is_wanted: impl Fn(&Metadata) -> bool,
) -> Result<(File, Metadata), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    // Before it is opened: some devices do something then.
    let metadata = std::fs::metadata(path).map_err(|error| failed("read", path, error))?;
    if !is_wanted(&metadata) {
        return Err(wrong_kind(path, wanted));
    }
    // By now it may be another file, and without O_NONBLOCK, opening a fifo would wait for a writer.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| failed("open", path, error))?;
    let metadata = file
        .metadata()
        .map_err(|error| failed("read", path, error))?;
    match is_wanted(&metadata) {
        true => Ok((file, metadata)),
        false => Err(wrong_kind(path, wanted)),
    }
}

/// A failed system call on `path`, with a hint where the user can do something about it.
pub(crate) fn failed(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Some("use a path that your user may read and write, or set BANGER_HOME to one")
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            Some("the filesystem is mounted read-only; set BANGER_HOME to a writable folder")
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Some("free some space, or set BANGER_HOME to a folder on a larger filesystem")
        }
        _ => None,
    };
    let error = Error::io(format!("{verb} {}", path.display()), error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// As [`failed`], for an entry of a directory of ours. What should not be there is damage.
pub(crate) fn failed_in(
    verb: &str,
    directory: &Directory,
    name: impl AsRef<OsStr>,
    error: io::Error,
) -> Error {
    let path = directory.path_of(name);
    let is_damage = error.kind() == io::ErrorKind::InvalidInput
        || error
            .get_ref()
            .is_some_and(|inner| inner.is::<oci_flatten::error::Error>());
    match is_damage {
        true => Error::new(ErrorKind::Integrity, format!("{verb} {}", path.display()))
            .with_source(error),
        false => failed(verb, &path, error),
    }
}

/// A path that names something of the wrong kind, such as a device where a file is meant.
pub(crate) fn wrong_kind(path: &Path, expected: &str) -> Error {
    Error::new(
        ErrorKind::Failure,
        format!("{} is not {expected}", path.display()),
    )
}
