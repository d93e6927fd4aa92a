//! Hosts of which nothing is known: files have no holes.

use std::fs::File;
use std::io;
use std::ops::Range;

/// Says that this host makes no holes.
pub(crate) fn punch_hole(_file: &File, _range: Range<u64>) -> io::Result<bool> {
    Ok(false)
}

/// Says that this host zeroes nothing without writing it.
pub(crate) fn zero_range(_file: &File, _range: Range<u64>) -> io::Result<bool> {
    Ok(false)
}

/// The rest of the file: all of it is data.
#[cfg(feature = "directory")]
pub(crate) fn next_data(_file: &File, at: u64, size: u64) -> io::Result<Range<u64>> {
    Ok(at..size)
}
