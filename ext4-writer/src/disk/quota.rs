//! Quota files of format `vfsv1`, as Linux' `fs/quota/quotaio_v2.h` has them.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const USER_MAGIC: u32 = 0xd9c0_1f11;
pub(crate) const GROUP_MAGIC: u32 = 0xd9c0_1927;
pub(crate) const PROJECT_MAGIC: u32 = 0xd9c0_3f14;
/// `vfsv1`: 64-bit limits.
pub(crate) const VERSION: u32 = 1;
/// A week, the usual grace time in seconds.
pub(crate) const GRACE_SECONDS: u32 = 7 * 24 * 60 * 60;

/// `struct v2_disk_dqheader` and, after it, `struct v2_disk_dqinfo`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: U32,
    pub(crate) version: U32,
    pub(crate) block_grace: U32,
    pub(crate) inode_grace: U32,
    pub(crate) flags: U32,
    pub(crate) blocks: U32,
    pub(crate) free_block: U32,
    pub(crate) free_entry: U32,
}

/// `struct qt_disk_dqdbheader`, at the start of a block of entries.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct EntriesHeader {
    pub(crate) next_free: U32,
    pub(crate) prev_free: U32,
    pub(crate) entries: U16,
    pub(crate) pad1: U16,
    pub(crate) pad2: U32,
}

/// `struct v2r1_disk_dqblk`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) id: U32,
    pub(crate) pad: U32,
    pub(crate) inode_hard_limit: U64,
    pub(crate) inode_soft_limit: U64,
    pub(crate) inodes: U64,
    pub(crate) block_hard_limit: U64,
    pub(crate) block_soft_limit: U64,
    pub(crate) space: U64,
    pub(crate) block_time: U64,
    pub(crate) inode_time: U64,
}

const _: () = assert!(size_of::<Header>() == 32);
const _: () = assert!(size_of::<EntriesHeader>() == 16);
const _: () = assert!(size_of::<Entry>() == 72);
