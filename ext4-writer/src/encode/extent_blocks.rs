//! Targets of long symbolic links and blocks of extent trees, in the order of inode numbers.

use super::extents::{ExtentTree, from_runs};
use super::{BlockSink, Source, Walker};
use crate::content::{Content, Extent};
use crate::error::Error;
use crate::ids::{BlockNumber, InodeNumber};
use crate::number::Widen;
use crate::plan::{FAST_SYMLINK_BYTES, index_blocks};
use crate::tree::{Node, NodeKind};

/// What one file has beside its inode and content.
pub(super) struct FileExtents {
    /// Extents of a file or directory, with those of a long symlink's target.
    pub(super) tree: ExtentTree,
    /// Blocks that the extents map.
    pub(super) mapped_blocks: u64,
}

/// The extents of a node, where it has any: `addresses` moves on by the blocks that it needs.
pub(super) fn of_node(
    source: Source<'_>,
    inode: InodeNumber,
    node: &Node<Content>,
    addresses: &mut Walker<'_>,
) -> Option<FileExtents> {
    let geometry = source.plan.geometry();
    let own;
    let extents: &[Extent] = match &node.kind {
        NodeKind::File(content) => content.extents(),
        NodeKind::Directory(directory) => {
            let backups = source.plan.backups();
            let first = backups.after(source.plan.layout().directories, directory.start);
            own = from_runs(backups.runs(first, u64::from(directory.blocks)));
            &own
        }
        NodeKind::Symlink(target) if target.len() >= FAST_SYMLINK_BYTES => {
            let block = addresses.next();
            own = from_runs(std::iter::once(block.0..block.0 + 1));
            &own
        }
        _ => return None,
    };
    let records = super::extents::split(extents).count().to_u64();
    let blocks = addresses.take(index_blocks(records, geometry.extents_per_block()));
    let checksum = source.plan.checksums.inode(inode);
    let tree = ExtentTree::new(extents, &blocks, geometry, checksum);
    let mapped_blocks = extents.iter().map(|extent| u64::from(extent.length)).sum();
    Some(FileExtents {
        tree,
        mapped_blocks,
    })
}

pub(super) fn encode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let layout = source.plan.layout();
    let mut walker = Walker::new(source.plan.backups(), layout.extent_blocks);
    if layout.extent_block_count == 0 {
        return Ok(());
    }
    for (inode, id) in source.inodes() {
        let node = source.tree.slot(id);
        let before = source.plan.backups().next_usable(walker.at);
        let Some(extent_blocks) = of_node(source, inode, node, &mut walker) else {
            continue;
        };
        if let NodeKind::Symlink(target) = &node.kind {
            sink.put(before, target)?;
        }
        put_tree(&extent_blocks.tree, sink)?;
    }
    debug_assert_eq!(
        walker.at.max(layout.extent_blocks),
        source
            .plan
            .backups()
            .after(layout.extent_blocks, layout.extent_block_count)
            .max(layout.extent_blocks)
    );
    Ok(())
}

pub(super) fn put_tree(tree: &ExtentTree, sink: &mut impl BlockSink) -> Result<(), Error> {
    for (address, bytes) in &tree.blocks {
        sink.put(BlockNumber(address.0), bytes)?;
    }
    Ok(())
}
