//! Quota files.

use std::collections::BTreeMap;

use zerocopy::{FromZeros, IntoBytes};

use super::{BlockSink, Source};
use crate::disk::quota::{
    EntriesHeader, Entry, GRACE_SECONDS, GROUP_MAGIC, Header, PROJECT_MAGIC, USER_MAGIC, VERSION,
};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::number::{Fit, Widen};
use crate::plan::{QUOTA_ENTRIES_PER_UNIT, QUOTA_PREFIX_SHIFTS, QUOTA_UNIT_BYTES, SystemKind};

/// What one user, group or project has.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    bytes: u64,
    inodes: u64,
}

/// What everybody has, by quota file and id.
#[derive(Debug, Default)]
pub(super) struct Usages([BTreeMap<u32, Usage>; 3]);

impl Usages {
    /// Counts inodes for a user, a group and a project.
    pub(super) fn count(&mut self, ids: [u32; 3], inodes: u64, bytes: u64) {
        for (usages, id) in self.0.iter_mut().zip(ids) {
            let usage = usages.entry(id).or_default();
            usage.bytes += bytes;
            usage.inodes += inodes;
        }
    }
}

pub(super) fn encode(
    source: Source<'_>,
    usages: &Usages,
    sink: &mut impl BlockSink,
) -> Result<(), Error> {
    let magics = [USER_MAGIC, GROUP_MAGIC, PROJECT_MAGIC];
    for ((kind, usages), magic) in SystemKind::QUOTAS.into_iter().zip(&usages.0).zip(magics) {
        let Some(file) = source.plan.system_file(kind) else {
            continue;
        };
        let bytes = file_of(usages, magic);
        debug_assert!(
            bytes.len().to_u64() <= file.blocks() * u64::from(source.plan.geometry().block_size)
        );
        let blocks = file.runs.iter().cloned().flatten();
        for (block, chunk) in blocks.zip(bytes.chunks(source.plan.geometry().block_size.to_usize()))
        {
            sink.put(BlockNumber(block), chunk)?;
        }
        let tree = super::system_file::extents(source, kind, file);
        super::extent_blocks::put_tree(&tree, sink)?;
    }
    Ok(())
}

/// A file in the making, in blocks of 1 KiB.
struct Units(Vec<[u8; QUOTA_UNIT_BYTES as usize]>);

impl Units {
    fn add(&mut self) -> u32 {
        self.0.push([0; QUOTA_UNIT_BYTES as usize]);
        self.0.len().fit_u32() - 1
    }

    fn refer(&mut self, from: u32, slot: u32, to: u32) {
        let start = slot.to_usize() * 4;
        self.0[from.to_usize()][start..start + 4].copy_from_slice(&to.to_le_bytes());
    }
}

fn file_of(usages: &BTreeMap<u32, Usage>, magic: u32) -> Vec<u8> {
    let mut units = Units(Vec::new());
    units.add();
    let root = units.add();
    let mut free_entry = 0;
    // The nodes that lead to the last id, from the root.
    let mut path: [(u32, u32); 4] = [(u32::MAX, root); 4];
    let mut entries = 0;
    let mut data = 0;
    for (count, (&id, usage)) in usages.iter().enumerate() {
        if count.to_u64().is_multiple_of(QUOTA_ENTRIES_PER_UNIT) {
            data = units.add();
            entries = 0;
        }
        for (level, shift) in QUOTA_PREFIX_SHIFTS.into_iter().enumerate() {
            let prefix = id >> shift;
            if path[level + 1].0 != prefix || count == 0 {
                let node = units.add();
                units.refer(path[level].1, prefix & 0xff, node);
                path[level + 1] = (prefix, node);
            }
        }
        units.refer(path[3].1, id & 0xff, data);
        write_entry(&mut units.0[data.to_usize()], entries, id, usage);
        entries += 1;
        free_entry = if u64::from(entries) < QUOTA_ENTRIES_PER_UNIT {
            data
        } else {
            0
        };
    }
    let header = Header {
        magic: magic.into(),
        version: VERSION.into(),
        block_grace: GRACE_SECONDS.into(),
        inode_grace: GRACE_SECONDS.into(),
        flags: 0.into(),
        blocks: units.0.len().fit_u32().into(),
        free_block: 0.into(),
        free_entry: free_entry.into(),
    };
    units.0[0][..size_of::<Header>()].copy_from_slice(header.as_bytes());
    units.0.concat()
}

fn write_entry(unit: &mut [u8], index: u16, id: u32, usage: &Usage) {
    let mut header = EntriesHeader::new_zeroed();
    header.entries = (index + 1).into();
    unit[..size_of::<EntriesHeader>()].copy_from_slice(header.as_bytes());
    let mut entry = Entry::new_zeroed();
    entry.id = id.into();
    entry.inodes = usage.inodes.into();
    entry.space = usage.bytes.into();
    let start = size_of::<EntriesHeader>() + usize::from(index) * size_of::<Entry>();
    unit[start..start + size_of::<Entry>()].copy_from_slice(entry.as_bytes());
}
