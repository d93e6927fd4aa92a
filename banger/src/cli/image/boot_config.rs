//! `banger image boot-config`.

use std::path::PathBuf;

use banger::Error;
use banger::image::{self, NetworkDevice};
use banger::initrd::InitMode;
use banger::operation::ImageBootConfig;
use banger::size::{format_size, parse_size};
use clap::ValueEnum;

use crate::cli::backend::{Backend, absolute, absolute_option};
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
    /// The machine's own copy of the root filesystem, in place of the image's
    #[arg(long, value_name = "FILE")]
    rootfs: Option<PathBuf>,
    /// Further disk: a raw file or a block device
    #[arg(long = "disk", value_name = "FILE")]
    disks: Vec<PathBuf>,
    /// Network device: none, user (QEMU), or tap:NAME [default: user for QEMU, none for the others]
    #[arg(long, value_name = "DEVICE", value_parser = parse_network)]
    net: Option<NetworkDevice>,
    /// What becomes PID 1, in place of what is on record: auto, entrypoint, image, or the path of a program
    #[arg(long, value_name = "auto|entrypoint|image|PATH")]
    init: Option<InitMode>,
    /// Mount the root filesystem read-only
    #[arg(long)]
    read_only: bool,
    /// Where the guest's events go, its exit code among them: a file for QEMU, the path of a vsock socket for the
    /// others
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Words at the end of the kernel's command line
    #[arg(long, value_name = "WORDS")]
    append: Option<String>,
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

fn parse_network(text: &str) -> Result<NetworkDevice, String> {
    match text {
        "none" => Ok(NetworkDevice::None),
        "user" => Ok(NetworkDevice::User),
        _ => match text.strip_prefix("tap:").filter(|name| !name.is_empty()) {
            Some(name) => Ok(NetworkDevice::Tap(name.to_owned())),
            None => Err(format!("{text} is neither none, user nor tap:NAME")),
        },
    }
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
            rootfs_path: absolute_option(self.rootfs)?,
            disk_paths: self
                .disks
                .iter()
                .map(|path| absolute(path))
                .collect::<Result<_, _>>()?,
            network: self.net,
            init: self.init,
            read_only: self.read_only,
            events_path: absolute_option(self.events)?,
            append: self.append,
        };
        let reply = Backend::of(global)?.call(request, global)?;
        let text = format!("{}\n", reply.config);
        // There is nothing shorter to say of it.
        report::document(global, &reply, &reply.warnings, text.lines(), || {
            text.clone()
        })
    }
}
