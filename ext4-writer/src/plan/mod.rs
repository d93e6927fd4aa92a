//! Every number of the image, as values. Knows no bytes, files or clocks.

mod backup_geometry;
mod census;
mod demand;
mod directories;
mod extents;
mod geometry;
mod layout;
mod quota;
mod size;
mod system;
mod written;
mod xattrs;

use std::collections::BTreeMap;
use std::ops::Range;

pub(crate) use self::backup_geometry::{BackupGeometry, BackupGroups, is_sparse};
pub(crate) use self::census::{Census, FAST_SYMLINK_BYTES, INLINE_BYTES};
pub(crate) use self::demand::{Demand, Dimensions};
pub(crate) use self::directories::{
    DOTS_BYTES, IndexShape, LeafFiller, entry_bytes, node_limit, root_limit,
};
pub(crate) use self::extents::{MAX_EXTENT_BLOCKS, ROOT_RECORDS, index_blocks};
pub(crate) use self::geometry::{Geometry, LOG_GROUPS_PER_FLEX};
pub(crate) use self::layout::{Layout, SystemFile};
pub(crate) use self::quota::{
    ENTRIES_PER_UNIT as QUOTA_ENTRIES_PER_UNIT, PREFIX_SHIFTS as QUOTA_PREFIX_SHIFTS,
    UNIT_BYTES as QUOTA_UNIT_BYTES,
};
pub(crate) use self::size::{Sized, Sizer};
pub(crate) use self::system::SystemKind;
pub(crate) use self::xattrs::{
    BLOCK_HEADER_BYTES, Home, MAX_SHARES, entry_bytes as xattr_entry_bytes,
    value_bytes as xattr_value_bytes,
};
use crate::checksum::Checksums;
use crate::content::BlockAllocator;
use crate::dir_hash::NameHasher;
use crate::ids::{BlockNumber, GroupNumber};
use crate::number::{Fit, Widen};
use crate::options::{Features, FormatOptions};

/// The whole image but for what the tree itself holds.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) census: Census,
    pub(crate) sized: Sized,
    pub(crate) used: UsedBlocks,
    pub(crate) checksums: Checksums,
    pub(crate) hasher: NameHasher,
}

impl Plan {
    pub(crate) fn new(
        census: Census,
        sized: Sized,
        options: &FormatOptions,
        allocator: &BlockAllocator,
    ) -> Self {
        let used = UsedBlocks::new(&sized, allocator);
        let csum = options.features.contains(Features::METADATA_CSUM);
        let seed = options.effective_hash_seed();
        Self {
            census,
            used,
            checksums: Checksums::new(csum, options.uuid.as_bytes()),
            hasher: NameHasher::new(options.hash_algorithm, seed.as_bytes()),
            sized,
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.sized.backups.geometry
    }

    pub(crate) fn backups(&self) -> &BackupGeometry {
        &self.sized.backups
    }

    pub(crate) fn dimensions(&self) -> &Dimensions {
        &self.sized.dimensions
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.sized.layout
    }

    /// A file of the filesystem itself, where this one has it.
    pub(crate) fn system_file(&self, kind: SystemKind) -> Option<&SystemFile> {
        self.layout()
            .system_files
            .get(kind.index())
            .filter(|file| !file.runs.is_empty())
    }

    /// Length of the journal in bytes.
    pub(crate) fn journal_bytes(&self) -> u64 {
        let blocks = self
            .system_file(SystemKind::Journal)
            .map_or(0, SystemFile::blocks);
        blocks * u64::from(self.geometry().block_size)
    }

    /// Groups with a copy of superblock and old-style descriptors, the first not among them.
    pub(crate) fn backup_groups(&self) -> impl Iterator<Item = GroupNumber> {
        (1..self.dimensions().groups)
            .map(GroupNumber)
            .filter(|group| self.backups().has_superblock(*group))
    }

    /// Blocks of a group that the filesystem has.
    pub(crate) fn group_blocks(&self, group: GroupNumber) -> u32 {
        let start = self.geometry().group_start(group).0;
        let left = self.dimensions().blocks - start;
        left.min(u64::from(self.geometry().blocks_per_group))
            .fit_u32()
    }
}

/// Blocks in use, as sorted disjoint ranges.
#[derive(Debug, Default)]
pub(crate) struct UsedBlocks {
    ranges: BTreeMap<u64, u64>,
}

impl UsedBlocks {
    fn new(sized: &Sized, allocator: &BlockAllocator) -> Self {
        let mut used = Self::default();
        let Sized {
            backups,
            dimensions,
            layout,
            ..
        } = sized;
        let geometry = backups.geometry;
        // The front and everything up to the zone's end, but for what was released or passed over.
        used.add(0..layout.zone_end.0);
        for range in allocator
            .free_ranges()
            .iter()
            .chain(layout.gaps.iter().cloned())
        {
            used.remove(range);
        }
        for group in (0..dimensions.groups).map(GroupNumber) {
            used.set_descriptors(backups, dimensions, group);
            let at = &layout.groups[group.0.to_usize()];
            used.add(at.block_bitmap.0..at.block_bitmap.0 + 1);
            used.add(at.inode_bitmap.0..at.inode_bitmap.0 + 1);
            let table = at.inode_table.0;
            used.add(table..table + u64::from(dimensions.table_blocks));
        }
        if geometry.first_data_block > 0 {
            used.remove(0..1);
        }
        used
    }

    /// Superblock and descriptors, old and new style; what the area keeps beyond them is free.
    fn set_descriptors(
        &mut self,
        backups: &BackupGeometry,
        dimensions: &Dimensions,
        group: GroupNumber,
    ) {
        let start = backups.geometry.group_start(group).0;
        let kept = start + u64::from(backups.reserved(group));
        let mut end = start;
        if backups.has_superblock(group) {
            let old_style = group.0 / backups.geometry.descriptors_per_block() < backups.area;
            let area =
                dimensions.descriptor_blocks.min(backups.area) + dimensions.reserved_descriptors;
            end += 1 + if old_style { u64::from(area) } else { 0 };
        }
        end += u64::from(backups.has_meta_descriptors(group));
        self.remove(start..kept);
        self.add(start..end);
    }

    fn add(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        if start >= end {
            return;
        }
        if let Some((&before, &stop)) = self.ranges.range(..=start).next_back()
            && stop >= start
        {
            start = before;
            end = end.max(stop);
        }
        while let Some((&after, &stop)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&after);
            end = end.max(stop);
        }
        self.ranges.insert(start, end);
    }

    fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((&before, &stop)) = self.ranges.range(..range.start).next_back()
            && stop > range.start
        {
            self.ranges.insert(before, range.start);
            if stop > range.end {
                self.ranges.insert(range.end, stop);
            }
        }
        while let Some((&start, &stop)) = self.ranges.range(range.clone()).next() {
            self.ranges.remove(&start);
            if stop > range.end {
                self.ranges.insert(range.end, stop);
            }
        }
    }

    /// The parts of used ranges that lie in `window`.
    pub(crate) fn within(&self, window: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let before = self.ranges.range(..window.start).next_back();
        let inside = self.ranges.range(window.clone());
        before
            .into_iter()
            .chain(inside)
            .map(move |(&start, &end)| start.max(window.start)..end.min(window.end))
            .filter(|range| !range.is_empty())
    }
}

/// The first block after content that fills everything from the front, as if nothing was ever released.
pub(crate) fn packed_end(backups: &BackupGeometry, blocks: u64) -> BlockNumber {
    backups.after(backups.next_usable(BlockNumber(0)), blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn used_ranges_agree_with_a_set_of_blocks(steps in prop::collection::vec((0_u64..120, 0_u64..30, any::<bool>()), 0..60)) {
            let mut used = UsedBlocks::default();
            let mut model = std::collections::BTreeSet::new();
            for (start, count, add) in steps {
                let range = start..start + count;
                if add {
                    model.extend(range.clone());
                    used.add(range);
                } else {
                    model.retain(|block| !range.contains(block));
                    used.remove(range);
                }
                prop_assert!(used.within(0..200).flatten().eq(model.iter().copied()));
                prop_assert!(used.within(17..91).flatten().eq(model.iter().copied().filter(|b| (17..91).contains(b))));
            }
        }
    }
}
