//! The operations on images, one a file. They print nothing and ask nothing: what they need comes in as
//! values, what they do is told to an [`Observer`](crate::watch::Observer), what they made comes back.

mod boot_config;
mod contents;
mod copy_out;
mod describe;
mod disk_use;
mod facts;
mod initrd;
mod machine;
mod name;
mod pipeline;
mod promote;
mod pull;
mod register;
mod remove;
mod rootfs;
mod show;

pub use boot_config::{BootConfig, BootRequest, NetworkDevice, boot_config};
pub use contents::{FileEntry, FileEntryKind, FilePart, list_files, read_file};
pub use copy_out::{CopiedOut, copy_out};
pub use disk_use::disk_bytes;
pub use machine::{Machine, Vmm};
pub use name::default_name;
pub use pipeline::Pipeline;
pub use promote::promote;
pub use pull::{FlattenRequest, Flattened, Flattener, PackagesRequest, PullRequest, pull};
pub use register::{RegisterRequest, register};
pub use remove::remove;
pub(crate) use remove::{none_removed, some_removed};
pub use rootfs::Ext4Tree;
pub use show::{Missing, PackagesCheck, Report, show};

use crate::store::Image;

/// The root filesystem of a managed image.
pub(crate) const ROOTFS_FILE: &str = "rootfs.ext4";
/// The manifest as pulled, byte for byte.
const MANIFEST_FILE: &str = "manifest.json";
/// The image configuration as pulled, byte for byte.
const CONFIG_FILE: &str = "config.json";
/// The seed of work disks of a managed image.
const WORK_SEED_FILE: &str = "work-seed.ext4";

/// An image that an operation made, and what the user should know about it.
#[derive(Debug)]
pub struct Made {
    /// The image.
    pub image: Image,
    /// Sentences that do not keep the image from being made.
    pub warnings: Vec<String>,
}
