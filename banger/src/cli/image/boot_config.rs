//! `banger image boot-config`.

use banger::Error;
use banger::image;
use banger::operation::ImageBootConfig;
use banger::size::{format_size, parse_size};
use clap::ValueEnum;

use crate::cli::backend::Backend;
use crate::cli::completion;
use crate::cli::{Global, report};

/// Print what boots an image: a configuration or a command line
///
/// The VM writes to the image's own root filesystem. To start several, give each a copy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    #[arg(add = completion::images())]
    image: String,
    /// Virtual machine monitor
    #[arg(long, value_enum)]
    vmm: Vmm,
    /// Memory of the machine
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, default_value = "512M")]
    memory: u64,
    /// Processors of the machine
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    cpus: u32,
}

const EXAMPLES: &str = "\
Examples:
  eval \"$(banger image boot-config debian --vmm qemu --memory 2G --cpus 2)\"
  banger image boot-config debian --vmm firecracker > vm.json
  firecracker --no-api --config-file vm.json";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Vmm {
    /// A file for --config-file
    Firecracker,
    /// A command line
    CloudHypervisor,
    /// A command line
    Qemu,
}

/// The size in MiB.
fn parse_memory(text: &str) -> Result<u64, String> {
    const MIB: u64 = 1 << 20;
    let bytes = parse_size(text)?;
    match bytes >= 16 * MIB {
        true => Ok(bytes / MIB),
        false => Err(format!(
            "{} is below the 16 MiB that Linux needs",
            format_size(bytes)
        )),
    }
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let vmm = match self.vmm {
            Vmm::Firecracker => image::Vmm::Firecracker,
            Vmm::CloudHypervisor => image::Vmm::CloudHypervisor,
            Vmm::Qemu => image::Vmm::Qemu,
        };
        let request = ImageBootConfig {
            image: self.image,
            vmm,
            memory_mib: self.memory,
            cpus: self.cpus,
        };
        let reply = Backend::of(global)?.call(request, global)?;
        let text = format!("{}\n", reply.config);
        // There is nothing shorter to say of it.
        report::document(global, &reply, &reply.warnings, text.lines(), || {
            text.clone()
        })
    }
}
