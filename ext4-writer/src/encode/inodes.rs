//! Inode tables.

use zerocopy::{FromZeros, IntoBytes};

use super::extent_blocks::{FileExtents, of_node};
use super::quota::Usages;
use super::xattrs::{block_of, fill_inode};
use super::{BlockSink, Source, Walker};
use crate::content::{Content, Data};
use crate::disk::inode::{BLOCK_BYTES, BYTES, GOOD_OLD_BYTES, Inode, flags};
use crate::error::Error;
use crate::ids::{BlockNumber, GroupNumber, InodeNumber};
use crate::number::{Fit, Halves, Widen};
use crate::options::Features;
use crate::plan::Plan;
use crate::tree::{FileType, MAX_LINKS, Node, NodeIndex, NodeKind, XattrSetId};

/// What is known once every inode is encoded.
pub(super) struct Counts {
    /// Directories in each group.
    pub(super) directories: Vec<u32>,
    pub(super) usages: Usages,
}

/// Encodes all inodes in use.
pub(super) fn encode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<Counts, Error> {
    let plan = source.plan;
    let mut tables = Tables::new(plan);
    let mut directories = vec![0; plan.dimensions().groups.to_usize()];
    let mut encoder = Encoder {
        source,
        extent_blocks: Walker::new(plan.backups(), plan.layout().extent_blocks),
        values: Walker::new(plan.backups(), plan.layout().values),
        users: vec![0; source.tree.xattr_sets().len()],
        usages: Usages::default(),
    };
    // The root's extents come first among all, and its inode before those of the filesystem itself.
    for (inode, id) in source.inodes() {
        let node = source.tree.slot(id);
        if node.file_type() == Some(FileType::Directory) {
            directories[group_of(plan, inode).0.to_usize()] += 1;
        }
        let record = encoder.node(inode, id);
        tables.put(inode, &record, sink)?;
        if inode == InodeNumber::ROOT {
            encoder.reserved(&mut tables, sink)?;
        }
    }
    for index in 0..plan.census.xattrs.values.len().fit_u32() {
        let record = encoder.value(index);
        tables.put(plan.census.value_inode(index), &record, sink)?;
    }
    for kind in plan.census.system.unreserved() {
        encoder.system_file(kind, &mut tables, sink)?;
    }
    tables.flush(sink)?;
    Ok(Counts {
        directories,
        usages: encoder.usages,
    })
}

fn group_of(plan: &Plan, inode: InodeNumber) -> GroupNumber {
    GroupNumber((inode.0 - 1) / plan.dimensions().inodes_per_group)
}

/// Gathers records, in ascending order, into blocks of the tables.
pub(super) struct Tables<'a> {
    plan: &'a Plan,
    block: BlockNumber,
    bytes: Vec<u8>,
    filled: bool,
}

impl<'a> Tables<'a> {
    fn new(plan: &'a Plan) -> Self {
        let bytes = vec![0; plan.geometry().block_size.to_usize()];
        Self {
            plan,
            block: BlockNumber::default(),
            bytes,
            filled: false,
        }
    }

    pub(super) fn put(
        &mut self,
        inode: InodeNumber,
        record: &[u8],
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        let group = group_of(self.plan, inode);
        let index = (inode.0 - 1) % self.plan.dimensions().inodes_per_group;
        let per_block = self.plan.geometry().inodes_per_block();
        let table = self.plan.layout().groups[group.0.to_usize()].inode_table;
        let block = table.plus(u64::from(index / per_block));
        if block != self.block {
            self.flush(sink)?;
            self.block = block;
        }
        let start = (index % per_block * self.plan.geometry().inode_size).to_usize();
        self.bytes[start..start + record.len()].copy_from_slice(record);
        self.filled = true;
        Ok(())
    }

    fn flush(&mut self, sink: &mut impl BlockSink) -> Result<(), Error> {
        if self.filled {
            sink.put(self.block, &self.bytes)?;
            self.bytes.fill(0);
            self.filled = false;
        }
        Ok(())
    }
}

pub(super) struct Encoder<'a> {
    pub(super) source: Source<'a>,
    extent_blocks: Walker<'a>,
    pub(super) values: Walker<'a>,
    /// Files seen so far with each set of attributes.
    users: Vec<u32>,
    usages: Usages,
}

/// The fields that vary between kinds of inodes.
pub(super) struct Fields {
    pub(super) mode: u16,
    pub(super) flags: u32,
    pub(super) links: u16,
    pub(super) size: u64,
    pub(super) blocks: u64,
    pub(super) block: [u8; BLOCK_BYTES],
}

impl Encoder<'_> {
    fn node(&mut self, inode: InodeNumber, id: NodeIndex) -> Vec<u8> {
        let source = self.source;
        let node = source.tree.slot(id);
        let extent_blocks = of_node(source, inode, node, &mut self.extent_blocks);
        let mut fields = node_fields(source, id, node, extent_blocks.as_ref());
        let mut raw = Inode::new_zeroed();
        let values = match node.xattrs {
            XattrSetId(0) => 0,
            set => self.count_xattrs(set, &mut fields, &mut raw),
        };
        let project = source.tree.project_of(id);
        if source.options.features.contains(Features::QUOTA) {
            let bytes = fields.blocks * u64::from(source.plan.geometry().block_size);
            let ids = [node.uid, node.gid, project];
            // Every owner of a shared value pays for it as if it were alone.
            self.usages.count(ids, 1 + values, bytes);
        }
        raw.projid = project.into();
        set_owner(&mut raw, node.uid, node.gid);
        set_times(&mut raw, node);
        let mut record = self.record(&mut raw, &fields);
        let area = usize::from(source.plan.geometry().extra_isize()) + GOOD_OLD_BYTES;
        if area < record.len() && area > GOOD_OLD_BYTES {
            let inline = fields.flags & flags::INLINE_DATA != 0;
            fill_inode(source, node.xattrs, inline, &mut record[area..]);
        }
        self.seal(inode, &mut record);
        record
    }

    /// Notes the block of a set of attributes, and counts what it adds to the owner; returns how many values have inodes of
    /// their own.
    fn count_xattrs(&mut self, id: XattrSetId, fields: &mut Fields, raw: &mut Inode) -> u64 {
        let mut values = 0;
        let users = &mut self.users[id.0.to_usize() - 1];
        if let Some(block) = block_of(self.source, id, *users) {
            raw.file_acl_lo = block.low().into();
            raw.file_acl_high = block.high().fit_u16().into();
            if let Some(set) = self.source.plan.census.xattrs.set(id) {
                fields.blocks += 1 + set.value_blocks;
                values = set.values();
            }
        }
        *users += 1;
        values
    }

    pub(super) fn record(&self, raw: &mut Inode, fields: &Fields) -> Vec<u8> {
        let geometry = self.source.plan.geometry();
        let sectors = fields.blocks * geometry.sectors_per_block();
        raw.mode = fields.mode.into();
        raw.links_count = fields.links.into();
        raw.flags = fields.flags.into();
        raw.size_lo = fields.size.low().into();
        raw.size_high = fields.size.high().into();
        raw.blocks_lo = sectors.low().into();
        raw.blocks_high = sectors.high().fit_u16().into();
        raw.block = fields.block;
        raw.extra_isize = geometry.extra_isize().into();
        let mut record = vec![0; geometry.inode_size.to_usize()];
        let known = record.len().min(BYTES);
        record[..known].copy_from_slice(&raw.as_bytes()[..known]);
        record
    }

    pub(super) fn seal(&self, inode: InodeNumber, record: &mut [u8]) {
        let checksum = self.source.plan.checksums.inode(inode).of(record);
        record[0x7c..0x7e].copy_from_slice(&checksum.low().to_le_bytes());
        if record.len() > GOOD_OLD_BYTES {
            record[0x82..0x84].copy_from_slice(&checksum.high().to_le_bytes());
        }
    }
}

fn node_fields(
    source: Source<'_>,
    id: NodeIndex,
    node: &Node<Content>,
    extent_blocks: Option<&FileExtents>,
) -> Fields {
    let mut fields = Fields {
        mode: node.file_type().map_or(0, FileType::mode_bits) | node.mode,
        flags: 0,
        links: node.links,
        size: 0,
        blocks: 0,
        block: [0; BLOCK_BYTES],
    };
    if let Some(extent_blocks) = extent_blocks {
        fields.flags |= flags::EXTENTS;
        fields.block = extent_blocks.tree.root;
        fields.blocks = extent_blocks.mapped_blocks + extent_blocks.tree.blocks.len().to_u64();
    }
    match &node.kind {
        NodeKind::File(content) => {
            fields.size = content.size();
            if let Data::Inline(bytes) = &content.data {
                fields.flags = flags::INLINE_DATA;
                fields.block = [0; BLOCK_BYTES];
                fields.block[..bytes.len()].copy_from_slice(bytes);
            }
        }
        NodeKind::Directory(directory) => {
            fields.size =
                u64::from(directory.blocks) * u64::from(source.plan.geometry().block_size);
            let links = u64::from(directory.subdirectories) + 2;
            // `dir_nlink`: 1 says that the count is not known.
            fields.links = u16::try_from(links)
                .ok()
                .filter(|links| *links <= MAX_LINKS)
                .unwrap_or(1);
            if super::directories::is_indexed(source, id, directory) {
                fields.flags |= flags::INDEX;
            }
        }
        NodeKind::Symlink(target) => {
            fields.size = target.len().to_u64();
            if extent_blocks.is_none() {
                fields.block[..target.len()].copy_from_slice(target);
            }
        }
        NodeKind::CharacterDevice(number) | NodeKind::BlockDevice(number) => {
            let [old, new] = number.words();
            fields.block[..4].copy_from_slice(&old.to_le_bytes());
            fields.block[4..8].copy_from_slice(&new.to_le_bytes());
        }
        NodeKind::Fifo | NodeKind::Socket | NodeKind::Removed => {}
    }
    fields
}

fn set_owner(raw: &mut Inode, uid: u32, gid: u32) {
    raw.uid = uid.low().into();
    raw.uid_high = uid.high().into();
    raw.gid = gid.low().into();
    raw.gid_high = gid.high().into();
}

fn set_times(raw: &mut Inode, node: &Node<Content>) {
    raw.mtime = node.mtime.base.into();
    raw.mtime_extra = node.mtime.extra.into();
    raw.atime = node.atime.base.into();
    raw.atime_extra = node.atime.extra.into();
    raw.ctime = node.ctime.base.into();
    raw.ctime_extra = node.ctime.extra.into();
    raw.crtime = node.crtime.base.into();
    raw.crtime_extra = node.crtime.extra.into();
}
