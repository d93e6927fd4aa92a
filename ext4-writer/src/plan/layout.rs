//! Addresses of everything that is not content.
//!
//! From the first free block after the content: directories, symlink targets and extent blocks, attribute blocks,
//! attribute values, the resize inode's block, the journal, then bitmaps and inode tables of every flex group that content reached.
//! Later flex groups have theirs at their own start, as mke2fs does.

use std::ops::Range;

use super::backup_geometry::BackupGeometry;
use super::demand::{Demand, Dimensions};
use super::extents;
use super::geometry::GROUPS_PER_FLEX;
use crate::ids::{BlockNumber, GroupNumber};
use crate::number::Widen;

/// A file of the filesystem itself: its blocks, and those of its extent tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SystemFile {
    pub(crate) runs: Vec<Range<u64>>,
    pub(crate) index: Vec<Range<u64>>,
}

impl SystemFile {
    pub(crate) fn blocks(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    pub(crate) fn index_blocks(&self) -> u64 {
        self.index.iter().map(|run| run.end - run.start).sum()
    }
}

/// Addresses of bitmaps and inode table of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupAddresses {
    pub(crate) block_bitmap: BlockNumber,
    pub(crate) inode_bitmap: BlockNumber,
    pub(crate) inode_table: BlockNumber,
}

/// Where everything but content lies.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) directories: BlockNumber,
    /// Symlink targets and extent blocks, in the order of inode numbers.
    pub(crate) extent_blocks: BlockNumber,
    pub(crate) extent_block_count: u64,
    pub(crate) xattrs: BlockNumber,
    pub(crate) values: BlockNumber,
    pub(crate) resize_block: Option<BlockNumber>,
    pub(crate) system_files: Vec<SystemFile>,
    pub(crate) groups: Vec<GroupAddresses>,
    /// The first block after everything in the zone that content shares.
    pub(crate) zone_end: BlockNumber,
    /// Gaps in that zone, left where a table would have crossed a backup.
    pub(crate) gaps: Vec<Range<u64>>,
    /// The first block after everything; the filesystem must not be shorter.
    pub(crate) end: BlockNumber,
}

/// Moves through usable blocks.
struct Cursor<'a> {
    backups: &'a BackupGeometry,
    at: BlockNumber,
    gaps: Vec<Range<u64>>,
}

impl Cursor<'_> {
    /// The first of `count` blocks, kept places in between left out.
    fn take(&mut self, count: u64) -> BlockNumber {
        let start = self.backups.next_usable(self.at);
        if count > 0 {
            self.at = self.backups.after(start, count);
        }
        start
    }

    fn take_runs(&mut self, count: u64) -> Vec<Range<u64>> {
        let start = self.take(count);
        self.backups.runs(start, count).collect()
    }

    /// The first of `count` blocks without anything in between.
    fn take_contiguous(&mut self, count: u64) -> Option<BlockNumber> {
        let from = self.backups.next_usable(self.at);
        let start = self.backups.contiguous(from, count)?;
        let mut at = from;
        while at < start {
            let end = self.backups.run_end(at).min(start);
            self.gaps.push(at.0..end.0);
            at = self.backups.next_usable(end);
        }
        self.at = start.plus(count);
        Some(start)
    }
}

impl Layout {
    /// Places everything after `start`. The result may end beyond the filesystem, which then is too small;
    /// `None` where an inode table fits between no two backups.
    pub(crate) fn new(
        backups: &BackupGeometry,
        demand: &Demand<'_>,
        dimensions: &Dimensions,
        start: BlockNumber,
    ) -> Option<Self> {
        let mut cursor = Cursor {
            backups,
            at: start,
            gaps: Vec::new(),
        };
        let census = demand.census;
        let directories = cursor.take(census.directory_blocks);
        let per_block = backups.geometry.extents_per_block();
        let long: u64 = census
            .long_directories
            .iter()
            .map(|&(offset, blocks)| {
                let first = backups.after(directories, offset);
                let records = run_records(backups.runs(first, u64::from(blocks)));
                extents::index_blocks(records, per_block)
            })
            .sum();
        let extent_block_count = demand.extent_block_count + long;
        let extent_blocks = cursor.take(extent_block_count);
        let xattrs = cursor.take(census.xattrs.blocks);
        let values = cursor.take(demand.value_blocks);
        let resize_block = (dimensions.reserved_descriptors > 0).then(|| cursor.take(1));
        let system_files = dimensions
            .system_files
            .iter()
            .map(|&blocks| {
                let runs = cursor.take_runs(blocks);
                let records = run_records(runs.iter().cloned());
                let index = cursor.take_runs(extents::index_blocks(records, per_block));
                SystemFile { runs, index }
            })
            .collect();
        let mut layout = Self {
            directories,
            extent_blocks,
            extent_block_count,
            xattrs,
            values,
            resize_block,
            system_files,
            groups: vec![GroupAddresses::default(); dimensions.groups.to_usize()],
            zone_end: cursor.at,
            gaps: Vec::new(),
            end: cursor.at,
        };
        layout.place_groups(backups, dimensions, cursor)?;
        Some(layout)
    }

    fn place_groups(
        &mut self,
        backups: &BackupGeometry,
        dimensions: &Dimensions,
        mut zone: Cursor<'_>,
    ) -> Option<()> {
        let flex_groups = dimensions.groups.div_ceil(GROUPS_PER_FLEX);
        let members = |flex: u32| {
            let first = flex * GROUPS_PER_FLEX;
            first..(first + GROUPS_PER_FLEX).min(dimensions.groups)
        };
        let tables = u64::from(dimensions.table_blocks);
        let last = flex_groups.checked_sub(1)?;
        let last_has_room = last > 0 && {
            let mut own = flex_cursor(backups, members(last));
            let mut trial = vec![GroupAddresses::default(); members(last).len()];
            place_flex(&mut own, &mut trial, tables)?;
            own.at.0 <= dimensions.blocks
        };
        if last > 0 && !last_has_room {
            place_flex(&mut zone, &mut self.groups[range(members(last))], tables)?;
        }
        for flex in 0..flex_groups {
            if flex == last && last > 0 && !last_has_room {
                continue;
            }
            let mut own = flex_cursor(backups, members(flex));
            let groups = &mut self.groups[range(members(flex))];
            if flex == 0 || own.at < zone.at {
                place_flex(&mut zone, groups, tables)?;
            } else {
                place_flex(&mut own, groups, tables)?;
                self.end = self.end.max(own.at);
            }
        }
        self.zone_end = zone.at;
        self.end = self.end.max(zone.at);
        self.gaps = zone.gaps;
        Some(())
    }
}

fn range(groups: Range<u32>) -> Range<usize> {
    groups.start.to_usize()..groups.end.to_usize()
}

fn flex_cursor(backups: &BackupGeometry, members: Range<u32>) -> Cursor<'_> {
    let start = backups.geometry.group_start(GroupNumber(members.start));
    Cursor {
        backups,
        at: backups.next_usable(start),
        gaps: Vec::new(),
    }
}

/// Block bitmaps, inode bitmaps and tables, each kind together.
fn place_flex(cursor: &mut Cursor<'_>, groups: &mut [GroupAddresses], tables: u64) -> Option<()> {
    for group in groups.iter_mut() {
        group.block_bitmap = cursor.take(1);
    }
    for group in groups.iter_mut() {
        group.inode_bitmap = cursor.take(1);
    }
    for group in groups.iter_mut() {
        group.inode_table = cursor.take_contiguous(tables)?;
    }
    Some(())
}

/// Extent records of a list of runs.
pub(crate) fn run_records(runs: impl Iterator<Item = Range<u64>>) -> u64 {
    runs.map(|run| (run.end - run.start).div_ceil(u64::from(extents::MAX_EXTENT_BLOCKS)))
        .sum()
}
