//! From what was asked for to a kernel that has been looked at: the one way for pull, register and import.

use std::path::{Path, PathBuf};

use super::facts::{Architecture, DriverState, Drivers, KernelFacts};
use super::initrd::{self, Initrd};
use super::preflight::{Verdict, judge};
use super::{Catalog, Problems, inspect, modules};
use crate::error::{Error, ErrorKind};

/// The kernel that a request names: from the catalog, or by its files, or none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KernelRequest {
    /// A kernel of the catalog (`--kernel-ref`). Excludes the paths.
    pub reference: Option<String>,
    /// The kernel file (`--kernel`).
    pub kernel: Option<PathBuf>,
    /// The initial RAM disk (`--initrd`).
    pub initrd: Option<PathBuf>,
    /// The module directory (`--modules`).
    pub modules: Option<PathBuf>,
}

/// A kernel that was found and checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolvedKernel {
    /// The kernel file.
    pub kernel: PathBuf,
    /// The initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// The module directory.
    pub modules: Option<PathBuf>,
    /// Its directory in the catalog; none for one that the user named by its files.
    pub catalog_entry: Option<PathBuf>,
    /// What is known of it.
    pub facts: KernelFacts,
    /// What speaks against it without ruling it out.
    pub warnings: Vec<String>,
}

/// Finds the kernel and checks it against the architecture of the image it is for. Asking for none is
/// no problem. Nothing is copied, and nothing on the network is asked. Everything that is wrong goes to
/// `problems`, each with the option that fixes it; what is returned then is not to be used. `is_cancelled` is asked while
/// files are read.
pub fn resolve(
    catalog: &Catalog,
    request: &KernelRequest,
    image: Option<Architecture>,
    problems: &mut Problems,
    is_cancelled: &dyn Fn() -> bool,
) -> Option<ResolvedKernel> {
    let has_paths =
        request.kernel.is_some() || request.initrd.is_some() || request.modules.is_some();
    let found = match (&request.reference, has_paths) {
        (None, false) => return None,
        (Some(_), true) => {
            problems.add(
                "--kernel-ref",
                Error::new(
                    ErrorKind::Usage,
                    "a kernel of the catalog excludes --kernel, --initrd and --modules",
                )
                .with_hint("give either --kernel-ref or the files, not both"),
            );
            None
        }
        (Some(reference), false) => problems
            .take("--kernel-ref", catalog.find(reference))
            .map(|entry| entry.resolved()),
        (None, true) => from_paths(request, problems, is_cancelled),
    };
    if let (Some(found), Some(image)) = (&found, image) {
        check_architecture(found, image, request, problems);
    }
    found
}

/// The flag by which the kernel was asked for.
fn flag(request: &KernelRequest) -> &'static str {
    match request.reference {
        Some(_) => "--kernel-ref",
        None => "--kernel",
    }
}

fn check_architecture(
    found: &ResolvedKernel,
    image: Architecture,
    request: &KernelRequest,
    problems: &mut Problems,
) {
    let kernel = found.facts.architecture;
    if !kernel.runs(image) {
        problems.add(
            flag(request),
            Error::new(
                ErrorKind::Failure,
                format!(
                    "{} is a kernel for {kernel}, the image is for {image}",
                    found.kernel.display()
                ),
            ),
        );
    }
}

fn from_paths(
    request: &KernelRequest,
    problems: &mut Problems,
    is_cancelled: &dyn Fn() -> bool,
) -> Option<ResolvedKernel> {
    let mut warnings = Vec::new();
    let facts = match &request.kernel {
        Some(path) => problems.take("--kernel", inspect(path, is_cancelled)),
        None => {
            problems.add(
                "--kernel",
                Error::new(
                    ErrorKind::Usage,
                    "an initrd or a module directory needs the kernel it belongs to",
                )
                .with_hint("add --kernel, or leave the initrd and the modules out"),
            );
            None
        }
    };
    let initrd = request
        .initrd
        .as_deref()
        .and_then(|path| problems.take("--initrd", initrd::inspect(path, is_cancelled)));
    let release = facts.as_ref().and_then(|facts| facts.release.as_deref());
    let found = request
        .modules
        .as_deref()
        .and_then(|path| check_modules(path, release, problems, &mut warnings));
    let mut facts = facts?;
    if let Some(found) = &found {
        facts.drivers = merge(facts.drivers, found.drivers);
        facts.release = facts.release.or_else(|| found.release.clone());
    }
    if let (Some(path), Some(initrd), None) = (&request.initrd, &initrd, &found) {
        warnings.extend(doubts(path, initrd, &facts.drivers));
    }
    // The modules that are given go into the initrd that banger makes.
    match judge(&facts.drivers, request.initrd.is_some() || found.is_some()) {
        Verdict::Ready => {}
        Verdict::Doubtful(text) => warnings.push(text),
        Verdict::NeedsInitrd(text) => problems.add(
            "--initrd",
            Error::new(
                ErrorKind::Failure,
                format!("the kernel cannot mount its root without an initrd: {text}"),
            )
            .with_hint(
                "add --modules, from which banger takes what is needed, or --initrd with these modules, or take a \
                 kernel that has them built in",
            ),
        ),
        Verdict::Hopeless(text) => problems.add(
            "--kernel",
            Error::new(
                ErrorKind::Failure,
                format!("the kernel cannot mount an ext4 root disk: {text}"),
            ),
        ),
    }
    Some(ResolvedKernel {
        kernel: request.kernel.clone()?,
        initrd: request.initrd.clone(),
        modules: found.map(|found| found.directory),
        catalog_entry: None,
        facts,
        warnings,
    })
}

fn check_modules(
    path: &Path,
    release: Option<&str>,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Option<modules::Modules> {
    let Some(found) = problems.take("--modules", modules::read(path, release))? else {
        problems.add(
            "--modules",
            Error::new(
                ErrorKind::Failure,
                format!(
                    "{} is not a module directory such as /lib/modules/{}",
                    path.display(),
                    release.unwrap_or("RELEASE")
                ),
            ),
        );
        return None;
    };
    match (release, found.release.as_deref()) {
        (Some(kernel), Some(modules)) if kernel != modules => {
            problems.add(
                "--modules",
                Error::new(
                    ErrorKind::Failure,
                    format!(
                        "{} has the modules of kernel {modules}, the kernel is {kernel}",
                        path.display()
                    ),
                ),
            );
            return None;
        }
        (None, _) | (_, None) => warnings.push(format!(
            "whether {} belongs to the kernel cannot be told",
            path.display()
        )),
        _ => {}
    }
    Some(found)
}

/// What speaks against an initrd for a kernel with these drivers.
fn doubts(path: &Path, initrd: &Initrd, drivers: &Drivers) -> Option<String> {
    let path = path.display();
    if initrd.is_filesystem {
        return Some(format!(
            "{path} is an image of a filesystem, which only kernels with CONFIG_BLK_DEV_RAM use"
        ));
    }
    let reachable = match initrd.has_init {
        true => initrd.reachable(drivers),
        // Nothing in it is started, so that no module is loaded.
        false => Initrd::default().reachable(drivers),
    };
    match (judge(drivers, true), judge(&reachable, true)) {
        (Verdict::Ready | Verdict::Doubtful(_), Verdict::Hopeless(lacking)) => {
            let what = match initrd.has_init {
                true => "lacks modules that the kernel needs",
                false => "has no /init, so that no modules are loaded",
            };
            Some(format!("{path} {what}: {lacking} there"))
        }
        _ => None,
    }
}

/// The embedded configuration knows best; what it leaves open the module directory tells.
fn merge(configuration: Drivers, modules: Drivers) -> Drivers {
    let pick = |first: DriverState, second: DriverState| match first {
        DriverState::Unknown => second,
        known => known,
    };
    Drivers {
        ext4: pick(configuration.ext4, modules.ext4),
        virtio_blk: pick(configuration.virtio_blk, modules.virtio_blk),
        virtio_pci: pick(configuration.virtio_pci, modules.virtio_pci),
        virtio_mmio: pick(configuration.virtio_mmio, modules.virtio_mmio),
        nvme: pick(configuration.nvme, modules.nvme),
    }
}
