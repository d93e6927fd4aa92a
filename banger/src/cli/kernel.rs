//! `banger kernel`: the catalog of kernels; and the arguments by which other commands name one.

use std::path::PathBuf;

use banger::Error;
use banger::kernel::{KernelEntry, KernelFacts, usable_disks};
use banger::operation::{
    self, KernelImport, KernelList, KernelListed, KernelParameters, KernelRemove, KernelShow,
};
use banger::store::Name;
use clap::Subcommand;

use super::backend::{Backend, absolute_option};
use super::completion;
use super::table::{fields, table};
use super::{Global, report};

/// Import, list and remove the kernels that images boot with
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a kernel and copy it into the catalog
    ///
    /// The file may be an ELF vmlinux, a bzImage, an arm64 or RISC-V Image, or an EFI zboot image. With
    /// its module directory, banger knows which drivers it has, and whether it needs an initrd.
    Import {
        /// Name of the kernel
        #[arg(value_parser = Name::parse)]
        name: Name,
        #[command(flatten)]
        files: KernelFiles,
    },
    /// List the kernels
    #[command(visible_alias = "ls")]
    List,
    /// Show what is known of a kernel
    #[command(visible_alias = "inspect")]
    Show {
        /// Name of the kernel
        #[arg(add = completion::kernels())]
        name: String,
    },
    /// Remove a kernel
    ///
    /// Images that were pulled or promoted have their own copy. A kernel that a registered image uses
    /// stays.
    #[command(visible_aliases = ["rm", "delete"])]
    Remove {
        /// Names of the kernels
        #[arg(required = true, value_name = "NAME", add = completion::kernels())]
        names: Vec<String>,
    },
}

/// The files of a kernel.
#[derive(Debug, clap::Args)]
struct KernelFiles {
    /// Kernel file
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Initial RAM disk of the kernel
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Module directory of the kernel, such as /lib/modules/6.1.0
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
}

/// The kernel of an image, as typed: one of the catalog, or its files.
#[derive(Debug, clap::Args)]
pub(super) struct KernelArguments {
    /// Kernel of the catalog; excludes --kernel, --initrd and --modules
    #[arg(long, value_name = "NAME", add = completion::kernels())]
    kernel_ref: Option<String>,
    #[command(flatten)]
    files: KernelFiles,
}

impl KernelArguments {
    /// What is asked for. Whether it fits together is found out with everything else that may be wrong.
    pub(super) fn parameters(self) -> Result<KernelParameters, Error> {
        Ok(KernelParameters {
            kernel_ref: self.kernel_ref,
            files: self.files.parameters()?,
        })
    }
}

impl KernelFiles {
    fn parameters(self) -> Result<operation::KernelFiles, Error> {
        Ok(operation::KernelFiles {
            kernel_path: absolute_option(self.kernel)?,
            initrd_path: absolute_option(self.initrd)?,
            modules_dir: absolute_option(self.modules)?,
        })
    }
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let backend = Backend::of(global)?;
        match self.command {
            Command::Import { name, files } => {
                let files = files.parameters()?;
                let entry = backend.call(KernelImport { name, files }, global)?;
                report_kernel(&entry, &entry.record().warnings, global)
            }
            Command::List => report_list(&backend.call(KernelList {}, global)?, global),
            Command::Show { name } => {
                report_kernel(&backend.call(KernelShow { name }, global)?, &[], global)
            }
            Command::Remove { names } => {
                let reply = backend.call(KernelRemove { names }, global)?;
                report::reply(global, &reply, &[], &reply.removed, || {
                    report::lines(&reply.removed)
                })
            }
        }
    }
}

/// Reports a kernel, whose record holds its warnings; `said` are those for standard error.
fn report_kernel(entry: &KernelEntry, said: &[String], global: &Global) -> Result<(), Error> {
    report::document(global, entry, said, [&entry.record().name], || text(entry))
}

fn text(entry: &KernelEntry) -> String {
    let record = entry.record();
    let mut rows = vec![
        ("name", record.name.to_string()),
        ("created", record.created.clone()),
    ];
    let files = entry.resolved();
    rows.push(("kernel", files.kernel.display().to_string()));
    for (name, path) in [("initrd", &files.initrd), ("modules", &files.modules)] {
        rows.extend(path.iter().map(|path| (name, path.display().to_string())));
    }
    rows.extend(facts_rows(&record.facts));
    let usable = usable_disks(&record.facts.drivers, record.initrd || record.modules);
    let disks: Vec<String> = usable.iter().map(ToString::to_string).collect();
    rows.push((
        "boots from",
        match disks.is_empty() {
            true => "unknown: `banger kernel import --modules DIR` finds out".into(),
            false => disks.join(", "),
        },
    ));
    rows.extend(
        record
            .warnings
            .iter()
            .map(|warning| ("warning", warning.clone())),
    );
    fields(&rows)
}

/// What is known of a kernel, for people.
pub(super) fn facts_rows(facts: &KernelFacts) -> Vec<(&'static str, String)> {
    let drivers = &facts.drivers;
    let mut rows = Vec::new();
    rows.extend(
        facts
            .release
            .iter()
            .map(|release| ("release", release.clone())),
    );
    let pvh = if facts.pvh { ", PVH" } else { "" };
    rows.push((
        "format",
        format!(
            "{}, {}, {}{pvh}",
            facts.format, facts.compression, facts.architecture
        ),
    ));
    rows.push((
        "drivers",
        format!(
            "ext4 {}, virtio_blk {}, virtio_pci {}, virtio_mmio {}, nvme {}",
            drivers.ext4, drivers.virtio_blk, drivers.virtio_pci, drivers.virtio_mmio, drivers.nvme
        ),
    ));
    rows
}

fn report_list(listing: &KernelListed, global: &Global) -> Result<(), Error> {
    let unreadable = listing.unreadable.iter();
    let warnings: Vec<String> = unreadable
        .map(|one| format!("kernel {}: {}", one.name, one.error))
        .collect();
    if listing.kernels.is_empty() {
        report::note(global, "no kernels; `banger kernel import` adds one");
    }
    let names = listing.kernels.iter().map(|entry| &entry.record().name);
    report::reply(global, listing, &warnings, names, || {
        let rows: Vec<[String; 6]> = listing.kernels.iter().map(row).collect();
        let header = ["NAME", "RELEASE", "ARCH", "FORMAT", "INITRD", "MODULES"];
        table(header, &rows)
    })
}

fn row(entry: &KernelEntry) -> [String; 6] {
    let record = entry.record();
    let yes = |present: bool| if present { "yes" } else { "no" }.to_owned();
    [
        record.name.to_string(),
        record.facts.release.clone().unwrap_or_else(|| "-".into()),
        record.facts.architecture.to_string(),
        record.facts.format.to_string(),
        yes(record.initrd),
        yes(record.modules),
    ]
}
