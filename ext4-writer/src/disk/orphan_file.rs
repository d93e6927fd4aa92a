//! The orphan file: <https://docs.kernel.org/filesystems/ext4/orphan.html>.

/// `EXT4_ORPHAN_BLOCK_MAGIC`, in the tail of every block.
pub(crate) const MAGIC: u32 = 0x0b10_ca04;
/// Bytes of a block's tail: the magic number and the checksum.
pub(crate) const TAIL_BYTES: usize = 8;
