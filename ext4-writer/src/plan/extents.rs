//! Extent trees: how many records and index blocks a file needs.

use crate::content::Extent;

/// The longest run of one record; higher values mean "not written yet" on disk.
pub(crate) const MAX_EXTENT_BLOCKS: u32 = 32_768;
/// Records that fit the inode itself.
pub(crate) const ROOT_RECORDS: u64 = 4;

/// Records on disk for a list of extents.
pub(crate) fn records(extents: &[Extent]) -> u64 {
    extents
        .iter()
        .map(|extent| u64::from(extent.length.div_ceil(MAX_EXTENT_BLOCKS)))
        .sum()
}

/// Blocks below the inode of a tree of so many records, with `per_block` records in a block.
///
/// Each level is packed full, as e2fsck offers to rebuild anything looser.
pub(crate) fn index_blocks(records: u64, per_block: u32) -> u64 {
    let mut level = records;
    let mut total = 0;
    while level > ROOT_RECORDS {
        level = level.div_ceil(u64::from(per_block));
        total += level;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_appear_at_the_format_s_boundaries() {
        for (records, blocks) in [
            (0, 0),
            (4, 0),
            (5, 1),
            (340, 1),
            (341, 2),
            (1360, 4),
            (1361, 5 + 1),
        ] {
            assert_eq!(index_blocks(records, 340), blocks, "{records}");
        }
    }
}
