//! An image as text, for people and for golden tests.

use std::fmt::Write;

use zerocopy::FromBytes;

use crate::device::{Access, Device};
use crate::disk::extent::{Header, Index, Leaf, RECORD_BYTES};
use crate::disk::group_descriptor::GroupDescriptor;
use crate::disk::inode::{self, Inode};
use crate::disk::superblock::{self, Superblock, compat, incompat, ro_compat};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::plan::is_sparse;

/// Describes an image that this crate made: superblock, group descriptors, and every inode in use with its extents.
///
/// Numbers are decimal, except bit sets. It trusts the image: for one from elsewhere, use `dumpe2fs` and `debugfs`.
///
/// # Errors
/// Where the device cannot be read, or holds no ext4 filesystem.
pub fn dump<D: Device>(device: D) -> Result<String, Error> {
    let access = Access::new(device, 1024);
    let mut bytes = [0; size_of::<Superblock>()];
    access.read(BlockNumber(superblock::OFFSET / 1024), &mut bytes)?;
    let raw: Superblock = zerocopy::transmute!(bytes);
    if raw.magic.get() != superblock::MAGIC {
        return Err(Error::NotExt4);
    }
    let mut dumper = Dumper {
        access,
        raw,
        out: String::new(),
    };
    dumper.superblock();
    dumper.groups()?;
    Ok(dumper.out)
}

struct Dumper<D> {
    access: Access<D>,
    raw: Superblock,
    out: String,
}

impl<D: Device> Dumper<D> {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
        self.out.push('\n');
    }

    fn superblock(&mut self) {
        let raw = self.raw;
        let numbers = [
            ("inodes_count", u64::from(raw.inodes_count)),
            (
                "blocks_count",
                both(raw.blocks_count_lo.get(), raw.blocks_count_hi.get()),
            ),
            (
                "r_blocks_count",
                both(raw.r_blocks_count_lo.get(), raw.r_blocks_count_hi.get()),
            ),
            (
                "free_blocks_count",
                both(
                    raw.free_blocks_count_lo.get(),
                    raw.free_blocks_count_hi.get(),
                ),
            ),
            ("free_inodes_count", u64::from(raw.free_inodes_count)),
            ("first_data_block", u64::from(raw.first_data_block)),
            ("block_size", self.block_size()),
            ("blocks_per_group", u64::from(raw.blocks_per_group)),
            ("inodes_per_group", u64::from(raw.inodes_per_group)),
            ("inode_size", u64::from(raw.inode_size)),
            ("desc_size", u64::from(raw.desc_size)),
            ("reserved_gdt_blocks", u64::from(raw.reserved_gdt_blocks)),
            ("journal_inum", u64::from(raw.journal_inum)),
            ("def_hash_version", u64::from(raw.def_hash_version)),
        ];
        self.line(format_args!("superblock"));
        for (name, value) in numbers {
            self.line(format_args!("  {name}: {value}"));
        }
        self.line(format_args!("  feature_compat: {:#x}", raw.feature_compat));
        self.line(format_args!(
            "  feature_incompat: {:#x}",
            raw.feature_incompat
        ));
        self.line(format_args!(
            "  feature_ro_compat: {:#x}",
            raw.feature_ro_compat
        ));
        self.line(format_args!("  flags: {:#x}", raw.flags));
    }

    fn block_size(&self) -> u64 {
        1024 << self.raw.log_block_size.get()
    }

    fn groups(&mut self) -> Result<(), Error> {
        let per_group = u64::from(self.raw.inodes_per_group);
        let groups = u64::from(self.raw.inodes_count) / per_group.max(1);
        let size = u64::from(self.raw.desc_size).max(32);
        for group in 0..groups {
            let mut bytes = [0; size_of::<GroupDescriptor>()];
            let at = self.descriptor(group, size);
            self.read_bytes(at, &mut bytes[..size as usize])?;
            let raw: GroupDescriptor = zerocopy::transmute!(bytes);
            let free = both16(
                raw.free_inodes_count_lo.get(),
                raw.free_inodes_count_hi.get(),
            );
            let inode_table = both(raw.inode_table_lo.get(), raw.inode_table_hi.get());
            self.line(format_args!("group {group}"));
            self.line(format_args!(
                "  block bitmap: {}, inode bitmap: {}, inode table: {inode_table}",
                both(raw.block_bitmap_lo.get(), raw.block_bitmap_hi.get()),
                both(raw.inode_bitmap_lo.get(), raw.inode_bitmap_hi.get()),
            ));
            self.line(format_args!(
                "  free blocks: {}, free inodes: {free}, directories: {}, flags: {:#x}",
                both16(
                    raw.free_blocks_count_lo.get(),
                    raw.free_blocks_count_hi.get()
                ),
                both16(raw.used_dirs_count_lo.get(), raw.used_dirs_count_hi.get()),
                raw.flags,
            ));
            for index in 0..per_group - u64::from(free).min(per_group) {
                let at = inode_table * self.block_size() + index * u64::from(self.raw.inode_size);
                self.inode(group * per_group + index + 1, at)?;
            }
        }
        Ok(())
    }

    /// Where a group's descriptor of `size` bytes is: behind the superblock, or with `meta_bg` at the start of the groups that its
    /// block describes.
    fn descriptor(&self, group: u64, size: u64) -> u64 {
        let per_block = self.block_size() / size;
        let index = group / per_block;
        let first_data_block = u64::from(self.raw.first_data_block);
        let meta_bg = self.raw.feature_incompat.get() & incompat::META_BG != 0;
        let block = if meta_bg && index >= u64::from(self.raw.first_meta_bg) {
            let first = index * per_block;
            let start = first_data_block + first * u64::from(self.raw.blocks_per_group);
            start + u64::from(self.has_superblock(first))
        } else {
            first_data_block + 1 + index
        };
        block * self.block_size() + group % per_block * size
    }

    fn has_superblock(&self, group: u64) -> bool {
        let group = group as u32;
        if group == 0 {
            true
        } else if self.raw.feature_compat.get() & compat::SPARSE_SUPER2 != 0 {
            self.raw
                .backup_bgs
                .iter()
                .any(|backup| backup.get() == group)
        } else if self.raw.feature_ro_compat.get() & ro_compat::SPARSE_SUPER != 0 {
            is_sparse(group)
        } else {
            true
        }
    }

    fn inode(&mut self, number: u64, at: u64) -> Result<(), Error> {
        let mut bytes = [0; inode::BYTES];
        let length = usize::from(self.raw.inode_size.get()).min(inode::BYTES);
        self.read_bytes(at, &mut bytes[..length])?;
        let raw: Inode = zerocopy::transmute!(bytes);
        if raw.mode.get() == 0 {
            return Ok(());
        }
        self.line(format_args!(
            "  inode {number}: mode {:o}, owner {}:{}, links {}, size {}, sectors {}, flags {:#x}, mtime {}",
            raw.mode,
            both16(raw.uid.get(), raw.uid_high.get()),
            both16(raw.gid.get(), raw.gid_high.get()),
            raw.links_count,
            both(raw.size_lo.get(), raw.size_high.get()),
            u64::from(raw.blocks_lo) | u64::from(raw.blocks_high) << 32,
            raw.flags,
            seconds(raw.mtime.get(), raw.mtime_extra.get()),
        ));
        if raw.flags.get() & inode::flags::EXTENTS != 0 {
            self.extents(&raw.block)?;
        }
        Ok(())
    }

    /// Lists the extents of a tree, node after node: no tree is deeper than five levels.
    fn extents(&mut self, root: &[u8]) -> Result<(), Error> {
        let mut waiting = vec![root.to_vec()];
        while let Some(node) = waiting.pop() {
            let Ok((header, records)) = Header::ref_from_prefix(&node) else {
                continue;
            };
            let records = records
                .chunks_exact(RECORD_BYTES)
                .take(header.entries.get().into());
            if header.depth.get() == 0 {
                for leaf in records.filter_map(|record| Leaf::ref_from_bytes(record).ok()) {
                    let start = both(leaf.start_lo.get(), leaf.start_hi.get().into());
                    self.line(format_args!("    {}+{} at {start}", leaf.block, leaf.len));
                }
                continue;
            }
            for index in records
                .rev()
                .filter_map(|record| Index::ref_from_bytes(record).ok())
            {
                let mut child = vec![0; self.block_size() as usize];
                let block = both(index.leaf_lo.get(), index.leaf_hi.get().into());
                self.read_bytes(block * self.block_size(), &mut child)?;
                waiting.push(child);
            }
        }
        Ok(())
    }

    fn read_bytes(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.access.read_bytes(offset, bytes)
    }
}

/// Seconds from 1970: 32 bits with a sign, and two bits of epochs.
fn seconds(low: u32, extra: u32) -> i64 {
    i64::from(low.cast_signed()) + (i64::from(extra & 3) << 32)
}

fn both(low: u32, high: u32) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}

fn both16(low: u16, high: u16) -> u32 {
    u32::from(low) | (u32::from(high) << 16)
}
