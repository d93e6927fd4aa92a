//! What is counted while groups are encoded, for the superblocks.

/// Free space of the finished filesystem.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) free_blocks: u64,
    pub(crate) free_inodes: u64,
}
