//! The journal's superblock, big-endian: <https://docs.kernel.org/filesystems/ext4/journal.html>.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(crate) const MAGIC: u32 = 0xc03b_3998;
/// `h_blocktype` of a superblock of version 2.
pub(crate) const SUPERBLOCK_V2: u32 = 4;

/// `struct journal_superblock_s`, up to and with the users' count; zeros follow to the block's end.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct JournalSuperblock {
    pub(crate) magic: U32,
    pub(crate) blocktype: U32,
    pub(crate) header_sequence: U32,
    pub(crate) blocksize: U32,
    pub(crate) maxlen: U32,
    pub(crate) first: U32,
    pub(crate) sequence: U32,
    pub(crate) start: U32,
    pub(crate) errno: U32,
    pub(crate) feature_compat: U32,
    pub(crate) feature_incompat: U32,
    pub(crate) feature_ro_compat: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) nr_users: U32,
}

const _: () = assert!(std::mem::offset_of!(JournalSuperblock, nr_users) == 0x40);
