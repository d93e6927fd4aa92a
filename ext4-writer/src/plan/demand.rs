//! What a filesystem must hold, and the numbers that follow from its size.

use super::census::{Census, extent_block_count};
use super::geometry::Geometry;
use crate::content::Content;
use crate::tree::FileTree;

/// Blocks that the tree needs beside its content, whatever the filesystem's size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    pub(crate) census: &'a Census,
    pub(crate) extent_block_count: u64,
    pub(crate) value_blocks: u64,
}

impl<'a> Demand<'a> {
    pub(crate) fn new(census: &'a Census, tree: &FileTree<Content>, geometry: Geometry) -> Self {
        Self {
            census,
            extent_block_count: tree
                .slots()
                .map(|node| extent_block_count(node, geometry))
                .sum(),
            value_blocks: census.xattrs.values.iter().map(|value| value.blocks).sum(),
        }
    }

    /// What the tree occupies on this filesystem, in blocks: what size rules call content.
    pub(crate) fn content_blocks(&self) -> u64 {
        self.census.content_blocks
            + self.census.directory_blocks
            + self.extent_block_count
            + self.census.xattrs.blocks
            + self.value_blocks
    }
}

/// Numbers that follow from the count of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dimensions {
    pub(crate) blocks: u64,
    pub(crate) groups: u32,
    pub(crate) inodes_per_group: u32,
    /// Blocks of one inode table.
    pub(crate) table_blocks: u32,
    /// Blocks of descriptors in use.
    pub(crate) descriptor_blocks: u32,
    /// Blocks after them kept for more; 0 without a resize inode.
    pub(crate) reserved_descriptors: u32,
    /// Whether descriptors beyond the area lie in the groups.
    pub(crate) meta_bg: bool,
    /// Blocks of each file of the filesystem itself, in the order of [`SystemKind::ALL`].
    pub(crate) system_files: Vec<u64>,
}
