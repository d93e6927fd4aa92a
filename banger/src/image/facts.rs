//! What a root filesystem tells of itself, for the record of an image.

use std::fs::File;
use std::path::Path;

use banger_init::InitMode;

use super::rootfs::Ext4Tree;
use crate::boot::{BootBlock, NVME_DISK, RuntimeConfig, VIRTIO_DISK, boot_block, start_block};
use crate::error::{Error, ErrorKind};
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
    /// Looks into the filesystem in a file, whose path is for messages. `init` is what banger's initrd is to start;
    /// none where there is no such initrd. A filesystem that cannot be read is a warning: it may
    /// have features that the reader here lacks and kernels have.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] when cancelled.
    pub(super) fn of(
        rootfs: File,
        path: &Path,
        runtime: RuntimeConfig,
        architecture: Option<Architecture>,
        init: Option<&InitMode>,
        features: &[String],
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, Error> {
        let mut facts = Self::default();
        let asked = Ext4Tree::ask(rootfs, path, is_cancelled, |tree| {
            facts.uuid = Some(tree.uuid());
            facts
                .warnings
                .extend(tree.state_warning().map(str::to_owned));
            let boot = match init {
                Some(init) => start_block(tree, runtime, architecture, init),
                None => boot_block(tree, runtime, architecture),
            };
            facts.boot = facts.note("boot facts", boot);
            facts.packages = facts
                .note("packages", Packages::of_tree(tree, features))
                .flatten();
            match is_cancelled() {
                true => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
                false => Ok(()),
            }
        });
        match asked {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            asked => facts.note("boot facts", asked),
        };
        if let Some(boot) = facts.boot.as_ref().filter(|boot| !boot.bootable) {
            facts
                .warnings
                .push(format!("the image does not boot: {}", boot.reason));
        }
        Ok(facts)
    }

    /// Has the kernel's command line name a disk that this kernel can mount its root from, in the way that the filesystem is made for.
    pub(super) fn fit(&mut self, kernel: Option<&ResolvedKernel>, read_only: bool) {
        let Some(boot) = &mut self.boot else {
            return;
        };
        let disks = kernel.map(|kernel| {
            let brings_modules = kernel.initrd.is_some() || kernel.modules.is_some();
            usable_disks(&kernel.facts.drivers, brings_modules)
        });
        let disk = match disks.as_deref() {
            Some([Disk::Nvme]) => NVME_DISK,
            _ => VIRTIO_DISK,
        };
        boot.set_disk(disk, read_only);
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
