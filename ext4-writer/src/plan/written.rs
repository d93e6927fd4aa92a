//! How many blocks are written of what has no count elsewhere in the plan.

use std::collections::BTreeSet;

use super::{Plan, SystemFile, SystemKind};
use crate::ids::{GroupNumber, InodeNumber};
use crate::number::Widen;

impl Plan {
    /// Blocks of a file of the filesystem itself and of its extent tree; none where there is no such file.
    pub(crate) fn system_blocks(&self, kind: SystemKind) -> u64 {
        let blocks = |file: &SystemFile| file.blocks() + file.index_blocks();
        self.system_file(kind).map_or(0, blocks)
    }

    /// Blocks of inode tables that hold an inode in use; all others read as zeros.
    pub(crate) fn used_table_blocks(&self) -> u64 {
        let per_group = u64::from(self.dimensions().inodes_per_group);
        let per_block = u64::from(self.geometry().inodes_per_block());
        let first_free = u64::from(InodeNumber::FIRST_FREE.0);
        let block_of = |inode: u64| {
            let index = inode - 1;
            (index / per_group, index % per_group / per_block)
        };
        let inodes = self.census.inodes();
        let whole = inodes / per_group * per_group.div_ceil(per_block);
        let all = whole + (inodes % per_group).div_ceil(per_block);
        let reserved = SystemKind::ALL
            .into_iter()
            .filter(|kind| self.system_file(*kind).is_some())
            .filter_map(SystemKind::reserved_inode)
            .chain(self.layout().resize_block.map(|_| InodeNumber::RESIZE))
            .chain([InodeNumber::ROOT]);
        let used: BTreeSet<(u64, u64)> = reserved
            .map(|inode| u64::from(inode.0))
            .chain(first_free..=inodes.min(first_free + per_block))
            .map(block_of)
            .collect();
        let unused: BTreeSet<(u64, u64)> = (1..first_free)
            .map(block_of)
            .filter(|block| !used.contains(block))
            .collect();
        all - unused.len().to_u64()
    }

    /// Bitmaps, descriptors, superblocks but the first, and the blocks of the resize inode.
    pub(crate) fn group_metadata_blocks(&self) -> u64 {
        let (backups, dimensions) = (self.backups(), self.dimensions());
        let per_block = self.geometry().descriptors_per_block();
        let copies = (0..dimensions.groups).map(|group| {
            let old_style = group / per_block < backups.area;
            let group = GroupNumber(group);
            let mut blocks = u64::from(backups.has_meta_descriptors(group));
            if backups.has_superblock(group) {
                blocks += u64::from(group.0 > 0);
                let descriptors = dimensions.descriptor_blocks.min(backups.area);
                blocks += if old_style { descriptors.into() } else { 0 };
            }
            blocks
        });
        let resize = self
            .layout()
            .resize_block
            .map_or(0, |_| 1 + u64::from(dimensions.reserved_descriptors));
        2 * u64::from(dimensions.groups) + copies.sum::<u64>() + resize
    }
}
