//! What the caller decides about an image.

mod error;
mod features;
mod size;

use uuid::Uuid;

pub use self::error::OptionsError;
pub use self::features::{Features, MountOptions};
pub(crate) use self::size::MAX_BYTES;
pub use self::size::{InodeRule, JournalRule, SizeRule};
pub use crate::dir_hash::HashAlgorithm;
use crate::setters::setters;
use crate::tree::Timestamp;

/// Size of a filesystem block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BlockSize {
    /// 1,024 bytes: groups of 8 MiB.
    B1024,
    /// 2,048 bytes: groups of 32 MiB.
    B2048,
    /// 4,096 bytes: groups of 128 MiB; the default, and what mounts everywhere.
    #[default]
    B4096,
}

impl BlockSize {
    /// The size in bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Self::B1024 => 1024,
            Self::B2048 => 2048,
            Self::B4096 => 4096,
        }
    }
}

/// Size of an inode record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InodeSize {
    /// 128 bytes: whole seconds, 16-bit checksums and no extended attributes in the inode.
    B128,
    /// 256 bytes, the default of mke2fs.
    #[default]
    B256,
    /// 512 bytes: room for about 350 bytes of extended attributes.
    B512,
    /// 1,024 bytes: room for about 860 bytes of extended attributes.
    B1024,
}

impl InodeSize {
    /// The size in bytes.
    pub fn bytes(self) -> u16 {
        match self {
            Self::B128 => 128,
            Self::B256 => 256,
            Self::B512 => 512,
            Self::B1024 => 1024,
        }
    }
}

/// Blocks kept back for one user and group (`tune2fs -m -u -g`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Share of all blocks in hundredths of a percent: 500 is mke2fs' 5 %.
    pub basis_points: u16,
    /// User who may use them.
    pub uid: u16,
    /// Group that may use them.
    pub gid: u16,
}

/// Everything about an image that is not its tree.
///
/// The default is what `mke2fs -t ext4` 1.47 makes with 4 KiB blocks, without blocks reserved for root.
/// The same options and tree give the same bytes.
///
/// ```
/// use ext4_writer::{FormatOptions, SizeRule};
///
/// let options = FormatOptions::default()
///     .size(SizeRule::Exact(4 << 30))
///     .label(b"root".to_vec());
/// options.validate()?;
/// # Ok::<(), ext4_writer::OptionsError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FormatOptions {
    /// How large the filesystem becomes.
    pub size: SizeRule,
    /// Size of a block.
    pub block_size: BlockSize,
    /// Size of an inode record.
    pub inode_size: InodeSize,
    /// How many inodes there are.
    pub inodes: InodeRule,
    /// Format features on and off.
    pub features: Features,
    /// Journal size, or none.
    pub journal: JournalRule,
    /// Identity of the filesystem. The default is one fixed value: give each image its own.
    pub uuid: Uuid,
    /// Seed of the directory hash; derived from `uuid` when absent.
    pub hash_seed: Option<Uuid>,
    /// Hash of indexed directories.
    pub hash_algorithm: HashAlgorithm,
    /// Volume label: at most 16 bytes, no NUL.
    pub label: Vec<u8>,
    /// Blocks kept back.
    pub reserved: Reserved,
    /// Mount options stored in the superblock.
    pub mount_options: MountOptions,
    /// Creation time in the superblock, which has none before 1970, and the times of what the tree does not hold: lost+found, the
    /// journal.
    pub time: Timestamp,
    /// Times of the tree that are later than this one become this one (`SOURCE_DATE_EPOCH`).
    pub latest_time: Option<Timestamp>,
    /// Share of each leaf of an indexed directory left free for later names, in percent (0 to 50).
    pub directory_slack_percent: u8,
    /// Whether to add `lost+found` where the tree has none.
    pub lost_and_found: bool,
    /// Whether a block of zeros in a file becomes a hole of the file, as with `mke2fs -d`. Where not, it has a block in the
    /// filesystem, as swap files and boot loaders need it, and only the device stays sparse there.
    pub zeros_to_holes: bool,
}

setters! { FormatOptions:
    size: SizeRule,
    block_size: BlockSize,
    inode_size: InodeSize,
    inodes: InodeRule,
    features: Features,
    journal: JournalRule,
    uuid: Uuid,
    hash_seed: Option<Uuid>,
    hash_algorithm: HashAlgorithm,
    label: Vec<u8>,
    reserved: Reserved,
    mount_options: MountOptions,
    time: Timestamp,
    latest_time: Option<Timestamp>,
    directory_slack_percent: u8,
    lost_and_found: bool,
    zeros_to_holes: bool,
}

impl Default for FormatOptions {
    fn default() -> Self {
        Self {
            size: SizeRule::default(),
            block_size: BlockSize::default(),
            inode_size: InodeSize::default(),
            inodes: InodeRule::default(),
            features: Features::default(),
            journal: JournalRule::default(),
            uuid: Uuid::new_v5(&Uuid::NAMESPACE_OID, b"ext4-writer"),
            hash_seed: None,
            hash_algorithm: HashAlgorithm::default(),
            label: Vec::new(),
            reserved: Reserved::default(),
            mount_options: MountOptions::default(),
            time: Timestamp::default(),
            latest_time: None,
            directory_slack_percent: 20,
            lost_and_found: true,
            zeros_to_holes: false,
        }
    }
}

impl FormatOptions {
    /// Options for an image that is only ever mounted read-only: no journal, no room to grow,
    /// no spare blocks or inodes, full directory leaves, holes in place of zeros.
    pub fn read_only() -> Self {
        let features = Features::default().difference(Features::RESIZE_INODE);
        Self {
            size: SizeRule::Shrink,
            inodes: InodeRule::Count(0),
            features,
            journal: JournalRule::None,
            directory_slack_percent: 0,
            lost_and_found: false,
            zeros_to_holes: true,
            ..Self::default()
        }
    }

    /// Checks that the options agree with one another and with the format.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn validate(&self) -> Result<(), OptionsError> {
        features::check(self)?;
        if self.label.len() > 16 || self.label.contains(&0) {
            return Err(OptionsError::Label {
                length: self.label.len(),
            });
        }
        if self.uuid.is_nil() {
            return Err(OptionsError::NilUuid);
        }
        if self.directory_slack_percent > 50 {
            return Err(OptionsError::OutOfRange {
                what: "directory slack in percent",
                value: u64::from(self.directory_slack_percent),
                limit: 50,
            });
        }
        if self.reserved.basis_points > 5_000 {
            return Err(OptionsError::OutOfRange {
                what: "reserved share in hundredths of a percent",
                value: u64::from(self.reserved.basis_points),
                limit: 5_000,
            });
        }
        if !self.time.is_representable() || self.latest_time.is_some_and(|t| !t.is_representable())
        {
            return Err(OptionsError::Time);
        }
        if self.inode_size == InodeSize::B128 && self.time.pack().extra & 3 != 0 {
            return Err(OptionsError::SmallInodeTime {
                seconds: self.time.seconds,
            });
        }
        size::check(self)
    }

    /// The seed of the directory hash.
    pub(crate) fn effective_hash_seed(&self) -> Uuid {
        self.hash_seed
            .unwrap_or_else(|| Uuid::new_v5(&self.uuid, b"ext4 directory hash seed"))
    }
}
