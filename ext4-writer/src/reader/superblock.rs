//! Superblock and group descriptors: <https://docs.kernel.org/filesystems/ext4/super.html>.

use zerocopy::{FromBytes, IntoBytes};

use super::budget::Budget;
use super::{ImageReader, ReadAt, ReadError, error};
use crate::checksum::raw;
use crate::disk::group_descriptor::GroupDescriptor;
use crate::disk::inode::GOOD_OLD_BYTES;
use crate::disk::superblock::{
    self, CHECKSUM_OFFSET, REVISION_DYNAMIC, Superblock, compat, incompat, ro_compat,
};
use crate::plan::is_sparse;

/// `EXT4_FEATURE_INCOMPAT_*` that only readers of foreign images meet.
mod foreign {
    pub(super) const RECOVER: u32 = 0x4;
    pub(super) const MMP: u32 = 0x100;
    pub(super) const ENCRYPT: u32 = 0x1_0000;
    pub(super) const CASEFOLD: u32 = 0x2_0000;
}

/// Features under which everything that is read here means what it says. Encrypted files are refused one by one.
const KNOWN_INCOMPAT: u32 = incompat::FILETYPE
    | foreign::RECOVER
    | incompat::META_BG
    | incompat::EXTENTS
    | incompat::BIT64
    | foreign::MMP
    | incompat::FLEX_BG
    | incompat::EA_INODE
    | incompat::CSUM_SEED
    | incompat::LARGEDIR
    | incompat::INLINE_DATA
    | foreign::ENCRYPT
    | foreign::CASEFOLD;

/// `s_state`: errors were found.
const STATE_ERRORS: u16 = 2;
/// Log₂ of the largest block, less 10: 64 KiB.
const MAX_LOG_BLOCK_SIZE: u32 = 6;
/// Bytes of a group descriptor without `64bit`.
const SMALL_DESCRIPTOR_BYTES: usize = 32;

/// What the superblock says, checked.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub(super) uuid: [u8; 16],
    pub(super) block_size: u32,
    /// Blocks of the filesystem.
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    pub(super) inode_size: u16,
    pub(super) needs_recovery: bool,
    pub(super) has_errors: bool,
    /// Whether directory entries say of what kind each file is.
    pub(super) has_file_types: bool,
    /// What checksums of metadata start from; none without `metadata_csum`.
    pub(super) checksum_seed: Option<u32>,
    inodes_per_group: u32,
    blocks_per_group: u32,
    groups: u64,
    first_data_block: u32,
    descriptor_size: usize,
    /// The first group of descriptors that lies in its own groups (`meta_bg`).
    first_meta_group: Option<u32>,
    backups: Backups,
}

/// Which groups begin with a copy of the superblock.
#[derive(Clone, Copy, Debug)]
enum Backups {
    All,
    Sparse,
    Two([u32; 2]),
}

impl Geometry {
    pub(super) fn read(source: &impl ReadAt, budget: &Budget<'_>) -> Result<Self, ReadError> {
        let length = source.length().map_err(|source| ReadError::Io {
            offset: 0,
            length: 0,
            source,
        })?;
        if length < superblock::OFFSET + size_of::<Superblock>() as u64 {
            return Err(ReadError::corrupt(format!(
                "{length} bytes are too few for a superblock"
            )));
        }
        let mut bytes = [0; size_of::<Superblock>()];
        budget.bytes(bytes.len() as u64)?;
        error::read(source, superblock::OFFSET, &mut bytes)?;
        let raw: Superblock = zerocopy::transmute!(bytes);
        let geometry = Self::check(&raw)?;
        let size = geometry
            .blocks
            .saturating_mul(u64::from(geometry.block_size));
        if size > length {
            return Err(ReadError::corrupt(format!(
                "it has {size} bytes, and only {length} are there"
            )));
        }
        Ok(geometry)
    }

    fn check(raw: &Superblock) -> Result<Self, ReadError> {
        if raw.magic.get() != superblock::MAGIC {
            let magic = raw.magic.get();
            return Err(ReadError::NotExt4 { magic });
        }
        // The first revision has neither features nor inodes of another size.
        let dynamic = raw.rev_level.get() >= REVISION_DYNAMIC;
        let feature = |bits: u32| if dynamic { bits } else { 0 };
        let incompatible = feature(raw.feature_incompat.get());
        let read_only = feature(raw.feature_ro_compat.get());
        if incompatible & !KNOWN_INCOMPAT != 0 {
            let unknown = incompatible & !KNOWN_INCOMPAT;
            return Err(ReadError::Unsupported(format!(
                "a filesystem with incompatible features {unknown:#x}"
            )));
        }
        let has_checksums = read_only & ro_compat::METADATA_CSUM != 0;
        if has_checksums
            && crate::checksum::raw(!0, &raw.as_bytes()[..CHECKSUM_OFFSET]) != raw.checksum.get()
        {
            return Err(ReadError::corrupt(
                "the checksum of the superblock is wrong",
            ));
        }
        let is_64_bit = incompatible & incompat::BIT64 != 0;
        let high = if is_64_bit {
            raw.blocks_count_hi.get()
        } else {
            0
        };
        let blocks = u64::from(raw.blocks_count_lo.get()) | u64::from(high) << 32;
        let log = raw.log_block_size.get();
        if log > MAX_LOG_BLOCK_SIZE {
            return Err(out_of_range("s_log_block_size", log.into()));
        }
        let block_size = 1024 << log;
        let inode_size = match dynamic {
            true => raw.inode_size.get(),
            false => GOOD_OLD_BYTES as u16,
        };
        if usize::from(inode_size) < GOOD_OLD_BYTES
            || u32::from(inode_size) > block_size
            || !inode_size.is_power_of_two()
        {
            return Err(out_of_range("s_inode_size", inode_size.into()));
        }
        let descriptor_size = match is_64_bit {
            true => usize::from(raw.desc_size.get()),
            false => SMALL_DESCRIPTOR_BYTES,
        };
        let smallest = if is_64_bit {
            size_of::<GroupDescriptor>()
        } else {
            SMALL_DESCRIPTOR_BYTES
        };
        if !(smallest..=1024).contains(&descriptor_size) || !descriptor_size.is_power_of_two() {
            return Err(out_of_range("s_desc_size", descriptor_size as u64));
        }
        let (per_group, first) = (raw.blocks_per_group.get(), raw.first_data_block.get());
        if per_group == 0 || blocks <= u64::from(first) {
            return Err(out_of_range("s_blocks_per_group", per_group.into()));
        }
        let groups = (blocks - u64::from(first)).div_ceil(per_group.into());
        let (inodes, inodes_per_group) = (raw.inodes_count.get(), raw.inodes_per_group.get());
        if inodes_per_group == 0
            || u64::from(inodes) > groups.saturating_mul(inodes_per_group.into())
        {
            return Err(out_of_range("s_inodes_per_group", inodes_per_group.into()));
        }
        let compatible = feature(raw.feature_compat.get());
        Ok(Self {
            uuid: raw.uuid,
            block_size,
            blocks,
            inodes,
            inode_size,
            needs_recovery: incompatible & foreign::RECOVER != 0
                && compatible & compat::HAS_JOURNAL != 0,
            has_errors: raw.state.get() & STATE_ERRORS != 0,
            has_file_types: incompatible & incompat::FILETYPE != 0,
            checksum_seed: has_checksums.then(|| match incompatible & incompat::CSUM_SEED {
                0 => crate::checksum::raw(!0, &raw.uuid),
                _ => raw.checksum_seed.get(),
            }),
            inodes_per_group,
            blocks_per_group: per_group,
            groups,
            first_data_block: first,
            descriptor_size,
            first_meta_group: (incompatible & incompat::META_BG != 0)
                .then(|| raw.first_meta_bg.get()),
            backups: if compatible & compat::SPARSE_SUPER2 != 0 {
                Backups::Two(raw.backup_bgs.map(|group| group.get()))
            } else if read_only & ro_compat::SPARSE_SUPER != 0 {
                Backups::Sparse
            } else {
                Backups::All
            },
        })
    }

    fn descriptors_per_block(&self) -> u64 {
        self.block_size as u64 / self.descriptor_size as u64
    }

    fn has_backup(&self, group: u64) -> bool {
        let Ok(group) = u32::try_from(group) else {
            return false;
        };
        group == 0
            || match self.backups {
                Backups::All => true,
                Backups::Sparse => is_sparse(group),
                Backups::Two(groups) => groups.contains(&group),
            }
    }

    /// The block that holds a group's descriptor (`descriptor_loc` in fs/ext4/super.c), and the offset in it.
    fn descriptor_place(&self, group: u64) -> (u64, usize) {
        let (nth, index) = (
            group / self.descriptors_per_block(),
            group % self.descriptors_per_block(),
        );
        let superblock = superblock::OFFSET / u64::from(self.block_size);
        let block = match self.first_meta_group {
            Some(first) if nth >= u64::from(first) => {
                let group = nth * self.descriptors_per_block();
                let start =
                    u64::from(self.first_data_block) + group * u64::from(self.blocks_per_group);
                // With blocks of 1 KiB and none before the superblock, it takes the second block of group 0.
                let shifted = superblock == 1 && nth == 0 && self.first_data_block == 0;
                start + u64::from(self.has_backup(group)) + u64::from(shifted)
            }
            _ => superblock + nth + 1,
        };
        (block, index as usize * self.descriptor_size)
    }
}

fn out_of_range(field: &str, value: u64) -> ReadError {
    ReadError::corrupt(format!("{field} is {value}"))
}

impl<S: ReadAt> ImageReader<'_, S> {
    /// The block and the offset in it where an inode lies.
    pub(super) fn inode_place(&self, number: u32) -> Result<(u64, usize), ReadError> {
        let geometry = &self.geometry;
        if number == 0 || number > geometry.inodes {
            let inodes = geometry.inodes;
            return Err(ReadError::corrupt(format!(
                "there is no inode {number}, only {inodes}"
            )));
        }
        let index = number - 1;
        let (group, index) = (
            u64::from(index / geometry.inodes_per_group),
            u64::from(index % geometry.inodes_per_group),
        );
        let table = self.inode_table(group)?;
        let offset = index * u64::from(geometry.inode_size);
        let size = u64::from(geometry.block_size);
        let block = table
            .checked_add(offset / size)
            .ok_or_else(|| out_of_range("bg_inode_table", table))?;
        Ok((block, (offset % size) as usize))
    }

    fn inode_table(&self, group: u64) -> Result<u64, ReadError> {
        let geometry = &self.geometry;
        if group >= geometry.groups {
            return Err(out_of_range("the number of a group", group));
        }
        let (block, offset) = geometry.descriptor_place(group);
        let bytes = self.block(block)?;
        let bytes = &bytes[offset..offset + geometry.descriptor_size];
        let mut whole = [0; size_of::<GroupDescriptor>()];
        let length = whole.len().min(bytes.len());
        whole[..length].copy_from_slice(&bytes[..length]);
        let descriptor = GroupDescriptor::read_from_bytes(&whole)
            .map_err(|_| ReadError::corrupt("a group descriptor is cut short"))?;
        if let Some(seed) = geometry.checksum_seed {
            let number = (group as u32).to_le_bytes();
            let mut covered = bytes.to_vec();
            covered[0x1e..0x20].fill(0);
            if raw(raw(seed, &number), &covered) as u16 != descriptor.checksum.get() {
                return Err(ReadError::corrupt(format!(
                    "the checksum of group descriptor {group} is wrong"
                )));
            }
        }
        let low = u64::from(descriptor.inode_table_lo.get());
        Ok(low | u64::from(descriptor.inode_table_hi.get()) << 32)
    }
}
