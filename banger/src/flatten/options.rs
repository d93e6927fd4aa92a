//! What the user decides about the filesystem.

use ext4_writer::{Features, FormatOptions, SizeRule};
use oci_flatten::limits::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;

/// What the user decides about the filesystem.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Size of the filesystem in bytes; by default 1.25 × content, 1 GiB at least.
    pub size: Option<u64>,
    /// UUID of the filesystem; by default derived from the image's digest and from what differs from the defaults.
    pub uuid: Option<Uuid>,
    /// Volume label, 16 bytes at most.
    pub label: Option<String>,
    /// What the filesystem is for.
    pub profile: Profile,
    /// Features of ext4 beside those of the profile.
    pub features: Vec<FsFeature>,
    /// Whether SELinux labels are left out.
    pub skip_selinux: bool,
    /// Whether character and block devices are left out.
    pub skip_devices: bool,
    /// Bounds on what the image may make of itself.
    pub limits: Limits,
}

/// What a filesystem is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// To be written to: a journal, free space, room to grow.
    #[default]
    ReadWrite,
    /// To be mounted read-only, such as below an overlay: as small as it can be.
    ReadOnly {
        /// Whether a dm-verity hash tree follows the filesystem.
        verity: bool,
    },
}

/// A feature of ext4 that not every reader knows, and that is off for this reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FsFeature {
    /// The UUID may be changed while the filesystem is mounted. Unknown to GRUB before 2.12.
    MetadataCsumSeed,
    /// Deleted files that are still open are noted in a file, which scales better. Needs a journal; unknown to e2fsck before 1.47.
    OrphanFile,
}

impl FsFeature {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::MetadataCsumSeed, Self::OrphanFile];

    /// The name by which `mke2fs -O` knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MetadataCsumSeed => "metadata_csum_seed",
            Self::OrphanFile => "orphan_file",
        }
    }
}

impl Options {
    /// Refuses options that contradict one another, before any work.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a label that is too long, a nil UUID, and a feature that the profile
    /// cannot have.
    pub fn validate(&self) -> Result<(), Error> {
        self.format().validate().map_err(|error| {
            let hint = match self.profile {
                Profile::ReadOnly { .. } if self.features.contains(&FsFeature::OrphanFile) => {
                    Some("leave out --fs-feature orphan_file or --profile read-only")
                }
                _ => None,
            };
            let error = super::from_ext4(error.into());
            hint.into_iter().fold(error, Error::with_hint)
        })
    }

    /// The same for the writer of the filesystem.
    pub(super) fn format(&self) -> FormatOptions {
        let mut format = match self.profile {
            Profile::ReadWrite => FormatOptions::default(),
            Profile::ReadOnly { .. } => FormatOptions::read_only(),
        };
        if let Some(size) = self.size {
            format.size = SizeRule::Exact(size);
        }
        if let Some(uuid) = self.uuid {
            format.uuid = uuid;
        }
        if let Some(label) = &self.label {
            format.label = label.clone().into_bytes();
        }
        for feature in &self.features {
            format.features |= match feature {
                FsFeature::MetadataCsumSeed => Features::METADATA_CSUM_SEED,
                FsFeature::OrphanFile => Features::ORPHAN_FILE,
            };
        }
        format
    }

    /// The size rule where no size is asked for.
    pub(super) fn usual_size(&self) -> SizeRule {
        match self.profile {
            Profile::ReadWrite => FormatOptions::default().size,
            Profile::ReadOnly { .. } => FormatOptions::read_only().size,
        }
    }
}
