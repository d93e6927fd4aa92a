//! What can go wrong between the first content and the finished image.

use std::io;

use crate::options::OptionsError;

/// Failure to make an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device refused an operation.
    #[error("{operation} {length} bytes at offset {offset} of the image")]
    Device {
        /// The verb: `write`, `read`, `discard`, `resize` or `sync`.
        operation: &'static str,
        /// Start of the range in bytes.
        offset: u64,
        /// Length of the range in bytes.
        length: u64,
        /// What the device said.
        source: io::Error,
    },
    /// The size asked for cannot hold the tree, its metadata and the journal.
    #[error("image of {requested} bytes is too small (smallest that would do: {smallest} bytes)")]
    TooSmall {
        /// Size that the caller asked for, in bytes.
        requested: u64,
        /// Smallest size that would do with the same options, in bytes.
        smallest: u64,
    },
    /// The tree needs more than ext4 can hold.
    #[error("{what} would be {value} (limit {limit})")]
    Limit {
        /// The thing that is limited.
        what: &'static str,
        /// What the tree needs.
        value: u64,
        /// The most that the format, or the options, allow.
        limit: u64,
    },
    /// A file has grown beyond what 32-bit logical block numbers address.
    #[error("file size is more than {limit} bytes")]
    FileTooLarge {
        /// The longest file for the block size, in bytes.
        limit: u64,
    },
    /// The extended attributes of a file fit neither its inode nor one block.
    #[error("extended attributes need {needed} bytes (limit {limit}): {path}")]
    XattrsTooLarge {
        /// The file, from the root of the image.
        path: String,
        /// Bytes that its attributes take in a block.
        needed: u64,
        /// Bytes that a block has for them.
        limit: u64,
    },
    /// A directory has more names than an index of the permitted depth reaches.
    #[error("directory index needs {levels} levels (limit {limit}): {path}")]
    DirectoryTooLarge {
        /// The directory, from the root of the image.
        path: String,
        /// Levels of index blocks needed below the root block.
        levels: u32,
        /// Levels permitted; one more with the `large_dir` feature.
        limit: u32,
    },
    /// The target of a symbolic link does not fit one block.
    #[error("symlink target is {length} bytes (limit {limit}): {path}")]
    SymlinkTooLong {
        /// The link, from the root of the image.
        path: String,
        /// Length of the target in bytes.
        length: usize,
        /// The longest target for the block size.
        limit: usize,
    },
    /// A timestamp cannot be stored in inodes of the chosen size.
    #[error("time of {seconds} s from 1970 does not fit an inode of 128 bytes: {path}")]
    TimeOutOfRange {
        /// The file, from the root of the image.
        path: String,
        /// Seconds from 1970.
        seconds: i64,
    },
    /// The options contradict one another or the format.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A file is in a project, and the `project` feature, which stores it, is off.
    #[error("project number is {project} without the project feature: {path}")]
    ProjectWithoutFeature {
        /// The file, from the root of the image.
        path: String,
        /// Its project.
        project: u32,
    },
    /// A content comes from another [`ImageWriter`](crate::ImageWriter).
    #[error("content belongs to another image")]
    ForeignContent,
    /// A file's content comes from another [`ImageWriter`](crate::ImageWriter).
    #[error("content belongs to another image: {path}")]
    ForeignFile {
        /// The file, from the root of the image.
        path: String,
    },
    /// Writing the content has failed before.
    #[error("content is incomplete, as writing it failed")]
    IncompleteContent,
    /// What is to be read has no superblock of ext4.
    #[error("device holds no ext4 filesystem")]
    NotExt4,
}

impl From<Error> for io::Error {
    /// Keeps the kind of the device's error, and the error within.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Device { source, .. } => source.kind(),
            Error::FileTooLarge { .. } => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl Error {
    /// Whether the device ran out of space, as a caller may want to say how much is needed.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Device { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
