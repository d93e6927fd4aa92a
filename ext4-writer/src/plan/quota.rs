//! Quota files: a tree of 1 KiB blocks over the four bytes of an id, and blocks of entries below it.
//!
//! Format `vfsv1`: Linux' `fs/quota/quota_tree.c` and `quotaio_v2.h`.

use crate::number::Widen;
use std::collections::BTreeSet;

/// Quota files are made of blocks of this size, whatever the filesystem's.
pub(crate) const UNIT_BYTES: u64 = 1024;
/// Entries in a block: 72 bytes each after a header of 16.
pub(crate) const ENTRIES_PER_UNIT: u64 = 14;
/// The header's block and the tree's root.
const FIXED_UNITS: u64 = 2;

/// Levels of the tree below its root: blocks for each distinct prefix of one, two and three bytes.
pub(crate) const PREFIX_SHIFTS: [u32; 3] = [24, 16, 8];

/// Blocks of 1 KiB of a quota file that counts `ids`.
pub(super) fn units(ids: &BTreeSet<u32>) -> u64 {
    let prefixes = |shift: u32| {
        let mut last = None;
        ids.iter()
            .filter(|&&id| last.replace(id >> shift) != Some(id >> shift))
            .count()
            .to_u64()
    };
    let nodes: u64 = PREFIX_SHIFTS.into_iter().map(prefixes).sum();
    FIXED_UNITS + nodes + ids.len().to_u64().div_ceil(ENTRIES_PER_UNIT)
}
