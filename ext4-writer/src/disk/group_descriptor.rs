//! Group descriptors: <https://docs.kernel.org/filesystems/ext4/group_descr.html>.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// No inode of the group is in use.
pub(crate) const INODE_UNINIT: u16 = 1;
/// No block of the group is in use.
pub(crate) const BLOCK_UNINIT: u16 = 2;
/// The inode table is zeroed.
pub(crate) const INODE_ZEROED: u16 = 4;

/// `struct ext4_group_desc`; filesystems without `64bit` have the first 32 bytes only.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct GroupDescriptor {
    pub(crate) block_bitmap_lo: U32,
    pub(crate) inode_bitmap_lo: U32,
    pub(crate) inode_table_lo: U32,
    pub(crate) free_blocks_count_lo: U16,
    pub(crate) free_inodes_count_lo: U16,
    pub(crate) used_dirs_count_lo: U16,
    pub(crate) flags: U16,
    pub(crate) exclude_bitmap_lo: U32,
    pub(crate) block_bitmap_csum_lo: U16,
    pub(crate) inode_bitmap_csum_lo: U16,
    pub(crate) itable_unused_lo: U16,
    pub(crate) checksum: U16,
    pub(crate) block_bitmap_hi: U32,
    pub(crate) inode_bitmap_hi: U32,
    pub(crate) inode_table_hi: U32,
    pub(crate) free_blocks_count_hi: U16,
    pub(crate) free_inodes_count_hi: U16,
    pub(crate) used_dirs_count_hi: U16,
    pub(crate) itable_unused_hi: U16,
    pub(crate) exclude_bitmap_hi: U32,
    pub(crate) block_bitmap_csum_hi: U16,
    pub(crate) inode_bitmap_csum_hi: U16,
    pub(crate) reserved: U32,
}

const _: () = assert!(size_of::<GroupDescriptor>() == 64);
const _: () = assert!(std::mem::offset_of!(GroupDescriptor, checksum) == 0x1e);
