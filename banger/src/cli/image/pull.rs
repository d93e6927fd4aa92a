//! `banger image pull`.

use std::path::PathBuf;

use banger::Error;
use banger::initrd::InitMode;
use banger::operation::ImagePull;
use banger::store::Name;

use super::report_made;
use crate::cli::Global;
use crate::cli::backend::{Backend, absolute_option};
use crate::cli::filesystem::FilesystemArguments;
use crate::cli::kernel::KernelArguments;
use crate::cli::source::SourceArguments;

/// Pull an image into the store, ready to boot
///
/// The image becomes a root filesystem, next to the kernel it is to boot with. Everything about the
/// request is checked before anything is fetched; the image appears whole or not at all.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Name of the image [default: the repository's last component and the tag]
    #[arg(long, value_parser = Name::parse)]
    name: Option<Name>,
    #[command(flatten)]
    filesystem: FilesystemArguments,
    /// File that lists the packages, in place of the package database in the image
    #[arg(long, value_name = "FILE")]
    packages: Option<PathBuf>,
    /// Feature to put on record with the packages, such as docker
    #[arg(long = "feature", value_name = "NAME", value_parser = Name::parse)]
    features: Vec<Name>,
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

const EXAMPLES: &str = "\
Examples:
  banger image pull debian:bookworm --kernel-ref cloud
  banger image pull oci:./layout --name web --kernel vmlinux --size 4G";

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let pull = ImagePull {
            source: self.source.parameters()?.with_absolute_paths()?,
            name: self.name,
            filesystem: self.filesystem.parameters(),
            packages_path: absolute_option(self.packages)?,
            features: self.features,
            init: self.init,
            kernel: self.kernel.parameters()?,
        };
        report_made(&Backend::of(global)?.call(pull, global)?, global)
    }
}
