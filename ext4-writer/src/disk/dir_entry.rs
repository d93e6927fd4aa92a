//! Directory entries: <https://docs.kernel.org/filesystems/ext4/directory.html>.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fixed part of `struct ext4_dir_entry_2`; the name follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) inode: U32,
    pub(crate) rec_len: U16,
    pub(crate) name_len: u8,
    pub(crate) file_type: u8,
}

/// `struct ext4_dir_entry_tail`: an entry without inode or name that holds the block's checksum.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Tail {
    pub(crate) reserved_zero1: U32,
    pub(crate) rec_len: U16,
    pub(crate) reserved_zero2: u8,
    pub(crate) reserved_ft: u8,
    pub(crate) checksum: U32,
}

/// `file_type` of the tail.
pub(crate) const TAIL_TYPE: u8 = 0xde;
pub(crate) const TAIL_BYTES: usize = 12;

const _: () = assert!(size_of::<Entry>() == 8);
const _: () = assert!(size_of::<Tail>() == TAIL_BYTES);
