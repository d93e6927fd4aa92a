//! Reads finished images, ours and those that `mke2fs` or a mounting kernel wrote, without trusting them.
//!
//! Whoever has root in a guest can write anything to its root filesystem. So every number of the image is checked before it is used,
//! nothing is allocated by a size that the image claims, and one [`ReadLimits`] bounds what all calls on one [`ImageReader`] may
//! read, count and hold: open one for each question. Nothing recurses without a bound.
//!
//! ```text
//! source       bytes at an offset: a file, a device, memory
//!   └ budget     every block and entry is counted; the caller is asked whether to go on
//!     └ superblock   geometry, features, group descriptors
//!       └ inode        one inode, its checksum verified
//!         ├ blocks       which blocks of the file lie where: extents, or the block maps of ext2 and ext3
//!         ├ content      data and holes in order; data in the inode itself
//!         └ directory    names, in blocks or in the inode
//!             ├ path       from a path to an inode, through symbolic links
//!             └ walk       every file of the tree, once for each name
//! ```
//!
//! A journal that was not replayed is reported ([`ImageReader::needs_recovery`]) and not replayed: what is read is the state of the last
//! checkpoint.

mod blocks;
mod budget;
mod content;
mod directory;
mod error;
mod inode;
mod path;
mod source;
mod superblock;
mod walk;

pub use self::budget::ReadLimits;
pub use self::content::Piece;
pub use self::directory::DirectoryEntry;
pub use self::error::ReadError;
pub use self::inode::{Inode, InodeMetadata};
pub use self::path::Found;
pub use self::source::ReadAt;
pub use self::walk::WalkEntry;

use self::budget::Budget;
use self::superblock::Geometry;

/// An ext4 image that is read within limits.
///
/// ```
/// use ext4_writer::{FileKind, FileTree, FormatOptions, ImageWriter, MemoryDevice, Metadata, Timestamp};
/// use ext4_writer::reader::{ImageReader, Piece, ReadLimits};
///
/// let metadata = || Metadata::new(0o644, Timestamp::new(0, 0));
/// let device = MemoryDevice::new();
/// let mut writer = ImageWriter::new(&device, FormatOptions::default())?;
/// let mut content = writer.content(5);
/// content.append(b"hello")?;
/// let hello = content.finish()?;
/// let mut tree = FileTree::new(metadata())?;
/// tree.insert(tree.root(), b"greeting", FileKind::File(hello), metadata())?;
/// writer.finish(tree)?;
///
/// let reader = ImageReader::open(device.to_vec(), ReadLimits::default(), &|| false)?;
/// let found = reader.resolve(b"/greeting")?.expect("the file is there");
/// let mut text = Vec::new();
/// reader.content(&found.inode, 0..u64::MAX, &mut |piece| {
///     if let Piece::Data(bytes) = piece {
///         text.extend_from_slice(bytes);
///     }
///     Ok(())
/// })?;
/// assert_eq!(text, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ImageReader<'a, S> {
    source: S,
    geometry: Geometry,
    budget: Budget<'a>,
}

impl<'a, S: ReadAt> ImageReader<'a, S> {
    /// Opens the filesystem in `source`. `stop` is asked many times a second whether to give up, with [`ReadError::Stopped`].
    ///
    /// # Errors
    /// [`ReadError::NotExt4`], [`ReadError::Unsupported`] for features that change what everything means, [`ReadError::Corrupt`] for
    /// a superblock that cannot be, and what reading gives.
    pub fn open(
        source: S,
        limits: ReadLimits,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, ReadError> {
        let budget = Budget::new(limits, stop);
        let geometry = Geometry::read(&source, &budget)?;
        Ok(Self {
            source,
            geometry,
            budget,
        })
    }

    /// The filesystem's UUID.
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(self.geometry.uuid)
    }

    /// The size of a block in bytes.
    pub fn block_size(&self) -> u32 {
        self.geometry.block_size
    }

    /// The length of the filesystem in bytes.
    pub fn size(&self) -> u64 {
        self.geometry.blocks * u64::from(self.geometry.block_size)
    }

    /// Whether the journal holds changes that are not yet in the filesystem, because it was not unmounted
    /// (`EXT4_FEATURE_INCOMPAT_RECOVER`).
    pub fn needs_recovery(&self) -> bool {
        self.geometry.needs_recovery
    }

    /// Whether the filesystem is marked as having errors (`s_state`).
    pub fn has_errors(&self) -> bool {
        self.geometry.has_errors
    }

    /// Reads one block.
    fn block(&self, block: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; self.geometry.block_size as usize];
        self.blocks(block, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from the start of a block on; they may reach into the blocks after it.
    fn blocks(&self, block: u64, bytes: &mut [u8]) -> Result<(), ReadError> {
        let size = u64::from(self.geometry.block_size);
        let count = (bytes.len() as u64).div_ceil(size);
        if block == 0
            || block
                .checked_add(count)
                .is_none_or(|end| end > self.geometry.blocks)
        {
            return Err(ReadError::corrupt(format!(
                "block {block} is not in the filesystem, which has {} blocks",
                self.geometry.blocks
            )));
        }
        self.budget.bytes(bytes.len() as u64)?;
        error::read(&self.source, block * size, bytes)
    }
}

impl<S> std::fmt::Debug for ImageReader<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageReader")
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}
