//! Images in files and on block devices.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Device;
use super::host::{punch_hole, read_or_zero_at, write_all_at, zero_range};

/// An image in a regular file, sparse where the host's filesystem has holes.
///
/// The file must be open for reading and writing; what it holds is lost.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    synced: bool,
}

impl FileDevice {
    /// Uses `file`, and has it reach the disk before the image counts as finished.
    pub fn new(file: File) -> Self {
        Self { file, synced: true }
    }

    /// Uses `file` without waiting for the disk: after a loss of power the image may be incomplete.
    pub fn unsynced(file: File) -> Self {
        Self {
            file,
            synced: false,
        }
    }
}

impl Device for FileDevice {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&self.file, bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_or_zero_at(&self.file, bytes, offset)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let end = range.end.min(self.file.metadata()?.len());
        if range.start >= end {
            return Ok(());
        }
        match punch_hole(&self.file, range.start..end)? {
            true => Ok(()),
            false => zero(&self.file, range.start..end),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        // A host's ext4 writes a file that was cut to nothing, even from nothing, to disk when it is closed
        // (`auto_da_alloc`): a wait for those who asked for none.
        if self.file.metadata()?.len() == length {
            return Ok(());
        }
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        if self.synced {
            self.file.sync_all()
        } else {
            Ok(())
        }
    }
}

/// An image on a block device, or in an existing file whose length must stay.
///
/// All that it holds is discarded first where it can do that, as by `mke2fs -E discard`; where not, what the image needs as
/// zeros is zeroed, and the rest of what it held may survive in free space.
#[derive(Debug)]
pub struct BlockDevice {
    file: File,
    capacity: u64,
    /// Whether space may be given back.
    discards: bool,
    /// Whether everything was discarded and reads as zeros.
    zeroed: AtomicBool,
}

impl BlockDevice {
    /// Uses `file`, open for reading and writing, up to its present end.
    ///
    /// # Errors
    /// Where the end cannot be found.
    pub fn new(mut file: File) -> io::Result<Self> {
        let capacity = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            capacity,
            discards: true,
            zeroed: AtomicBool::new(false),
        })
    }

    /// As [`BlockDevice::new`], but gives no space back: what was allocated beforehand stays so.
    ///
    /// # Errors
    /// Where the end cannot be found.
    pub fn preallocated(file: File) -> io::Result<Self> {
        let device = Self::new(file)?;
        Ok(Self {
            discards: false,
            ..device
        })
    }

    /// Length of the device in bytes, the size to ask of [`SizeRule::Exact`](crate::SizeRule::Exact).
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn check(&self, end: u64) -> io::Result<()> {
        if end > self.capacity {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("device ends at {} bytes", self.capacity),
            ));
        }
        Ok(())
    }
}

impl Device for BlockDevice {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(offset.saturating_add(bytes.len() as u64))?;
        write_all_at(&self.file, bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_or_zero_at(&self.file, bytes, offset)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let range = range.start..range.end.min(self.capacity);
        if range.is_empty() {
            return Ok(());
        }
        let done = self.discards && punch_hole(&self.file, range.clone())?
            || zero_range(&self.file, range.clone())?;
        match done {
            true => Ok(()),
            false => zero(&self.file, range),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        // An image begins: what the device held is of no use any more.
        if length == 0 && self.discards && self.capacity > 0 {
            let zeroed = punch_hole(&self.file, 0..self.capacity)?;
            self.zeroed.store(zeroed, Ordering::Relaxed);
        }
        self.check(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn starts_zeroed(&self) -> bool {
        self.zeroed.load(Ordering::Relaxed)
    }
}

fn zero(file: &File, range: Range<u64>) -> io::Result<()> {
    let zeros = [0_u8; 64 * 1024];
    let mut at = range.start;
    while at < range.end {
        let count = (range.end - at).min(zeros.len() as u64);
        write_all_at(file, &zeros[..count as usize], at)?;
        at += count;
    }
    Ok(())
}
