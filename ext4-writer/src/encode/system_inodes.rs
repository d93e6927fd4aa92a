//! Inodes that are no files of the tree: of the filesystem itself, and of attribute values.

use zerocopy::FromZeros;

use super::BlockSink;
use super::extents::{ExtentTree, from_runs};
use super::inodes::{Encoder, Fields, Tables};
use super::system_file::extents as system_extents;
use super::xattrs::{value_hash, value_of};
use crate::disk::inode::{BLOCK_BYTES, Inode, flags};
use crate::error::Error;
use crate::ids::InodeNumber;
use crate::number::Widen;
use crate::plan::SystemKind;
use crate::tree::{FileType, PackedTime};

impl Encoder<'_> {
    /// Inodes with reserved numbers, in their order.
    pub(super) fn reserved(
        &mut self,
        tables: &mut Tables<'_>,
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        self.system_file(SystemKind::UserQuota, tables, sink)?;
        self.system_file(SystemKind::GroupQuota, tables, sink)?;
        self.resize_inode(tables, sink)?;
        self.system_file(SystemKind::Journal, tables, sink)
    }

    fn resize_inode(
        &mut self,
        tables: &mut Tables<'_>,
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        let plan = self.source.plan;
        let geometry = plan.geometry();
        let Some(dind) = plan.layout().resize_block else {
            return Ok(());
        };
        let per_block = u64::from(geometry.addresses_per_block());
        let mut block = [0; BLOCK_BYTES];
        // The doubly indirect pointer; reserved blocks lie below 2^32.
        block[13 * 4..14 * 4].copy_from_slice(&dind.low().to_le_bytes());
        let reserved = u64::from(plan.dimensions().reserved_descriptors);
        let fields = Fields {
            mode: 0o600,
            flags: 0,
            links: 1,
            size: (per_block * per_block + per_block + 12) * u64::from(geometry.block_size),
            blocks: 1 + reserved * (1 + plan.backup_groups().count().to_u64()),
            block,
        };
        self.system_inode(InodeNumber::RESIZE, &fields, tables, sink)
    }

    pub(super) fn system_file(
        &mut self,
        kind: SystemKind,
        tables: &mut Tables<'_>,
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        let plan = self.source.plan;
        let Some(file) = plan.system_file(kind) else {
            return Ok(());
        };
        let fields = Fields {
            mode: 0o600,
            flags: flags::EXTENTS,
            links: 1,
            size: file.blocks() * u64::from(plan.geometry().block_size),
            blocks: file.blocks() + file.index_blocks(),
            block: system_extents(self.source, kind, file).root,
        };
        self.system_inode(plan.census.system_inode(kind), &fields, tables, sink)
    }

    fn system_inode(
        &mut self,
        inode: InodeNumber,
        fields: &Fields,
        tables: &mut Tables<'_>,
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        let mut raw = Inode::new_zeroed();
        let time = self.source.options.time.pack();
        set_all_times(&mut raw, time);
        let fields = Fields {
            mode: FileType::Regular.mode_bits() | fields.mode,
            ..*fields
        };
        let mut record = self.record(&mut raw, &fields);
        self.seal(inode, &mut record);
        tables.put(inode, &record, sink)
    }

    /// The inode that holds the value of an extended attribute.
    pub(super) fn value(&mut self, index: u32) -> Vec<u8> {
        let source = self.source;
        let value = source.plan.census.xattrs.values[index.to_usize()];
        let inode = source.plan.census.value_inode(index);
        let start = source.plan.backups().next_usable(self.values.at);
        let runs = source.plan.backups().runs(start, value.blocks);
        let extents = from_runs(runs);
        self.values.take(value.blocks);
        let checksum = source.plan.checksums.inode(inode);
        // A value has at most 64 blocks, which one backup at most cuts in two.
        let tree = ExtentTree::new(&extents, &[], source.plan.geometry(), checksum);
        let attribute = value_of(source, value.set, value.attribute);
        let fields = Fields {
            mode: FileType::Regular.mode_bits() | 0o600,
            flags: flags::EA_INODE | flags::EXTENTS,
            links: 1,
            size: attribute.map_or(0, |attribute| attribute.value.len().to_u64()),
            blocks: value.blocks,
            block: tree.root,
        };
        let mut raw = Inode::new_zeroed();
        // Such an inode has no times: the fields hold the value's hash and the count of references.
        raw.atime = attribute
            .map_or(0, |attribute| value_hash(source, attribute))
            .into();
        raw.ctime = 0.into();
        raw.version = value.references.into();
        let mut record = self.record(&mut raw, &fields);
        self.seal(inode, &mut record);
        record
    }
}

fn set_all_times(raw: &mut Inode, time: PackedTime) {
    raw.mtime = time.base.into();
    raw.mtime_extra = time.extra.into();
    raw.atime = raw.mtime;
    raw.atime_extra = raw.mtime_extra;
    raw.ctime = raw.mtime;
    raw.ctime_extra = raw.mtime_extra;
    raw.crtime = raw.mtime;
    raw.crtime_extra = raw.mtime_extra;
}
