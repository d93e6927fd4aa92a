//! `image.json`: what the store knows of one image.

use std::io;
use std::path::{Component, Path, PathBuf};

use oci_flatten::directory::Directory;

use banger_init::InitMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{ImageId, Name};
use crate::artifact::failed_in;
use crate::boot::BootBlock;
use crate::error::{Error, ErrorKind};
use crate::flatten::VeritySummary;
use crate::initrd::InitrdContents;
use crate::kernel::KernelFacts;
use crate::packages::Packages;

/// The version of the records this program writes. It grows when an older program would misread one: 2 may have a root filesystem
/// that is to be mounted read-only, and an initrd of banger's making.
pub const SCHEMA_VERSION: u32 = 2;

/// Largest record that is read, in bytes: far more than one can come to.
pub(crate) const RECORD_LIMIT: u64 = 4 << 20;

/// The file name of a record.
pub const RECORD_FILE: &str = "image.json";

/// The record of one image.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRecord {
    /// [`SCHEMA_VERSION`] of the program that wrote the record.
    pub schema: u32,
    /// The id, which is also the name of the directory.
    pub id: ImageId,
    /// The name, unique among the images of a store.
    pub name: Name,
    /// Whether the artifacts lie in the image's directory and go with it.
    pub managed: bool,
    /// When the image was made: RFC 3339 in UTC.
    pub created: String,
    /// The source the image was pulled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The digest of the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The platform, as `os/arch[/variant]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Where the artifacts are.
    pub artifacts: Artifacts,
    /// How large the artifacts are.
    pub sizes: Sizes,
    /// The UUID of the root filesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_uuid: Option<String>,
    /// Whether the root filesystem is made to be mounted read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// The dm-verity hash tree behind the root filesystem, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<VeritySummary>,
    /// What a VM needs to know to start it; none when the filesystem could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootBlock>,
    /// What was asked to become PID 1.
    #[serde(default)]
    #[schemars(with = "String")]
    pub init: InitMode,
    /// What the initrd holds; none when it is not of banger's making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<InitrdContents>,
    /// What is known of the kernel; none when the image has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelFacts>,
    /// What is known of the installed packages; none when no package database was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
}

/// Paths of the artifacts: relative to the image's directory when they lie there, else absolute. An
/// artifact that the image does not have is absent.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Artifacts {
    /// The root filesystem.
    pub rootfs: PathBuf,
    /// The kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<PathBuf>,
    /// The initial RAM disk: the one that banger has made, with the user's own at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initrd: Option<PathBuf>,
    /// The module directory of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<PathBuf>,
    /// The file from which work disks of VMs are seeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_seed: Option<PathBuf>,
}

impl Artifacts {
    /// The artifacts with each path put below `directory`; absolute ones stay as they are.
    #[must_use]
    pub fn under(&self, directory: &Path) -> Self {
        let join = |path: &Option<PathBuf>| path.as_ref().map(|path| directory.join(path));
        Self {
            rootfs: directory.join(&self.rootfs),
            kernel: join(&self.kernel),
            initrd: join(&self.initrd),
            modules: join(&self.modules),
            work_seed: join(&self.work_seed),
        }
    }
}

impl Artifacts {
    /// Whether the paths can be those of an image: names in its directory when it is managed, else absolute. The
    /// initrd of either may have been made in its directory.
    fn fit(&self, managed: bool) -> bool {
        let is_inside = |path: &PathBuf| {
            let mut components = path.components();
            let first = components.next();
            matches!(first, Some(Component::Normal(_))) && components.next().is_none()
        };
        let fits = |path: &PathBuf| match managed {
            true => is_inside(path),
            false => path.is_absolute(),
        };
        let optional = [&self.kernel, &self.modules, &self.work_seed];
        let initrd_fits = self
            .initrd
            .as_ref()
            .is_none_or(|initrd| is_inside(initrd) || fits(initrd));
        fits(&self.rootfs) && initrd_fits && optional.into_iter().flatten().all(fits)
    }
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sizes {
    /// The length of the root filesystem's file, holes included.
    pub rootfs_bytes: u64,
    /// What the tree occupies on the filesystem; unknown for images that banger did not make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_bytes: Option<u64>,
}

/// The time, as records have it: RFC 3339 in UTC, in whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// What every version of a record has, so that older programs can refuse newer ones by name.
#[derive(Deserialize)]
struct Header {
    schema: u32,
    name: Option<Name>,
}

/// Why a record is not to be had.
#[derive(Debug)]
pub struct Unreadable {
    /// The id by the name of the directory.
    pub id: ImageId,
    /// The image's name, as far as the record tells.
    pub name: Option<Name>,
    /// Whether the record is of a newer version, so that the image itself may be in order.
    pub newer: bool,
    /// What is wrong.
    pub error: Error,
}

impl ImageRecord {
    /// Reads the record in an image's directory below `root`; none when the directory has just been removed.
    pub(super) fn read(id: ImageId, root: &Directory) -> Option<Result<Self, Unreadable>> {
        let entry = id.to_string();
        let path = root.path_of(&entry).join(RECORD_FILE);
        let unreadable = |name, newer, error| {
            Some(Err(Unreadable {
                id,
                name,
                newer,
                error,
            }))
        };
        let directory = match root.directory(&entry) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                return unreadable(None, false, failed_in("read", root, &entry, error));
            }
        };
        let bytes = match directory.read(RECORD_FILE, RECORD_LIMIT) {
            Ok(bytes) => bytes,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !root.contains(&entry).unwrap_or(true) =>
            {
                return None;
            }
            Err(error) => {
                let error = failed_in("read", &directory, RECORD_FILE, error);
                return unreadable(None, false, error);
            }
        };
        let malformed = |error: serde_json::Error| {
            Error::new(
                ErrorKind::Integrity,
                format!("{} is not a record of an image", path.display()),
            )
            .with_source(error)
            .with_hint(format!("`banger image remove {id}` removes the image"))
        };
        let header: Header = match serde_json::from_slice(&bytes) {
            Ok(header) => header,
            Err(error) => return unreadable(None, false, malformed(error)),
        };
        if header.schema > SCHEMA_VERSION {
            return unreadable(header.name, true, newer(&path, header.schema));
        }
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(record) if record.id == id && record.artifacts.fit(record.managed) => {
                Some(Ok(record))
            }
            Ok(record) if record.id == id => {
                let error = Error::new(
                    ErrorKind::Integrity,
                    format!("{} names artifacts outside of the image", path.display()),
                );
                unreadable(header.name, false, error)
            }
            Ok(record) => {
                let error = Error::new(
                    ErrorKind::Integrity,
                    format!("{} is the record of image {}", path.display(), record.id),
                );
                unreadable(header.name, false, error)
            }
            Err(error) => unreadable(header.name, false, malformed(error)),
        }
    }

    /// The record as the bytes of its file.
    ///
    /// # Errors
    ///
    /// The path of an artifact is not UTF-8.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            let message = format!("image {} cannot be put on record", self.name);
            Error::new(ErrorKind::Usage, message).with_source(error)
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn newer(path: &Path, schema: u32) -> Error {
    Error::new(
        ErrorKind::Failure,
        format!(
            "{} was written by a newer banger (schema {schema}, known up to {SCHEMA_VERSION})",
            path.display()
        ),
    )
    .with_hint("use the banger that wrote it, or a later one")
}
