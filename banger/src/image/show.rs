//! Everything there is to know of an image, looked up now.

use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disk_use::rootfs_bytes;
use super::rootfs::Ext4Tree;
use crate::error::{Error, ErrorKind};
use crate::packages::{PACKAGES_FILE, PackageSource, Packages};
use crate::store::{Artifacts, Image, ImageRecord, Store};

/// What is known of an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The record.
    #[serde(flatten)]
    pub record: ImageRecord,
    /// The image's directory.
    pub directory: PathBuf,
    /// Absolute paths of the artifacts.
    pub paths: Artifacts,
    /// What the root filesystem's file occupies, in bytes; none when it is gone.
    pub rootfs_disk_bytes: Option<u64>,
    /// Artifacts that are recorded and are not there.
    pub missing: Vec<Missing>,
    /// Whether the packages are still those on record.
    pub packages_check: PackagesCheck,
}

/// An artifact that is not where the record says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Missing {
    /// Which one.
    pub artifact: String,
    /// Where it should be.
    pub path: PathBuf,
}

/// What a look at the packages says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PackagesCheck {
    /// Nothing is on record.
    None,
    /// The root filesystem holds the packages on record.
    Matches,
    /// It no longer does.
    Differs {
        /// The hash on record.
        recorded: String,
        /// The hash now; none when there is no package database any more.
        found: Option<String>,
    },
    /// Nobody can tell, for the reason given.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Bytes of the file with the packages' hash that are read.
const HASH_LIMIT: u64 = 4096;

/// Looks an image up, and into its root filesystem. `is_cancelled` is asked meanwhile.
///
/// # Errors
///
/// As for [`Store::find`], and [`ErrorKind::Interrupted`] when cancelled.
pub fn show(
    store: &Store,
    selector: &str,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Report, Error> {
    let image = store.find(selector)?;
    let paths = image.artifacts();
    Ok(Report {
        record: image.record().clone(),
        directory: image.directory().to_path_buf(),
        rootfs_disk_bytes: rootfs_bytes(&image),
        missing: missing(&image, &paths),
        packages_check: check_packages(&image, &paths.rootfs, is_cancelled)?,
        paths,
    })
}

fn missing(image: &Image, paths: &Artifacts) -> Vec<Missing> {
    let named = [
        ("rootfs", Some(&paths.rootfs)),
        ("kernel", paths.kernel.as_ref()),
        ("initrd", paths.initrd.as_ref()),
        ("modules", paths.modules.as_ref()),
        ("work-seed", paths.work_seed.as_ref()),
    ];
    named
        .into_iter()
        .filter_map(|(artifact, path)| path.map(|path| (artifact, path)))
        .filter(|(_, path)| !image.holds(path))
        .map(|(artifact, path)| Missing {
            artifact: artifact.into(),
            path: path.clone(),
        })
        .collect()
}

/// Compares what is on record with the hash file, and with the root filesystem as it is now.
fn check_packages(
    image: &Image,
    rootfs: &Path,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<PackagesCheck, Error> {
    let Some(recorded) = &image.record().packages else {
        return Ok(PackagesCheck::None);
    };
    let differs = |found: Option<String>| PackagesCheck::Differs {
        recorded: recorded.sha256.clone(),
        found,
    };
    let hash = image
        .open_directory()
        .map(|directory| directory.read(PACKAGES_FILE, HASH_LIMIT));
    let hash = match hash {
        Ok(hash) => hash.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()),
        Err(error) => {
            return Ok(PackagesCheck::Unknown {
                reason: error.to_string(),
            });
        }
    };
    match hash {
        Ok(hash) if hash != recorded.sha256 => return Ok(differs(Some(hash))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Ok(PackagesCheck::Unknown {
                reason: error.to_string(),
            });
        }
        _ => {}
    }
    if recorded.source == PackageSource::List {
        return Ok(PackagesCheck::Unknown {
            reason: "the packages were given as a list, which the root filesystem does not hold"
                .into(),
        });
    }
    let found = image.open_rootfs().and_then(|file| {
        Ext4Tree::ask(file, rootfs, is_cancelled, |tree| {
            Packages::of_tree(tree, &recorded.features)
        })
    });
    Ok(match found {
        Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
        Ok(Some(found)) if found == *recorded => PackagesCheck::Matches,
        Ok(found) => differs(found.map(|found| found.sha256)),
        Err(error) => PackagesCheck::Unknown {
            reason: error.to_string(),
        },
    })
}
