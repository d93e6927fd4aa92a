//! Sizes that hold for the whole filesystem, whatever its length.

use crate::ids::{BlockNumber, GroupNumber};
use crate::number::{Fit, Widen};
use crate::options::{Features, FormatOptions};

/// Sizes and counts that follow from block, inode and descriptor size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) block_size: u32,
    /// 1 with blocks of 1 KiB, as the first 1,024 bytes are for a boot loader; else 0.
    pub(crate) first_data_block: u32,
    pub(crate) blocks_per_group: u32,
    pub(crate) descriptor_size: u32,
    pub(crate) inode_size: u32,
    pub(crate) checksums: bool,
}

/// `log2` of the groups that share their metadata's place (`s_log_groups_per_flex`), as mke2fs has it.
pub(crate) const LOG_GROUPS_PER_FLEX: u8 = 4;
/// Groups that share their metadata's place.
pub(crate) const GROUPS_PER_FLEX: u32 = 1 << LOG_GROUPS_PER_FLEX;

impl Geometry {
    pub(crate) fn new(options: &FormatOptions) -> Self {
        let block_size = options.block_size.bytes();
        Self {
            block_size,
            first_data_block: u32::from(block_size == 1024),
            blocks_per_group: block_size * 8,
            descriptor_size: if options.features.contains(Features::BIT64) {
                64
            } else {
                32
            },
            inode_size: u32::from(options.inode_size.bytes()),
            checksums: options.features.contains(Features::METADATA_CSUM),
        }
    }

    pub(crate) fn group_start(self, group: GroupNumber) -> BlockNumber {
        let first = u64::from(self.first_data_block);
        BlockNumber(first + u64::from(group.0) * u64::from(self.blocks_per_group))
    }

    /// The group of a block; the boot block counts with group 0.
    pub(crate) fn group_of(self, block: BlockNumber) -> GroupNumber {
        let past = block.0.saturating_sub(u64::from(self.first_data_block));
        GroupNumber((past / u64::from(self.blocks_per_group)).fit_u32())
    }

    /// Groups of a filesystem of `blocks` blocks; for more blocks than any has, as many as a number has room for.
    pub(crate) fn groups(self, blocks: u64) -> u32 {
        let past = blocks.saturating_sub(u64::from(self.first_data_block));
        let groups = past.div_ceil(u64::from(self.blocks_per_group));
        u32::try_from(groups).unwrap_or(u32::MAX)
    }

    pub(crate) fn descriptors_per_block(self) -> u32 {
        self.block_size / self.descriptor_size
    }

    pub(crate) fn descriptor_blocks(self, groups: u32) -> u32 {
        groups.div_ceil(self.descriptors_per_block())
    }

    pub(crate) fn inodes_per_block(self) -> u32 {
        self.block_size / self.inode_size
    }

    /// Block numbers in an indirect block.
    pub(crate) fn addresses_per_block(self) -> u32 {
        self.block_size / 4
    }

    /// Extents, or index entries, in a block of an extent tree, the checksum's tail left free.
    pub(crate) fn extents_per_block(self) -> u32 {
        (self.block_size - 12 - 4) / 12
    }

    /// Bytes of a directory block that entries may use.
    pub(crate) fn directory_bytes(self) -> usize {
        self.block_size.to_usize() - if self.checksums { 12 } else { 0 }
    }

    /// Bytes left in an inode for extended attributes, the magic number taken off.
    pub(crate) fn inode_xattr_bytes(self) -> usize {
        self.inode_size
            .to_usize()
            .saturating_sub(128 + usize::from(self.extra_isize()) + 4)
    }

    /// `i_extra_isize`: up to and with `i_projid`.
    pub(crate) fn extra_isize(self) -> u16 {
        if self.inode_size > 128 { 32 } else { 0 }
    }

    /// Units of 512 bytes in a block.
    pub(crate) fn sectors_per_block(self) -> u64 {
        u64::from(self.block_size / 512)
    }
}
