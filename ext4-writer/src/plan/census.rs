//! Counts what a tree needs, numbers its inodes and orders its directories. Knows no addresses.

use super::directories::{DOTS_BYTES, IndexShape, LeafFiller, entry_bytes};
use super::extents;
use super::geometry::Geometry;
use super::system::{SystemCensus, SystemKind};
use super::xattrs::XattrPlan;
use crate::content::{Content, Data};
use crate::dir_hash::NameHasher;
use crate::error::Error;
use crate::ids::InodeNumber;
use crate::number::{Fit, Widen};
use crate::options::Features;
use crate::options::{FormatOptions, InodeSize};
use crate::tree::{FileKind, FileTree, MAX_LINKS, Metadata, Node, NodeIndex, NodeKind};

/// Symbolic links shorter than this lie in the inode.
pub(crate) const FAST_SYMLINK_BYTES: usize = 60;
/// Bytes of a file that fit `i_block`.
pub(crate) const INLINE_BYTES: usize = 60;
/// mke2fs makes lost+found so large that e2fsck need not allocate for it.
const LOST_AND_FOUND_BYTES: u32 = 16 * 1024;

/// What the tree needs, whatever the filesystem's size.
#[derive(Debug)]
pub(crate) struct Census {
    /// Nodes by inode number, from [`InodeNumber::FIRST_FREE`] on.
    pub(crate) order: Vec<NodeIndex>,
    pub(crate) directories: u32,
    pub(crate) directory_blocks: u64,
    /// Directories so long that backups may cut them into many extents: start and length among all
    /// directories' blocks.
    pub(crate) long_directories: Vec<(u64, u32)>,
    pub(crate) content_blocks: u64,
    pub(crate) xattrs: XattrPlan,
    pub(crate) system: SystemCensus,
    pub(crate) lost_and_found: Option<NodeIndex>,
}

impl Census {
    pub(crate) fn new(
        tree: &mut FileTree<Content>,
        options: &FormatOptions,
        geometry: Geometry,
    ) -> Result<Self, Error> {
        let lost_and_found = prepare_lost_and_found(tree, options)?;
        tree.forget_names_index();
        check_projects(tree, options)?;
        limit_times(tree, options)?;
        check_symlinks(tree, geometry)?;
        let xattrs = XattrPlan::new(tree, options, geometry)?;
        let mut census = Self {
            order: Vec::with_capacity(tree.node_slots()),
            directories: 0,
            directory_blocks: 0,
            long_directories: Vec::new(),
            content_blocks: 0,
            xattrs,
            system: SystemCensus::new(tree, options),
            lost_and_found: lost_and_found
                .filter(|lost| lost.made)
                .map(|lost| lost.node),
        };
        tree.slot_mut(NodeIndex::ROOT).inode = InodeNumber::ROOT;
        if let Some(lost) = lost_and_found {
            census.number(tree, lost.node);
        }
        census.walk(tree, options, geometry)?;
        census.content_blocks = live_files(tree).map(Content::blocks).sum();
        Ok(census)
    }

    /// Inodes in use, reserved ones included.
    pub(crate) fn inodes(&self) -> u64 {
        u64::from(InodeNumber::FIRST_FREE.0) - 1
            + self.order.len().to_u64()
            + self.xattrs.values.len().to_u64()
            + self.system.unreserved().count().to_u64()
    }

    /// The inode of the `index`th value that lies in one of its own.
    pub(crate) fn value_inode(&self, index: u32) -> InodeNumber {
        InodeNumber(InodeNumber::FIRST_FREE.0 + self.order.len().fit_u32() + index)
    }

    /// The inode of a file of the filesystem itself.
    pub(crate) fn system_inode(&self, kind: SystemKind) -> InodeNumber {
        kind.reserved_inode().unwrap_or_else(|| {
            let before = self
                .system
                .unreserved()
                .take_while(|other| *other != kind)
                .count();
            InodeNumber(self.value_inode(self.xattrs.values.len().fit_u32()).0 + before.fit_u32())
        })
    }

    fn number(&mut self, tree: &mut FileTree<Content>, id: NodeIndex) {
        let node = tree.slot_mut(id);
        if node.inode == InodeNumber::default() {
            node.inode = InodeNumber(InodeNumber::FIRST_FREE.0 + self.order.len().fit_u32());
            self.order.push(id);
        }
    }

    /// Visits every directory before those below it, its children in the order that the kernel lists them.
    fn walk(
        &mut self,
        tree: &mut FileTree<Content>,
        options: &FormatOptions,
        geometry: Geometry,
    ) -> Result<(), Error> {
        let seed = options.effective_hash_seed();
        let hasher = NameHasher::new(options.hash_algorithm, seed.as_bytes());
        let mut scratch = Vec::new();
        let mut children = Vec::new();
        let mut waiting = vec![NodeIndex::ROOT];
        while let Some(id) = waiting.pop() {
            tree.sort_children(id, &mut scratch, |name| {
                let hash = hasher.hash(name);
                (hash.major, hash.minor)
            });
            self.measure(tree, id, options, geometry)?;
            children.clear();
            children.extend(tree.entries(id).map(|child| child.node));
            for &child in &children {
                self.number(tree, child);
            }
            let is_directory =
                |child: &&NodeIndex| matches!(tree.slot(**child).kind, NodeKind::Directory(_));
            waiting.extend(children.iter().rev().filter(is_directory));
        }
        Ok(())
    }

    fn measure(
        &mut self,
        tree: &mut FileTree<Content>,
        id: NodeIndex,
        options: &FormatOptions,
        geometry: Geometry,
    ) -> Result<(), Error> {
        let blocks = if self.lost_and_found == Some(id) {
            LOST_AND_FOUND_BYTES / geometry.block_size
        } else {
            directory_blocks(tree, id, options, geometry)?
        };
        let start = self.directory_blocks;
        let indexed = options.features.contains(Features::DIR_INDEX);
        if let NodeKind::Directory(directory) = &mut tree.slot_mut(id).kind {
            // Without an index, readers take the link count literally.
            let limit = u32::from(MAX_LINKS) - 2;
            if !indexed && directory.subdirectories > limit {
                let value = u64::from(directory.subdirectories);
                let what = "number of subdirectories of one directory without dir_index";
                return Err(Error::Limit {
                    what,
                    value,
                    limit: u64::from(limit),
                });
            }
            directory.blocks = blocks;
            directory.start = start;
        }
        if blocks >= geometry.blocks_per_group / 4 {
            self.long_directories.push((start, blocks));
        }
        self.directory_blocks += u64::from(blocks);
        self.directories += 1;
        Ok(())
    }
}

fn directory_blocks(
    tree: &FileTree<Content>,
    id: NodeIndex,
    options: &FormatOptions,
    geometry: Geometry,
) -> Result<u32, Error> {
    let lengths = || tree.entries(id).map(|child| child.name.len());
    if lengths().map(entry_bytes).sum::<usize>() + DOTS_BYTES <= geometry.directory_bytes() {
        return Ok(1);
    }
    if !options.features.contains(Features::DIR_INDEX) {
        let mut filler = LeafFiller::linear(geometry);
        lengths().for_each(|length| {
            filler.add(length);
        });
        return Ok(filler.leaves);
    }
    let mut filler = LeafFiller::indexed(geometry, options.directory_slack_percent);
    lengths().for_each(|length| {
        filler.add(length);
    });
    let index = IndexShape::new(filler.leaves, geometry);
    let limit = if options.features.contains(Features::LARGE_DIR) {
        2
    } else {
        1
    };
    if index.levels() > limit {
        let (path, levels) = (tree.some_path(id), index.levels());
        return Err(Error::DirectoryTooLarge {
            path,
            levels,
            limit,
        });
    }
    Ok(index.blocks())
}

/// Contents that files of the tree have.
pub(crate) fn live_files(tree: &FileTree<Content>) -> impl Iterator<Item = &Content> {
    tree.slots().filter_map(|node| match &node.kind {
        NodeKind::File(content) => Some(content),
        _ => None,
    })
}

/// Blocks beside its content that one file needs: a long symlink's target, the blocks of an extent tree.
pub(crate) fn extent_block_count(node: &Node<Content>, geometry: Geometry) -> u64 {
    match &node.kind {
        NodeKind::Symlink(target) => u64::from(target.len() >= FAST_SYMLINK_BYTES),
        NodeKind::File(content) => {
            let records = match &content.data {
                Data::Many(list) => extents::records(list),
                Data::One(one) if one.length > extents::MAX_EXTENT_BLOCKS => {
                    extents::records(std::slice::from_ref(one))
                }
                _ => return 0,
            };
            extents::index_blocks(records, geometry.extents_per_block())
        }
        _ => 0,
    }
}

#[derive(Clone, Copy, Debug)]
struct LostAndFound {
    node: NodeIndex,
    made: bool,
}

fn prepare_lost_and_found(
    tree: &mut FileTree<Content>,
    options: &FormatOptions,
) -> Result<Option<LostAndFound>, Error> {
    const NAME: &[u8] = b"lost+found";
    let root = tree.root();
    if let Some(node) = tree.lookup(root, NAME) {
        let node = node.index;
        let directory = matches!(tree.slot(node).kind, NodeKind::Directory(_));
        return Ok(directory.then_some(LostAndFound { node, made: false }));
    }
    if !options.lost_and_found {
        return Ok(None);
    }
    let metadata = Metadata::new(0o700, options.time);
    let node = tree
        .insert(root, NAME, FileKind::Directory, metadata)
        .map_err(|_| Error::Limit {
            what: "number of directory entries",
            value: tree.node_slots().to_u64() + 1,
            limit: u64::from(u32::MAX - 1),
        })?;
    Ok(Some(LostAndFound {
        node: node.index,
        made: true,
    }))
}

/// A project number needs the feature that stores it.
fn check_projects(tree: &FileTree<Content>, options: &FormatOptions) -> Result<(), Error> {
    if options.features.contains(Features::PROJECT) {
        return Ok(());
    }
    match tree.files_of_projects().find(|(_, project)| *project > 0) {
        Some((node, project)) => Err(Error::ProjectWithoutFeature {
            path: tree.some_path(node),
            project,
        }),
        None => Ok(()),
    }
}

/// A target lies in one block; with small blocks that is less than the tree takes.
fn check_symlinks(tree: &FileTree<Content>, geometry: Geometry) -> Result<(), Error> {
    let limit = geometry.block_size.to_usize() - 1;
    for (slot, node) in tree.slots().enumerate() {
        if let NodeKind::Symlink(target) = &node.kind
            && target.len() > limit
        {
            let path = tree.some_path(NodeIndex(slot.fit_u32()));
            return Err(Error::SymlinkTooLong {
                path,
                length: target.len(),
                limit,
            });
        }
    }
    Ok(())
}

/// Applies the latest permitted time, and refuses what inodes of 128 bytes cannot hold.
fn limit_times(tree: &mut FileTree<Content>, options: &FormatOptions) -> Result<(), Error> {
    let small = options.inode_size == InodeSize::B128;
    if options.latest_time.is_none() && !small {
        return Ok(());
    }
    let mut offender = None;
    for (slot, node) in tree.slots_mut().enumerate() {
        for time in node.times_mut() {
            if let Some(latest) = options.latest_time
                && time.unpack() > latest
            {
                *time = latest.pack();
            }
            if small && time.extra & 3 != 0 && offender.is_none() {
                offender = Some((NodeIndex(slot.fit_u32()), time.unpack().seconds));
            }
        }
    }
    match offender {
        Some((node, seconds)) => Err(Error::TimeOutOfRange {
            path: tree.some_path(node),
            seconds,
        }),
        None => Ok(()),
    }
}
