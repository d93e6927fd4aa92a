//! Artifacts on their way into the store: copies that share blocks or keep holes, and durable writes.
//!
//! [`copy_file`] and [`copy_tree`] are the only ways by which a kernel, an initrd, a module directory
//! or a root filesystem enters a staging directory. Both leave synced files behind; the caller syncs
//! the directory that names them with [`sync_directory`] before it publishes.

mod copy;
mod remove;
mod tree;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use copy::{CopyMethod, copy_file};
pub use remove::remove_tree;
pub use tree::{TreeSummary, copy_tree};

use crate::error::{Error, ErrorKind};

/// Files of the store are their owner's alone: a root filesystem carries password hashes and keys.
const PRIVATE_FILE_MODE: u32 = 0o600;

/// Writes a new file with mode 0600 and syncs it.
///
/// # Errors
///
/// The file exists already, or the write failed.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE_MODE)
        .open(path)
        .map_err(|error| failed("create", path, error))?;
    file.write_all(bytes)
        .map_err(|error| failed("write", path, error))?;
    file.sync_all().map_err(|error| failed("sync", path, error))
}

/// Replaces a file by one rename: a reader sees the old bytes or the new ones, a crash leaves either.
///
/// The new bytes wait in `<path>.new` for the rename, so callers that write one path must hold a lock.
///
/// # Errors
///
/// The write, the rename or a sync failed; the old file is untouched then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut waiting = path.as_os_str().to_owned();
    waiting.push(".new");
    let waiting = Path::new(&waiting);
    match fs::remove_file(waiting) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("remove", waiting, error)),
    }
    write_new(waiting, bytes)?;
    fs::rename(waiting, path).map_err(|error| failed("replace", path, error))?;
    match path.parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
///
/// The directory cannot be opened, or the sync failed.
pub fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed("sync", path, error))
}

/// Opens a regular file to read it; symbolic links are followed.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), Error> {
    let not_regular = || wrong_kind(path, "a regular file");
    // Some devices do something when they are opened.
    let metadata = fs::metadata(path).map_err(|error| failed("read", path, error))?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    // By now it may be another file, and without O_NONBLOCK, opening a fifo would wait for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| failed("open", path, error))?;
    let metadata = file
        .metadata()
        .map_err(|error| failed("read", path, error))?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(not_regular()),
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

/// A path that names something of the wrong kind, such as a device where a file is meant.
pub(crate) fn wrong_kind(path: &Path, expected: &str) -> Error {
    Error::new(
        ErrorKind::Failure,
        format!("{} is not {expected}", path.display()),
    )
}
