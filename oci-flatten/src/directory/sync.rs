//! A directory as a whole: its names on disk, and its lock.

use std::fs::{File, TryLockError};
use std::io;

use super::Directory;

impl Directory {
    /// Makes the names in the directory durable.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn sync(&self) -> io::Result<()> {
        match self.file.sync_all() {
            // Some filesystems cannot sync a directory, and leave nothing else to do.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    /// Makes everything on the directory's filesystem durable: one call for a tree of many files.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn sync_filesystem(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.file)?)
    }

    /// Takes the directory's lock (flock(2)), which is held until the result is dropped or the process ends; `None`
    /// when somebody holds it, in this process or another.
    ///
    /// # Errors
    ///
    /// The filesystem has no locks.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        let own = self.reopen()?;
        match own.try_lock() {
            Ok(()) => Ok(Some(own)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
