//! What a root filesystem tells of itself, for the record of an image.

use std::fs::File;
use std::path::Path;

use super::rootfs::Ext4Tree;
use crate::boot::{BootBlock, NVME_DISK, RuntimeConfig, boot_block};
use crate::error::Error;
use crate::kernel::{Architecture, Disk, ResolvedKernel, usable_disks};
use crate::packages::Packages;

/// What was found in a root filesystem.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) boot: Option<BootBlock>,
    pub(super) packages: Option<Packages>,
    pub(super) uuid: Option<String>,
    pub(super) warnings: Vec<String>,
}

impl Facts {
    /// Looks into the filesystem in a file, whose path is for messages. One that cannot be read is a warning: it may
    /// have features that the reader here lacks and kernels have.
    pub(super) fn of(
        rootfs: File,
        path: &Path,
        runtime: RuntimeConfig,
        architecture: Option<Architecture>,
        features: &[String],
    ) -> Self {
        let mut facts = Self::default();
        let Some(tree) = facts.note("boot facts", Ext4Tree::open(rootfs, path)) else {
            return facts;
        };
        facts.uuid = Some(tree.uuid());
        facts.boot = facts.note("boot facts", boot_block(&tree, runtime, architecture));
        facts.packages = facts
            .note("packages", Packages::of_tree(&tree, features))
            .flatten();
        if let Some(boot) = facts.boot.as_ref().filter(|boot| !boot.bootable) {
            facts
                .warnings
                .push(format!("the image does not boot: {}", boot.reason));
        }
        facts
    }

    /// Has the kernel's command line name a disk that this kernel can mount its root from.
    pub(super) fn fit(&mut self, kernel: Option<&ResolvedKernel>) {
        let (Some(boot), Some(kernel)) = (&mut self.boot, kernel) else {
            return;
        };
        let disks = usable_disks(&kernel.facts.drivers, kernel.initrd.is_some());
        if disks == [Disk::Nvme] {
            boot.set_disk(NVME_DISK);
        }
    }

    fn note<T>(&mut self, what: &str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let causes = error.causes();
                let cause = causes
                    .first()
                    .map_or(String::new(), |cause| format!(": {cause}"));
                self.warnings
                    .push(format!("{what} are unknown: {error}{cause}"));
                None
            }
        }
    }
}
