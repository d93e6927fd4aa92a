//! Rules for the size of the filesystem, of its inode tables and of its journal.

use super::FormatOptions;
use super::error::OptionsError;

/// How large the filesystem becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeRule {
    /// `percent` of the content or `floor` bytes, whichever is more, rounded up to whole block groups, and
    /// more where metadata and journal would not fit.
    ///
    /// Content is what the tree occupies: blocks of data, directories, extended attributes and extents.
    FactorWithFloor {
        /// Share of the content in percent: 125 leaves a quarter free.
        percent: u32,
        /// Least size in bytes.
        floor: u64,
    },
    /// At least this many bytes, and whole block groups more where the tree needs them.
    AtLeast(u64),
    /// Exactly this many bytes; finishing fails with the smallest size that would do where that is too few.
    ///
    /// A last group too small for its own backups is left out of the filesystem, as mke2fs does, and the
    /// file keeps the length asked for.
    Exact(u64),
    /// The fewest blocks that hold the tree.
    Shrink,
}

impl Default for SizeRule {
    fn default() -> Self {
        Self::FactorWithFloor {
            percent: 125,
            floor: 1 << 30,
        }
    }
}

/// How many inodes there are; always rounded up so that the inode tables fill their blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InodeRule {
    /// One inode for so many bytes of filesystem (a block and two inodes at least), and more where the tree leaves less than a fifth free.
    BytesPerInode(u64),
    /// At least this many, and never fewer than the tree needs.
    Count(u64),
}

impl Default for InodeRule {
    fn default() -> Self {
        Self::BytesPerInode(16_384)
    }
}

/// Size of the journal, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalRule {
    /// What mke2fs gives a filesystem of the size: none below 2,048 blocks, 32 MiB at 1 GiB, 1 GiB from 128 GiB.
    #[default]
    Default,
    /// No journal.
    None,
    /// So many bytes, rounded up to blocks: 1,024 blocks at least, 10,240,000 at most.
    Bytes(u64),
}

/// The kernel refuses a shorter journal (`JBD2_MIN_JOURNAL_BLOCKS`).
pub(crate) const MIN_JOURNAL_BLOCKS: u64 = 1024;
/// The longest journal that mke2fs makes.
pub(crate) const MAX_JOURNAL_BLOCKS: u64 = 10_240_000;

impl JournalRule {
    /// Blocks of the journal on a filesystem of `blocks` blocks.
    pub(crate) fn blocks(self, blocks: u64, block_size: u32) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.div_ceil(u64::from(block_size)),
            Self::Default => default_journal_blocks(blocks),
        }
    }
}

/// mke2fs' table, in blocks whatever their size; filesystems below 2,048 blocks get no journal.
fn default_journal_blocks(blocks: u64) -> u64 {
    const KIB: u64 = 1024;
    match blocks {
        0..2048 => 0,
        2048..32_768 => 1024,
        32_768..262_144 => 4096,
        262_144..524_288 => 8192,
        524_288..4_194_304 => 16 * KIB,
        4_194_304..8_388_608 => 32 * KIB,
        8_388_608..16_777_216 => 64 * KIB,
        16_777_216..33_554_432 => 128 * KIB,
        _ => 256 * KIB,
    }
}

pub(super) fn check(options: &FormatOptions) -> Result<(), OptionsError> {
    let block_size = options.block_size.bytes();
    if let JournalRule::Bytes(bytes) = options.journal {
        let blocks = bytes.div_ceil(u64::from(block_size));
        if !(MIN_JOURNAL_BLOCKS..=MAX_JOURNAL_BLOCKS).contains(&blocks) {
            return Err(OptionsError::JournalSize { blocks });
        }
    }
    let least = u64::from(block_size).max(2 * u64::from(options.inode_size.bytes()));
    if let InodeRule::BytesPerInode(ratio) = options.inodes
        && !(least..=1 << 26).contains(&ratio)
    {
        return Err(OptionsError::InodeRatio { ratio, least });
    }
    if let InodeRule::Count(count) = options.inodes
        && count > u64::from(u32::MAX)
    {
        let limit = u64::from(u32::MAX);
        return Err(OptionsError::OutOfRange {
            what: "number of inodes",
            value: count,
            limit,
        });
    }
    if let SizeRule::FactorWithFloor { percent, .. } = options.size
        && !(100..=100_000).contains(&percent)
    {
        return Err(OptionsError::SizeFactor { percent });
    }
    if let SizeRule::Exact(bytes)
    | SizeRule::AtLeast(bytes)
    | SizeRule::FactorWithFloor { floor: bytes, .. } = options.size
        && bytes > MAX_BYTES
    {
        return Err(OptionsError::OutOfRange {
            what: "size in bytes",
            value: bytes,
            limit: MAX_BYTES,
        });
    }
    Ok(())
}

/// 1 PiB: far beyond any image, and small enough that no sum of sizes overflows.
pub(crate) const MAX_BYTES: u64 = 1 << 50;
