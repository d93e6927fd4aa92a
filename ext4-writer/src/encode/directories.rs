//! Directory blocks and their hash trees.

use zerocopy::IntoBytes;

use super::{BlockSink, Source, Walker};
use crate::checksum::InodeChecksum;
use crate::disk::dir_entry::{Entry, TAIL_BYTES, TAIL_TYPE, Tail};
use crate::disk::htree::{
    CountLimit, ENTRY_BYTES, Entry as IndexEntry, NODE_ENTRIES_OFFSET, ROOT_ENTRIES_OFFSET,
    ROOT_INFO_OFFSET, RootInfo,
};
use crate::error::Error;
use crate::ids::InodeNumber;
use crate::number::{Fit, Widen};
use crate::plan::{
    DOTS_BYTES, Geometry, IndexShape, LeafFiller, entry_bytes, node_limit, root_limit,
};
use crate::tree::{Directory, FileType, NodeIndex, NodeKind};

/// Whether a directory of so many blocks is a hash tree.
pub(super) fn is_indexed(source: Source<'_>, id: NodeIndex, directory: &Directory) -> bool {
    let dir_index = source
        .options
        .features
        .contains(crate::options::Features::DIR_INDEX);
    dir_index && directory.blocks > 1 && source.plan.census.lost_and_found != Some(id)
}

/// Encodes all directories in the order of their blocks.
pub(super) fn encode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let mut order: Vec<(u64, NodeIndex)> = source
        .inodes()
        .filter_map(|(_, id)| match &source.tree.slot(id).kind {
            NodeKind::Directory(directory) => Some((directory.start, id)),
            _ => None,
        })
        .collect();
    order.sort_unstable();
    let mut walker = Walker::new(source.plan.backups(), source.plan.layout().directories);
    for (_, id) in order {
        let NodeKind::Directory(directory) = &source.tree.slot(id).kind else {
            continue;
        };
        let encoder = DirectoryEncoder::new(source, id, directory);
        if is_indexed(source, id, directory) {
            encoder.indexed(&mut walker, sink)?;
        } else {
            encoder.linear(directory.blocks, &mut walker, sink)?;
        }
    }
    Ok(())
}

struct DirectoryEncoder<'a> {
    source: Source<'a>,
    id: NodeIndex,
    inode: InodeNumber,
    parent: InodeNumber,
    geometry: Geometry,
    checksum: InodeChecksum,
}

/// One block being filled with entries.
struct BlockFiller {
    bytes: Vec<u8>,
    at: usize,
    last: usize,
}

impl<'a> DirectoryEncoder<'a> {
    fn new(source: Source<'a>, id: NodeIndex, directory: &Directory) -> Self {
        let inode = source.tree.slot(id).inode;
        let parent = source.tree.slot(source.tree.parent_of(directory)).inode;
        let checksum = source.plan.checksums.inode(inode);
        Self {
            source,
            id,
            inode,
            parent,
            geometry: source.plan.geometry(),
            checksum,
        }
    }

    fn linear(
        &self,
        blocks: u32,
        walker: &mut Walker<'_>,
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        let mut filler = LeafFiller::linear(self.geometry);
        let mut block = self.empty();
        self.add_dots(&mut block);
        let mut written = 0;
        for child in self.source.tree.entries(self.id) {
            if filler.add(child.name.len()) {
                sink.put(walker.next(), &self.finish(block))?;
                written += 1;
                block = self.empty();
            }
            self.add(&mut block, child.node, child.name);
        }
        sink.put(walker.next(), &self.finish(block))?;
        // lost+found has more blocks than its entries need.
        for _ in written + 1..blocks {
            sink.put(walker.next(), &self.finish(self.empty()))?;
        }
        Ok(())
    }

    fn indexed(&self, walker: &mut Walker<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
        let slack = self.source.options.directory_slack_percent;
        let hashes = self.leaf_hashes(slack);
        let index = IndexShape::new(hashes.len().fit_u32(), self.geometry);
        self.index_blocks(&index, &hashes, walker, sink)?;
        let mut filler = LeafFiller::indexed(self.geometry, slack);
        let mut block = self.empty();
        for child in self.source.tree.entries(self.id) {
            if filler.add(child.name.len()) && filler.leaves > 1 {
                let full = std::mem::replace(&mut block, self.empty());
                sink.put(walker.next(), &self.finish(full))?;
            }
            self.add(&mut block, child.node, child.name);
        }
        sink.put(walker.next(), &self.finish(block))
    }

    /// The hash with which each leaf begins; the lowest bit says that names of that hash lie in the leaf before, too.
    fn leaf_hashes(&self, slack: u8) -> Vec<u32> {
        let hasher = &self.source.plan.hasher;
        let mut filler = LeafFiller::indexed(self.geometry, slack);
        let mut hashes = Vec::new();
        let mut previous: Option<&[u8]> = None;
        for child in self.source.tree.entries(self.id) {
            if filler.add(child.name.len()) {
                let first = hasher.hash(child.name).major;
                let continued = previous.is_some_and(|name| hasher.hash(name).major == first);
                hashes.push(first | u32::from(continued));
            }
            previous = Some(child.name);
        }
        hashes
    }

    /// The root and the nodes of each level, from the top.
    fn index_blocks(
        &self,
        index: &IndexShape,
        hashes: &[u32],
        walker: &mut Walker<'_>,
        sink: &mut impl BlockSink,
    ) -> Result<(), Error> {
        let width = node_limit(self.geometry).to_usize();
        // For each level the hash with which each of its blocks begins.
        let mut levels = vec![hashes.to_vec()];
        for _ in &index.node_levels {
            let below = &levels[0];
            levels.insert(0, below.chunks(width).map(|children| children[0]).collect());
        }
        let mut first_child = 1;
        for (depth, children) in levels.iter().enumerate() {
            let per_parent = if depth == 0 { children.len() } else { width };
            for hashes in children.chunks(per_parent) {
                let bytes = match depth {
                    0 => self.root(index, hashes),
                    _ => self.node(hashes, first_child),
                };
                sink.put(walker.next(), &bytes)?;
                first_child += hashes.len().fit_u32();
            }
        }
        Ok(())
    }

    fn root(&self, index: &IndexShape, hashes: &[u32]) -> Vec<u8> {
        let size = self.geometry.block_size.to_usize();
        let mut block = BlockFiller {
            bytes: vec![0; size],
            at: 0,
            last: 0,
        };
        self.add_dots(&mut block);
        // To readers that know no index, `..` reaches to the end of the block.
        block.stretch(size);
        let info = RootInfo {
            reserved_zero: 0.into(),
            hash_version: self.source.plan.hasher.algorithm().version(),
            info_length: size_of::<RootInfo>().fit_u8(),
            indirect_levels: index.levels().fit_u8(),
            unused_flags: 0,
        };
        let mut bytes = block.bytes;
        bytes[ROOT_INFO_OFFSET..ROOT_ENTRIES_OFFSET].copy_from_slice(info.as_bytes());
        self.fill_index(
            &mut bytes,
            ROOT_ENTRIES_OFFSET,
            root_limit(self.geometry),
            hashes,
            1,
        );
        bytes
    }

    fn node(&self, hashes: &[u32], first_child: u32) -> Vec<u8> {
        let mut bytes = vec![0; self.geometry.block_size.to_usize()];
        let cover = Entry {
            inode: 0.into(),
            rec_len: bytes.len().fit_u16().into(),
            name_len: 0,
            file_type: 0,
        };
        bytes[..NODE_ENTRIES_OFFSET].copy_from_slice(cover.as_bytes());
        self.fill_index(
            &mut bytes,
            NODE_ENTRIES_OFFSET,
            node_limit(self.geometry),
            hashes,
            first_child,
        );
        bytes
    }

    fn fill_index(&self, bytes: &mut [u8], offset: usize, limit: u32, hashes: &[u32], first: u32) {
        for (at, (&hash, child)) in hashes.iter().zip(first..).enumerate() {
            let entry = IndexEntry {
                hash: hash.into(),
                block: child.into(),
            };
            let start = offset + at * ENTRY_BYTES;
            bytes[start..start + ENTRY_BYTES].copy_from_slice(entry.as_bytes());
        }
        let counts = CountLimit {
            limit: limit.fit_u16().into(),
            count: hashes.len().fit_u16().into(),
        };
        bytes[offset..offset + 4].copy_from_slice(counts.as_bytes());
        if self.geometry.checksums {
            // Over the entries in use, then over the tail with its checksum as zero.
            let used = offset + hashes.len() * ENTRY_BYTES;
            let tail = offset + limit.to_usize() * ENTRY_BYTES;
            let covered = [&bytes[..used], &[0; 8]].concat();
            let value = self.checksum.of(&covered);
            bytes[tail + 4..tail + 8].copy_from_slice(&value.to_le_bytes());
        }
    }

    fn empty(&self) -> BlockFiller {
        BlockFiller {
            bytes: vec![0; self.geometry.block_size.to_usize()],
            at: 0,
            last: 0,
        }
    }

    fn add_dots(&self, block: &mut BlockFiller) {
        block.add(self.inode, b".", FileType::Directory);
        block.add(self.parent, b"..", FileType::Directory);
        debug_assert_eq!(block.at, DOTS_BYTES);
    }

    fn add(&self, block: &mut BlockFiller, node: NodeIndex, name: &[u8]) {
        let node = self.source.tree.slot(node);
        if let Some(file_type) = node.file_type() {
            block.add(node.inode, name, file_type);
        }
    }

    fn finish(&self, mut block: BlockFiller) -> Vec<u8> {
        let end = self.geometry.directory_bytes();
        block.stretch(end);
        if self.geometry.checksums {
            let tail = Tail {
                reserved_zero1: 0.into(),
                rec_len: TAIL_BYTES.fit_u16().into(),
                reserved_zero2: 0,
                reserved_ft: TAIL_TYPE,
                checksum: self.checksum.of(&block.bytes[..end]).into(),
            };
            block.bytes[end..].copy_from_slice(tail.as_bytes());
        }
        block.bytes
    }
}

impl BlockFiller {
    fn add(&mut self, inode: InodeNumber, name: &[u8], file_type: FileType) {
        let length = entry_bytes(name.len());
        let entry = Entry {
            inode: inode.0.into(),
            rec_len: length.fit_u16().into(),
            name_len: name.len().fit_u8(),
            file_type: file_type.entry_code(),
        };
        self.last = self.at;
        self.bytes[self.at..self.at + 8].copy_from_slice(entry.as_bytes());
        self.bytes[self.at + 8..self.at + 8 + name.len()].copy_from_slice(name);
        self.at += length;
    }

    /// Has the last entry, or an empty one, reach to `end`.
    fn stretch(&mut self, end: usize) {
        let length = (end - self.last).fit_u16();
        self.bytes[self.last + 4..self.last + 6].copy_from_slice(&length.to_le_bytes());
    }
}
