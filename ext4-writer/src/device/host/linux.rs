//! Linux' `fallocate` and `lseek`.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{FallocateFlags, fallocate};
#[cfg(feature = "directory")]
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Makes `range` a hole; says whether this file or device can have one.
pub(crate) fn punch_hole(file: &File, range: Range<u64>) -> io::Result<bool> {
    change(file, FallocateFlags::PUNCH_HOLE, range)
}

/// Zeroes `range` without writing it; says whether this file or device can do that.
pub(crate) fn zero_range(file: &File, range: Range<u64>) -> io::Result<bool> {
    change(file, FallocateFlags::ZERO_RANGE, range)
}

fn change(file: &File, way: FallocateFlags, range: Range<u64>) -> io::Result<bool> {
    let flags = way | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, range.start, range.end - range.start) {
        Ok(()) => Ok(true),
        // Block devices whose sectors are longer than the range's alignment call it invalid.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The next range of data from `at` on, in a file of `size` bytes. Empty where only a hole is left.
#[cfg(feature = "directory")]
pub(crate) fn next_data(file: &File, at: u64, size: u64) -> io::Result<Range<u64>> {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.clamp(at, size),
        Err(Errno::NXIO) => return Ok(size..size),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(at..size),
        Err(error) => return Err(error.into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?;
    Ok(start..end.clamp(start, size))
}
