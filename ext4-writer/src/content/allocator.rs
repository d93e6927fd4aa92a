//! Which blocks hold content: a cursor that moves up, and the holes that releases left below it.

use std::ops::Range;

use super::Extent;
use super::free_ranges::FreeRanges;
use crate::ids::BlockNumber;
use crate::plan::BackupGeometry;

/// Allocation of content blocks.
#[derive(Debug)]
pub(crate) struct BlockAllocator {
    backups: BackupGeometry,
    /// The first block never given out, or given back since.
    cursor: BlockNumber,
    /// Where the usable run that holds the cursor ends.
    run_end: BlockNumber,
    /// The first block that was never given out.
    high_water: BlockNumber,
    free_ranges: FreeRanges,
    /// Blocks in use.
    used: u64,
}

/// A block that content may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) number: BlockNumber,
    /// Whether no content ever had it.
    pub(super) is_fresh: bool,
}

/// Blocks set aside for the content that is being stored.
#[derive(Debug)]
pub(super) enum Window {
    /// A free range below the end, or what is left of it.
    FreeRange(Range<u64>),
    /// Whatever follows the cursor.
    Tail,
}

impl BlockAllocator {
    pub(crate) fn new(backups: BackupGeometry) -> Self {
        let cursor = backups.next_usable(BlockNumber(0));
        Self {
            backups,
            cursor,
            run_end: backups.run_end(cursor),
            high_water: cursor,
            free_ranges: FreeRanges::new(),
            used: 0,
        }
    }

    pub(crate) fn backups(&self) -> &BackupGeometry {
        &self.backups
    }

    pub(crate) fn cursor(&self) -> BlockNumber {
        self.cursor
    }

    /// Blocks in use by content.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn free_ranges(&self) -> &FreeRanges {
        &self.free_ranges
    }

    /// Ranges that were given out and are free now; their bytes must not stay.
    pub(crate) fn stale(&self) -> impl Iterator<Item = Range<u64>> {
        let tail = self.cursor.0..self.high_water.0;
        self.free_ranges
            .iter()
            .chain((!tail.is_empty()).then_some(tail))
    }

    /// Chooses where content of about `blocks` blocks goes.
    pub(super) fn window(&mut self, blocks: u64) -> Window {
        match self.free_ranges.take(blocks.max(1)) {
            Some(range) => Window::FreeRange(range),
            None => Window::Tail,
        }
    }

    /// Takes the next block of a window; `None` when it is used up.
    pub(super) fn take(&mut self, window: &mut Window) -> Option<Block> {
        let number = match window {
            Window::FreeRange(range) => BlockNumber(range.next()?),
            Window::Tail => {
                if self.cursor >= self.run_end {
                    self.cursor = self.backups.next_usable(self.cursor);
                    self.run_end = self.backups.run_end(self.cursor);
                }
                let block = self.cursor;
                self.cursor = block.plus(1);
                block
            }
        };
        self.used += 1;
        let is_fresh = number >= self.high_water;
        self.high_water = self.high_water.max(number.plus(1));
        Some(Block { number, is_fresh })
    }

    /// Gives back what a window did not use.
    pub(super) fn close(&mut self, window: Window) {
        if let Window::FreeRange(rest) = window {
            self.free(rest);
        }
    }

    pub(crate) fn release(&mut self, extents: &[Extent]) {
        for extent in extents {
            let length = u64::from(extent.length);
            self.used = self.used.saturating_sub(length);
            self.free(extent.physical.0..extent.physical.0 + length);
        }
    }

    fn free(&mut self, range: Range<u64>) {
        self.free_ranges.insert(range);
        if let Some(start) = self.free_ranges.take_ending_at(self.cursor.0) {
            self.cursor = BlockNumber(start);
            self.run_end = self.backups.run_end(self.cursor);
        }
    }

    /// Takes up to `count` blocks from the lowest hole, for content that moves down.
    pub(crate) fn take_lowest(&mut self, count: u64) -> Option<Range<u64>> {
        let range = self.free_ranges.take_lowest(count)?;
        self.used += range.end - range.start;
        Some(range)
    }

    /// Counts only `extents`, sorted by address, as in use: contents that were dropped become free.
    pub(crate) fn keep_only(&mut self, extents: impl Iterator<Item = Range<u64>>) {
        self.free_ranges = FreeRanges::new();
        self.used = 0;
        let mut at = self.backups.next_usable(BlockNumber(0));
        for range in extents {
            self.free_between(at, range.start);
            self.used += range.end - range.start;
            at = BlockNumber(range.end);
        }
        self.cursor = at;
        self.run_end = if self.backups.next_usable(at) == at {
            self.backups.run_end(at)
        } else {
            at
        };
    }

    fn free_between(&mut self, from: BlockNumber, to: u64) {
        let mut at = self.backups.next_usable(from);
        while at.0 < to {
            let end = self.backups.run_end(at).0.min(to);
            self.free_ranges.insert(at.0..end);
            at = self.backups.next_usable(BlockNumber(end));
        }
    }
}
