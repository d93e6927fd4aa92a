//! Images in files and on block devices.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::Device;

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
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_or_zero(&self.file, offset, bytes)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let end = range.end.min(self.file.metadata()?.len());
        if range.start >= end {
            return Ok(());
        }
        match change(&self.file, FallocateFlags::PUNCH_HOLE, range.start..end) {
            Err(error) if is_unsupported(&error) => zero(&self.file, range.start..end),
            other => other,
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
    pub fn new(file: File) -> io::Result<Self> {
        let capacity = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?;
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
        self.file.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_or_zero(&self.file, offset, bytes)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let range = range.start..range.end.min(self.capacity);
        if range.is_empty() {
            return Ok(());
        }
        let mut ways = Vec::with_capacity(2);
        if self.discards {
            ways.push(FallocateFlags::PUNCH_HOLE);
        }
        ways.push(FallocateFlags::ZERO_RANGE);
        for way in ways {
            match change(&self.file, way, range.clone()) {
                Err(error) if is_unsupported(&error) => {}
                other => return other,
            }
        }
        zero(&self.file, range)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        // An image begins: what the device held is of no use any more.
        if length == 0 && self.discards && self.capacity > 0 {
            match change(&self.file, FallocateFlags::PUNCH_HOLE, 0..self.capacity) {
                Ok(()) => self.zeroed.store(true, Ordering::Relaxed),
                Err(error) if is_unsupported(&error) => {}
                Err(error) => return Err(error),
            }
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

/// Punches a hole or zeroes a range without writing it; a block device zeroes by both.
fn change(file: &File, way: FallocateFlags, range: Range<u64>) -> io::Result<()> {
    let flags = way | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, range.start, range.end - range.start).map_err(io::Error::from)
}

/// Whether the kernel says that this file or device cannot do it at all. Block devices whose sectors are longer than the
/// range's alignment call it invalid.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
    )
}

fn zero(file: &File, range: Range<u64>) -> io::Result<()> {
    let zeros = [0_u8; 64 * 1024];
    let mut at = range.start;
    while at < range.end {
        let count = (range.end - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

fn read_or_zero(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => {
                bytes[done..].fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
