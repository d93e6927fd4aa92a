//! Numbers that must not be mistaken for one another.

/// Address of a block of the filesystem, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockNumber(pub(crate) u64);

impl BlockNumber {
    pub(crate) fn plus(self, blocks: u64) -> Self {
        Self(self.0 + blocks)
    }

    /// The lower 32 bits, as `*_lo` fields hold them.
    pub(crate) fn low(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// The bits above the lower 32, as `*_hi` fields hold them.
    pub(crate) fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Position of a block inside a file, counted from the file's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogicalBlock(pub(crate) u32);

/// Index of a block group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupNumber(pub(crate) u32);

/// Number of an inode, counted from 1 as on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InodeNumber(pub(crate) u32);

impl InodeNumber {
    pub(crate) const ROOT: Self = Self(2);
    pub(crate) const USER_QUOTA: Self = Self(3);
    pub(crate) const GROUP_QUOTA: Self = Self(4);
    pub(crate) const RESIZE: Self = Self(7);
    pub(crate) const JOURNAL: Self = Self(8);
    /// `s_first_ino`: all numbers below are reserved.
    pub(crate) const FIRST_FREE: Self = Self(11);
}
