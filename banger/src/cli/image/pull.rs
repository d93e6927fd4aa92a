//! `banger image pull`.

use std::path::PathBuf;

use banger::Error;
use banger::image::{self, Observer, PackagesRequest, Pipeline, PullRequest};
use banger::size::parse_size;
use banger::store::Name;
use oci_flatten::flatten::CancellationToken;
use tokio::runtime::Handle;

use super::report_made;
use crate::cli::kernel::KernelArguments;
use crate::cli::places::Shelves;
use crate::cli::source::SourceArguments;
use crate::cli::{Global, interrupt, progress};

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
    /// Size of the filesystem, such as 4G [default: 1.25 × content, at least 1 GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// File that lists the packages, in place of the package database in the image
    #[arg(long, value_name = "FILE")]
    packages: Option<PathBuf>,
    /// Feature to put on record with the packages, such as docker
    #[arg(long = "feature", value_name = "NAME", value_parser = Name::parse)]
    features: Vec<Name>,
    #[command(flatten, next_help_heading = "Kernel to boot with")]
    kernel: KernelArguments,
}

const EXAMPLES: &str = "\
Examples:
  banger image pull debian:bookworm --kernel-ref cloud
  banger image pull oci:./layout --name web --kernel vmlinux --size 4G";

impl Arguments {
    pub(super) fn run(self, shelves: &Shelves, global: &Global) -> Result<(), Error> {
        let (source, options) = self.source.parse()?;
        let request = PullRequest {
            name: self.name,
            kernel: self.kernel.request(),
            size: self.size,
            platform: options.platform.clone(),
            packages: PackagesRequest {
                list: self.packages,
                features: self.features.into_iter().map(String::from).collect(),
            },
            ..PullRequest::new(source)
        };
        let progress = progress::observer(global.progress, global.quiet);
        let cancellation = CancellationToken::new();
        let (store, catalog) = (shelves.store.clone(), shelves.catalog.clone());
        let made = interrupt::run(&cancellation, async {
            let pipeline = Pipeline {
                runtime: Handle::current(),
                options,
                progress,
                cancellation: cancellation.clone(),
            };
            let watched = Watched(cancellation.clone());
            interrupt::blocking(move || {
                image::pull(&store, &catalog, &request, &pipeline, &watched)
            })
            .await
        })?;
        report_made(&shelves.store, &made, global)
    }
}

/// Ends the operation where the user has interrupted it.
pub(super) struct Watched(pub(super) CancellationToken);

impl Observer for Watched {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
