//! Files of the filesystem itself: extents of all, contents of journal and orphan file.

use zerocopy::IntoBytes;

use super::extent_blocks::put_tree;
use super::extents::{ExtentTree, from_runs};
use super::{BlockSink, Source};
use crate::disk::journal::{JournalSuperblock, MAGIC, SUPERBLOCK_V2};
use crate::disk::orphan_file;
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::number::{Fit, Widen};
use crate::plan::{SystemFile, SystemKind};

/// The extents of a file of the filesystem itself.
pub(super) fn extents(source: Source<'_>, kind: SystemKind, file: &SystemFile) -> ExtentTree {
    let extents = from_runs(file.runs.iter().cloned());
    let checksum = source
        .plan
        .checksums
        .inode(source.plan.census.system_inode(kind));
    let index: Vec<BlockNumber> = file
        .index
        .iter()
        .cloned()
        .flatten()
        .map(BlockNumber)
        .collect();
    ExtentTree::new(&extents, &index, source.plan.geometry(), checksum)
}

/// The journal's superblock; its body stays zeros.
pub(super) fn encode_journal(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let Some(journal) = source.plan.system_file(SystemKind::Journal) else {
        return Ok(());
    };
    let Some(first) = journal.runs.first() else {
        return Ok(());
    };
    let superblock = JournalSuperblock {
        magic: MAGIC.into(),
        blocktype: SUPERBLOCK_V2.into(),
        header_sequence: 0.into(),
        blocksize: source.plan.geometry().block_size.into(),
        // At most 10,240,000 blocks.
        maxlen: journal.blocks().fit_u32().into(),
        first: 1.into(),
        sequence: 1.into(),
        start: 0.into(),
        errno: 0.into(),
        feature_compat: 0.into(),
        feature_incompat: 0.into(),
        feature_ro_compat: 0.into(),
        uuid: *source.options.uuid.as_bytes(),
        nr_users: 1.into(),
    };
    sink.put(BlockNumber(first.start), superblock.as_bytes())?;
    put_tree(&extents(source, SystemKind::Journal, journal), sink)
}

/// Empty blocks of the orphan file, each with its magic number and checksum.
pub(super) fn encode_orphans(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let kind = SystemKind::OrphanFile;
    let Some(file) = source.plan.system_file(kind) else {
        return Ok(());
    };
    let checksum = source
        .plan
        .checksums
        .inode(source.plan.census.system_inode(kind));
    let mut bytes = vec![0; source.plan.geometry().block_size.to_usize()];
    let tail = bytes.len() - orphan_file::TAIL_BYTES;
    bytes[tail..tail + 4].copy_from_slice(&orphan_file::MAGIC.to_le_bytes());
    for block in file.runs.iter().cloned().flatten() {
        let covered = [&block.to_le_bytes(), &bytes[..tail]].concat();
        bytes[tail + 4..].copy_from_slice(&checksum.of(&covered).to_le_bytes());
        sink.put(BlockNumber(block), &bytes)?;
    }
    put_tree(&extents(source, kind, file), sink)
}
