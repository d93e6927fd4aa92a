//! Contents as they stream in, then the decisions about everything else.

use crate::compact::{compact, reclaim_lost};
use crate::content::{Content, ContentRules, ContentStore, ContentWriter, Owner, SuspendedContent};
use crate::device::{Access, Device};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::options::{Features, FormatOptions};
use crate::plan::{self, BackupGeometry, Census, Demand, Sized, Sizer};
use crate::planned::PlannedImage;
use crate::summary::Summary;
use crate::tree::{FileTree, NodeIndex, NodeKind};
use uuid::Uuid;

/// Writes one image: first the contents of files, in any order, then the tree that names them.
///
/// ```
/// use std::io::Write;
/// use ext4_writer::{FileKind, FileTree, FormatOptions, ImageWriter, MemoryDevice, Metadata, Timestamp};
///
/// let device = MemoryDevice::new();
/// let mut image = ImageWriter::new(&device, FormatOptions::default())?;
/// let mut content = image.content(6);
/// content.write_all(b"hello\n")?;
/// let hello = content.finish()?;
///
/// let time = Timestamp::new(1_700_000_000, 0);
/// let mut tree = FileTree::new(Metadata::new(0o755, time))?;
/// tree.insert(tree.root(), b"hello", FileKind::File(hello), Metadata::new(0o644, time))?;
/// let summary = image.finish(tree)?;
/// assert_eq!(summary.size_bytes, 1 << 30);
/// assert_eq!(device.length(), 1 << 30);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ImageWriter<D: Device> {
    access: Access<D>,
    options: FormatOptions,
    store: ContentStore,
}

impl<D: Device> ImageWriter<D> {
    /// Begins an image; what the device held is lost.
    ///
    /// # Errors
    /// Where the options contradict one another, or the device cannot be emptied.
    pub fn new(device: D, options: FormatOptions) -> Result<Self, Error> {
        options.validate()?;
        let access = Access::new(device, options.block_size.bytes());
        access.set_len(0)?;
        let inline = options.features.contains(Features::INLINE_DATA);
        let rules = ContentRules {
            inline_limit: if inline { plan::INLINE_BYTES } else { 0 },
            zeros_to_holes: options.zeros_to_holes,
        };
        let store = ContentStore::new(BackupGeometry::new(&options), rules);
        Ok(Self {
            access,
            options,
            store,
        })
    }

    /// Sets the identity of the filesystem, for callers who know it only when the contents have passed.
    ///
    /// # Errors
    /// Where `uuid` is nil.
    pub fn set_uuid(&mut self, uuid: Uuid) -> Result<(), Error> {
        self.options.uuid = uuid;
        Ok(self.options.validate()?)
    }

    /// Begins the content of a file of about `size_hint` bytes, which chooses where it goes; 0 is no estimate.
    pub fn content(&mut self, size_hint: u64) -> ContentWriter<'_, D> {
        let open = self.store.begin(size_hint);
        ContentWriter::new(&mut self.store, &self.access, open)
    }

    /// Goes on with a content that was set aside.
    ///
    /// # Errors
    /// Where the content is of another image.
    pub fn resume(&mut self, content: SuspendedContent) -> Result<ContentWriter<'_, D>, Error> {
        ContentWriter::resume(&mut self.store, &self.access, content)
    }

    /// Gives back a content that no file needs any more: its blocks are free for later contents, and its bytes
    /// will not be in the image.
    ///
    /// # Errors
    /// Where the content is of another image.
    pub fn release(&mut self, content: Content) -> Result<(), Error> {
        self.store.release(&content)
    }

    /// Writes everything else, and the superblock last: until then the device holds no filesystem.
    ///
    /// # Errors
    /// Those of [`ImageWriter::plan`] and [`PlannedImage::write`].
    pub fn finish(self, tree: FileTree<Content>) -> Result<Summary, Error> {
        self.plan(tree)?.write()
    }

    /// Decides everything about the image but its UUID, for callers whose UUID depends on what was decided.
    ///
    /// # Errors
    /// Where the tree does not fit the size asked for, ext4 cannot hold something in it, or the device fails.
    pub fn plan(mut self, mut tree: FileTree<Content>) -> Result<PlannedImage<D>, Error> {
        self.store.flush(&self.access)?;
        self.options.hash_seed = Some(self.options.effective_hash_seed());
        let geometry = self.store.allocator.backups().geometry;
        check_owner(&tree, self.store.owner())?;
        let census = Census::new(&mut tree, &self.options, geometry)?;
        reclaim_lost(&tree, &mut self.store, census.content_blocks);
        let sized = self.settle(&mut tree, &census)?;
        Ok(PlannedImage {
            access: self.access,
            options: self.options,
            allocator: self.store.allocator,
            tree,
            census,
            sized,
        })
    }

    /// Decides the size, and moves content down where it lies too far up for it.
    fn settle(&mut self, tree: &mut FileTree<Content>, census: &Census) -> Result<Sized, Error> {
        let decided = match self.sizer(tree, census, self.packed_end()).decide() {
            // Holes left by releases may split files that move into them: count again with them in place.
            Err(Error::TooSmall { .. }) if self.has_free_ranges() => None,
            decided => Some(decided?),
        };
        if let Some(sized) = decided {
            let end = self.store.allocator.cursor();
            if let Some(sized) = self
                .sizer(tree, census, end)
                .place(sized.dimensions.blocks, sized.bytes)
            {
                return Ok(sized);
            }
        }
        compact(tree, &mut self.store, &self.access)?;
        self.sizer(tree, census, self.store.allocator.cursor())
            .decide()
    }

    fn sizer<'a>(
        &'a self,
        tree: &FileTree<Content>,
        census: &'a Census,
        start: BlockNumber,
    ) -> Sizer<'a> {
        let backups = *self.store.allocator.backups();
        let demand = Demand::new(census, tree, backups.geometry);
        Sizer {
            options: &self.options,
            backups,
            demand,
            start,
        }
    }

    fn packed_end(&self) -> BlockNumber {
        plan::packed_end(self.store.allocator.backups(), self.store.allocator.used())
    }

    fn has_free_ranges(&self) -> bool {
        self.store.allocator.free_ranges().blocks() > 0
    }
}

/// Refuses a tree with contents of another image.
fn check_owner(tree: &FileTree<Content>, owner: Owner) -> Result<(), Error> {
    let foreign = tree.slots().position(
        |node| matches!(&node.kind, NodeKind::File(content) if !content.belongs_to(owner)),
    );
    match foreign {
        Some(slot) => Err(Error::ForeignFile {
            path: tree.some_path(NodeIndex(slot as u32)),
        }),
        None => Ok(()),
    }
}
