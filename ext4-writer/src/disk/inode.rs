//! Inodes: <https://docs.kernel.org/filesystems/ext4/inodes.html>.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `i_flags`.
pub(crate) mod flags {
    /// The directory is a hash tree.
    pub(crate) const INDEX: u32 = 0x1000;
    /// Blocks are mapped by extents.
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    /// The inode holds the value of an extended attribute.
    pub(crate) const EA_INODE: u32 = 0x20_0000;
    /// The data lies in the inode.
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
}

/// Bytes of `i_block`.
pub(crate) const BLOCK_BYTES: usize = 60;

/// `struct ext4_inode`, up to what `i_extra_isize` of 32 covers.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Inode {
    pub(crate) mode: U16,
    pub(crate) uid: U16,
    pub(crate) size_lo: U32,
    pub(crate) atime: U32,
    pub(crate) ctime: U32,
    pub(crate) mtime: U32,
    pub(crate) dtime: U32,
    pub(crate) gid: U16,
    pub(crate) links_count: U16,
    pub(crate) blocks_lo: U32,
    pub(crate) flags: U32,
    pub(crate) version: U32,
    pub(crate) block: [u8; BLOCK_BYTES],
    pub(crate) generation: U32,
    pub(crate) file_acl_lo: U32,
    pub(crate) size_high: U32,
    pub(crate) obso_faddr: U32,
    pub(crate) blocks_high: U16,
    pub(crate) file_acl_high: U16,
    pub(crate) uid_high: U16,
    pub(crate) gid_high: U16,
    pub(crate) checksum_lo: U16,
    pub(crate) reserved: U16,
    pub(crate) extra_isize: U16,
    pub(crate) checksum_hi: U16,
    pub(crate) ctime_extra: U32,
    pub(crate) mtime_extra: U32,
    pub(crate) atime_extra: U32,
    pub(crate) crtime: U32,
    pub(crate) crtime_extra: U32,
    pub(crate) version_hi: U32,
    pub(crate) projid: U32,
}

/// Bytes of the first version of the structure, all that inodes of 128 bytes have.
pub(crate) const GOOD_OLD_BYTES: usize = 128;
/// Bytes with all fields.
pub(crate) const BYTES: usize = 160;

const _: () = assert!(size_of::<Inode>() == BYTES);
const _: () = assert!(std::mem::offset_of!(Inode, block) == 0x28);
const _: () = assert!(std::mem::offset_of!(Inode, checksum_lo) == 0x7c);
const _: () = assert!(std::mem::offset_of!(Inode, extra_isize) == GOOD_OLD_BYTES);
const _: () = assert!(std::mem::offset_of!(Inode, atime_extra) == 0x8c);
const _: () = assert!(std::mem::offset_of!(Inode, crtime) == 0x90);
