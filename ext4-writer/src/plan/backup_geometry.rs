//! Blocks that must be kept free for superblock, descriptors and their backups.
//!
//! Their addresses do not depend on the filesystem's length, so content can stream past them before it is known.

use std::ops::Range;

use super::geometry::Geometry;
use crate::ids::{BlockNumber, GroupNumber};
use crate::options::{Features, FormatOptions, SizeRule};

/// Which groups hold a backup of the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackupGroups {
    /// Groups 1 and the powers of 3, 5 and 7 (`sparse_super`).
    Sparse,
    /// Group 1 and at most one more (`sparse_super2`).
    Two { second: Option<GroupNumber> },
    /// Every group.
    All,
}

/// Where superblocks and descriptors lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackupGeometry {
    pub(crate) geometry: Geometry,
    pub(crate) backup_groups: BackupGroups,
    /// Blocks after each superblock for descriptors in use and to come. The descriptors of groups beyond
    /// what they hold lie in the groups themselves (`meta_bg`).
    pub(crate) area: u32,
}

/// Blocks for descriptors where nothing asks for more: mke2fs' choice at 1 GiB, enough for 1 TiB.
const USUAL_AREA: u32 = 128;
/// The same where the filesystem will not grow: enough for 64 GiB with descriptors of 64 bytes.
const FIXED_AREA: u32 = 8;

impl BackupGeometry {
    pub(crate) fn new(options: &FormatOptions) -> Self {
        let geometry = Geometry::new(options);
        let features = options.features;
        let backup_groups = if features.contains(Features::SPARSE_SUPER2) {
            BackupGroups::Two { second: None }
        } else if features.contains(Features::SPARSE_SUPER) {
            BackupGroups::Sparse
        } else {
            BackupGroups::All
        };
        Self {
            geometry,
            backup_groups,
            area: area(options, geometry),
        }
    }

    pub(crate) fn has_superblock(&self, group: GroupNumber) -> bool {
        match self.backup_groups {
            _ if group.0 == 0 => true,
            BackupGroups::All => true,
            BackupGroups::Two { second } => group.0 == 1 || second == Some(group),
            BackupGroups::Sparse => is_sparse(group.0),
        }
    }

    /// Whether a block of descriptors lies in the group itself.
    pub(crate) fn has_meta_descriptors(&self, group: GroupNumber) -> bool {
        let per_block = self.geometry.descriptors_per_block();
        let within = group.0 % per_block;
        group.0 / per_block >= self.area && (within == 0 || within == 1 || within == per_block - 1)
    }

    /// Blocks kept at the start of a group.
    pub(crate) fn reserved(&self, group: GroupNumber) -> u32 {
        let old_style = group.0 / self.geometry.descriptors_per_block() < self.area;
        u32::from(self.has_superblock(group))
            + if old_style && self.has_superblock(group) {
                self.area
            } else {
                0
            }
            + u32::from(self.has_meta_descriptors(group))
    }

    /// The first block at or after `block` that is not kept.
    pub(crate) fn next_usable(&self, block: BlockNumber) -> BlockNumber {
        let mut at = block;
        loop {
            let group = self.geometry.group_of(at);
            let end = self
                .geometry
                .group_start(group)
                .plus(u64::from(self.reserved(group)));
            if at >= end {
                return at;
            }
            at = end;
        }
    }

    /// The first kept block after `block`, which is not kept itself.
    pub(crate) fn run_end(&self, block: BlockNumber) -> BlockNumber {
        let next = GroupNumber(self.geometry.group_of(block).0 + 1);
        self.geometry.group_start(self.next_reserved_group(next))
    }

    /// The block that follows `count` usable blocks from `start`.
    pub(crate) fn after(&self, start: BlockNumber, count: u64) -> BlockNumber {
        self.runs(start, count)
            .last()
            .map_or(start, |run| BlockNumber(run.end))
    }

    /// `count` usable blocks from `start` on, as contiguous runs.
    pub(crate) fn runs(&self, start: BlockNumber, count: u64) -> impl Iterator<Item = Range<u64>> {
        let (mut at, mut left) = (start, count);
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let first = self.next_usable(at);
            let end = self.run_end(first).0.min(first.0 + left);
            left -= end - first.0;
            at = BlockNumber(end);
            Some(first.0..end)
        })
    }

    /// The first usable block at or after `start` that `count - 1` more follow without a gap.
    pub(crate) fn contiguous(&self, start: BlockNumber, count: u64) -> Option<BlockNumber> {
        // Gaps between backups grow without end, except where every group has one.
        let mut at = self.next_usable(start);
        for _ in 0..64 {
            let end = self.run_end(at);
            if end.0 - at.0 >= count {
                return Some(at);
            }
            at = self.next_usable(end);
        }
        None
    }

    fn next_reserved_group(&self, from: GroupNumber) -> GroupNumber {
        let per_block = self.geometry.descriptors_per_block();
        let meta_start = self.area.saturating_mul(per_block);
        let meta = if from.0 < meta_start {
            meta_start
        } else {
            match from.0 % per_block {
                0 | 1 => from.0,
                within => from.0 - within + per_block - 1,
            }
        };
        let backup = match self.backup_groups {
            BackupGroups::All => from.0,
            BackupGroups::Two { .. } if from.0 <= 1 => from.0,
            BackupGroups::Two { second } => second
                .filter(|group| *group >= from)
                .map_or(u32::MAX, |group| group.0),
            BackupGroups::Sparse if from.0 <= 1 => from.0,
            BackupGroups::Sparse => [3, 5, 7]
                .map(|base| next_power(from.0, base))
                .into_iter()
                .fold(u32::MAX, u32::min),
        };
        GroupNumber(meta.min(backup))
    }
}

fn area(options: &FormatOptions, geometry: Geometry) -> u32 {
    if options.features.contains(Features::META_BG) {
        return 0;
    }
    let known = match options.size {
        SizeRule::Exact(bytes) | SizeRule::AtLeast(bytes) => bytes,
        SizeRule::FactorWithFloor { floor, .. } => floor,
        SizeRule::Shrink => 0,
    };
    let groups = geometry.groups(known / u64::from(geometry.block_size));
    let needed = geometry.descriptor_blocks(groups);
    let growable = options.features.contains(Features::RESIZE_INODE);
    let spare = if growable {
        USUAL_AREA.min(geometry.addresses_per_block()) - 1
    } else {
        0
    };
    let usual = if growable { USUAL_AREA } else { FIXED_AREA };
    let area = if needed <= usual {
        usual
    } else {
        needed.saturating_add(spare)
    };
    // A quarter of a group is the most that descriptors may take; beyond it they go to the groups.
    if area > geometry.blocks_per_group / 4 {
        0
    } else {
        area
    }
}

/// Whether a group has a backup with `sparse_super`, as the first and the powers of three, five and seven do.
pub(crate) fn is_sparse(group: u32) -> bool {
    group == 1 || [3, 5, 7].into_iter().any(|base| is_power(group, base))
}

fn is_power(mut number: u32, base: u32) -> bool {
    while number > 1 && number.is_multiple_of(base) {
        number /= base;
    }
    number == 1
}

fn next_power(from: u32, base: u32) -> u32 {
    let mut power = base;
    while power < from {
        match power.checked_mul(base) {
            Some(next) => power = next,
            None => return u32::MAX,
        }
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::BlockSize;

    #[test]
    fn the_next_reserved_group_agrees_with_a_scan() {
        for (features, block_size) in [
            (Features::default(), BlockSize::B4096),
            (
                Features::META_BG | Features::SPARSE_SUPER | Features::BIT64,
                BlockSize::B4096,
            ),
            (Features::META_BG | Features::SPARSE_SUPER, BlockSize::B1024),
            (Features::SPARSE_SUPER2 | Features::BIT64, BlockSize::B1024),
            (Features::BIT64, BlockSize::B1024),
        ] {
            let options = FormatOptions {
                features,
                block_size,
                ..FormatOptions::default()
            };
            let backups = BackupGeometry::new(&options);
            for from in 0..20_000 {
                let next = backups.next_reserved_group(GroupNumber(from));
                assert!(next.0 >= from);
                if next.0 != u32::MAX {
                    assert!(
                        backups.reserved(next) > 0 || !backups.has_superblock(next),
                        "{next:?}"
                    );
                }
                let first = (from..from + 200).find(|&g| backups.reserved(GroupNumber(g)) > 0);
                if let Some(first) = first {
                    assert_eq!(next.0, first, "from {from} with {features:?}");
                }
            }
        }
    }

    #[test]
    fn runs_avoid_kept_blocks_and_add_up() {
        let backups = BackupGeometry::new(&FormatOptions::default());
        let runs: Vec<_> = backups.runs(BlockNumber(0), 200_000).collect();
        assert_eq!(runs[0], 129..32_768);
        assert_eq!(runs[1], 32_768 + 129..3 * 32_768);
        assert_eq!(
            runs.iter().map(|run| run.end - run.start).sum::<u64>(),
            200_000
        );
        assert_eq!(backups.after(BlockNumber(0), 32_639), BlockNumber(32_768));
        assert_eq!(
            backups.contiguous(BlockNumber(32_700), 100),
            Some(BlockNumber(32_768 + 129))
        );
    }
}
