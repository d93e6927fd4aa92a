//! How many blocks the filesystem gets, and what follows from it.

use super::backup_geometry::{BackupGeometry, BackupGroups};
use super::demand::{Demand, Dimensions};
use super::layout::Layout;
use super::system::SystemKind;
use crate::error::Error;
use crate::ids::{BlockNumber, GroupNumber};
use crate::number::Fit;
use crate::options::{Features, FormatOptions, InodeRule, MAX_BYTES, SizeRule};

/// A size that holds everything.
#[derive(Debug)]
pub(crate) struct Sized {
    pub(crate) dimensions: Dimensions,
    pub(crate) backups: BackupGeometry,
    pub(crate) layout: Layout,
    /// Length of the image file in bytes.
    pub(crate) bytes: u64,
}

/// Finds sizes for one tree.
pub(crate) struct Sizer<'a> {
    pub(crate) options: &'a FormatOptions,
    pub(crate) backups: BackupGeometry,
    pub(crate) demand: Demand<'a>,
    /// The first block after the content.
    pub(crate) start: BlockNumber,
}

/// Where a size does not do: the next size that might.
struct TooSmall {
    next: u64,
}

impl Sizer<'_> {
    /// Applies the size rule.
    pub(crate) fn decide(&self) -> Result<Sized, Error> {
        let block_size = u64::from(self.backups.geometry.block_size);
        let whole_groups = |bytes: u64| {
            let groups = self
                .backups
                .geometry
                .groups(bytes.div_ceil(block_size))
                .max(1);
            self.fit_groups(groups)
        };
        match self.options.size {
            SizeRule::Exact(bytes) => {
                self.check_limit(bytes / block_size)?;
                match self.fit(bytes / block_size) {
                    Ok(sized) => Ok(Sized { bytes, ..sized }),
                    Err(_) => Err(Error::TooSmall {
                        requested: bytes,
                        smallest: self.smallest()?.bytes,
                    }),
                }
            }
            SizeRule::AtLeast(bytes) => whole_groups(bytes),
            SizeRule::FactorWithFloor { percent, floor } => {
                let content = u128::from(self.demand.content_blocks() * block_size);
                let wanted = (content * u128::from(percent)).div_ceil(100);
                whole_groups(u64::try_from(wanted).unwrap_or(u64::MAX).max(floor))
            }
            SizeRule::Shrink => self.smallest(),
        }
    }

    /// Places everything with content ending at `start` in a filesystem of the size decided before.
    pub(crate) fn place(&self, blocks: u64, bytes: u64) -> Option<Sized> {
        self.fit(blocks).ok().map(|sized| Sized { bytes, ..sized })
    }

    fn fit_groups(&self, groups: u32) -> Result<Sized, Error> {
        let mut groups = groups;
        loop {
            let blocks = self.backups.geometry.group_start(GroupNumber(groups)).0;
            self.check_limit(blocks)?;
            match self.fit(blocks) {
                Ok(sized) => return Ok(sized),
                Err(TooSmall { next }) => {
                    groups = self.backups.geometry.groups(next).max(groups + 1);
                }
            }
        }
    }

    /// The fewest blocks that do. Sizes are passed over only where everything in between needs more than it has.
    fn smallest(&self) -> Result<Sized, Error> {
        let mut blocks = self
            .start
            .plus(self.demand.content_blocks() - self.demand.census.content_blocks)
            .0;
        loop {
            match self.fit(blocks) {
                Ok(sized) => return Ok(sized),
                Err(TooSmall { next }) => {
                    self.check_limit(next)?;
                    blocks = next.max(blocks + 1);
                }
            }
        }
    }

    fn check_limit(&self, blocks: u64) -> Result<(), Error> {
        let block_size = u64::from(self.backups.geometry.block_size);
        let limit = match self.options.features.contains(Features::BIT64) {
            true => MAX_BYTES,
            false => u64::from(u32::MAX) * block_size,
        };
        let inodes = self.demand.census.inodes();
        if inodes > u64::from(u32::MAX) {
            return Err(Error::Limit {
                what: "number of inodes",
                value: inodes,
                limit: u64::from(u32::MAX),
            });
        }
        let value = blocks.saturating_mul(block_size);
        if value > limit {
            return Err(Error::Limit {
                what: "size of the filesystem",
                value,
                limit,
            });
        }
        Ok(())
    }

    fn fit(&self, asked: u64) -> Result<Sized, TooSmall> {
        let geometry = self.backups.geometry;
        let blocks = self.usable(asked);
        let next_group = |groups: u32| {
            let group = GroupNumber(groups);
            geometry.group_start(group).0 + u64::from(self.backups.reserved(group)) + 1
        };
        if !self.options.features.contains(Features::BIT64) && u32::try_from(blocks).is_err() {
            return Err(TooSmall { next: u64::MAX });
        }
        if blocks <= u64::from(geometry.first_data_block) {
            return Err(TooSmall {
                next: next_group(0),
            });
        }
        let groups = geometry.groups(blocks);
        let backups = self.final_backups(blocks, groups);
        let Some(dimensions) = self.dimensions(blocks) else {
            return Err(TooSmall {
                next: next_group(groups),
            });
        };
        // Without a journal there is no orphan file either.
        let journal = dimensions.system_files.first().copied().unwrap_or(0);
        if journal == 0 && self.demand.census.system.has(SystemKind::OrphanFile) {
            return Err(TooSmall { next: blocks + 1 });
        }
        let layout = Layout::new(&backups, &self.demand, &dimensions, self.start);
        let end = match layout {
            Some(layout) if layout.end.0 <= blocks => {
                let bytes = blocks * u64::from(geometry.block_size);
                return Ok(Sized {
                    dimensions,
                    backups,
                    layout,
                    bytes,
                });
            }
            Some(layout) => layout.end.0,
            None => u64::MAX,
        };
        // More blocks in the last group may let its flex group keep its metadata to itself, and so end earlier.
        let flex_room = last_flex_room(&backups, &dimensions);
        let next = end.min(next_group(groups));
        let next = if flex_room > asked {
            next.min(flex_room)
        } else {
            next
        };
        Err(TooSmall { next })
    }

    /// Leaves out a last group that cannot hold its own backups.
    fn usable(&self, blocks: u64) -> u64 {
        let geometry = self.backups.geometry;
        let groups = geometry.groups(blocks);
        let last = GroupNumber(groups.saturating_sub(1));
        let start = geometry.group_start(last).0;
        if groups > 1 && blocks <= start + u64::from(self.backups.reserved(last)) {
            start
        } else {
            blocks
        }
    }

    /// With `sparse_super2`, the last group gets a backup where its start is free and it is long enough.
    fn final_backups(&self, blocks: u64, groups: u32) -> BackupGeometry {
        let mut backups = self.backups;
        let last = GroupNumber(groups.saturating_sub(1));
        if matches!(backups.backup_groups, BackupGroups::Two { .. }) && last.0 > 1 {
            let start = backups.geometry.group_start(last);
            let second = BackupGeometry {
                backup_groups: BackupGroups::Two { second: Some(last) },
                ..backups
            };
            let needed = u64::from(second.reserved(last));
            let room = needed < u64::from(backups.geometry.blocks_per_group) / 2;
            if self.start <= start && room && start.0 + needed < blocks {
                backups = second;
            }
        }
        backups
    }

    fn dimensions(&self, blocks: u64) -> Option<Dimensions> {
        let geometry = self.backups.geometry;
        let features = self.options.features;
        let groups = geometry.groups(blocks);
        let descriptor_blocks = geometry.descriptor_blocks(groups);
        let meta_bg = descriptor_blocks > self.backups.area;
        // The resize inode addresses blocks by 32 bits, and an indirect block lists one backup each.
        let growable =
            features.contains(Features::RESIZE_INODE) && !meta_bg && u32::try_from(blocks).is_ok();
        let reserved_descriptors = if growable {
            (self.backups.area - descriptor_blocks).min(geometry.addresses_per_block())
        } else {
            0
        };
        let inodes_per_group = self.inodes_per_group(blocks, groups)?;
        let system_files = self.demand.census.system.blocks(self.options, blocks);
        Some(Dimensions {
            blocks,
            groups,
            inodes_per_group,
            table_blocks: inodes_per_group / geometry.inodes_per_block(),
            descriptor_blocks,
            reserved_descriptors,
            meta_bg,
            system_files,
        })
    }

    fn inodes_per_group(&self, blocks: u64, groups: u32) -> Option<u32> {
        let geometry = self.backups.geometry;
        let needed = self.demand.census.inodes();
        let (wanted, needed) = match self.options.inodes {
            InodeRule::BytesPerInode(ratio) => {
                let spare = needed.saturating_add(needed.div_ceil(4));
                (
                    (blocks * u64::from(geometry.block_size) / ratio).max(spare),
                    needed,
                )
            }
            InodeRule::Count(count) => (count.max(needed), count.max(needed)),
        };
        // Tables fill their blocks, and bitmaps their bytes.
        let step = geometry.inodes_per_block().max(8);
        let most = u64::from(u32::MAX / groups).min(u64::from(geometry.block_size) * 8);
        let most = most / u64::from(step) * u64::from(step);
        let per_group = wanted
            .div_ceil(u64::from(groups))
            .next_multiple_of(u64::from(step))
            .min(most);
        (per_group * u64::from(groups) >= needed && per_group > 0).then_some(per_group.fit_u32())
    }
}

/// The fewest blocks with which the last flex group can hold the metadata of its groups.
fn last_flex_room(backups: &BackupGeometry, dimensions: &Dimensions) -> u64 {
    let per_flex = super::geometry::GROUPS_PER_FLEX;
    let first = (dimensions.groups - 1) / per_flex * per_flex;
    let members = u64::from(dimensions.groups - first);
    let start = backups.next_usable(backups.geometry.group_start(GroupNumber(first)));
    let tables = u64::from(dimensions.table_blocks);
    let mut at = backups.after(start, 2 * members);
    for _ in 0..members {
        match backups.contiguous(at, tables) {
            Some(table) => at = table.plus(tables),
            None => return u64::MAX,
        }
    }
    at.0
}
