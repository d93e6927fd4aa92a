//! Takes the bytes of one content after another and sends their blocks on.

use super::space::{Space, Window};
use super::{Content, Data, Extent};
use crate::device::{Access, Device, RunWriter};
use crate::error::Error;
use crate::ids::LogicalBlock;
use crate::plan::Places;

/// Stores contents one at a time.
#[derive(Debug)]
pub(crate) struct ContentStore {
    pub(crate) space: Space,
    writer: RunWriter,
    block_size: usize,
    rules: ContentRules,
    open: Option<Open>,
    /// A block that is not full yet.
    staged: Vec<u8>,
    /// Whether any byte of that block was written, not skipped.
    staged_is_data: bool,
}

/// What becomes of contents that need no block of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentRules {
    /// Files up to this many bytes are kept for their inode; 0 without `inline_data`.
    pub(crate) inline_limit: usize,
    /// Whether blocks of zeros that were written become holes, as skipped ones do.
    pub(crate) zeros_to_holes: bool,
}

/// The content that is being stored.
#[derive(Debug)]
struct Open {
    expected_blocks: u64,
    size: u64,
    extents: Vec<Extent>,
    window: Option<Window>,
}

/// Blocks set aside at a time for content that outgrows what was announced: 1 MiB of 4 KiB blocks.
const WINDOW_BLOCKS: u64 = 256;
/// Logical block numbers have 32 bits, and the last is not usable.
const MAX_FILE_BLOCKS: u64 = u32::MAX as u64;

impl ContentStore {
    pub(crate) fn new(places: Places, rules: ContentRules) -> Self {
        let block_size = places.shape.block_size;
        Self {
            space: Space::new(places),
            writer: RunWriter::new(block_size),
            block_size: block_size as usize,
            rules,
            open: None,
            staged: Vec::with_capacity(block_size as usize),
            staged_is_data: false,
        }
    }

    pub(crate) fn begin(&mut self, size_hint: u64) -> Result<(), Error> {
        if self.open.is_some() {
            return Err(Error::OutOfTurn(
                "a content was begun before the last one ended",
            ));
        }
        let expected_blocks = size_hint.div_ceil(self.block_size as u64);
        self.open = Some(Open {
            expected_blocks,
            size: 0,
            extents: Vec::new(),
            window: None,
        });
        Ok(())
    }

    pub(crate) fn write<D: Device>(
        &mut self,
        access: &Access<D>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.grow(bytes.len() as u64)?;
        let mut rest = bytes;
        if !self.staged.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(self.block_size - self.staged.len()));
            self.stage(head);
            rest = tail;
            if self.staged.len() < self.block_size {
                return Ok(());
            }
            self.commit_staged(access, self.size() - rest.len() as u64)?;
        }
        while let Some((block, tail)) = rest.split_at_checked(self.block_size) {
            let end = self.size() - tail.len() as u64;
            self.commit(access, block, end)?;
            rest = tail;
        }
        self.stage(rest);
        Ok(())
    }

    pub(crate) fn skip<D: Device>(&mut self, access: &Access<D>, length: u64) -> Result<(), Error> {
        self.grow(length)?;
        let mut left = length;
        if !self.staged.is_empty() {
            let fill = left.min((self.block_size - self.staged.len()) as u64);
            self.staged.resize(self.staged.len() + fill as usize, 0);
            left -= fill;
            if self.staged.len() < self.block_size {
                return Ok(());
            }
            self.commit_staged(access, self.size() - left)?;
        }
        self.staged
            .resize((left % self.block_size as u64) as usize, 0);
        Ok(())
    }

    pub(crate) fn end<D: Device>(&mut self, access: &Access<D>) -> Result<Content, Error> {
        let size = self.size();
        let block_size = self.block_size as u64;
        let inline = size <= self.rules.inline_limit as u64 && self.staged.len() as u64 == size;
        let mut data = Data::Hole;
        if inline && size > 0 {
            data = Data::Inline(self.staged.as_slice().into());
            self.unstage();
        } else if !self.staged.is_empty() {
            self.commit_staged(access, size.next_multiple_of(block_size))?;
        }
        let Some(open) = self.open.take() else {
            return Err(Error::OutOfTurn("a content ended before one was begun"));
        };
        if let Some(window) = open.window {
            self.space.close(window);
        }
        if matches!(data, Data::Hole) {
            data = Data::from_extents(open.extents);
        }
        Ok(Content { size, data })
    }

    pub(crate) fn release(&mut self, content: &Content) {
        self.space.release(content.extents());
    }

    /// Sends what is still buffered; every content must have ended.
    pub(crate) fn flush<D: Device>(&mut self, access: &Access<D>) -> Result<(), Error> {
        if self.open.is_some() {
            return Err(Error::OutOfTurn(
                "the image was finished before the last content ended",
            ));
        }
        self.writer.flush(access)
    }

    fn size(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.size)
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(open) = &mut self.open else {
            return Err(Error::OutOfTurn("content was written before one was begun"));
        };
        let limit = MAX_FILE_BLOCKS * self.block_size as u64;
        open.size = open
            .size
            .checked_add(bytes)
            .filter(|size| *size <= limit)
            .ok_or(Error::FileTooLarge { limit })?;
        Ok(())
    }

    /// Keeps bytes that were written until their block is full.
    fn stage(&mut self, bytes: &[u8]) {
        self.staged.extend_from_slice(bytes);
        self.staged_is_data |= !bytes.is_empty();
    }

    fn unstage(&mut self) {
        self.staged.clear();
        self.staged_is_data = false;
    }

    /// Stores the staged block, unless all of it was skipped: then it is a hole.
    fn commit_staged<D: Device>(&mut self, access: &Access<D>, end: u64) -> Result<(), Error> {
        let staged = std::mem::take(&mut self.staged);
        let result = match self.staged_is_data {
            true => self.commit(access, &staged, end),
            false => Ok(()),
        };
        self.staged = staged;
        self.unstage();
        result
    }

    /// Stores the block of the open content that ends at byte `end`.
    ///
    /// A block of zeros takes its place like any other, as swap files and boot loaders need it; but nothing is written where
    /// the device reads as zeros already, so that it stays a hole of the host's file.
    fn commit<D: Device>(
        &mut self,
        access: &Access<D>,
        bytes: &[u8],
        end: u64,
    ) -> Result<(), Error> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let is_zero = is_zero(bytes);
        if is_zero && self.rules.zeros_to_holes {
            return Ok(());
        }
        // At most MAX_FILE_BLOCKS, as `grow` has checked.
        let logical = LogicalBlock((end.div_ceil(self.block_size as u64) - 1) as u32);
        let physical = loop {
            if let Some(window) = &mut open.window
                && let Some(block) = self.space.take(window)
            {
                break block;
            }
            let left = open.expected_blocks.saturating_sub(u64::from(logical.0));
            open.window = Some(
                self.space
                    .window(if left == 0 { WINDOW_BLOCKS } else { left }),
            );
        };
        Extent::push(&mut open.extents, logical, physical.number);
        match is_zero {
            false => self.writer.put(access, physical.number, bytes),
            true if physical.is_fresh && access.starts_zeroed() => Ok(()),
            true => self.writer.put_zeros(access, physical.number),
        }
    }
}

/// Whether all bytes are zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 256] = [0; 256];
    bytes
        .chunks(ZEROS.len())
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
}
