//! `banger image promote`.

use banger::Error;
use banger::image;
use oci_flatten::flatten::CancellationToken;

use super::pull::Watched;
use super::report_made;
use crate::cli::places::Shelves;
use crate::cli::{Global, interrupt};

/// Copy the files of a registered image into the store
///
/// The copies share blocks with the originals where the filesystem can, and keep their holes elsewhere.
/// The image is managed from then on; the originals stay.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    image: String,
}

impl Arguments {
    pub(super) fn run(self, shelves: &Shelves, global: &Global) -> Result<(), Error> {
        let cancellation = CancellationToken::new();
        let store = shelves.store.clone();
        let made = interrupt::run(&cancellation, async {
            let watched = Watched(cancellation.clone());
            interrupt::blocking(move || image::promote(&store, &self.image, &watched)).await
        })?;
        report_made(&shelves.store, &made, global)
    }
}
