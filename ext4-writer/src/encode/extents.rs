//! Extent trees, packed full.

use std::ops::Range;

use zerocopy::IntoBytes;

use crate::checksum::InodeChecksum;
use crate::content::Extent;
use crate::disk::extent::{Header, Index, Leaf, MAGIC, RECORD_BYTES};
use crate::disk::inode::BLOCK_BYTES;
use crate::ids::{BlockNumber, LogicalBlock};
use crate::number::{Fit, Widen};
use crate::plan::{Geometry, MAX_EXTENT_BLOCKS, ROOT_RECORDS};

/// Records of extents, cut to the length that one record may have.
pub(super) fn split(extents: &[Extent]) -> impl Iterator<Item = Extent> {
    extents.iter().flat_map(|extent| {
        (0..extent.length)
            .step_by(MAX_EXTENT_BLOCKS.to_usize())
            .map(|done| Extent {
                logical: LogicalBlock(extent.logical.0 + done),
                length: (extent.length - done).min(MAX_EXTENT_BLOCKS),
                physical: extent.physical.plus(u64::from(done)),
            })
    })
}

/// Records of a file without holes that lies in `runs`.
pub(super) fn from_runs(runs: impl Iterator<Item = Range<u64>>) -> Vec<Extent> {
    let mut logical = 0;
    runs.map(|run| {
        let length = (run.end - run.start).fit_u32();
        let extent = Extent {
            logical: LogicalBlock(logical),
            length,
            physical: BlockNumber(run.start),
        };
        logical += length;
        extent
    })
    .collect()
}

/// An encoded tree.
pub(super) struct ExtentTree {
    pub(super) root: [u8; BLOCK_BYTES],
    /// Blocks below the root, in the order of the addresses given.
    pub(super) blocks: Vec<(BlockNumber, Vec<u8>)>,
}

/// One encoded record and the first logical block below it.
type Record = (LogicalBlock, [u8; RECORD_BYTES]);

impl ExtentTree {
    /// Builds the tree of `extents`; `addresses` must be as many as the plan counted.
    pub(super) fn new(
        extents: &[Extent],
        addresses: &[BlockNumber],
        geometry: Geometry,
        checksum: InodeChecksum,
    ) -> Self {
        let mut level: Vec<Record> = split(extents)
            .map(|extent| (extent.logical, leaf(extent)))
            .collect();
        let mut blocks = Vec::with_capacity(addresses.len());
        let mut addresses = addresses.iter();
        let mut depth = 0;
        while level.len().to_u64() > ROOT_RECORDS {
            level = level
                .chunks(geometry.extents_per_block().to_usize())
                .zip(&mut addresses)
                .map(|(records, &address)| {
                    blocks.push((address, node(records, depth, geometry, checksum)));
                    (records[0].0, index(records[0].0, address))
                })
                .collect();
            depth += 1;
        }
        debug_assert!(
            addresses.next().is_none(),
            "the plan counted more index blocks"
        );
        let mut root = [0; BLOCK_BYTES];
        fill(&mut root, &level, ROOT_RECORDS.fit_u16(), depth);
        Self { root, blocks }
    }
}

fn leaf(extent: Extent) -> [u8; RECORD_BYTES] {
    zerocopy::transmute!(Leaf {
        block: extent.logical.0.into(),
        // The planner cuts extents to 32,768 blocks, which fits.
        len: extent.length.fit_u16().into(),
        start_hi: extent.physical.high().fit_u16().into(),
        start_lo: extent.physical.low().into(),
    })
}

fn index(logical: LogicalBlock, child: BlockNumber) -> [u8; RECORD_BYTES] {
    zerocopy::transmute!(Index {
        block: logical.0.into(),
        leaf_lo: child.low().into(),
        leaf_hi: child.high().fit_u16().into(),
        unused: 0.into(),
    })
}

fn node(records: &[Record], depth: u16, geometry: Geometry, checksum: InodeChecksum) -> Vec<u8> {
    let max = geometry.extents_per_block();
    let mut bytes = vec![0; geometry.block_size.to_usize()];
    fill(&mut bytes, records, max.fit_u16(), depth);
    if geometry.checksums {
        // The tail follows the last possible record, which is not always the block's end.
        let tail = RECORD_BYTES * (1 + max.to_usize());
        let value = checksum.of(&bytes[..tail]);
        bytes[tail..tail + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn fill(bytes: &mut [u8], records: &[Record], max: u16, depth: u16) {
    let header = Header {
        magic: MAGIC.into(),
        entries: records.len().fit_u16().into(),
        max: max.into(),
        depth: depth.into(),
        generation: 0.into(),
    };
    bytes[..RECORD_BYTES].copy_from_slice(header.as_bytes());
    for (slot, (_, record)) in bytes[RECORD_BYTES..]
        .chunks_exact_mut(RECORD_BYTES)
        .zip(records)
    {
        slot.copy_from_slice(record);
    }
}
