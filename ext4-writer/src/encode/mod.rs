//! Turns a plan and its tree into blocks. Pure: what it makes goes to a [`BlockSink`].

mod directories;
mod extent_blocks;
mod extents;
mod groups;
mod inodes;
mod quota;
mod superblock;
mod system_file;
mod system_inodes;
mod totals;
mod xattrs;

use crate::content::Content;
use crate::error::Error;
use crate::ids::{BlockNumber, InodeNumber};
use crate::number::Fit;
use crate::options::FormatOptions;
use crate::plan::{BackupGeometry, Plan, SystemKind};
use crate::tree::{FileTree, NodeIndex};

pub(crate) use self::superblock::primary;
pub(crate) use self::totals::Totals;

/// Takes blocks in any order; shorter input is padded with zeros.
pub(crate) trait BlockSink {
    fn put(&mut self, block: BlockNumber, bytes: &[u8]) -> Result<(), Error>;
}

/// What every encoder reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) tree: &'a FileTree<Content>,
    pub(crate) options: &'a FormatOptions,
}

impl Source<'_> {
    /// Nodes with their numbers, the root first.
    fn inodes(&self) -> impl Iterator<Item = (InodeNumber, NodeIndex)> {
        let first = InodeNumber::FIRST_FREE.0;
        let order = self.plan.census.order.iter().enumerate();
        let others = order.map(move |(at, &node)| (InodeNumber(first + at.fit_u32()), node));
        std::iter::once((InodeNumber::ROOT, NodeIndex::ROOT)).chain(others)
    }
}

/// Encodes everything but the primary superblock, which must come last.
pub(crate) fn encode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<Totals, Error> {
    let (plan, mut sink) = (source.plan, Counted { sink, blocks: 0 });
    directories::encode(source, &mut sink)?;
    sink.check("directories", plan.census.directory_blocks);
    extent_blocks::encode(source, &mut sink)?;
    sink.check("symlinks and extents", plan.layout().extent_block_count);
    xattrs::encode_blocks(source, &mut sink)?;
    sink.check("attributes", plan.census.xattrs.blocks);
    xattrs::encode_values(source, &mut sink)?;
    let values = plan.census.xattrs.values.iter().map(|value| value.blocks);
    sink.check("attribute values", values.sum());
    system_file::encode_journal(source, &mut sink)?;
    let journal = plan.system_file(SystemKind::Journal);
    sink.check("journal", journal.map_or(0, |file| 1 + file.index_blocks()));
    system_file::encode_orphans(source, &mut sink)?;
    sink.check("orphan file", plan.system_blocks(SystemKind::OrphanFile));
    let counts = inodes::encode(source, &mut sink)?;
    sink.check("inode tables", plan.used_table_blocks());
    quota::encode(source, &counts.usages, &mut sink)?;
    let quotas = SystemKind::QUOTAS.map(|kind| plan.system_blocks(kind));
    sink.check("quota files", quotas.into_iter().sum());
    let totals = groups::encode(source, &counts.directories, &mut sink)?;
    sink.check("groups", plan.group_metadata_blocks());
    Ok(totals)
}

/// Counts blocks on their way, for the comparison with the plan.
struct Counted<'a, S> {
    sink: &'a mut S,
    blocks: u64,
}

impl<S: BlockSink> Counted<'_, S> {
    /// Holds that as many blocks were written since the last check as were planned.
    fn check(&mut self, what: &str, planned: u64) {
        debug_assert_eq!(
            self.blocks, planned,
            "blocks of {what}: written and planned"
        );
        self.blocks = 0;
    }
}

impl<S: BlockSink> BlockSink for Counted<'_, S> {
    fn put(&mut self, block: BlockNumber, bytes: &[u8]) -> Result<(), Error> {
        self.blocks += 1;
        self.sink.put(block, bytes)
    }
}

/// Hands out blocks one after another, kept places left out.
struct Walker<'a> {
    backups: &'a BackupGeometry,
    at: BlockNumber,
}

impl<'a> Walker<'a> {
    fn new(backups: &'a BackupGeometry, start: BlockNumber) -> Self {
        Self { backups, at: start }
    }

    fn next(&mut self) -> BlockNumber {
        let block = self.backups.next_usable(self.at);
        self.at = block.plus(1);
        block
    }

    fn take(&mut self, count: u64) -> Vec<BlockNumber> {
        (0..count).map(|_| self.next()).collect()
    }
}
