//! The record of a pulled image, and the small files that lie beside it.

use std::io;

use oci_flatten::directory::Directory;

use super::facts::Facts;
use super::pull::{Flattened, Plan, PullRequest};
use super::{CONFIG_FILE, MANIFEST_FILE, ROOTFS_FILE};
use crate::artifact::{failed_in, write_new};
use crate::boot::RuntimeConfig;
use crate::error::Error;
use crate::flatten::Profile;
use crate::kernel::{Architecture, staged_kernel_paths};
use crate::packages::{PACKAGES_FILE, Packages};
use crate::store::{Artifacts, ImageId, ImageRecord, SCHEMA_VERSION, Sizes, now};
use crate::watch::Observer;

/// Writes what accompanies the filesystem into the staging directory, and makes the record. Also returns
/// what the user should know.
pub(super) fn describe(
    id: ImageId,
    plan: &Plan,
    request: &PullRequest,
    flattened: Flattened,
    directory: &Directory,
    observer: &dyn Observer,
) -> Result<(ImageRecord, Vec<String>), Error> {
    let sizes = Sizes {
        rootfs_bytes: sync(directory)?,
        content_bytes: Some(flattened.content_bytes),
    };
    let mut facts = look_inside(plan, request, &flattened, directory, observer)?;
    let hash = facts.packages.as_ref().map(Packages::to_bytes);
    for (name, bytes) in [
        (MANIFEST_FILE, flattened.manifest),
        (CONFIG_FILE, flattened.config),
        (PACKAGES_FILE, hash),
    ] {
        if let Some(bytes) = bytes {
            write_new(directory, name, &bytes)?;
        }
    }
    let mut warnings = flattened.warnings;
    if let Some(kernel) = &plan.kernel {
        warnings.extend(kernel.warnings.clone());
    }
    warnings.append(&mut facts.warnings);
    let (kernel, initrd, modules) = staged_kernel_paths(plan.kernel.as_ref());
    let record = ImageRecord {
        schema: SCHEMA_VERSION,
        id,
        name: plan.name.clone(),
        managed: true,
        created: now(),
        reference: flattened.reference,
        digest: flattened.digest,
        platform: flattened.platform,
        artifacts: Artifacts {
            rootfs: ROOTFS_FILE.into(),
            kernel,
            initrd,
            modules,
            work_seed: None,
        },
        sizes,
        filesystem_uuid: facts.uuid,
        read_only: is_read_only(request),
        verity: flattened.verity,
        boot: facts.boot,
        kernel: plan.kernel.as_ref().map(|kernel| kernel.facts.clone()),
        packages: facts.packages,
    };
    Ok((record, warnings))
}

fn is_read_only(request: &PullRequest) -> bool {
    matches!(request.filesystem.profile, Profile::ReadOnly { .. })
}

/// Makes the root filesystem durable; returns its length.
fn sync(directory: &Directory) -> Result<u64, Error> {
    let sync = || -> io::Result<u64> {
        let file = directory.open_file(ROOTFS_FILE)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    };
    sync().map_err(|error| failed_in("sync", directory, ROOTFS_FILE, error))
}

/// What the finished filesystem tells, with the list of packages that was given in place of its own.
fn look_inside(
    plan: &Plan,
    request: &PullRequest,
    flattened: &Flattened,
    directory: &Directory,
    observer: &dyn Observer,
) -> Result<Facts, Error> {
    let runtime = match &flattened.config {
        Some(config) => RuntimeConfig::from_oci(config)?,
        None => RuntimeConfig::default(),
    };
    let platform = flattened.platform.as_deref();
    let architecture = platform.and_then(Architecture::from_platform);
    let features = &request.packages.features;
    let rootfs = directory
        .open_file(ROOTFS_FILE)
        .map_err(|error| failed_in("open", directory, ROOTFS_FILE, error))?;
    let path = directory.path_of(ROOTFS_FILE);
    let mut facts = Facts::of(rootfs, &path, runtime, architecture, features, &|| {
        observer.is_cancelled()
    })?;
    if let Some(list) = &plan.package_list {
        facts.packages = Some(Packages::of_list(list, features));
    }
    if facts.packages.is_none() && !features.is_empty() {
        facts.warnings.push(format!(
            "{} is not on record: the root filesystem has no package database that could be read, and no list was given \
             (--packages)",
            features.join(", ")
        ));
    }
    facts.fit(plan.kernel.as_ref(), is_read_only(request));
    Ok(facts)
}
