//! Hash trees of directories: <https://docs.kernel.org/filesystems/ext4/directory.html#hash-tree-directories>.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `struct dx_root_info`, after `.` and `..`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RootInfo {
    pub(crate) reserved_zero: U32,
    pub(crate) hash_version: u8,
    pub(crate) info_length: u8,
    pub(crate) indirect_levels: u8,
    pub(crate) unused_flags: u8,
}

/// `struct dx_countlimit`, in the place of the first entry's hash.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct CountLimit {
    pub(crate) limit: U16,
    pub(crate) count: U16,
}

/// `struct dx_entry`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) hash: U32,
    pub(crate) block: U32,
}

/// Offset of [`RootInfo`] in the root block.
pub(crate) const ROOT_INFO_OFFSET: usize = 24;
/// Offset of [`CountLimit`] in the root block.
pub(crate) const ROOT_ENTRIES_OFFSET: usize = 32;
/// Offset of [`CountLimit`] in a node block, after one empty directory entry.
pub(crate) const NODE_ENTRIES_OFFSET: usize = 8;
pub(crate) const ENTRY_BYTES: usize = 8;

const _: () = assert!(size_of::<RootInfo>() == ROOT_ENTRIES_OFFSET - ROOT_INFO_OFFSET);
const _: () = assert!(size_of::<Entry>() == ENTRY_BYTES);
const _: () = assert!(size_of::<CountLimit>() == 4);
