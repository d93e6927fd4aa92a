//! The operations on kernels, and the parameters by which others name one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Operation, Pace, Watch, all_portable};
use crate::error::Error;
use crate::image::{none_removed, some_removed};
use crate::kernel::{KernelEntry, KernelRequest};
use crate::store::Name;
use crate::watch::{Observer as _, Step};

/// The files of a kernel, as absolute paths.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KernelFiles {
    /// Kernel file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_path: Option<PathBuf>,
    /// Initial RAM disk of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initrd_path: Option<PathBuf>,
    /// Module directory of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules_dir: Option<PathBuf>,
}

/// The kernel of an image: one of the catalog, or its files.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KernelParameters {
    /// Kernel of the catalog; excludes `kernel_path`, `initrd_path` and `modules_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_ref: Option<String>,
    /// Its files.
    #[serde(flatten)]
    pub files: KernelFiles,
}

impl KernelParameters {
    pub(super) fn request(self) -> KernelRequest {
        KernelRequest {
            reference: self.kernel_ref,
            ..self.files.request()
        }
    }
}

impl KernelFiles {
    fn request(self) -> KernelRequest {
        KernelRequest {
            reference: None,
            kernel: self.kernel_path,
            initrd: self.initrd_path,
            modules: self.modules_dir,
        }
    }

    pub(super) fn check_portable(&self) -> Result<(), Error> {
        all_portable([
            ("kernel_path", self.kernel_path.as_ref()),
            ("initrd_path", self.initrd_path.as_ref()),
            ("modules_dir", self.modules_dir.as_ref()),
        ])
    }
}

/// Checks a kernel and copies it into the catalog.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelImport {
    /// Name of the kernel.
    pub name: Name,
    /// Its files.
    #[serde(flatten)]
    pub files: KernelFiles,
}

impl Operation for KernelImport {
    const METHOD: &'static str = "kernel.import";
    const PACE: Pace = Pace::Long;
    type Reply = KernelEntry;

    fn check_portable(&self) -> Result<(), Error> {
        self.files.check_portable()
    }

    fn run(self, context: &Context, watch: &Watch) -> Result<KernelEntry, Error> {
        let request = self.files.request();
        context.catalog(watch).import(&self.name, &request, watch)
    }
}

/// Lists the kernels.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelList {}

/// The kernels of the catalog.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelListed {
    /// The kernels, by name.
    pub kernels: Vec<KernelEntry>,
    /// Kernels whose records cannot be read, by name.
    pub unreadable: Vec<UnreadableKernel>,
}

/// A kernel whose record cannot be read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableKernel {
    /// The name of its directory.
    pub name: String,
    /// What is wrong.
    pub error: String,
}

impl Operation for KernelList {
    const METHOD: &'static str = "kernel.list";
    type Reply = KernelListed;

    fn run(self, context: &Context, watch: &Watch) -> Result<KernelListed, Error> {
        let listing = context.catalog(watch).list()?;
        Ok(KernelListed {
            kernels: listing.kernels,
            unreadable: listing
                .unreadable
                .into_iter()
                .map(|(name, error)| UnreadableKernel {
                    name,
                    error: error.to_string(),
                })
                .collect(),
        })
    }
}

/// Tells what is known of a kernel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelShow {
    /// Name of the kernel.
    pub name: String,
}

impl Operation for KernelShow {
    const METHOD: &'static str = "kernel.show";
    type Reply = KernelEntry;

    fn run(self, context: &Context, watch: &Watch) -> Result<KernelEntry, Error> {
        context.catalog(watch).find(&self.name)
    }
}

/// Removes kernels. All are looked up before the first is removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelRemove {
    /// Names of the kernels.
    pub names: Vec<String>,
}

/// The kernels that were removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct KernelsRemoved {
    /// Their names.
    pub removed: Vec<String>,
}

impl Operation for KernelRemove {
    const METHOD: &'static str = "kernel.remove";
    type Reply = KernelsRemoved;

    fn run(self, context: &Context, watch: &Watch) -> Result<KernelsRemoved, Error> {
        let (catalog, store) = (context.catalog(watch), context.store(watch));
        let wanted = self.names.len();
        let mut names: Vec<String> = Vec::new();
        for name in self.names {
            let found = catalog.check_unused(&store, &name);
            found.map_err(|error| none_removed(error, wanted))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        watch.begin(Step::Remove)?;
        let mut removed = Vec::new();
        for name in names {
            let gone = catalog.remove(&store, &name);
            gone.map_err(|error| some_removed(error, &removed))?;
            removed.push(name);
        }
        Ok(KernelsRemoved { removed })
    }
}
