//! Extended attributes: <https://docs.kernel.org/filesystems/ext4/attributes.html>.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const MAGIC: u32 = 0xea02_0000;
/// Offset of `h_checksum`.
pub(crate) const CHECKSUM_OFFSET: usize = 16;

/// `struct ext4_xattr_header`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: U32,
    pub(crate) refcount: U32,
    pub(crate) blocks: U32,
    pub(crate) hash: U32,
    pub(crate) checksum: U32,
    pub(crate) reserved: [U32; 3],
}

/// The fixed part of `struct ext4_xattr_entry`; the name follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) name_len: u8,
    pub(crate) name_index: u8,
    pub(crate) value_offs: U16,
    pub(crate) value_inum: U32,
    pub(crate) value_size: U32,
    pub(crate) hash: U32,
}

pub(crate) const ENTRY_BYTES: usize = 16;

const _: () = assert!(size_of::<Header>() == 32);
const _: () = assert!(std::mem::offset_of!(Header, checksum) == CHECKSUM_OFFSET);
const _: () = assert!(size_of::<Entry>() == ENTRY_BYTES);
