//! `banger image promote`.

use banger::Error;
use banger::operation::ImagePromote;

use super::report_made;
use crate::cli::Global;
use crate::cli::backend::Backend;
use crate::cli::completion;

/// Copy the files of a registered image into the store
///
/// The copies share blocks with the originals where the filesystem can, and keep their holes elsewhere.
/// The image is managed from then on; the originals stay.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    #[arg(add = completion::images())]
    image: String,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let promote = ImagePromote { image: self.image };
        report_made(&Backend::of(global)?.call(promote, global)?, global)
    }
}
