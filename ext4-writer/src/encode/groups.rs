//! Bitmaps, descriptors, blocks kept for more descriptors, and all copies of the superblock but the first.

use zerocopy::IntoBytes;

use super::totals::Totals;
use super::{BlockSink, Source, superblock};
use crate::disk::group_descriptor::{BLOCK_UNINIT, GroupDescriptor, INODE_UNINIT, INODE_ZEROED};
use crate::error::Error;
use crate::ids::{BlockNumber, GroupNumber};
use crate::number::{Fit, Halves, Widen};

pub(super) fn encode(
    source: Source<'_>,
    directories: &[u32],
    sink: &mut impl BlockSink,
) -> Result<Totals, Error> {
    let mut totals = Totals::default();
    let size = source.plan.geometry().descriptor_size.to_usize();
    let groups = source.plan.dimensions().groups;
    let mut table = Vec::with_capacity(groups.to_usize() * size);
    for group in (0..groups).map(GroupNumber) {
        let descriptor = describe(
            source,
            group,
            directories[group.0.to_usize()],
            &mut totals,
            sink,
        )?;
        table.extend_from_slice(&descriptor.as_bytes()[..size]);
    }
    table.resize(
        table
            .len()
            .next_multiple_of(source.plan.geometry().block_size.to_usize()),
        0,
    );
    resize_inode(source, sink)?;
    copies(source, &table, totals, sink)?;
    Ok(totals)
}

/// Encodes the bitmaps of a group, and its descriptor.
fn describe(
    source: Source<'_>,
    group: GroupNumber,
    directories: u32,
    totals: &mut Totals,
    sink: &mut impl BlockSink,
) -> Result<GroupDescriptor, Error> {
    let plan = source.plan;
    let (blocks, free_blocks) = block_bitmap(source, group);
    let (inodes, free_inodes) = inode_bitmap(source, group);
    totals.free_blocks += u64::from(free_blocks);
    totals.free_inodes += u64::from(free_inodes);
    let backups = plan.layout().groups[group.0.to_usize()];
    sink.put(backups.block_bitmap, &blocks)?;
    sink.put(backups.inode_bitmap, &inodes)?;
    let per_group = plan.dimensions().inodes_per_group;
    let block_checksum = plan.checksums.bitmap(&blocks);
    let inode_checksum = plan.checksums.bitmap(&inodes[..per_group.to_usize() / 8]);
    let last = group.0 + 1 == plan.dimensions().groups;
    let mut flags = 0;
    let mut unused = 0;
    if plan.checksums.enabled() {
        flags = INODE_ZEROED;
        // Inodes are used from the front, so the unused ones are at the end.
        unused = free_inodes;
        if free_inodes == per_group {
            flags |= INODE_UNINIT;
        }
        if free_blocks == plan.geometry().blocks_per_group && !last {
            flags |= BLOCK_UNINIT;
        }
    }
    let mut descriptor = GroupDescriptor {
        block_bitmap_lo: backups.block_bitmap.low().into(),
        block_bitmap_hi: backups.block_bitmap.high().into(),
        inode_bitmap_lo: backups.inode_bitmap.low().into(),
        inode_bitmap_hi: backups.inode_bitmap.high().into(),
        inode_table_lo: backups.inode_table.low().into(),
        inode_table_hi: backups.inode_table.high().into(),
        free_blocks_count_lo: free_blocks.low().into(),
        free_blocks_count_hi: free_blocks.high().into(),
        free_inodes_count_lo: free_inodes.low().into(),
        free_inodes_count_hi: free_inodes.high().into(),
        used_dirs_count_lo: directories.low().into(),
        used_dirs_count_hi: directories.high().into(),
        itable_unused_lo: unused.low().into(),
        itable_unused_hi: unused.high().into(),
        block_bitmap_csum_lo: block_checksum.low().into(),
        block_bitmap_csum_hi: block_checksum.high().into(),
        inode_bitmap_csum_lo: inode_checksum.low().into(),
        inode_bitmap_csum_hi: inode_checksum.high().into(),
        flags: flags.into(),
        ..GroupDescriptor::default()
    };
    let covered = &descriptor.as_bytes()[..plan.geometry().descriptor_size.to_usize()];
    descriptor.checksum = plan.checksums.group_descriptor(group, covered).into();
    Ok(descriptor)
}

/// The bitmap and the number of free blocks; bits beyond the filesystem's end are set.
fn block_bitmap(source: Source<'_>, group: GroupNumber) -> (Vec<u8>, u32) {
    let plan = source.plan;
    let start = plan.geometry().group_start(group).0;
    let count = plan.group_blocks(group);
    let mut bits = vec![0; plan.geometry().block_size.to_usize()];
    let mut used = 0;
    for range in plan.used.within(start..start + u64::from(count)) {
        set(
            &mut bits,
            (range.start - start).fit_usize(),
            (range.end - start).fit_usize(),
        );
        used += (range.end - range.start).fit_u32();
    }
    set(
        &mut bits,
        count.to_usize(),
        plan.geometry().blocks_per_group.to_usize(),
    );
    (bits, count - used)
}

/// The bitmap and the number of free inodes; bits beyond the group's inodes are set.
fn inode_bitmap(source: Source<'_>, group: GroupNumber) -> (Vec<u8>, u32) {
    let per_group = source.plan.dimensions().inodes_per_group;
    let before = u64::from(group.0) * u64::from(per_group);
    let used = source
        .plan
        .census
        .inodes()
        .saturating_sub(before)
        .min(u64::from(per_group))
        .fit_u32();
    let mut bits = vec![0; source.plan.geometry().block_size.to_usize()];
    let all = bits.len() * 8;
    set(&mut bits, 0, used.to_usize());
    set(&mut bits, per_group.to_usize(), all);
    (bits, per_group - used)
}

/// Sets the bits `from..to`.
fn set(bits: &mut [u8], from: usize, to: usize) {
    let (mut at, to) = (from, to);
    while at < to {
        if at % 8 == 0 && to - at >= 8 {
            let whole = (to - at) / 8;
            bits[at / 8..at / 8 + whole].fill(0xff);
            at += whole * 8;
        } else {
            bits[at / 8] |= 1 << (at % 8);
            at += 1;
        }
    }
}

/// The doubly indirect block of the resize inode, and for each block kept for descriptors the list of its backups.
fn resize_inode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let plan = source.plan;
    let Some(block) = plan.layout().resize_block else {
        return Ok(());
    };
    let in_use = plan.dimensions().descriptor_blocks;
    let per_block = plan.geometry().addresses_per_block();
    let first = plan.geometry().group_start(GroupNumber(0)).0 + 1;
    let mut table = vec![0; plan.geometry().block_size.to_usize()];
    for index in in_use..in_use + plan.dimensions().reserved_descriptors {
        let primary = first + u64::from(index);
        let slot = (index % per_block).to_usize() * 4;
        table[slot..slot + 4].copy_from_slice(&primary.fit_u32().to_le_bytes());
        let backups: Vec<u8> = plan
            .backup_groups()
            .flat_map(|group| {
                let offset = u64::from(group.0) * u64::from(plan.geometry().blocks_per_group);
                (primary + offset).fit_u32().to_le_bytes()
            })
            .collect();
        sink.put(BlockNumber(primary), &backups)?;
    }
    sink.put(block, &table)
}

/// Descriptors and superblocks of every group that has them, but for the primary superblock.
fn copies(
    source: Source<'_>,
    table: &[u8],
    totals: Totals,
    sink: &mut impl BlockSink,
) -> Result<(), Error> {
    let plan = source.plan;
    let backups = plan.backups();
    let size = plan.geometry().block_size.to_usize();
    let per_block = plan.geometry().descriptors_per_block();
    let old_style = table.chunks(size).take(backups.area.to_usize());
    for group in (0..plan.dimensions().groups).map(GroupNumber) {
        let mut at = plan.geometry().group_start(group);
        if backups.has_superblock(group) {
            if group.0 > 0 {
                sink.put(at, &superblock::copy(source, totals, group))?;
            }
            at = at.plus(1);
            if group.0 / per_block < backups.area {
                for (index, block) in old_style.clone().enumerate() {
                    sink.put(at.plus(index.to_u64()), block)?;
                }
            }
        }
        if backups.has_meta_descriptors(group)
            && let Some(block) = table.chunks(size).nth((group.0 / per_block).to_usize())
        {
            sink.put(at, block)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bits_are_set_exactly() {
        for from in 0..40 {
            for to in from..40 {
                let mut bits = [0; 5];
                set(&mut bits, from, to);
                for bit in 0..40 {
                    assert_eq!(
                        bits[bit / 8] >> (bit % 8) & 1 == 1,
                        (from..to).contains(&bit)
                    );
                }
            }
        }
    }
}
