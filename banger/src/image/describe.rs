//! The record of a pulled image, and the small files that lie beside it.

use std::io;

use oci_flatten::directory::Directory;

use super::facts::Facts;
use super::initrd::{self, InitrdRequest, has_init};
use super::pull::{Flattened, Plan, PullRequest};
use super::{CONFIG_FILE, MANIFEST_FILE, ROOTFS_FILE};
use crate::artifact::{copy_file, failed_in, write_new};
use crate::boot::RuntimeConfig;
use crate::error::Error;
use crate::flatten::Profile;
use crate::kernel::{Architecture, INITRD_FILE, KERNEL_FILE, KernelOrigins};
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
    let config = flattened.config;
    let hash = facts.packages.as_ref().map(Packages::to_bytes);
    for (name, bytes) in [
        (MANIFEST_FILE, flattened.manifest),
        (CONFIG_FILE, config.clone()),
        (PACKAGES_FILE, hash),
    ] {
        if let Some(bytes) = bytes {
            write_new(directory, name, &bytes)?;
        }
    }
    let kernel = plan.kernel.as_ref();
    let files = kernel.map(KernelOrigins::of).transpose()?;
    let own = files.as_ref().and_then(KernelOrigins::initrd);
    let made = match &facts.uuid {
        Some(uuid)
            if has_init(
                machine(plan),
                image_architecture(flattened.platform.as_deref()),
            ) =>
        {
            let wanted = InitrdRequest {
                name: &plan.name,
                init: &request.init,
                uuid,
                read_only: is_read_only(request),
                config: config.as_deref(),
                own,
                modules: files.as_ref().and_then(KernelOrigins::modules),
            };
            Some(initrd::make(directory, &wanted)?)
        }
        _ => None,
    };
    let (initrd, contents) = match (made, own) {
        (Some((initrd, contents)), _) => (Some(initrd), Some(contents)),
        (None, Some(own)) => {
            copy_file(own, directory, INITRD_FILE, &|| false)?;
            (Some(INITRD_FILE.into()), None)
        }
        (None, None) => (None, None),
    };
    let mut warnings = flattened.warnings;
    if let Some(kernel) = kernel {
        warnings.extend(kernel.warnings.clone());
    }
    warnings.append(&mut facts.warnings);
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
            kernel: kernel.map(|_| KERNEL_FILE.into()),
            initrd,
            modules: None,
            work_seed: None,
        },
        sizes,
        filesystem_uuid: facts.uuid,
        read_only: is_read_only(request),
        verity: flattened.verity,
        boot: facts.boot,
        init: request.init.clone(),
        initrd: contents,
        kernel: kernel.map(|kernel| kernel.facts.clone()),
        packages: facts.packages,
    };
    Ok((record, warnings))
}

fn is_read_only(request: &PullRequest) -> bool {
    matches!(request.filesystem.profile, Profile::ReadOnly { .. })
}

fn image_architecture(platform: Option<&str>) -> Option<Architecture> {
    platform.and_then(Architecture::from_platform)
}

/// The architecture of the kernel.
fn machine(plan: &Plan) -> Option<Architecture> {
    plan.kernel.as_ref().map(|kernel| kernel.facts.architecture)
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
    let architecture = image_architecture(flattened.platform.as_deref());
    let init = Some(&request.init).filter(|_| has_init(machine(plan), architecture));
    let features = &request.packages.features;
    let rootfs = directory
        .open_file(ROOTFS_FILE)
        .map_err(|error| failed_in("open", directory, ROOTFS_FILE, error))?;
    let path = directory.path_of(ROOTFS_FILE);
    let mut facts = Facts::of(
        rootfs,
        &path,
        runtime,
        architecture,
        init,
        features,
        &|| observer.is_cancelled(),
    )?;
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
