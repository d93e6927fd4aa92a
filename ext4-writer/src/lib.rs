//! Writes ext4 filesystem images: a tree of files and streamed contents in, blocks out.
//!
//! No mkfs, no root, no mount, no temporary tree; the same input gives the same bytes. First correct, second
//! reproducible, third fast. It does not repair or change images. Those that are finished, ours and others, are read by an
//! [`ImageReader`](reader::ImageReader) that trusts nothing in them.
//!
//! ```text
//! contents ──► ImageWriter::content ──► ContentWriter ──► blocks, at once in their final place
//!                                      │ Content
//! names, metadata ──► FileTree ────────┘
//!                        │
//!             ImageWriter::finish (plan, then write)
//!                        ├─ census      inode numbers, order of directories, what everything needs
//!                        ├─ size        blocks, groups, inodes, journal; or the smallest size that would do
//!                        ├─ (compact)   content beyond the final size moves down
//!                        ├─ layout      the address of everything; `plan/` knows no bytes
//!                        ├─ encode      (block, bytes) with checksums; `encode/` knows no devices
//!                        └─ device      ascending writes of up to 1 MiB; sync; superblock; sync
//! ```
//!
//! Trees come entry by entry, from a host directory ([`read_directory`]) or from a tar stream ([`read_tar`]). Images go to a
//! [`FileDevice`], a [`BlockDevice`], a [`MemoryDevice`], or any other [`Device`]. [`append_verity`] seals a finished one.
//!
//! # Byte map of an image
//!
//! With the default options: blocks of 4 KiB, groups of 128 MiB (32,768 blocks), inodes of 256 bytes.
//!
//! ```text
//! 0                boot sector's place: zeros
//! 1,024            superblock, written last
//! block 1          group descriptors of 64 bytes, then blocks kept for more of them: 128 blocks together,
//!                  enough to grow to 1 TiB; a larger explicit size keeps more
//! block 129        contents of files in order of arrival, each contiguous; released blocks are used first
//!    …             directories, parents first: each its htree root, index nodes, leaves in hash order
//!    …             targets of long symbolic links and blocks of extent trees, by inode number
//!    …             blocks of extended attributes, each shared by up to 1,024 files; values in inodes of their own
//!    …             the resize inode's doubly indirect block
//!    …             journal: its superblock, then a hole; orphan file; quota files
//!    …             for all flex groups (16 groups) that the above reached: block bitmaps, inode bitmaps, inode tables
//!    …             free: holes of the image file
//! group 16·n       bitmaps and inode tables of a flex group that nothing above reached
//! group 1, 3^k, 5^k, 7^k: copies of superblock, descriptors and the blocks kept for more, 129 blocks at its start;
//!                  everything above steps over these places, which do not depend on the size of the filesystem
//! ```
//!
//! Facts that readers may count on:
//!
//! - `s_blocks_count` times the block size is the length of the file, except where an explicit size leaves a last
//!   group too short for its own copies: that group is left out.
//! - Inode 2 is the root and 11 is `lost+found` (where there is one). All others are numbered directory by
//!   directory, parents first, in the order in which the kernel lists each: by hash of the name. Used inodes have no gaps.
//! - Directories of one block are linear; longer ones are indexed, with a fifth of each leaf free. `lost+found` is linear, and has
//!   16 KiB to find names in, as with mke2fs.
//! - Names are hashed as unsigned characters (`s_flags` 2), whatever the machine.
//! - A hole of a file is what was skipped. Blocks of zeros that were written are blocks of the filesystem, and holes of the image's
//!   file only, unless [`FormatOptions::zeros_to_holes`] says otherwise. Everything free is a hole of that file, too: bytes of
//!   released contents are never in the image.
//! - All bitmaps are written, those of empty groups too, so that `e2fsck -b` finds nothing to say. Inode tables
//!   read as zeros where unused, and say so (`INODE_ZEROED`): a mount starts no lazy initialisation.
//! - An extended attribute lies in its inode where it fits, else in a block.
//!
//! # Features of this crate
//!
//! `tar` ([`read_tar`]), `directory` ([`read_directory`]) and `verity` ([`append_verity`]), all on by default. They add functions and change
//! nothing else.
//!
//! # Compatibility
//!
//! Types of other crates in this interface are those of [`uuid`], which is re-exported, and the flag sets of `bitflags`. Structs and enums
//! that may grow are `#[non_exhaustive]`: options are made from a default and setters. Written for Linux, other Unix systems and
//! Windows, but compiled and tested on Linux only.
//!
//! # Features of ext4
//!
//! | feature | |
//! | --- | --- |
//! | `ext_attr filetype extent flex_bg large_file huge_file dir_nlink extra_isize` | always |
//! | `has_journal resize_inode dir_index 64bit sparse_super metadata_csum` | by default |
//! | `metadata_csum_seed orphan_file sparse_super2 meta_bg inline_data ea_inode large_dir quota project verity` | on request |
//! | `bigalloc casefold encrypt mmp` | never; [`read_directory`] refuses a directory that ignores case |
//!
//! `meta_bg` takes over by itself where descriptors outgrow the blocks kept for them, and `resize_inode` yields to it.

mod checksum;
mod compact;
mod content;
mod device;
mod dir_hash;
mod disk;
mod dump;
mod encode;
mod error;
mod escape;
mod ids;
mod image;
mod number;
mod options;
mod plan;
mod planned;
#[cfg(feature = "reader")]
pub mod reader;
mod setters;
#[cfg(any(feature = "directory", feature = "tar"))]
mod source;
mod summary;
mod tree;
#[cfg(feature = "verity")]
mod verity;

pub use self::content::{Content, ContentWriter, SuspendedContent};
pub use self::device::{BlockDevice, Device, FileDevice, MemoryDevice};
pub use self::dump::dump;
pub use self::error::Error;
pub use self::image::ImageWriter;
pub use self::options::{
    BlockSize, Features, FormatOptions, HashAlgorithm, InodeRule, InodeSize, JournalRule,
    MountOptions, OptionsError, Reserved, SizeRule,
};
pub use self::planned::PlannedImage;
#[cfg(any(feature = "directory", feature = "tar"))]
pub use self::source::SourceError;
#[cfg(feature = "tar")]
pub use self::source::read_tar;
#[cfg(feature = "directory")]
pub use self::source::{DirectoryOptions, read_directory};
pub use self::summary::Summary;
pub use self::tree::{
    Child, FileKind, FileTree, FileType, Metadata, NodeId, Timestamp, TreeError, XattrError, Xattrs,
};
#[cfg(feature = "verity")]
pub use self::verity::{VerityOptions, VerityTree, append_verity};
#[cfg(feature = "tar")]
pub use tar_events::TarError;
/// The types of [`uuid`] are part of this interface.
pub use uuid;

// The example of the README is tested like those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
