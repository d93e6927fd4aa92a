//! The operations on images.

use std::path::PathBuf;

use banger_init::InitMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::kernel::KernelParameters;
use super::{
    Context, FilesystemParameters, Operation, Pace, SourceParameters, Watch, all_portable, portable,
};
use crate::error::Error;
use crate::image::{
    self, BootConfig, BootRequest, Machine, Made, NetworkDevice, PackagesRequest, Pipeline,
    PullRequest, RegisterRequest, Report, Vmm,
};
use crate::store::{Image, ImageId, Name, Store};
use crate::watch::{Observer as _, Step};

/// Pulls an image into the store, ready to boot.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImagePull {
    /// The image.
    #[serde(flatten)]
    pub source: SourceParameters,
    /// Name of the image; the repository's last component and the tag where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The filesystem that it becomes.
    #[serde(flatten)]
    pub filesystem: FilesystemParameters,
    /// File that lists the packages, in place of the package database in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages_path: Option<PathBuf>,
    /// Features to put on record with the packages, such as `docker`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Name>,
    /// What becomes PID 1: `auto`, `entrypoint`, `image`, or the absolute path of a program.
    #[serde(default)]
    #[schemars(with = "String")]
    pub init: InitMode,
    /// The kernel to boot with.
    #[serde(flatten)]
    pub kernel: KernelParameters,
}

impl Operation for ImagePull {
    const METHOD: &'static str = "image.pull";
    const PACE: Pace = Pace::Fetch;
    type Reply = ImageMade;

    fn check_portable(&self) -> Result<(), Error> {
        self.source.check_portable()?;
        all_portable([("packages_path", self.packages_path.as_ref())])?;
        self.kernel.files.check_portable()
    }

    fn run(self, context: &Context, watch: &Watch) -> Result<ImageMade, Error> {
        let config = || Ok(context.config.clone());
        let (source, options) = self.source.open_options(&context.spool_dir, config)?;
        let request = PullRequest {
            name: self.name,
            kernel: self.kernel.request(),
            filesystem: self.filesystem.options()?,
            init: self.init,
            platform: options.platform.clone(),
            packages: PackagesRequest {
                list: self.packages_path,
                features: self.features.into_iter().map(String::from).collect(),
            },
            ..PullRequest::new(source)
        };
        let pipeline = Pipeline {
            runtime: Handle::current(),
            options,
            watch: watch.clone(),
        };
        let store = context.store(watch);
        let made = image::pull(&store, &context.catalog(watch), &request, &pipeline, watch)?;
        ImageMade::of(&store, made, watch)
    }
}

/// An image that was made or changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageMade {
    /// Everything there is to know of it.
    pub image: Report,
    /// What the user should know, and what did not keep the image from being made.
    pub warnings: Vec<String>,
}

impl ImageMade {
    fn of(store: &Store, made: Made, watch: &Watch) -> Result<Self, Error> {
        let id = made.image.record().id.to_string();
        Ok(Self {
            image: image::show(store, &id, &|| watch.is_cancelled())?,
            warnings: made.warnings,
        })
    }
}

/// Records an image whose files stay where they are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageRegister {
    /// Name of the image.
    pub name: Name,
    /// Root filesystem: a file or a block device.
    pub rootfs_path: PathBuf,
    /// File from which work disks of VMs are seeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_seed_path: Option<PathBuf>,
    /// What becomes PID 1: `auto`, `entrypoint`, `image`, or the absolute path of a program.
    #[serde(default)]
    #[schemars(with = "String")]
    pub init: InitMode,
    /// The kernel to boot with.
    #[serde(flatten)]
    pub kernel: KernelParameters,
}

impl Operation for ImageRegister {
    const METHOD: &'static str = "image.register";
    const PACE: Pace = Pace::Long;
    type Reply = ImageMade;

    fn check_portable(&self) -> Result<(), Error> {
        portable("rootfs_path", &self.rootfs_path)?;
        all_portable([("work_seed_path", self.work_seed_path.as_ref())])?;
        self.kernel.files.check_portable()
    }

    fn run(self, context: &Context, watch: &Watch) -> Result<ImageMade, Error> {
        let request = RegisterRequest {
            name: self.name,
            rootfs: self.rootfs_path,
            work_seed: self.work_seed_path,
            kernel: self.kernel.request(),
            init: self.init,
        };
        let store = context.store(watch);
        watch.begin(Step::Inspect)?;
        let made = image::register(&store, &context.catalog(watch), &request, &|| {
            watch.is_cancelled()
        })?;
        ImageMade::of(&store, made, watch)
    }
}

/// Copies the files of a registered image into the store.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImagePromote {
    /// Image: its name, or the beginning of its id.
    pub image: String,
}

impl Operation for ImagePromote {
    const METHOD: &'static str = "image.promote";
    const PACE: Pace = Pace::Long;
    type Reply = ImageMade;

    fn run(self, context: &Context, watch: &Watch) -> Result<ImageMade, Error> {
        let store = context.store(watch);
        let made = image::promote(&store, &self.image, watch)?;
        ImageMade::of(&store, made, watch)
    }
}

/// Lists the images.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageList {}

/// The images of the store.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageListed {
    /// The images, oldest first.
    pub images: Vec<ListedImage>,
    /// Images whose records cannot be read, oldest first.
    pub unreadable: Vec<UnreadableImage>,
}

/// An image, and what it takes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListedImage {
    /// The image.
    #[serde(flatten)]
    pub image: Image,
    /// Bytes that its files occupy on disk, the root filesystem alone where it is not managed; none when they
    /// cannot be looked at.
    pub disk_bytes: Option<u64>,
}

/// An image whose record cannot be read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableImage {
    /// The id by the name of the directory.
    pub id: ImageId,
    /// The image's name, as far as the record tells.
    pub name: Option<Name>,
    /// What is wrong.
    pub error: String,
}

impl Operation for ImageList {
    const METHOD: &'static str = "image.list";
    type Reply = ImageListed;

    fn run(self, context: &Context, watch: &Watch) -> Result<ImageListed, Error> {
        let listing = context.store(watch).list()?;
        let images = listing.images.into_iter().map(|image| ListedImage {
            disk_bytes: image::disk_bytes(&image),
            image,
        });
        Ok(ImageListed {
            images: images.collect(),
            unreadable: listing
                .unreadable
                .into_iter()
                .map(|one| UnreadableImage {
                    id: one.id,
                    name: one.name,
                    error: one.error.to_string(),
                })
                .collect(),
        })
    }
}

/// Tells what is known of an image, and looks at its files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageShow {
    /// Image: its name, or the beginning of its id.
    pub image: String,
}

impl Operation for ImageShow {
    const METHOD: &'static str = "image.show";
    type Reply = Report;

    fn run(self, context: &Context, watch: &Watch) -> Result<Report, Error> {
        watch.begin(Step::Inspect)?;
        image::show(&context.store(watch), &self.image, &|| watch.is_cancelled())
    }
}

/// Gives an image another name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageRename {
    /// Image: its name, or the beginning of its id.
    pub image: String,
    /// Its new name.
    pub name: Name,
}

impl Operation for ImageRename {
    const METHOD: &'static str = "image.rename";
    type Reply = ImageMade;

    fn run(self, context: &Context, watch: &Watch) -> Result<ImageMade, Error> {
        let store = context.store(watch);
        let made = Made {
            image: store.rename(&self.image, &self.name)?,
            warnings: Vec::new(),
        };
        ImageMade::of(&store, made, watch)
    }
}

/// Removes images. All are looked up before the first is removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageRemove {
    /// Images: their names, or the beginnings of their ids.
    pub images: Vec<String>,
}

/// The images that were removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImagesRemoved {
    /// Their ids.
    pub removed: Vec<ImageId>,
}

impl Operation for ImageRemove {
    const METHOD: &'static str = "image.remove";
    type Reply = ImagesRemoved;

    fn run(self, context: &Context, watch: &Watch) -> Result<ImagesRemoved, Error> {
        watch.begin(Step::Remove)?;
        Ok(ImagesRemoved {
            removed: image::remove(&context.store(watch), &self.images)?,
        })
    }
}

/// Makes what a VMM needs to boot an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageBootConfig {
    /// Image: its name, or the beginning of its id.
    pub image: String,
    /// Virtual machine monitor.
    pub vmm: Vmm,
    /// Memory of the machine in MiB, at least 16.
    #[serde(default = "default_memory")]
    pub memory_mib: u64,
    /// Processors of the machine, 1 to 1024.
    #[serde(default = "default_cpus")]
    pub cpus: u32,
    /// The machine's own copy of the root filesystem, in place of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs_path: Option<PathBuf>,
    /// Further disks: raw files or block devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_paths: Vec<PathBuf>,
    /// Network device; where none is given, `user` for QEMU and `none` for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkDevice>,
    /// What becomes PID 1, in place of what is on record: `auto`, `entrypoint`, `image`, or the absolute path of a
    /// program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub init: Option<InitMode>,
    /// Mount the root filesystem read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Where the guest's events go: a file for QEMU, the path of a vsock socket for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_path: Option<PathBuf>,
    /// Words at the end of the kernel's command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
}

fn default_memory() -> u64 {
    Machine::default().memory_mib
}

fn default_cpus() -> u32 {
    Machine::default().cpus
}

/// What boots an image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageBootConfigured {
    /// A configuration file, or a program and its arguments.
    #[serde(flatten)]
    pub config: BootConfig,
    /// What cannot be told.
    pub warnings: Vec<String>,
}

impl Operation for ImageBootConfig {
    const METHOD: &'static str = "image.boot_config";
    type Reply = ImageBootConfigured;

    fn check_portable(&self) -> Result<(), Error> {
        all_portable([
            ("rootfs_path", self.rootfs_path.as_ref()),
            ("events_path", self.events_path.as_ref()),
        ])?;
        all_portable(
            self.disk_paths
                .iter()
                .map(|path| ("disk_paths", Some(path))),
        )
    }

    fn run(self, context: &Context, watch: &Watch) -> Result<ImageBootConfigured, Error> {
        let machine = Machine::new(self.memory_mib, self.cpus)?;
        let image = context.store(watch).find(&self.image)?;
        let request = BootRequest {
            vmm: self.vmm,
            machine,
            rootfs: self.rootfs_path,
            disks: self.disk_paths,
            network: self.network,
            init: self.init,
            read_only: self.read_only,
            events: self.events_path,
            append: self.append,
        };
        let (config, warnings) = image::boot_config(&image, &request)?;
        Ok(ImageBootConfigured { config, warnings })
    }
}
