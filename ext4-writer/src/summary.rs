//! What a finished image is.

use uuid::Uuid;

/// Figures of a finished image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Length of the image in bytes.
    pub size_bytes: u64,
    /// Size of a block in bytes.
    pub block_size: u32,
    /// Blocks of the filesystem.
    pub blocks: u64,
    /// Blocks that are free.
    pub free_blocks: u64,
    /// Free blocks in bytes.
    pub free_bytes: u64,
    /// Inodes of the filesystem.
    pub inodes: u64,
    /// Inodes that are free.
    pub free_inodes: u64,
    /// Block groups.
    pub groups: u32,
    /// What the tree occupies in bytes: blocks of data, directories, attributes and extents.
    pub content_bytes: u64,
    /// Length of the journal in bytes, 0 without one.
    pub journal_bytes: u64,
    /// Identity of the filesystem.
    pub uuid: Uuid,
}
