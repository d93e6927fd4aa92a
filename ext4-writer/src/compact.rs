//! Moves content from the end into holes that released content left.

use std::ops::Range;

use crate::content::{Content, ContentStore, Data, Extent, is_zero};
use crate::device::{Access, Device, RunWriter};
use crate::error::Error;
use crate::ids::{BlockNumber, LogicalBlock};
use crate::tree::{FileTree, NodeIndex, NodeKind};

/// One run of a file's blocks.
#[derive(Clone, Copy)]
struct Piece {
    extent: Extent,
    owner: NodeIndex,
}

/// Content of the tree by address, so that what no file owns counts as free.
pub(crate) fn reclaim_lost(tree: &FileTree<Content>, store: &mut ContentStore, live: u64) {
    if store.allocator.used() == live {
        return;
    }
    let mut ranges: Vec<Range<u64>> = pieces(tree)
        .map(|piece| {
            let start = piece.extent.physical.0;
            start..start + u64::from(piece.extent.length)
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    store.allocator.keep_only(ranges.into_iter());
}

/// Fills every hole below the content's end from the end. Deterministic, and moves each block at most once.
pub(crate) fn compact<D: Device>(
    tree: &mut FileTree<Content>,
    store: &mut ContentStore,
    access: &Access<D>,
) -> Result<(), Error> {
    let mut by_address: Vec<Piece> = pieces(tree).collect();
    by_address.sort_unstable_by_key(|piece| piece.extent.physical);
    let mut moved: Vec<(NodeIndex, Extent, Vec<Extent>)> = Vec::new();
    while let Some(piece) = by_address.pop() {
        let Some(new) = move_down(piece.extent, store, access)? else {
            break;
        };
        moved.push((piece.owner, piece.extent, new));
    }
    moved.sort_by_key(|(owner, old, _)| (*owner, old.logical));
    for same in moved.chunk_by(|a, b| a.0 == b.0) {
        let NodeKind::File(content) = &mut tree.slot_mut(same[0].0).kind else {
            continue;
        };
        apply(content, same);
    }
    Ok(())
}

fn pieces(tree: &FileTree<Content>) -> impl Iterator<Item = Piece> {
    (0..tree.node_slots() as u32)
        .map(NodeIndex)
        .flat_map(|owner| {
            let extents = match &tree.slot(owner).kind {
                NodeKind::File(content) => content.extents(),
                _ => &[],
            };
            extents.iter().map(move |&extent| Piece { extent, owner })
        })
}

/// Moves as much of an extent, from its end, as fits holes below it. `None` once no hole lies below.
fn move_down<D: Device>(
    extent: Extent,
    store: &mut ContentStore,
    access: &Access<D>,
) -> Result<Option<Vec<Extent>>, Error> {
    let start = extent.physical.0;
    let mut left = extent.length;
    let mut pieces = Vec::new();
    while left > 0
        && store
            .allocator
            .free_ranges()
            .iter()
            .next()
            .is_some_and(|hole| hole.start < start)
    {
        let Some(target) = store.allocator.take_lowest(u64::from(left)) else {
            break;
        };
        let count = (target.end - target.start) as u32;
        left -= count;
        let from = Extent {
            logical: LogicalBlock(extent.logical.0 + left),
            length: count,
            physical: extent.physical.plus(u64::from(left)),
        };
        copy(
            access,
            from.physical,
            BlockNumber(target.start),
            count,
            store,
        )?;
        store.allocator.release(&[from]);
        pieces.push(Extent {
            physical: BlockNumber(target.start),
            ..from
        });
    }
    if pieces.is_empty() {
        return Ok(None);
    }
    if left > 0 {
        pieces.push(Extent {
            length: left,
            ..extent
        });
    }
    pieces.reverse();
    Ok(Some(pieces))
}

/// Copies blocks; those of zeros stay holes of the host's file.
fn copy<D: Device>(
    access: &Access<D>,
    from: BlockNumber,
    to: BlockNumber,
    count: u32,
    store: &ContentStore,
) -> Result<(), Error> {
    const CHUNK_BYTES: u32 = 1 << 20;
    let size = store.allocator.backups().geometry.block_size;
    let per_chunk = CHUNK_BYTES / size;
    let mut buffer = vec![0; (per_chunk.min(count) * size) as usize];
    let mut writer = RunWriter::new(size);
    for done in (0..count).step_by(per_chunk as usize) {
        let blocks = per_chunk.min(count - done);
        let bytes = &mut buffer[..(blocks * size) as usize];
        access.read(from.plus(u64::from(done)), bytes)?;
        for (block, bytes) in (u64::from(done)..).zip(bytes.chunks(size as usize)) {
            match is_zero(bytes) {
                false => writer.put(access, to.plus(block), bytes)?,
                true => writer.put_zeros(access, to.plus(block))?,
            }
        }
    }
    writer.flush(access)
}

/// Replaces moved extents, both lists in logical order, and joins what now adjoins.
fn apply(content: &mut Content, moved: &[(NodeIndex, Extent, Vec<Extent>)]) {
    let mut moved = moved.iter().peekable();
    let mut joined: Vec<Extent> = Vec::new();
    let mut add = |extent: Extent| match joined.last_mut() {
        Some(last)
            if last.logical.0 + last.length == extent.logical.0
                && last.physical.plus(u64::from(last.length)) == extent.physical =>
        {
            last.length += extent.length;
        }
        _ => joined.push(extent),
    };
    for &extent in content.extents() {
        match moved.next_if(|(_, old, _)| *old == extent) {
            Some((_, _, new)) => new.iter().copied().for_each(&mut add),
            None => add(extent),
        }
    }
    content.data = Data::from_extents(joined);
}
