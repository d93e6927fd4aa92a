//! Turns a plan and its tree into blocks. Pure: what it makes goes to a [`BlockSink`].

mod directories;
mod extents;
mod groups;
mod inodes;
mod quota;
mod side;
mod superblock;
mod system_file;
mod system_inodes;
mod xattrs;

use crate::content::Content;
use crate::error::Error;
use crate::ids::{BlockNumber, InodeNumber};
use crate::options::FormatOptions;
use crate::plan::{Places, Plan};
use crate::tree::{FileTree, NodeId};

pub(crate) use self::groups::Totals;
pub(crate) use self::superblock::primary;

/// Takes blocks in any order; shorter input is padded with zeros.
pub(crate) trait BlockSink {
    fn put(&mut self, block: BlockNumber, bytes: &[u8]) -> Result<(), Error>;
}

/// What every encoder reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) tree: &'a FileTree<Content>,
    pub(crate) options: &'a FormatOptions,
}

impl Source<'_> {
    /// Nodes with their numbers, the root first.
    fn inodes(&self) -> impl Iterator<Item = (InodeNumber, NodeId)> {
        let first = InodeNumber::FIRST_FREE.0;
        let order = self.plan.census.order.iter().enumerate();
        let others = order.map(move |(at, &node)| (InodeNumber(first + at as u32), node));
        std::iter::once((InodeNumber::ROOT, self.tree.root())).chain(others)
    }
}

/// Encodes everything but the primary superblock, which must come last.
pub(crate) fn encode(source: Source<'_>, sink: &mut impl BlockSink) -> Result<Totals, Error> {
    directories::encode(source, sink)?;
    side::encode(source, sink)?;
    xattrs::encode_blocks(source, sink)?;
    xattrs::encode_values(source, sink)?;
    system_file::encode_journal(source, sink)?;
    system_file::encode_orphans(source, sink)?;
    let counts = inodes::encode(source, sink)?;
    quota::encode(source, &counts.usages, sink)?;
    groups::encode(source, &counts.directories, sink)
}

/// Hands out blocks one after another, kept places left out.
struct Walker<'a> {
    places: &'a Places,
    at: BlockNumber,
}

impl<'a> Walker<'a> {
    fn new(places: &'a Places, start: BlockNumber) -> Self {
        Self { places, at: start }
    }

    fn next(&mut self) -> BlockNumber {
        let block = self.places.next_usable(self.at);
        self.at = block.plus(1);
        block
    }

    fn take(&mut self, count: u64) -> Vec<BlockNumber> {
        (0..count).map(|_| self.next()).collect()
    }
}
