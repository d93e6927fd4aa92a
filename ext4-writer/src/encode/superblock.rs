//! The superblock and its copies.

use zerocopy::{FromZeros, IntoBytes};

use super::system_file::extents;
use super::{Source, Totals};
use crate::disk::superblock::{
    CHECKSUM_CRC32C, CHECKSUM_OFFSET, ERRORS_CONTINUE, FLAG_UNSIGNED_HASH, JOURNAL_BACKUP_BLOCKS,
    MAGIC, NO_MOUNT_LIMIT, REVISION_DYNAMIC, STATE_CLEAN, Superblock, compat, incompat, ro_compat,
};
use crate::ids::{GroupNumber, InodeNumber};
use crate::number::{Fit, Halves};
use crate::options::Features;
use crate::plan::{BackupGroups, LOG_GROUPS_PER_FLEX, SystemKind};

/// The 1,024 bytes of the primary superblock.
pub(crate) fn primary(source: Source<'_>, totals: Totals) -> Vec<u8> {
    copy(source, totals, GroupNumber(0))
}

/// The superblock as it lies in `group`.
pub(super) fn copy(source: Source<'_>, totals: Totals, group: GroupNumber) -> Vec<u8> {
    let mut raw = Superblock::new_zeroed();
    set_sizes(&mut raw, source, totals);
    set_identity(&mut raw, source);
    set_features(&mut raw, source);
    set_journal(&mut raw, source);
    set_system_inodes(&mut raw, source);
    // Copies beyond group 65,535 cannot say where they are; readers do not ask.
    raw.block_group_nr = group.0.low().into();
    let checksum = source
        .plan
        .checksums
        .superblock(&raw.as_bytes()[..CHECKSUM_OFFSET]);
    raw.checksum = checksum.into();
    raw.as_bytes().to_vec()
}

fn set_sizes(raw: &mut Superblock, source: Source<'_>, totals: Totals) {
    let plan = source.plan;
    let (geometry, dimensions) = (plan.geometry(), plan.dimensions());
    let reserved = reserved_blocks(source);
    raw.inodes_count = (dimensions.inodes_per_group * dimensions.groups).into();
    raw.blocks_count_lo = dimensions.blocks.low().into();
    raw.blocks_count_hi = dimensions.blocks.high().into();
    raw.r_blocks_count_lo = reserved.low().into();
    raw.r_blocks_count_hi = reserved.high().into();
    raw.free_blocks_count_lo = totals.free_blocks.low().into();
    raw.free_blocks_count_hi = totals.free_blocks.high().into();
    raw.free_inodes_count = totals.free_inodes.fit_u32().into();
    raw.first_data_block = geometry.first_data_block.into();
    raw.log_block_size = (geometry.block_size.ilog2() - 10).into();
    raw.log_cluster_size = raw.log_block_size;
    raw.blocks_per_group = geometry.blocks_per_group.into();
    raw.clusters_per_group = raw.blocks_per_group;
    raw.inodes_per_group = dimensions.inodes_per_group.into();
    raw.first_ino = InodeNumber::FIRST_FREE.0.into();
    raw.inode_size = geometry.inode_size.fit_u16().into();
    raw.reserved_gdt_blocks = dimensions.reserved_descriptors.fit_u16().into();
    raw.log_groups_per_flex = LOG_GROUPS_PER_FLEX;
    if source.options.features.contains(Features::BIT64) {
        raw.desc_size = geometry.descriptor_size.fit_u16().into();
    }
    if geometry.extra_isize() > 0 {
        raw.min_extra_isize = geometry.extra_isize().into();
        raw.want_extra_isize = geometry.extra_isize().into();
    }
    if dimensions.meta_bg {
        raw.first_meta_bg = plan.backups().area.into();
    }
    if let BackupGroups::Two { second } = plan.backups().backup_groups {
        let first = u32::from(dimensions.groups > 1);
        raw.backup_bgs = [first.into(), second.map_or(0, |group| group.0).into()];
    }
}

/// Blocks kept back, as the options' share of all.
pub(crate) fn reserved_blocks(source: Source<'_>) -> u64 {
    let share = u128::from(source.options.reserved.basis_points);
    let blocks = u128::from(source.plan.dimensions().blocks) * share / 10_000;
    blocks.try_into().expect("it is a share of the blocks")
}

fn set_identity(raw: &mut Superblock, source: Source<'_>) {
    let options = source.options;
    // Superblock times are unsigned, with eight bits more than 32.
    let time = options.time.seconds.clamp(0, (1 << 40) - 1).cast_unsigned();
    let (low, high) = (time.low(), time.high().fit_u8());
    raw.wtime = low.into();
    raw.mkfs_time = low.into();
    raw.lastcheck = low.into();
    raw.times_hi = [high, 0, high, high, 0, 0];
    raw.max_mnt_count = NO_MOUNT_LIMIT.into();
    raw.magic = MAGIC.into();
    raw.state = STATE_CLEAN.into();
    raw.errors = ERRORS_CONTINUE.into();
    raw.rev_level = REVISION_DYNAMIC.into();
    raw.def_resuid = options.reserved.uid.into();
    raw.def_resgid = options.reserved.gid.into();
    raw.uuid = *options.uuid.as_bytes();
    raw.volume_name[..options.label.len()].copy_from_slice(&options.label);
    raw.hash_seed = *options.effective_hash_seed().as_bytes();
    raw.def_hash_version = options.hash_algorithm.version();
    raw.flags = FLAG_UNSIGNED_HASH.into();
    raw.default_mount_opts = options.mount_options.bits().into();
}

fn set_features(raw: &mut Superblock, source: Source<'_>) {
    let features = source.options.features;
    let dimensions = source.plan.dimensions();
    let when = |on: bool, bit: u32| if on { bit } else { 0 };
    let has = |feature: Features, bit: u32| when(features.contains(feature), bit);
    raw.feature_compat = (compat::EXT_ATTR
        | when(
            source.plan.system_file(SystemKind::Journal).is_some(),
            compat::HAS_JOURNAL,
        )
        | when(dimensions.reserved_descriptors > 0, compat::RESIZE_INODE)
        | has(Features::DIR_INDEX, compat::DIR_INDEX)
        | has(Features::ORPHAN_FILE, compat::ORPHAN_FILE)
        | has(Features::SPARSE_SUPER2, compat::SPARSE_SUPER2))
    .into();
    raw.feature_incompat = (incompat::FILETYPE
        | incompat::EXTENTS
        | incompat::FLEX_BG
        | when(dimensions.meta_bg, incompat::META_BG)
        | has(Features::BIT64, incompat::BIT64)
        | has(Features::EA_INODE, incompat::EA_INODE)
        | has(Features::METADATA_CSUM_SEED, incompat::CSUM_SEED)
        | has(Features::LARGE_DIR, incompat::LARGEDIR)
        | has(Features::INLINE_DATA, incompat::INLINE_DATA))
    .into();
    raw.feature_ro_compat = (ro_compat::LARGE_FILE
        | ro_compat::HUGE_FILE
        | ro_compat::DIR_NLINK
        | when(
            source.plan.geometry().extra_isize() > 0,
            ro_compat::EXTRA_ISIZE,
        )
        | has(Features::SPARSE_SUPER, ro_compat::SPARSE_SUPER)
        | has(Features::METADATA_CSUM, ro_compat::METADATA_CSUM)
        | has(Features::QUOTA, ro_compat::QUOTA)
        | has(Features::PROJECT, ro_compat::PROJECT)
        | has(Features::VERITY, ro_compat::VERITY))
    .into();
    if features.contains(Features::METADATA_CSUM) {
        raw.checksum_type = CHECKSUM_CRC32C;
    }
    if features.contains(Features::METADATA_CSUM_SEED) {
        raw.checksum_seed = source.plan.checksums.seed().into();
    }
}

/// Inodes of the other files of the filesystem itself.
fn set_system_inodes(raw: &mut Superblock, source: Source<'_>) {
    let inode = |kind| match source.plan.system_file(kind) {
        Some(_) => source.plan.census.system_inode(kind).0,
        None => 0,
    };
    raw.orphan_file_inum = inode(SystemKind::OrphanFile).into();
    raw.usr_quota_inum = inode(SystemKind::UserQuota).into();
    raw.grp_quota_inum = inode(SystemKind::GroupQuota).into();
    raw.prj_quota_inum = inode(SystemKind::ProjectQuota).into();
}

/// The journal's inode, and a copy of its block map for when that inode is lost.
fn set_journal(raw: &mut Superblock, source: Source<'_>) {
    let Some(journal) = source.plan.system_file(SystemKind::Journal) else {
        return;
    };
    raw.journal_inum = InodeNumber::JOURNAL.0.into();
    raw.jnl_backup_type = JOURNAL_BACKUP_BLOCKS;
    let root = extents(source, SystemKind::Journal, journal).root;
    for (slot, word) in raw.jnl_blocks.iter_mut().zip(root.as_chunks::<4>().0) {
        *slot = u32::from_le_bytes(*word).into();
    }
    let size = journal.blocks() * u64::from(source.plan.geometry().block_size);
    raw.jnl_blocks[15] = size.high().into();
    raw.jnl_blocks[16] = size.low().into();
}
