//! Gathers neighbouring blocks into large writes.

use std::ops::Range;

use super::Device;
use crate::error::Error;
use crate::ids::BlockNumber;

/// A device with its errors put into words, addressed by block.
#[derive(Debug)]
pub(crate) struct Access<D> {
    device: D,
    block_size: u64,
}

impl<D: Device> Access<D> {
    pub(crate) fn new(device: D, block_size: u32) -> Self {
        Self {
            device,
            block_size: u64::from(block_size),
        }
    }

    pub(crate) fn starts_zeroed(&self) -> bool {
        self.device.starts_zeroed()
    }

    pub(crate) fn write(&self, block: BlockNumber, bytes: &[u8]) -> Result<(), Error> {
        self.write_bytes(block.0 * self.block_size, bytes)
    }

    pub(crate) fn write_bytes(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.device
            .write_at(offset, bytes)
            .map_err(|source| failure("write", offset..offset + bytes.len() as u64, source))
    }

    pub(crate) fn read(&self, block: BlockNumber, bytes: &mut [u8]) -> Result<(), Error> {
        self.read_bytes(block.0 * self.block_size, bytes)
    }

    pub(crate) fn read_bytes(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let length = bytes.len() as u64;
        self.device
            .read_at(offset, bytes)
            .map_err(|source| failure("read", offset..offset + length, source))
    }

    pub(crate) fn discard(&self, blocks: Range<u64>) -> Result<(), Error> {
        let range = blocks.start * self.block_size..blocks.end * self.block_size;
        self.device
            .discard(range.clone())
            .map_err(|source| failure("discard", range, source))
    }

    pub(crate) fn set_len(&self, bytes: u64) -> Result<(), Error> {
        self.device
            .set_len(bytes)
            .map_err(|source| failure("resize", 0..bytes, source))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.device
            .sync()
            .map_err(|source| failure("sync", 0..0, source))
    }
}

fn failure(operation: &'static str, range: Range<u64>, source: std::io::Error) -> Error {
    Error::Device {
        operation,
        offset: range.start,
        length: range.end - range.start,
        source,
    }
}

/// Writes of this many bytes keep the cost of a call small without holding much memory.
const BUFFER_BYTES: usize = 1 << 20;

/// Buffers blocks while each follows the one before: of bytes, or of zeros, for which nothing need be written.
#[derive(Debug)]
pub(crate) struct RunWriter {
    start: BlockNumber,
    next: BlockNumber,
    /// The bytes from `start` to `next`; none where the run is of zeros.
    buffer: Vec<u8>,
    block_size: usize,
}

impl RunWriter {
    pub(crate) fn new(block_size: u32) -> Self {
        Self {
            start: BlockNumber::default(),
            next: BlockNumber::default(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            block_size: block_size as usize,
        }
    }

    /// Takes one block, shorter input padded with zeros.
    pub(crate) fn put<D: Device>(
        &mut self,
        access: &Access<D>,
        block: BlockNumber,
        bytes: &[u8],
    ) -> Result<(), Error> {
        debug_assert!(bytes.len() <= self.block_size);
        let is_full = self.buffer.len() + self.block_size > BUFFER_BYTES;
        if block != self.next || is_full || self.buffer.is_empty() {
            self.begin(access, block)?;
        }
        let end = self.buffer.len() + self.block_size;
        self.buffer.extend_from_slice(bytes);
        self.buffer.resize(end, 0);
        self.next = block.plus(1);
        Ok(())
    }

    /// Takes one block that is to read as zeros, whatever it held.
    pub(crate) fn put_zeros<D: Device>(
        &mut self,
        access: &Access<D>,
        block: BlockNumber,
    ) -> Result<(), Error> {
        if block != self.next || !self.buffer.is_empty() {
            self.begin(access, block)?;
        }
        self.next = block.plus(1);
        Ok(())
    }

    fn begin<D: Device>(&mut self, access: &Access<D>, block: BlockNumber) -> Result<(), Error> {
        self.flush(access)?;
        self.start = block;
        self.next = block;
        Ok(())
    }

    pub(crate) fn flush<D: Device>(&mut self, access: &Access<D>) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            access.write(self.start, &self.buffer)?;
            self.buffer.clear();
        } else if self.start < self.next {
            access.discard(self.start.0..self.next.0)?;
        }
        self.start = self.next;
        Ok(())
    }
}
