//! Features that may be switched, and the combinations that ext4 forbids.

use super::error::OptionsError;
use super::{FormatOptions, InodeSize, JournalRule};

bitflags::bitflags! {
    /// Format features that an image may have or not.
    ///
    /// Always on, as no reader of ext4 lacks them: `ext_attr`, `filetype`, `extent`, `flex_bg`, `large_file`,
    /// `huge_file`, `dir_nlink`, and `extra_isize` with inodes above 128 bytes. `has_journal` follows
    /// [`JournalRule`](super::JournalRule).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Features: u32 {
        /// `resize_inode`: blocks reserved so that a mounted filesystem can grow.
        const RESIZE_INODE = 1 << 0;
        /// `dir_index`: directories of more than one block are hash trees.
        const DIR_INDEX = 1 << 1;
        /// `64bit`: block numbers of 48 bits and descriptors of 64 bytes.
        const BIT64 = 1 << 2;
        /// `sparse_super`: backups of the superblock in groups 1 and the powers of 3, 5 and 7 only.
        const SPARSE_SUPER = 1 << 3;
        /// `metadata_csum`: every metadata block has a checksum.
        const METADATA_CSUM = 1 << 4;
        /// `metadata_csum_seed`: the seed is stored, so that the UUID may change while mounted.
        const METADATA_CSUM_SEED = 1 << 5;
        /// `sparse_super2`: backups in group 1 and, where its start is free, in the last one.
        const SPARSE_SUPER2 = 1 << 6;
        /// `meta_bg`: descriptors lie in the groups that they describe.
        const META_BG = 1 << 7;
        /// `orphan_file`: deleted but open files are noted in a file of their own, not in a list of inodes.
        const ORPHAN_FILE = 1 << 8;
        /// `inline_data`: files of up to 60 bytes lie in their inode.
        const INLINE_DATA = 1 << 9;
        /// `ea_inode`: values of extended attributes too long for a block lie in inodes.
        const EA_INODE = 1 << 10;
        /// `large_dir`: a third level in directory indexes.
        const LARGE_DIR = 1 << 11;
        /// `quota`: hidden files that count blocks and inodes by user and group.
        const QUOTA = 1 << 12;
        /// `project`: inodes carry a project number, counted where `quota` is on, too.
        const PROJECT = 1 << 13;
        /// `verity`: files may be sealed by fs-verity once mounted.
        const VERITY = 1 << 14;
    }
}

impl Default for Features {
    /// The features of `mke2fs -t ext4` 1.47.
    fn default() -> Self {
        Self::RESIZE_INODE
            | Self::DIR_INDEX
            | Self::BIT64
            | Self::SPARSE_SUPER
            | Self::METADATA_CSUM
    }
}

bitflags::bitflags! {
    /// Mount options stored in the superblock (`s_default_mount_opts`).
    ///
    /// <https://docs.kernel.org/filesystems/ext4/super.html>
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct MountOptions: u32 {
        /// Print debugging information when mounted.
        const DEBUG = 0x0001;
        /// New files take the group of their directory.
        const BSD_GROUPS = 0x0002;
        /// Extended attributes of users; on by default.
        const USER_XATTR = 0x0004;
        /// POSIX access control lists; on by default.
        const ACL = 0x0008;
        /// No 32-bit user numbers.
        const UID16 = 0x0010;
        /// `data=journal`.
        const JOURNAL_DATA = 0x0020;
        /// `data=ordered`.
        const JOURNAL_ORDERED = 0x0040;
        /// `data=writeback`.
        const JOURNAL_WRITEBACK = 0x0060;
        /// No write barriers.
        const NO_BARRIER = 0x0100;
        /// Check block numbers against the metadata.
        const BLOCK_VALIDITY = 0x0200;
        /// Discard blocks as they become free.
        const DISCARD = 0x0400;
        /// No delayed allocation.
        const NO_DELAYED_ALLOCATION = 0x0800;
    }
}

impl Default for MountOptions {
    fn default() -> Self {
        Self::USER_XATTR | Self::ACL
    }
}

/// Features that are useless or invalid without another.
const NEEDS: [(Features, Features, &str, &str); 2] = [
    (
        Features::METADATA_CSUM_SEED,
        Features::METADATA_CSUM,
        "metadata_csum_seed",
        "metadata_csum",
    ),
    (
        Features::LARGE_DIR,
        Features::DIR_INDEX,
        "large_dir",
        "dir_index",
    ),
];

/// Features that are not to be on together.
const EXCLUDES: [(Features, Features, &str, &str); 2] = [
    (
        Features::META_BG,
        Features::RESIZE_INODE,
        "meta_bg",
        "resize_inode",
    ),
    (
        Features::SPARSE_SUPER2,
        Features::SPARSE_SUPER,
        "sparse_super2",
        "sparse_super",
    ),
];

pub(super) fn check(options: &FormatOptions) -> Result<(), OptionsError> {
    let features = options.features;
    for (feature, other, name, needed) in NEEDS {
        if features.contains(feature) && !features.contains(other) {
            return Err(OptionsError::Needs {
                feature: name,
                needed,
            });
        }
    }
    for (feature, other, first, second) in EXCLUDES {
        if features.contains(feature | other) {
            return Err(OptionsError::Excludes { first, second });
        }
    }
    if features.contains(Features::RESIZE_INODE)
        && !features.intersects(Features::SPARSE_SUPER | Features::SPARSE_SUPER2)
    {
        return Err(OptionsError::Needs {
            feature: "resize_inode",
            needed: "sparse_super",
        });
    }
    if options.inode_size == InodeSize::B128 {
        let needed = "inodes above 128 bytes";
        for (bit, feature) in [
            (Features::INLINE_DATA, "inline_data"),
            (Features::PROJECT, "project"),
        ] {
            if features.contains(bit) {
                return Err(OptionsError::Needs { feature, needed });
            }
        }
    }
    if features.contains(Features::ORPHAN_FILE) && options.journal == JournalRule::None {
        return Err(OptionsError::Needs {
            feature: "orphan_file",
            needed: "a journal",
        });
    }
    Ok(())
}
