//! Contents of regular files, stored while they stream in.

mod holes;
mod space;
mod store;

pub(crate) use self::space::Space;
pub(crate) use self::store::{ContentRules, ContentStore, is_zero};
use crate::ids::{BlockNumber, LogicalBlock};

/// The content of one regular file, stored in the image that [`ImageWriter::end_content`](crate::ImageWriter::end_content)
/// gave it from.
///
/// It belongs to that writer: give it to a tree that the writer finishes, or back by
/// [`ImageWriter::release`](crate::ImageWriter::release).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub(crate) size: u64,
    pub(crate) data: Data,
}

impl Content {
    /// An empty file.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Length of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
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
