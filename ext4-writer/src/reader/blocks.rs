//! Where the blocks of a file lie: extent trees, and the block maps of ext2 and ext3.
//!
//! <https://docs.kernel.org/filesystems/ext4/ifork.html>

use std::ops::ControlFlow;

use zerocopy::FromBytes;

use super::{ImageReader, Inode, ReadAt, ReadError};
use crate::checksum::raw;
use crate::disk::extent::{Header, Index, Leaf, MAGIC, RECORD_BYTES};
use crate::disk::inode::{BLOCK_BYTES, flags};

/// The deepest extent tree that the kernel makes (`EXT4_MAX_EXTENT_DEPTH`).
const MAX_DEPTH: u16 = 5;
/// Lengths above this are of extents that were allocated and never written; they read as zeros.
const MAX_WRITTEN: u16 = 32_768;
/// Bytes of the checksum behind the records of an extent block.
const TAIL_BYTES: usize = 4;
/// Blocks that the inode itself points to in a block map; singly, doubly and triply indirect blocks follow.
const DIRECT: usize = 12;

/// Consecutive blocks of a file that lie one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first block's place in the file.
    pub(super) logical: u64,
    /// The first block's place in the filesystem.
    pub(super) physical: u64,
    pub(super) blocks: u64,
}

/// What takes the runs of a file, in order; it may have enough.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Run) -> Result<ControlFlow<()>, ReadError>;

impl<S: ReadAt> ImageReader<'_, S> {
    /// Shows the runs of the first `count` blocks of a file. What lies between them is a hole.
    pub(super) fn runs(
        &self,
        inode: &Inode,
        count: u64,
        visit: Visit<'_>,
    ) -> Result<(), ReadError> {
        match inode.has(flags::EXTENTS) {
            true => self.extents(inode, count, visit),
            false => self.block_map(inode, count, visit),
        }
    }

    fn extents(&self, inode: &Inode, count: u64, visit: Visit<'_>) -> Result<(), ReadError> {
        let root = Node::new(inode, &inode.raw.block, None, 0..1 << 32)?;
        let mut path = vec![root];
        while let Some(node) = path.last_mut() {
            let Some(record) = node.next() else {
                path.pop();
                continue;
            };
            self.budget.entry()?;
            match record {
                Record::Run { run, written } => {
                    node.advance(inode, run.logical, run.blocks)?;
                    if run.logical >= count {
                        return Ok(());
                    }
                    if written && visit(run)?.is_break() {
                        return Ok(());
                    }
                }
                Record::Child { logical, block } => {
                    node.advance(inode, logical, 0)?;
                    if logical >= count {
                        return Ok(());
                    }
                    let (depth, end) = (node.depth, node.next_logical());
                    let bytes = self.block(block)?;
                    self.check_extent_block(inode, &bytes)?;
                    path.push(Node::new(inode, &bytes, Some(depth), logical..end)?);
                }
            }
        }
        Ok(())
    }

    fn check_extent_block(&self, inode: &Inode, bytes: &[u8]) -> Result<(), ReadError> {
        let Some(seed) = self.geometry.checksum_seed else {
            return Ok(());
        };
        let header = Header::read_from_prefix(bytes).map(|(header, _)| header);
        let max = header.map_or(0, |header| usize::from(header.max.get()));
        let end = RECORD_BYTES * (max + 1);
        let stored = bytes
            .get(end..end + TAIL_BYTES)
            .and_then(|tail| tail.first_chunk());
        if stored.map(|stored| u32::from_le_bytes(*stored))
            != Some(raw(inode.seed(seed), &bytes[..end.min(bytes.len())]))
        {
            return Err(inode.corrupt("has an extent block with a wrong checksum"));
        }
        Ok(())
    }

    fn block_map(&self, inode: &Inode, count: u64, visit: Visit<'_>) -> Result<(), ReadError> {
        let mut merged = Merged { run: None, visit };
        let mut logical = 0;
        for index in 0..DIRECT + 3 {
            if logical >= count {
                break;
            }
            let block = pointer(&inode.raw.block, index);
            let levels = (index + 1).saturating_sub(DIRECT) as u32;
            let map = Indirect {
                levels,
                count,
                logical,
            };
            if self.indirect(block, &map, &mut merged)?.is_break() {
                return Ok(());
            }
            logical = logical.saturating_add(self.span(levels));
        }
        merged.finish()
    }

    /// Blocks of a file that a pointer with so many levels below it stands for.
    fn span(&self, levels: u32) -> u64 {
        u64::from(self.geometry.block_size / 4).saturating_pow(levels)
    }

    /// The blocks below one pointer. Recursion goes three levels deep.
    fn indirect(
        &self,
        block: u32,
        map: &Indirect,
        merged: &mut Merged<'_>,
    ) -> Result<ControlFlow<()>, ReadError> {
        self.budget.entry()?;
        if block == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        if map.levels == 0 {
            return merged.add(map.logical, u64::from(block));
        }
        let pointers = self.block(u64::from(block))?;
        let span = self.span(map.levels - 1);
        for index in 0..pointers.len() / 4 {
            let below = Indirect {
                levels: map.levels - 1,
                count: map.count,
                logical: map
                    .logical
                    .saturating_add(span.saturating_mul(index as u64)),
            };
            if below.logical >= map.count {
                break;
            }
            if self
                .indirect(pointer(&pointers, index), &below, merged)?
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn pointer(bytes: &[u8], index: usize) -> u32 {
    let word = bytes.get(index * 4..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

/// A pointer of a block map.
struct Indirect {
    /// Levels of pointers below it.
    levels: u32,
    /// Blocks of the file that are wanted.
    count: u64,
    /// The first block of the file that it stands for.
    logical: u64,
}

/// Puts single blocks together to runs.
struct Merged<'a> {
    run: Option<Run>,
    visit: Visit<'a>,
}

impl Merged<'_> {
    fn add(&mut self, logical: u64, physical: u64) -> Result<ControlFlow<()>, ReadError> {
        if let Some(run) = &mut self.run
            && run.logical + run.blocks == logical
            && run.physical + run.blocks == physical
        {
            run.blocks += 1;
            return Ok(ControlFlow::Continue(()));
        }
        let new = Run {
            logical,
            physical,
            blocks: 1,
        };
        match self.run.replace(new) {
            Some(run) => (self.visit)(run),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn finish(self) -> Result<(), ReadError> {
        if let Some(run) = self.run {
            let _ = (self.visit)(run)?;
        }
        Ok(())
    }
}

/// A node of an extent tree, and how far it was read.
struct Node {
    records: Vec<[u8; RECORD_BYTES]>,
    position: usize,
    depth: u16,
    /// Blocks of the file that the node may map and that no record was seen of yet. They only ever shrink, so that no tree
    /// has more leaves than a file has blocks.
    range: std::ops::Range<u64>,
}

enum Record {
    Run { run: Run, written: bool },
    Child { logical: u64, block: u64 },
}

impl Node {
    fn new(
        inode: &Inode,
        bytes: &[u8],
        parent: Option<u16>,
        range: std::ops::Range<u64>,
    ) -> Result<Self, ReadError> {
        let (header, records) = Header::read_from_prefix(bytes)
            .map_err(|_| inode.corrupt("has an extent node without a header"))?;
        let (entries, depth) = (header.entries.get(), header.depth.get());
        let room = (bytes.len() / RECORD_BYTES).saturating_sub(1);
        if header.magic.get() != MAGIC {
            let magic = header.magic.get();
            return Err(inode.corrupt(format!("has an extent node with magic number {magic:#x}")));
        }
        if entries > header.max.get() || usize::from(entries) > room {
            return Err(inode.corrupt(format!("has an extent node of {entries} entries")));
        }
        let expected = parent.map(|depth| depth.saturating_sub(1));
        if depth > MAX_DEPTH || expected.is_some_and(|expected| depth != expected) {
            return Err(inode.corrupt(format!("has an extent node of depth {depth}")));
        }
        if parent.is_some() && entries == 0 {
            return Err(inode.corrupt("has an empty extent node"));
        }
        let (records, _) = records.as_chunks::<RECORD_BYTES>();
        Ok(Self {
            records: records[..usize::from(entries)].to_vec(),
            position: 0,
            depth,
            range,
        })
    }

    fn next(&mut self) -> Option<Record> {
        let bytes = self.records.get(self.position)?;
        self.position += 1;
        if self.depth == 0 {
            let leaf: Leaf = zerocopy::transmute!(*bytes);
            let length = leaf.len.get();
            let written = length <= MAX_WRITTEN;
            let run = Run {
                logical: leaf.block.get().into(),
                physical: u64::from(leaf.start_lo.get()) | u64::from(leaf.start_hi.get()) << 32,
                blocks: u64::from(if written {
                    length
                } else {
                    length - MAX_WRITTEN
                }),
            };
            return Some(Record::Run { run, written });
        }
        let index: Index = zerocopy::transmute!(*bytes);
        Some(Record::Child {
            logical: index.block.get().into(),
            block: u64::from(index.leaf_lo.get()) | u64::from(index.leaf_hi.get()) << 32,
        })
    }

    /// Where the record after the present one begins in the file, or where the node ends.
    fn next_logical(&self) -> u64 {
        let next = self.records.get(self.position);
        let next = next.map_or(self.range.end, |record| pointer(record, 0).into());
        next.min(self.range.end)
    }

    /// Goes on behind a record that maps `blocks` blocks from `logical` on, which must not go back.
    fn advance(&mut self, inode: &Inode, logical: u64, blocks: u64) -> Result<(), ReadError> {
        let end = logical + blocks;
        if logical < self.range.start || end > self.range.end || (self.depth == 0 && blocks == 0) {
            return Err(inode.corrupt(format!(
                "has an extent of {blocks} blocks at block {logical} out of order"
            )));
        }
        // A child covers at least one block, so that two records never share one.
        self.range.start = end.max(logical + u64::from(self.depth > 0));
        Ok(())
    }
}

const _: () = assert!(BLOCK_BYTES == RECORD_BYTES * 5);
const _: () = assert!(BLOCK_BYTES == (DIRECT + 3) * 4);
