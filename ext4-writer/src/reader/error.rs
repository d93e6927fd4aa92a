//! What can go wrong while an image is read.

use std::io;

use super::ReadAt;

/// Failure to read something from an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source could not be read.
    #[error("read {length} bytes at offset {offset} of the image")]
    Io {
        /// Start of the range in bytes.
        offset: u64,
        /// Length of the range in bytes.
        length: u64,
        /// What the source said.
        source: io::Error,
    },
    /// There is no superblock of ext2, ext3 or ext4.
    #[error(
        "there is no ext4 filesystem: the superblock's magic number is {magic:#06x}, not 0xef53"
    )]
    NotExt4 {
        /// What is in its place.
        magic: u16,
    },
    /// The filesystem, or the file asked for, has a feature that this reader lacks.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The image contradicts itself or the format.
    #[error("the filesystem is damaged: {0}")]
    Corrupt(String),
    /// A limit of [`ReadLimits`](super::ReadLimits) was passed.
    #[error("{what} is more than {limit} {unit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// In what.
        unit: &'static str,
        /// The most that was allowed.
        limit: u64,
    },
    /// The caller's `stop` said so.
    #[error("stopped")]
    Stopped,
    /// A directory is needed where there is another kind of file.
    #[error("inode {0} is not a directory")]
    NotADirectory(u32),
    /// A regular file or symbolic link is needed where there is another kind of file.
    #[error("inode {0} has no content")]
    NoContent(u32),
    /// The caller's own failure while it took a piece of content.
    #[error(transparent)]
    Caller(io::Error),
}

impl ReadError {
    pub(super) fn corrupt(problem: impl Into<String>) -> Self {
        Self::Corrupt(problem.into())
    }
}

/// Fills `bytes` from the source.
pub(super) fn read(
    source: &(impl ReadAt + ?Sized),
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), ReadError> {
    source
        .read_exact_at(offset, bytes)
        .map_err(|source| ReadError::Io {
            offset,
            length: bytes.len() as u64,
            source,
        })
}
