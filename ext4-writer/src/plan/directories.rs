//! Directories: one block, or a hash tree of blocks.

use super::geometry::Geometry;
use crate::number::Fit;

/// Bytes of the entry of a name.
pub(crate) fn entry_bytes(name_length: usize) -> usize {
    (8 + name_length).next_multiple_of(4)
}

/// Bytes of `.` and `..`.
pub(crate) const DOTS_BYTES: usize = 24;

/// Distributes entries over blocks, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafFiller {
    limit: usize,
    used: usize,
    pub(crate) leaves: u32,
}

impl LeafFiller {
    /// Leaves of an indexed directory, with some of each left free for later names.
    pub(crate) fn indexed(geometry: Geometry, slack_percent: u8) -> Self {
        let bytes = geometry.directory_bytes();
        Self {
            limit: bytes - bytes * usize::from(slack_percent) / 100,
            used: 0,
            leaves: 0,
        }
    }

    /// Blocks of a directory without index; the first begins with `.` and `..`.
    pub(crate) fn linear(geometry: Geometry) -> Self {
        Self {
            limit: geometry.directory_bytes(),
            used: DOTS_BYTES,
            leaves: 1,
        }
    }

    /// Whether the entry begins a new leaf.
    pub(crate) fn add(&mut self, name_length: usize) -> bool {
        let bytes = entry_bytes(name_length);
        let fresh = self.leaves == 0 || self.used + bytes > self.limit;
        if fresh {
            self.leaves += 1;
            self.used = 0;
        }
        self.used += bytes;
        fresh
    }
}

/// An index: the number of nodes on each level below the root, from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexShape {
    pub(crate) node_levels: Vec<u32>,
    pub(crate) leaves: u32,
}

/// Entries of an htree root block: after `.`, `..` and 8 bytes about the tree.
pub(crate) fn root_limit(geometry: Geometry) -> u32 {
    (geometry.block_size - 32 - if geometry.checksums { 8 } else { 0 }) / 8
}

/// Entries of an htree node block: after one empty directory entry.
pub(crate) fn node_limit(geometry: Geometry) -> u32 {
    (geometry.block_size - 8 - if geometry.checksums { 8 } else { 0 }) / 8
}

impl IndexShape {
    /// The flattest index over so many leaves.
    pub(crate) fn new(leaves: u32, geometry: Geometry) -> Self {
        let mut node_levels = Vec::new();
        let mut level = leaves;
        while level > root_limit(geometry) {
            level = level.div_ceil(node_limit(geometry));
            node_levels.insert(0, level);
        }
        Self {
            node_levels,
            leaves,
        }
    }

    /// `indirect_levels` of the root.
    pub(crate) fn levels(&self) -> u32 {
        self.node_levels.len().fit_u32()
    }

    /// All blocks, the root included.
    pub(crate) fn blocks(&self) -> u32 {
        1 + self.node_levels.iter().sum::<u32>() + self.leaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::FormatOptions;

    #[test]
    fn index_levels_appear_at_the_format_s_boundaries() {
        let geometry = Geometry::new(&FormatOptions::default());
        assert_eq!((root_limit(geometry), node_limit(geometry)), (507, 510));
        assert_eq!(IndexShape::new(507, geometry).blocks(), 508);
        assert_eq!(IndexShape::new(508, geometry).node_levels, [1]);
        assert_eq!(IndexShape::new(507 * 510, geometry).node_levels, [507]);
        assert_eq!(IndexShape::new(507 * 510 + 1, geometry).levels(), 2);
    }
}
