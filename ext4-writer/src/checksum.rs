//! Checksums of `metadata_csum`.
//!
//! ext4 chains crc32c without the final inversion that the usual definition has.
//! <https://docs.kernel.org/filesystems/ext4/overview.html#checksums>

use crate::ids::{BlockNumber, GroupNumber, InodeNumber};

/// crc32c of `bytes` started from `seed`, with neither end inverted.
pub(crate) fn raw(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// Computes the checksums of one filesystem; all zero when `metadata_csum` is off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksums {
    seed: Option<u32>,
}

impl Checksums {
    pub(crate) fn new(enabled: bool, uuid: &[u8; 16]) -> Self {
        Self {
            seed: enabled.then(|| raw(!0, uuid)),
        }
    }

    pub(crate) fn enabled(self) -> bool {
        self.seed.is_some()
    }

    /// The seed that `metadata_csum_seed` stores, 0 without checksums.
    pub(crate) fn seed(self) -> u32 {
        self.seed.unwrap_or(0)
    }

    pub(crate) fn superblock(self, first_1020_bytes: &[u8]) -> u32 {
        self.seed.map_or(0, |_| raw(!0, first_1020_bytes))
    }

    pub(crate) fn group_descriptor(self, group: GroupNumber, descriptor: &[u8]) -> u16 {
        self.chained(&group.0.to_le_bytes(), descriptor) as u16
    }

    pub(crate) fn bitmap(self, bits: &[u8]) -> u32 {
        self.seed.map_or(0, |seed| raw(seed, bits))
    }

    pub(crate) fn xattr_block(self, block: BlockNumber, bytes: &[u8]) -> u32 {
        self.chained(&block.0.to_le_bytes(), bytes)
    }

    /// Hash that the inode of a large extended attribute value carries; present on every filesystem.
    pub(crate) fn xattr_value(self, uuid: &[u8; 16], value: &[u8]) -> u32 {
        raw(self.seed.unwrap_or_else(|| raw(!0, uuid)), value)
    }

    /// Seed of everything that belongs to an inode of generation 0.
    pub(crate) fn inode(self, inode: InodeNumber) -> InodeChecksum {
        InodeChecksum(
            self.seed
                .map(|seed| raw(raw(seed, &inode.0.to_le_bytes()), &[0; 4])),
        )
    }

    fn chained(self, first: &[u8], second: &[u8]) -> u32 {
        self.seed.map_or(0, |seed| raw(raw(seed, first), second))
    }
}

/// Checksums of the blocks that belong to one inode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InodeChecksum(Option<u32>);

impl InodeChecksum {
    pub(crate) fn of(self, bytes: &[u8]) -> u32 {
        self.0.map_or(0, |seed| raw(seed, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chaining_has_no_inversion_at_the_seam() {
        assert_eq!(raw(raw(!0, b"1234"), b"56789"), raw(!0, b"123456789"));
        // The standard check value of crc32c is 0xe3069283, inverted at the end.
        assert_eq!(!raw(!0, b"123456789"), 0xe306_9283);
    }
}
