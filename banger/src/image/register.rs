//! An image whose artifacts stay where they are.

use std::fs::File;
use std::path::{Path, PathBuf, absolute};

use banger_init::InitMode;

use super::Made;
use super::facts::Facts;
use super::initrd::{self, InitrdRequest, has_init};
use crate::artifact::{failed, open_disk, write_new};
use crate::boot::RuntimeConfig;
use crate::error::{Error, ErrorKind};
use crate::initrd::no_init_for;
use crate::kernel::{
    Architecture, Catalog, KernelOrigins, KernelRequest, Problems, ResolvedKernel, resolve,
};
use crate::packages::PACKAGES_FILE;
use crate::store::{Artifacts, ImageRecord, Name, SCHEMA_VERSION, Sizes, Store, now};

/// What is to be registered.
#[derive(Clone, Debug)]
pub struct RegisterRequest {
    /// The name.
    pub name: Name,
    /// The root filesystem: a file or a block device.
    pub rootfs: PathBuf,
    /// The file from which work disks are seeded.
    pub work_seed: Option<PathBuf>,
    /// The kernel.
    pub kernel: KernelRequest,
    /// What becomes PID 1.
    pub init: InitMode,
}

/// Records the paths of an image's artifacts. Nothing is copied; only the initrd is made. `is_cancelled` is asked while they
/// are read.
///
/// # Errors
///
/// [`ErrorKind::Exists`](crate::ErrorKind::Exists) when the name is taken or being made; everything
/// that is wrong with the artifacts at once.
pub fn register(
    store: &Store,
    catalog: &Catalog,
    request: &RegisterRequest,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Made, Error> {
    store.check_name(&request.name)?;
    let mut problems = Problems::default();
    let rootfs = problems.take("--rootfs", readable(&request.rootfs));
    let work_seed = request
        .work_seed
        .as_deref()
        .and_then(|path| problems.take("--work-seed", readable(path)));
    let look = |init: Option<&InitMode>| -> Result<Facts, Error> {
        let opened = rootfs
            .as_ref()
            .and_then(|(path, _, file)| Some((path, file.try_clone().ok()?)));
        let Some((path, file)) = opened else {
            return Ok(Facts::default());
        };
        let runtime = RuntimeConfig::default();
        Facts::of(file, path, runtime, None, init, &[], is_cancelled)
    };
    let mut facts = look(Some(&request.init))?;
    let architecture = facts.boot.as_ref().and_then(|boot| boot.architecture);
    let kernel = resolve(
        catalog,
        &request.kernel,
        architecture,
        &mut problems,
        is_cancelled,
    );
    let kernel = kernel.and_then(|kernel| problems.take("--kernel", with_absolute_paths(kernel)));
    let machine = kernel.as_ref().map(|kernel| kernel.facts.architecture);
    let has_init = has_init(machine, architecture);
    if !has_init {
        facts = look(None)?;
        if request.init != InitMode::Auto
            && let Some(machine) = machine.or(architecture)
        {
            problems.add("--init", no_init_for(machine));
        }
    }
    problems.into_result()?;
    facts.fit(kernel.as_ref(), false);
    let (rootfs, rootfs_bytes) = rootfs
        .map(|(path, bytes, _)| (path, bytes))
        .unwrap_or_default();

    let (id, staging) = store.stage(&request.name)?;
    if let Some(packages) = &facts.packages {
        write_new(staging.directory(), PACKAGES_FILE, &packages.to_bytes())?;
    }
    let files = kernel.as_ref().map(KernelOrigins::of).transpose()?;
    let made = match facts.uuid.as_deref().filter(|_| has_init) {
        Some(uuid) => {
            let request = InitrdRequest {
                name: &request.name,
                init: &request.init,
                uuid,
                read_only: false,
                config: None,
                own: files.as_ref().and_then(KernelOrigins::initrd),
                modules: files.as_ref().and_then(KernelOrigins::modules),
            };
            Some(initrd::make(staging.directory(), &request)?)
        }
        None => None,
    };
    let (made, contents) = made.unzip();
    let mut warnings = facts.warnings;
    warnings.extend(kernel.iter().flat_map(|kernel| kernel.warnings.clone()));
    let record = ImageRecord {
        schema: SCHEMA_VERSION,
        id,
        name: request.name.clone(),
        managed: false,
        created: now(),
        reference: None,
        digest: None,
        platform: architecture.map(platform),
        artifacts: Artifacts {
            rootfs,
            kernel: kernel.as_ref().map(|kernel| kernel.kernel.clone()),
            initrd: made.or_else(|| kernel.as_ref().and_then(|kernel| kernel.initrd.clone())),
            modules: kernel.as_ref().and_then(|kernel| kernel.modules.clone()),
            work_seed: work_seed.map(|(path, ..)| path),
        },
        sizes: Sizes {
            rootfs_bytes,
            content_bytes: None,
        },
        filesystem_uuid: facts.uuid,
        read_only: false,
        verity: None,
        boot: facts.boot,
        init: request.init.clone(),
        initrd: contents,
        kernel: kernel.map(|kernel| kernel.facts),
        packages: facts.packages,
    };
    let image = store.publish(staging, record)?;
    Ok(Made { image, warnings })
}

fn platform(architecture: Architecture) -> String {
    format!("linux/{architecture}")
}

/// The absolute path of a file or block device that can be read, its length, and the file.
fn readable(path: &Path) -> Result<(PathBuf, u64, File), Error> {
    let mut file = open_disk(path)?;
    let length = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))
        .map_err(|error| failed("read", path, error))?;
    Ok((recordable(path)?, length, file))
}

/// The absolute path, which must be one that a record can hold.
fn recordable(path: &Path) -> Result<PathBuf, Error> {
    let path = absolute(path).map_err(|error| failed("read", path, error))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err(Error::new(
            ErrorKind::Usage,
            format!("path is not UTF-8, which records are: {}", path.display()),
        )),
    }
}

fn with_absolute_paths(kernel: ResolvedKernel) -> Result<ResolvedKernel, Error> {
    let full = |path: Option<PathBuf>| path.as_deref().map(recordable).transpose();
    Ok(ResolvedKernel {
        kernel: recordable(&kernel.kernel)?,
        initrd: full(kernel.initrd)?,
        modules: full(kernel.modules)?,
        ..kernel
    })
}
