//! What the user decides about the filesystem, and what of it cannot be.

use std::fs::File;
use std::io;

use ext4_writer::{Features, FormatOptions, SizeRule};
use oci_flatten::limits::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::size::format_size;

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

/// The smallest filesystem that is worth a try: what mke2fs asks for, too.
const SMALLEST: u64 = 64 << 10;

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
                _ if self.label.as_ref().is_some_and(|label| label.len() > 16) => {
                    Some("give 16 bytes at most; letters beyond ASCII take two and more")
                }
                _ if self.uuid.is_some_and(|uuid| uuid.is_nil()) => Some("give another UUID"),
                _ if self.size.is_some() => Some("ask for a smaller size"),
                _ => None,
            };
            let error = super::from_ext4(error.into());
            hint.into_iter().fold(error, Error::with_hint)
        })
    }

    /// Refuses, besides what [`Options::validate`] refuses, a size that is too small, or too large for the filesystem
    /// that holds `file`.
    ///
    /// # Errors
    ///
    /// Those of [`Options::validate`], and [`ErrorKind::NoSpace`] for the size.
    pub fn check(&self, file: &File) -> Result<(), Error> {
        self.validate()?;
        let Some(size) = self.size else {
            return Ok(());
        };
        if size < SMALLEST {
            let message =
                format!("size of {size} bytes is too small for a filesystem (at least {SMALLEST})");
            return Err(Error::new(ErrorKind::NoSpace, message)
                .with_hint("a number without a unit is in bytes: 512M is 512 MiB"));
        }
        // The file is sparse, so this takes no space.
        let fits = file.set_len(size).and_then(|()| file.set_len(0));
        fits.map_err(|error| {
            let message = format!("a file of {} cannot be made here", format_size(size));
            match error.kind() {
                io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput => {
                    let hint =
                        "ask for less, or write to a filesystem with larger files, such as XFS";
                    Error::new(ErrorKind::NoSpace, message)
                        .with_source(error)
                        .with_hint(hint)
                }
                _ => Error::io(message, error),
            }
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
