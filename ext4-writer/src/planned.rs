//! An image of which everything is decided: writes all that is not content.

use uuid::Uuid;

use crate::content::{BlockAllocator, Content};
use crate::device::{Access, Device, RunWriter};
use crate::disk::superblock;
use crate::encode::{self, BlockSink, Source};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::options::{FormatOptions, SizeRule};
use crate::plan::{self, BackupGeometry, Census, Demand, Plan, Sized, Sizer};
use crate::summary::Summary;
use crate::tree::FileTree;

/// An image that is written but for its metadata, with everything about it decided but the UUID.
///
/// Comes from [`ImageWriter::plan`](crate::ImageWriter::plan).
///
/// ```
/// use ext4_writer::{FileTree, FormatOptions, ImageWriter, MemoryDevice, Metadata, SizeRule, Timestamp};
/// use uuid::Uuid;
///
/// let image = ImageWriter::new(MemoryDevice::new(), FormatOptions::default())?;
/// let tree = FileTree::new(Metadata::new(0o755, Timestamp::default()))?;
/// let mut planned = image.plan(tree)?;
/// assert!(planned.equals_size_rule(SizeRule::Exact(1 << 30)));
/// let name = format!("an image of {} bytes", planned.size_bytes());
/// planned.set_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))?;
/// planned.write()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PlannedImage<D: Device> {
    pub(crate) access: Access<D>,
    pub(crate) options: FormatOptions,
    pub(crate) allocator: BlockAllocator,
    pub(crate) tree: FileTree<Content>,
    pub(crate) census: Census,
    pub(crate) sized: Sized,
}

impl<D: Device> PlannedImage<D> {
    /// Length of the filesystem in bytes. The file may be longer by what ext4 cannot use of the size asked for.
    pub fn size_bytes(&self) -> u64 {
        self.sized.dimensions.blocks * u64::from(self.sized.backups.geometry.block_size)
    }

    /// Whether another size rule would have made the same filesystem.
    pub fn equals_size_rule(&self, rule: SizeRule) -> bool {
        let options = FormatOptions {
            size: rule,
            ..self.options.clone()
        };
        let backups = BackupGeometry::new(&options);
        let demand = Demand::new(&self.census, &self.tree, backups.geometry);
        let sizer = Sizer {
            options: &options,
            backups,
            demand,
            start: plan::packed_end(&backups, self.allocator.used()),
        };
        // Contents have been placed by the one that was asked for.
        backups == *self.allocator.backups()
            && sizer
                .decide()
                .is_ok_and(|sized| sized.dimensions == self.sized.dimensions)
    }

    /// Sets the identity of the filesystem. The directory hash keeps its seed, and so its order.
    ///
    /// # Errors
    /// Where `uuid` is nil.
    pub fn set_uuid(&mut self, uuid: Uuid) -> Result<(), Error> {
        self.options.uuid = uuid;
        Ok(self.options.validate()?)
    }

    /// Writes the metadata, and the superblock last: until then the device holds no filesystem.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn write(self) -> Result<Summary, Error> {
        let Self {
            access,
            options,
            allocator,
            tree,
            census,
            sized,
        } = self;
        let plan = Plan::new(census, sized, &options, &allocator);
        clear(&access, &allocator, &plan)?;
        write(&access, &options, &plan, &tree)
    }
}

/// Has everything read as zeros that is not written later: what was released, and on a device that
/// begins with other bytes, every place of metadata.
fn clear<D: Device>(
    access: &Access<D>,
    allocator: &BlockAllocator,
    plan: &Plan,
) -> Result<(), Error> {
    for range in allocator.stale() {
        access.discard(range)?;
    }
    if access.starts_zeroed() {
        return Ok(());
    }
    let content_end = allocator.cursor().0;
    let groups = plan.layout().groups.iter();
    let tables = groups.map(|group| {
        group.inode_table.0..group.inode_table.0 + u64::from(plan.dimensions().table_blocks)
    });
    let files = plan
        .layout()
        .system_files
        .iter()
        .flat_map(|file| file.runs.iter().cloned());
    access.discard(0..1)?;
    for range in tables.chain(files) {
        debug_assert!(range.start >= content_end);
        access.discard(range)?;
    }
    Ok(())
}

fn write<D: Device>(
    access: &Access<D>,
    options: &FormatOptions,
    plan: &Plan,
    tree: &FileTree<Content>,
) -> Result<Summary, Error> {
    let bytes = plan.sized.bytes;
    access.set_len(bytes)?;
    let source = Source {
        plan,
        tree,
        options,
    };
    let mut sink = Sink {
        access,
        writer: RunWriter::new(plan.geometry().block_size),
    };
    let totals = encode::encode(source, &mut sink)?;
    sink.writer.flush(access)?;
    access.sync()?;
    let primary = encode::primary(source, totals);
    access.write_bytes(superblock::OFFSET, &primary)?;
    access.sync()?;
    let dimensions = plan.dimensions();
    let block_size = plan.geometry().block_size;
    let demand = Demand::new(&plan.census, tree, plan.geometry());
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
        uuid: options.uuid,
    })
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
