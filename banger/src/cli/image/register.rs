//! `banger image register`.

use std::path::PathBuf;

use banger::Error;
use banger::initrd::InitMode;
use banger::operation::ImageRegister;
use banger::store::Name;

use super::report_made;
use crate::cli::Global;
use crate::cli::backend::{Backend, absolute, absolute_option};
use crate::cli::kernel::KernelArguments;

/// Record an image whose files stay where they are
///
/// Nothing is copied: the files remain yours, and removing the image removes its record only. Use
/// `banger image promote` to copy them into the store later.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Name of the image
    #[arg(long, value_parser = Name::parse)]
    name: Name,
    /// Root filesystem: a file or a block device
    #[arg(long, value_name = "FILE")]
    rootfs: PathBuf,
    /// File from which work disks of VMs are seeded
    #[arg(long, value_name = "FILE")]
    work_seed: Option<PathBuf>,
    /// What becomes PID 1: auto, entrypoint, image, or the path of a program
    ///
    /// auto: Entrypoint and Cmd where the image has them, else its own init, else a shell. entrypoint:
    /// Entrypoint and Cmd. image: the image's own init.
    #[arg(
        long,
        value_name = "auto|entrypoint|image|PATH",
        default_value = "auto"
    )]
    init: InitMode,
    #[command(flatten, next_help_heading = "Kernel to boot with")]
    kernel: KernelArguments,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let register = ImageRegister {
            name: self.name,
            rootfs_path: absolute(&self.rootfs)?,
            work_seed_path: absolute_option(self.work_seed)?,
            init: self.init,
            kernel: self.kernel.parameters()?,
        };
        report_made(&Backend::of(global)?.call(register, global)?, global)
    }
}
