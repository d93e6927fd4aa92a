//! What the cache asks of the filesystem.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::error::{Error, Result};

/// Only the owner may look: images can be private.
const FILE_MODE: u32 = 0o600;

/// Opens for reading; a symbolic link is an error.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(path)
}

/// Opens for reading and writing, made when it is not there; a symbolic link is an error.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(no_follow())
        .open(path)
}

/// Replaces the file at `path` as a whole: after a crash it is the old one or the new one.
///
/// The caller holds a lock that keeps others from doing the same.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| Error::io(format!("write {}", path.display()), error);
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    let write = || {
        let mut file = open_or_create(part)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(part, path)?;
        sync_parent(path)
    };
    write().map_err(|error| {
        // Half a file is of no use, and the disk may be full.
        let _ = fs::remove_file(part);
        failed(error)
    })
}

/// Makes a rename or removal in the file's folder durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Marks the file as used now, by the kernel's clock.
pub(super) fn touch(file: &File) -> io::Result<()> {
    let time = |nanoseconds| rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Whether `path` still names the file that is open.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The regular files of a folder, by name; none when it is not there.
pub(super) fn list(directory: &Path) -> Result<Vec<(String, fs::Metadata)>> {
    let failed = |error| Error::io(format!("list {}", directory.display()), error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Another process has removed it since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            files.push((name, metadata));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).expect("open flags are bits of a C int")
}
