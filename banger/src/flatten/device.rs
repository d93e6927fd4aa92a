//! The output, which no longer takes part in an operation that is to end.

use std::fs::File;
use std::io;
use std::ops::Range;

use ext4_writer::{Device, FileDevice};

use crate::error::Error;
use crate::watch::{Observer as _, Watch};

/// The device of an image in a file. Every access fails once the operation is cancelled, so that whatever moves
/// many bytes ends soon.
pub(super) struct WatchedDevice {
    file: FileDevice,
    watch: Watch,
}

impl WatchedDevice {
    /// The device of `file`, without waiting for the disk.
    pub(super) fn of(file: &File, watch: &Watch) -> Result<Self, Error> {
        let again = file.try_clone();
        let again = again.map_err(|error| Error::io("open the output once more", error))?;
        Ok(Self {
            file: FileDevice::unsynced(again),
            watch: watch.clone(),
        })
    }

    fn check(&self) -> io::Result<()> {
        self.watch.check().map_err(io::Error::other)
    }
}

impl Device for WatchedDevice {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.file.read_at(offset, bytes)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.check()?;
        self.file.discard(range)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn starts_zeroed(&self) -> bool {
        self.file.starts_zeroed()
    }
}
