//! One file of the host: its metadata and attributes, guarded against changes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::DirectoryOptions;
use crate::source::{SourceError, escaped, io_error};
use crate::tree::{Metadata, Timestamp, TreeError, Xattrs};

/// What identifies a file and shows that it did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    identity: (u64, u64),
    kind: u32,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Fingerprint {
    pub(super) fn new(stat: &Stat) -> Self {
        Self {
            identity: identity(stat),
            kind: stat.st_mode & 0o170_000,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Fails unless `stat` shows the same file in the same state.
    pub(super) fn check(self, stat: &Stat, path: &[u8]) -> Result<(), SourceError> {
        if self == Self::new(stat) {
            Ok(())
        } else {
            Err(SourceError::Changed {
                path: escaped(path),
            })
        }
    }
}

pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn stat_at(
    directory: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
) -> Result<Stat, SourceError> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| io_error("inspect", path, error))
}

pub(super) fn metadata(stat: &Stat, options: &DirectoryOptions, xattrs: Xattrs) -> Metadata {
    // A host may keep times that ext4 cannot; the tree refuses them.
    let time = Timestamp::new(stat.st_mtime, stat.st_mtime_nsec as u32);
    let (uid, gid) = options.owner.unwrap_or((stat.st_uid, stat.st_gid));
    let mode = (stat.st_mode & 0o7777) as u16;
    Metadata {
        uid,
        gid,
        xattrs,
        ..Metadata::new(mode, time)
    }
}

/// Refuses a directory whose names are the same in upper and lower case: an image would tell them apart.
pub(super) fn check_case(directory: &impl AsFd, path: &[u8]) -> Result<(), SourceError> {
    match rustix::fs::ioctl_getflags(directory) {
        Ok(flags) if flags.bits() & CASEFOLD != 0 => Err(SourceError::Unsupported {
            path: escaped(path),
            what: "a directory that ignores case".to_owned(),
        }),
        // Filesystems without such flags have no such directories, and answer in many ways.
        _ => Ok(()),
    }
}

/// `FS_CASEFOLD_FL` of `linux/fs.h`.
const CASEFOLD: u32 = 0x4000_0000;

/// The attributes of a file by its name in an open directory, a symbolic link's own ones where it is one.
pub(super) fn xattrs(
    directory: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
) -> Result<Xattrs, SourceError> {
    let failed = |error| io_error("read extended attributes of", path, error);
    let prefix = format!("/proc/self/fd/{}/", directory.as_raw_fd());
    let place = [prefix.as_bytes(), name].concat();
    let mut out = Xattrs::new();
    let mut list = vec![0; 65_536];
    let length = match rustix::fs::llistxattr(place.as_slice(), list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(out),
        Err(error) => return Err(failed(error)),
    };
    let mut value = vec![0; if length > 0 { 65_536 } else { 0 }];
    for attribute in list[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let read = rustix::fs::lgetxattr(place.as_slice(), attribute, value.as_mut_slice());
        let length = read.map_err(failed)?;
        out.insert(attribute, &value[..length])
            .map_err(|source| TreeError::Xattr {
                path: escaped(path),
                source,
            })?;
    }
    Ok(out)
}
