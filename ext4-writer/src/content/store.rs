//! Takes the bytes of contents and sends their blocks on.

use super::allocator::{BlockAllocator, Window};
use super::{Content, Data, Extent, Owner};
use crate::device::{Access, Device, RunWriter};
use crate::error::Error;
use crate::ids::LogicalBlock;
use crate::plan::BackupGeometry;

/// Stores contents.
#[derive(Debug)]
pub(crate) struct ContentStore {
    pub(crate) allocator: BlockAllocator,
    owner: Owner,
    writer: RunWriter,
    block_size: usize,
    rules: ContentRules,
    /// The buffer of the last content, for the next one.
    spare: Vec<u8>,
}

/// What becomes of contents that need no block of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentRules {
    /// Files up to this many bytes are kept for their inode; 0 without `inline_data`.
    pub(crate) inline_limit: usize,
    /// Whether blocks of zeros that were written become holes, as skipped ones do.
    pub(crate) zeros_to_holes: bool,
}

/// A content that is not complete.
#[derive(Debug)]
pub(crate) struct OpenContent {
    owner: Owner,
    expected_blocks: u64,
    size: u64,
    extents: Vec<Extent>,
    window: Option<Window>,
    /// A block that is not full yet.
    staged: Vec<u8>,
    /// Whether any byte of that block was written, not skipped.
    staged_is_data: bool,
}

/// Blocks set aside at a time for content that outgrows what was announced: 1 MiB of 4 KiB blocks.
const WINDOW_BLOCKS: u64 = 256;
/// Logical block numbers have 32 bits, and the last is not usable.
const MAX_FILE_BLOCKS: u64 = u32::MAX as u64;

impl ContentStore {
    pub(crate) fn new(backups: BackupGeometry, rules: ContentRules) -> Self {
        let block_size = backups.geometry.block_size;
        Self {
            allocator: BlockAllocator::new(backups),
            owner: Owner::unique(),
            writer: RunWriter::new(block_size),
            block_size: block_size as usize,
            rules,
            spare: Vec::with_capacity(block_size as usize),
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// Begins a content of about `size_hint` bytes.
    pub(crate) fn begin(&mut self, size_hint: u64) -> OpenContent {
        OpenContent {
            owner: self.owner,
            expected_blocks: size_hint.div_ceil(self.block_size as u64),
            size: 0,
            extents: Vec::new(),
            window: None,
            staged: std::mem::take(&mut self.spare),
            staged_is_data: false,
        }
    }

    pub(crate) fn write<D: Device>(
        &mut self,
        access: &Access<D>,
        open: &mut OpenContent,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.grow(open, bytes.len() as u64)?;
        let mut rest = bytes;
        if !open.staged.is_empty() {
            let (head, tail) = rest.split_at(rest.len().min(self.block_size - open.staged.len()));
            open.stage(head);
            rest = tail;
            if open.staged.len() < self.block_size {
                return Ok(());
            }
            self.commit_staged(access, open, open.size - rest.len() as u64)?;
        }
        while let Some((block, tail)) = rest.split_at_checked(self.block_size) {
            let end = open.size - tail.len() as u64;
            self.commit(access, open, block, end)?;
            rest = tail;
        }
        open.stage(rest);
        Ok(())
    }

    pub(crate) fn skip<D: Device>(
        &mut self,
        access: &Access<D>,
        open: &mut OpenContent,
        length: u64,
    ) -> Result<(), Error> {
        self.grow(open, length)?;
        let mut left = length;
        if !open.staged.is_empty() {
            let fill = left.min((self.block_size - open.staged.len()) as u64);
            open.staged.resize(open.staged.len() + fill as usize, 0);
            left -= fill;
            if open.staged.len() < self.block_size {
                return Ok(());
            }
            self.commit_staged(access, open, open.size - left)?;
        }
        open.staged
            .resize((left % self.block_size as u64) as usize, 0);
        Ok(())
    }

    pub(crate) fn end<D: Device>(
        &mut self,
        access: &Access<D>,
        mut open: OpenContent,
    ) -> Result<Content, Error> {
        let size = open.size;
        let block_size = self.block_size as u64;
        let inline = size <= self.rules.inline_limit as u64 && open.staged.len() as u64 == size;
        if inline && size > 0 {
            let data = Data::Inline(open.staged.as_slice().into());
            self.abandon(open);
            return Ok(Content::new(self.owner, size, data));
        }
        if !open.staged.is_empty() {
            let written = self.commit_staged(access, &mut open, size.next_multiple_of(block_size));
            if let Err(error) = written {
                self.abandon(open);
                return Err(error);
            }
        }
        let data = Data::from_extents(std::mem::take(&mut open.extents));
        self.abandon(open);
        Ok(Content::new(self.owner, size, data))
    }

    /// Gives back what an open content still holds.
    pub(crate) fn abandon(&mut self, open: OpenContent) {
        self.allocator.release(&open.extents);
        if let Some(window) = open.window {
            self.allocator.close(window);
        }
        self.spare = open.staged;
        self.spare.clear();
    }

    pub(crate) fn release(&mut self, content: &Content) -> Result<(), Error> {
        if !content.belongs_to(self.owner) {
            return Err(Error::ForeignContent);
        }
        self.allocator.release(content.extents());
        Ok(())
    }

    /// Fails where a content comes from another store.
    pub(crate) fn check(&self, open: &OpenContent) -> Result<(), Error> {
        match open.owner == self.owner {
            true => Ok(()),
            false => Err(Error::ForeignContent),
        }
    }

    /// Sends what is still buffered.
    pub(crate) fn flush<D: Device>(&mut self, access: &Access<D>) -> Result<(), Error> {
        self.writer.flush(access)
    }

    fn grow(&self, open: &mut OpenContent, bytes: u64) -> Result<(), Error> {
        let limit = MAX_FILE_BLOCKS * self.block_size as u64;
        open.size = open
            .size
            .checked_add(bytes)
            .filter(|size| *size <= limit)
            .ok_or(Error::FileTooLarge { limit })?;
        Ok(())
    }

    /// Stores the staged block, unless all of it was skipped: then it is a hole.
    fn commit_staged<D: Device>(
        &mut self,
        access: &Access<D>,
        open: &mut OpenContent,
        end: u64,
    ) -> Result<(), Error> {
        let staged = std::mem::take(&mut open.staged);
        let result = match open.staged_is_data {
            true => self.commit(access, open, &staged, end),
            false => Ok(()),
        };
        open.staged = staged;
        open.staged.clear();
        open.staged_is_data = false;
        result
    }

    /// Stores the block of a content that ends at byte `end`.
    ///
    /// A block of zeros takes its place like any other, as swap files and boot loaders need it; but nothing is written where
    /// the device reads as zeros already, so that it stays a hole of the host's file.
    fn commit<D: Device>(
        &mut self,
        access: &Access<D>,
        open: &mut OpenContent,
        bytes: &[u8],
        end: u64,
    ) -> Result<(), Error> {
        let is_zero = is_zero(bytes);
        if is_zero && self.rules.zeros_to_holes {
            return Ok(());
        }
        // At most MAX_FILE_BLOCKS, as `grow` has checked.
        let logical = LogicalBlock((end.div_ceil(self.block_size as u64) - 1) as u32);
        let physical = loop {
            if let Some(window) = &mut open.window
                && let Some(block) = self.allocator.take(window)
            {
                break block;
            }
            let left = open.expected_blocks.saturating_sub(u64::from(logical.0));
            open.window = Some(
                self.allocator
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

impl OpenContent {
    /// Keeps bytes that were written until their block is full.
    fn stage(&mut self, bytes: &[u8]) {
        self.staged.extend_from_slice(bytes);
        self.staged_is_data |= !bytes.is_empty();
    }
}

/// Whether all bytes are zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 256] = [0; 256];
    bytes
        .chunks(ZEROS.len())
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
}
