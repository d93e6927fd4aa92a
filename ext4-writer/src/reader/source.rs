//! Where the bytes of an image come from.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use crate::device::host;

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Fills `bytes` with what lies at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where there is less, and whatever else kept any byte from being read.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// How many bytes there are.
    ///
    /// # Errors
    /// Whatever kept that from being found out.
    fn length(&self) -> io::Result<u64>;
}

/// A regular file or a block device.
impl ReadAt for File {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        host::read_exact_at(self, bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        // The metadata of a block device have no length.
        let mut file = self;
        file.seek(SeekFrom::End(0))
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..start.checked_add(bytes.len())?));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_exact_at(offset, bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.as_slice().length()
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, bytes)
    }

    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }
}
