//! Files of the filesystem itself: the journal, the orphan file, the quota files.

use std::collections::BTreeSet;

use super::quota;
use crate::content::Content;
use crate::ids::InodeNumber;
use crate::options::{Features, FormatOptions};
use crate::tree::FileTree;

/// A file of the filesystem itself, in the order in which they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SystemKind {
    Journal,
    OrphanFile,
    UserQuota,
    GroupQuota,
    ProjectQuota,
}

impl SystemKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Journal,
        Self::OrphanFile,
        Self::UserQuota,
        Self::GroupQuota,
        Self::ProjectQuota,
    ];
    pub(crate) const QUOTAS: [Self; 3] = [Self::UserQuota, Self::GroupQuota, Self::ProjectQuota];

    /// The place in [`SystemKind::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The inode, where the format reserves one.
    pub(crate) fn reserved_inode(self) -> Option<InodeNumber> {
        match self {
            Self::Journal => Some(InodeNumber::JOURNAL),
            Self::UserQuota => Some(InodeNumber::USER_QUOTA),
            Self::GroupQuota => Some(InodeNumber::GROUP_QUOTA),
            Self::OrphanFile | Self::ProjectQuota => None,
        }
    }
}

/// What the files of the filesystem itself need to know of the tree.
#[derive(Debug, Default)]
pub(crate) struct SystemCensus {
    /// Blocks of 1 KiB of each quota file; 0 without it.
    quota_units: [u64; 3],
    orphan_file: bool,
}

impl SystemCensus {
    pub(crate) fn new(tree: &FileTree<Content>, options: &FormatOptions) -> Self {
        let features = options.features;
        let mut census = Self {
            orphan_file: features.contains(Features::ORPHAN_FILE),
            ..Self::default()
        };
        if !features.contains(Features::QUOTA) {
            return census;
        }
        let mut ids = [const { BTreeSet::new() }; 3];
        for node in tree.slots().filter(|node| node.file_type().is_some()) {
            ids[0].insert(node.uid);
            ids[1].insert(node.gid);
        }
        ids[2].extend(tree.projects());
        census.quota_units[0] = quota::units(&ids[0]);
        census.quota_units[1] = quota::units(&ids[1]);
        if features.contains(Features::PROJECT) {
            census.quota_units[2] = quota::units(&ids[2]);
        }
        census
    }

    /// Whether the file exists. The journal's existence depends on the filesystem's size instead.
    pub(crate) fn has(&self, kind: SystemKind) -> bool {
        match kind {
            SystemKind::Journal => false,
            SystemKind::OrphanFile => self.orphan_file,
            SystemKind::UserQuota => self.quota_units[0] > 0,
            SystemKind::GroupQuota => self.quota_units[1] > 0,
            SystemKind::ProjectQuota => self.quota_units[2] > 0,
        }
    }

    /// Files whose inodes are not reserved, in the order of their numbers.
    pub(crate) fn unreserved(&self) -> impl Iterator<Item = SystemKind> {
        SystemKind::ALL
            .into_iter()
            .filter(|kind| kind.reserved_inode().is_none() && self.has(*kind))
    }

    /// Blocks of every file on a filesystem of `blocks` blocks, in the order of [`SystemKind::ALL`].
    pub(crate) fn blocks(&self, options: &FormatOptions, blocks: u64) -> Vec<u64> {
        let block_size = u64::from(options.block_size.bytes());
        let quota = |at: usize| (self.quota_units[at] * quota::UNIT_BYTES).div_ceil(block_size);
        vec![
            options.journal.blocks(blocks, options.block_size.bytes()),
            if self.orphan_file {
                orphan_blocks(blocks)
            } else {
                0
            },
            quota(0),
            quota(1),
            quota(2),
        ]
    }
}

/// mke2fs' choice: 32 blocks, 512 from two million blocks on, and their 4,096th part between.
fn orphan_blocks(blocks: u64) -> u64 {
    match blocks {
        0..0x2_0000 => 32,
        0x2_0000..0x20_0000 => blocks / 4096,
        _ => 512,
    }
}
