//! The parameters that say what filesystem an image becomes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::flatten::{self, FsFeature, Options};

/// What filesystem an image becomes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FilesystemParameters {
    /// Size of the filesystem in bytes; 1.25 × content and at least 1 GiB where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// UUID of the filesystem; derived from the image's digest, and from what differs from the defaults, where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Volume label, 16 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What the filesystem is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub profile: Profile,
    /// Append a dm-verity hash tree; needs the read-only profile.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verity: bool,
    /// Features of ext4 to switch on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fs_features: Vec<FsFeature>,
    /// Leave SELinux labels out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skip_selinux: bool,
    /// Leave character and block devices out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skip_devices: bool,
}

/// What a filesystem is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// To be written to: a journal, free space, room to grow.
    #[default]
    ReadWrite,
    /// To be mounted read-only: as small as it can be.
    ReadOnly,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl FilesystemParameters {
    /// The same for the flattener. Limits are the source's, and not among them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for a UUID that is none, and for parameters that contradict one another.
    pub fn options(self) -> Result<Options, Error> {
        let uuid = self.uuid.map(|text| {
            Uuid::parse_str(&text).map_err(|error| {
                Error::new(ErrorKind::Usage, format!("{text:?} is not a UUID: {error}"))
            })
        });
        let profile = match (self.profile, self.verity) {
            (Profile::ReadOnly, verity) => flatten::Profile::ReadOnly { verity },
            (Profile::ReadWrite, false) => flatten::Profile::ReadWrite,
            (Profile::ReadWrite, true) => {
                let message = "a filesystem that is written to cannot have a dm-verity hash tree";
                return Err(
                    Error::new(ErrorKind::Usage, message).with_hint("add --profile read-only")
                );
            }
        };
        let options = Options {
            size: self.size_bytes,
            uuid: uuid.transpose()?,
            label: self.label,
            profile,
            features: self.fs_features,
            skip_selinux: self.skip_selinux,
            skip_devices: self.skip_devices,
            ..Options::default()
        };
        options.validate()?;
        Ok(options)
    }
}
