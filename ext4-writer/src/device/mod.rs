//! Where an image goes: a file, a block device, or memory.

mod file;
pub(crate) mod host;
mod memory;
mod run_writer;

use std::io;
use std::ops::Range;

pub use self::file::{BlockDevice, FileDevice};
pub use self::memory::MemoryDevice;
pub(crate) use self::run_writer::{Access, RunWriter};

/// Random-access storage that an image is written to.
///
/// All offsets and lengths are bytes. An implementation must write everything or fail: the writer never
/// retries, and any error ends the image.
pub trait Device {
    /// Writes all of `bytes` at `offset`, growing the device where that is possible.
    ///
    /// # Errors
    /// Whatever kept any byte from being written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `bytes` with what is stored at `offset`; what was never written reads as zeros.
    ///
    /// # Errors
    /// Whatever kept any byte from being read.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Makes `range` read as zeros, giving its space back where the device can.
    ///
    /// # Errors
    /// Whatever kept the range from becoming zeros.
    fn discard(&self, range: Range<u64>) -> io::Result<()>;

    /// Sets the length; bytes added read as zeros. A device of fixed size succeeds where `length` fits.
    ///
    /// # Errors
    /// Whatever kept the device from having the length.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes everything written so far survive a loss of power.
    ///
    /// # Errors
    /// Whatever kept earlier writes from the medium.
    fn sync(&self) -> io::Result<()>;

    /// Whether bytes that were never written read as zeros. Where not, the writer zeroes what must be zero.
    fn starts_zeroed(&self) -> bool {
        true
    }
}

impl<D: Device + ?Sized> Device for &D {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, bytes)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        (**self).discard(range)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        (**self).set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }

    fn starts_zeroed(&self) -> bool {
        (**self).starts_zeroed()
    }
}
