//! The only place that moves bytes: contents as they stream in, then everything else.

use crate::compact::{compact, reclaim_lost};
use crate::content::{Content, ContentStore};
use crate::device::{Access, Device, RunWriter};
use crate::disk::superblock;
use crate::encode::{self, BlockSink, Source};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::options::{Features, FormatOptions};
use crate::plan::{self, Census, Demand, Places, Plan, Sized, Sizer};
use crate::summary::Summary;
use crate::tree::FileTree;
use uuid::Uuid;

/// Writes one image: first the contents of files, in any order, then the tree that names them.
///
/// ```
/// use ext4_writer::{FileKind, FileTree, FormatOptions, ImageWriter, MemoryDevice, Metadata, Timestamp};
///
/// let device = MemoryDevice::new();
/// let mut image = ImageWriter::new(&device, FormatOptions::default())?;
/// image.begin_content(6)?;
/// image.write_content(b"hello\n")?;
/// let hello = image.end_content()?;
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
        let inline_limit = if inline { plan::INLINE_BYTES } else { 0 };
        let store = ContentStore::new(Places::new(&options), inline_limit);
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
    ///
    /// # Errors
    /// Where the last content has not ended.
    pub fn begin_content(&mut self, size_hint: u64) -> Result<(), Error> {
        self.store.begin(size_hint)
    }

    /// Adds bytes to the content. Blocks of zeros become holes.
    ///
    /// # Errors
    /// Where the device fails or the file becomes too large for ext4.
    pub fn write_content(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.store.write(&self.access, bytes)
    }

    /// Adds `length` zeros to the content at no cost.
    ///
    /// # Errors
    /// Where the device fails or the file becomes too large for ext4.
    pub fn skip_content(&mut self, length: u64) -> Result<(), Error> {
        self.store.skip(&self.access, length)
    }

    /// Ends the content, which then can be given to a tree.
    ///
    /// # Errors
    /// Where the device fails or no content was begun.
    pub fn end_content(&mut self) -> Result<Content, Error> {
        self.store.end(&self.access)
    }

    /// Gives back a content that no file needs any more: its blocks are free for later contents, and its bytes
    /// will not be in the image.
    ///
    /// # Errors
    /// None now; kept for devices that free space at once.
    pub fn release(&mut self, content: Content) -> Result<(), Error> {
        self.store.release(&content);
        Ok(())
    }

    /// Writes everything else, and the superblock last: until then the device holds no filesystem.
    ///
    /// # Errors
    /// Where the tree does not fit the size asked for, ext4 cannot hold something in it, or the device fails.
    pub fn finish(mut self, mut tree: FileTree<Content>) -> Result<Summary, Error> {
        self.store.flush(&self.access)?;
        let shape = self.store.space.places().shape;
        let census = Census::new(&mut tree, &self.options, shape)?;
        reclaim_lost(&tree, &mut self.store, census.content_blocks);
        let sized = self.settle(&mut tree, &census)?;
        let plan = Plan::new(census, sized, &self.options, &self.store.space);
        self.clear(&plan)?;
        self.write(&plan, &tree)
    }

    /// Decides the size, and moves content down where it lies too far up for it.
    fn settle(&mut self, tree: &mut FileTree<Content>, census: &Census) -> Result<Sized, Error> {
        let decided = match self.sizer(tree, census, self.packed_end()).decide() {
            // Holes left by releases may split files that move into them: count again with them in place.
            Err(Error::TooSmall { .. }) if self.has_holes() => None,
            decided => Some(decided?),
        };
        if let Some(sized) = decided {
            let end = self.store.space.cursor();
            if let Some(sized) = self
                .sizer(tree, census, end)
                .place(sized.dimensions.blocks, sized.bytes)
            {
                return Ok(sized);
            }
        }
        compact(tree, &mut self.store, &self.access)?;
        self.sizer(tree, census, self.store.space.cursor()).decide()
    }

    fn sizer<'a>(
        &'a self,
        tree: &FileTree<Content>,
        census: &'a Census,
        start: BlockNumber,
    ) -> Sizer<'a> {
        let places = *self.store.space.places();
        let demand = Demand::new(census, tree, places.shape);
        Sizer {
            options: &self.options,
            places,
            demand,
            start,
        }
    }

    fn packed_end(&self) -> BlockNumber {
        plan::packed_end(self.store.space.places(), self.store.space.used())
    }

    fn has_holes(&self) -> bool {
        self.store.space.holes().blocks() > 0
    }

    /// Has everything read as zeros that is not written later: what was released, and on a device that
    /// begins with other bytes, every place of metadata.
    fn clear(&self, plan: &Plan) -> Result<(), Error> {
        for range in self.store.space.stale() {
            self.access.discard(range)?;
        }
        if self.access.starts_zeroed() {
            return Ok(());
        }
        let content_end = self.store.space.cursor().0;
        let groups = plan.layout().groups.iter();
        let tables = groups.map(|group| {
            group.inode_table.0..group.inode_table.0 + u64::from(plan.dimensions().table_blocks)
        });
        let files = plan
            .layout()
            .system_files
            .iter()
            .flat_map(|file| file.runs.iter().cloned());
        self.access.discard(0..1)?;
        for range in tables.chain(files) {
            debug_assert!(range.start >= content_end);
            self.access.discard(range)?;
        }
        Ok(())
    }

    fn write(&self, plan: &Plan, tree: &FileTree<Content>) -> Result<Summary, Error> {
        let bytes = plan.sized.bytes;
        self.access.set_len(bytes)?;
        let source = Source {
            plan,
            tree,
            options: &self.options,
        };
        let mut sink = Sink {
            access: &self.access,
            writer: RunWriter::new(plan.shape().block_size),
        };
        let totals = encode::encode(source, &mut sink)?;
        sink.writer.flush(&self.access)?;
        self.access.sync()?;
        let primary = encode::primary(source, totals);
        self.access.write_bytes(superblock::OFFSET, &primary)?;
        self.access.sync()?;
        let dimensions = plan.dimensions();
        let block_size = plan.shape().block_size;
        let demand = Demand::new(&plan.census, tree, plan.shape());
        Ok(Summary {
            size_bytes: bytes,
            block_size,
            blocks: dimensions.blocks,
            free_blocks: totals.free_blocks,
            free_bytes: totals.free_blocks * u64::from(block_size),
            inodes: u64::from(dimensions.inodes_per_group) * u64::from(dimensions.groups),
            free_inodes: totals.free_inodes,
            groups: dimensions.groups,
            content_bytes: demand.content_blocks() * u64::from(block_size),
            journal_bytes: plan.journal_bytes(),
            uuid: self.options.uuid,
        })
    }
}

/// Sends blocks to the device.
struct Sink<'a, D> {
    access: &'a Access<D>,
    writer: RunWriter,
}

impl<D: Device> BlockSink for Sink<'_, D> {
    fn put(&mut self, block: BlockNumber, bytes: &[u8]) -> Result<(), Error> {
        self.writer.put(self.access, block, bytes)
    }
}
