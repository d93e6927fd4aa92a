//! From a source to a published image.
//!
//! ```text
//!  1 Parse ─ 2 Name ─ 3 NameCheck ─ 4 Kernel          nothing is written, nothing asked of a network
//!       │ any problem: all of them are told
//!       ▼
//!  5 Reserve          <id>.staging exists, locked, holding the name
//!       ▼
//!  6 Fetch ─ 7 Size ─ 8 Finish                        the flattener: rootfs.ext4
//!       ▼
//!  9 Stage            kernel
//!       ▼
//! 10 Inspect          what the finished filesystem tells; initrd
//!       ▼
//! 11 Publish          the record, synced, then one rename
//!       ▼
//! 12 Done             listed, managed
//!
//! failure or cancellation at 5..11 ──▶ the staging directory is removed
//! death at 5..11 ──▶ its lock is gone with the process; the next run sweeps it
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use banger_init::InitMode;
use oci_flatten::platform::Platform;
use oci_flatten::small_file;
use oci_flatten::source::SourceName;

use super::describe::describe;
use super::initrd::has_init;
use super::{Made, ROOTFS_FILE, default_name};
use crate::artifact::{copy_file, failed, failed_in};
use crate::error::{Error, ErrorKind};
use crate::flatten::{self, VeritySummary};
use crate::initrd::no_init_for;
use crate::kernel::{
    Architecture, Catalog, KERNEL_FILE, KernelOrigins, KernelRequest, Problems, ResolvedKernel,
    resolve,
};
use crate::store::{Name, Store};
use crate::watch::{Observer, Step};

/// Bytes of a list of packages that are read; a full desktop's has about 100 KiB.
const PACKAGE_LIST_LIMIT: u64 = 16 << 20;

/// What is asked of a [`Flattener`].
#[derive(Debug)]
pub struct FlattenRequest<'a> {
    /// The image.
    pub source: &'a SourceName,
    /// The platform to choose where there is a choice.
    pub platform: &'a Platform,
    /// What the user decides about the filesystem. Limits are the flattener's own.
    pub filesystem: &'a flatten::Options,
    /// The file to fill: new, empty, open for reading and writing.
    pub output: &'a File,
}

/// What a [`Flattener`] has made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flattened {
    /// The reference, in full; none for sources that have none.
    pub reference: Option<String>,
    /// The digest of the manifest.
    pub digest: Option<String>,
    /// The platform, as `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The manifest, byte for byte.
    pub manifest: Option<Vec<u8>>,
    /// The image configuration, byte for byte.
    pub config: Option<Vec<u8>>,
    /// What the tree occupies on the filesystem, in bytes.
    pub content_bytes: u64,
    /// The dm-verity hash tree behind the filesystem, where one was asked for.
    pub verity: Option<VeritySummary>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Fetches an image and makes its root filesystem: steps 6 to 8, which it tells the observer.
pub trait Flattener {
    /// Fills `request.output` with a complete ext4 filesystem. The file is the caller's whatever happens.
    ///
    /// # Errors
    ///
    /// Whatever fetching, flattening or writing runs into, and [`ErrorKind::Interrupted`] soon after the
    /// observer is cancelled.
    fn flatten(
        &self,
        request: &FlattenRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Flattened, Error>;
}

/// How packages metadata is made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PackagesRequest {
    /// A file that lists the packages, in place of the database in the tree.
    pub list: Option<PathBuf>,
    /// Features to put on record, such as `docker`.
    pub features: Vec<String>,
}

/// What is to be pulled, and how.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// The image.
    pub source: SourceName,
    /// The name, where it is not to be derived from the source.
    pub name: Option<Name>,
    /// The kernel to go with the image.
    pub kernel: KernelRequest,
    /// What the user decides about the filesystem.
    pub filesystem: flatten::Options,
    /// The platform to choose where there is a choice.
    pub platform: Platform,
    /// What becomes PID 1.
    pub init: InitMode,
    /// Packages metadata.
    pub packages: PackagesRequest,
}

impl PullRequest {
    /// A pull of an image for this machine, with everything else as it comes.
    #[must_use]
    pub fn new(source: SourceName) -> Self {
        Self {
            source,
            name: None,
            kernel: KernelRequest::default(),
            filesystem: flatten::Options::default(),
            platform: Platform::linux_here(),
            init: InitMode::Auto,
            packages: PackagesRequest::default(),
        }
    }
}

/// What is known once the checks have passed.
pub(super) struct Plan {
    pub(super) name: Name,
    pub(super) kernel: Option<ResolvedKernel>,
    pub(super) package_list: Option<String>,
}

/// Pulls an image.
///
/// # Errors
///
/// [`ErrorKind::Exists`] when the name is taken or being made; everything that is wrong with the
/// request at once; what `flattener` runs into; a store that cannot be written. Nothing is left then.
pub fn pull(
    store: &Store,
    catalog: &Catalog,
    request: &PullRequest,
    flattener: &dyn Flattener,
    observer: &dyn Observer,
) -> Result<Made, Error> {
    let plan = check(store, catalog, request, observer)?;
    observer.begin(Step::Reserve)?;
    let (id, staging) = store.stage(&plan.name)?;
    let directory = staging.directory();
    let rootfs = directory
        .create_file(ROOTFS_FILE)
        .map_err(|error| failed_in("create", directory, ROOTFS_FILE, error))?;
    observer.begin(Step::Fetch)?;
    let flattened = flattener.flatten(
        &FlattenRequest {
            source: &request.source,
            platform: &request.platform,
            filesystem: &request.filesystem,
            output: &rootfs,
        },
        observer,
    )?;
    observer.begin(Step::Stage)?;
    check_architecture(&plan, &flattened)?;
    if let Some(kernel) = &plan.kernel {
        let files = KernelOrigins::of(kernel)?;
        copy_file(files.kernel(), directory, KERNEL_FILE, &|| {
            observer.is_cancelled()
        })?;
    }
    observer.begin(Step::Inspect)?;
    let (record, warnings) = describe(id, &plan, request, flattened, directory, observer)?;
    observer.begin(Step::Publish)?;
    let image = store.publish(staging, record)?;
    observer.step(Step::Done);
    Ok(Made { image, warnings })
}

/// Steps 1 to 4: nothing is written, nothing is asked of a network.
fn check(
    store: &Store,
    catalog: &Catalog,
    request: &PullRequest,
    observer: &dyn Observer,
) -> Result<Plan, Error> {
    observer.begin(Step::Parse)?;
    observer.begin(Step::Name)?;
    let name = match &request.name {
        Some(name) => name.clone(),
        None => default_name(&request.source).ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                format!("{} gives no name", request.source),
            )
            .with_hint("add --name")
        })?,
    };
    observer.begin(Step::NameCheck)?;
    store.check_name(&name)?;
    observer.begin(Step::Kernel)?;
    let architecture = Architecture::from_oci(request.platform.architecture());
    let mut problems = Problems::default();
    if let Some(image) = architecture.filter(|_| request.init != InitMode::Auto)
        && !has_init(None, Some(image))
    {
        problems.add("--init", no_init_for(image));
    }
    let kernel = resolve(
        catalog,
        &request.kernel,
        architecture,
        &mut problems,
        &|| observer.is_cancelled(),
    );
    let package_list = request
        .packages
        .list
        .as_deref()
        .and_then(|path| problems.take("--packages", read_package_list(path)));
    problems.into_result()?;
    Ok(Plan {
        name,
        kernel,
        package_list,
    })
}

fn read_package_list(path: &Path) -> Result<String, Error> {
    let bytes =
        small_file::read(path, PACKAGE_LIST_LIMIT).map_err(|error| failed("read", path, error))?;
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("list of packages is not UTF-8: {}", path.display());
        Error::new(ErrorKind::Failure, message)
    })
}

/// The platform is a wish: a source with one image gives that one.
fn check_architecture(plan: &Plan, flattened: &Flattened) -> Result<(), Error> {
    let image = flattened
        .platform
        .as_deref()
        .and_then(Architecture::from_platform);
    match (&plan.kernel, image) {
        (Some(kernel), Some(image)) if !kernel.facts.architecture.runs(image) => Err(Error::new(
            ErrorKind::Failure,
            format!(
                "{} is a kernel for {}, the image is for {image}",
                kernel.kernel.display(),
                kernel.facts.architecture
            ),
        )
        .with_hint("give another --kernel or --platform")),
        _ => Ok(()),
    }
}
