//! The journal's superblock; its body stays zeros.

use zerocopy::IntoBytes;

use super::extents::{ExtentTree, from_runs};
use super::side::put_tree;
use super::{BlockSink, Source, index_addresses};
use crate::disk::journal::{JournalSuperblock, MAGIC, SUPERBLOCK_V2};
use crate::error::Error;
use crate::ids::{BlockNumber, InodeNumber};
use crate::plan::SystemFile;

/// The extents of a file of the filesystem itself.
pub(super) fn system_extents(
    source: Source<'_>,
    inode: InodeNumber,
    file: &SystemFile,
) -> ExtentTree {
    let extents = from_runs(file.runs.iter().cloned());
    let checksum = source.plan.checksums.inode(inode);
    ExtentTree::new(
        &extents,
        &index_addresses(file),
        source.plan.shape(),
        checksum,
    )
}

pub(super) fn encode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let Some(journal) = source.plan.journal() else {
        return Ok(());
    };
    let Some(first) = journal.runs.first() else {
        return Ok(());
    };
    let superblock = JournalSuperblock {
        magic: MAGIC.into(),
        blocktype: SUPERBLOCK_V2.into(),
        header_sequence: 0.into(),
        blocksize: source.plan.shape().block_size.into(),
        // At most 10,240,000 blocks.
        maxlen: (journal.blocks() as u32).into(),
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
    put_tree(&system_extents(source, InodeNumber::JOURNAL, journal), sink)
}
