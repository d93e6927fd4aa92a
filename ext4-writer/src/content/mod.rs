//! Contents of regular files, stored while they stream in.

mod allocator;
mod free_ranges;
mod store;
mod writer;

use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use self::allocator::BlockAllocator;
pub(crate) use self::store::{ContentRules, ContentStore, is_zero};
pub use self::writer::{ContentWriter, SuspendedContent};
use crate::ids::{BlockNumber, LogicalBlock};

/// The content of one regular file, stored in the image whose [`ContentWriter::finish`] gave it.
///
/// It belongs to that image: give it to a tree that the image is finished with, or back by
/// [`ImageWriter::release`](crate::ImageWriter::release). Any other image refuses it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The length in bytes, and above it the owner: contents are many.
    size_and_owner: u64,
    pub(crate) data: Data,
}

/// Bits of a file's length: 2³² - 1 blocks of 4 KiB at most.
const SIZE_BITS: u32 = 44;

impl Content {
    /// An empty file, of any image.
    pub fn empty() -> Self {
        Self::default()
    }

    fn new(owner: Owner, size: u64, data: Data) -> Self {
        debug_assert!(size >> SIZE_BITS == 0);
        Self {
            size_and_owner: u64::from(owner.0) << SIZE_BITS | size,
            data,
        }
    }

    /// Length of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size_and_owner & ((1 << SIZE_BITS) - 1)
    }

    pub(crate) fn belongs_to(&self, owner: Owner) -> bool {
        let own = self.size_and_owner >> SIZE_BITS;
        own == 0 || own == u64::from(owner.0)
    }

    /// Where the bytes lie; empty for holes throughout and for inline data.
    pub(crate) fn extents(&self) -> &[Extent] {
        match &self.data {
            Data::Hole | Data::Inline(_) => &[],
            Data::One(extent) => std::slice::from_ref(extent),
            Data::Many(extents) => extents,
        }
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.extents()
            .iter()
            .map(|extent| u64::from(extent.length))
            .sum()
    }
}

/// Which image a content belongs to; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    /// One that none of the last million images had.
    fn unique() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let most = (1 << (u64::BITS - SIZE_BITS)) - 1;
        Self(NEXT.fetch_add(1, Ordering::Relaxed) % most + 1)
    }
}

/// How the bytes of a file are kept; files of one extent, nearly all, need no allocation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Data {
    #[default]
    Hole,
    One(Extent),
    Many(Box<[Extent]>),
    /// A small file that will lie in its inode.
    Inline(Box<[u8]>),
}

impl Data {
    pub(crate) fn from_extents(extents: Vec<Extent>) -> Self {
        match extents.as_slice() {
            [] => Self::Hole,
            [extent] => Self::One(*extent),
            _ => Self::Many(extents.into_boxed_slice()),
        }
    }
}

/// A run of blocks of a file, longer than one record on disk may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) logical: LogicalBlock,
    pub(crate) length: u32,
    pub(crate) physical: BlockNumber,
}

impl Extent {
    /// Adds a block to the last extent where both addresses go on, else as a new one.
    pub(crate) fn push(extents: &mut Vec<Self>, logical: LogicalBlock, physical: BlockNumber) {
        if let Some(last) = extents.last_mut()
            && last.logical.0 + last.length == logical.0
            && last.physical.plus(u64::from(last.length)) == physical
        {
            last.length += 1;
            return;
        }
        extents.push(Self {
            logical,
            length: 1,
            physical,
        });
    }
}
