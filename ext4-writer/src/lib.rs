//! Writes ext4 filesystem images: a tree of files and streamed contents in, blocks out.
//!
//! No mkfs, no root, no mount, no temporary tree; the same input gives the same bytes.

mod checksum;
mod compact;
mod content;
mod device;
mod dir_hash;
mod disk;
mod encode;
mod error;
mod ids;
mod image;
mod options;
mod plan;
mod source;
mod summary;
mod tree;

pub use self::content::Content;
pub use self::device::{BlockDevice, Device, FileDevice, MemoryDevice};
pub use self::error::Error;
pub use self::image::ImageWriter;
pub use self::options::{
    BlockSize, Features, FormatOptions, HashAlgorithm, InodeRule, InodeSize, JournalRule,
    MountOptions, OptionsError, Reserved, SizeRule,
};
pub use self::source::{DirectoryOptions, SourceError, read_directory, read_tar};
pub use self::summary::Summary;
pub use self::tree::{
    FileKind, FileTree, FileType, Metadata, NodeId, Timestamp, TreeError, XattrError, Xattrs,
};
