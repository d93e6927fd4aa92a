//! `banger image rename`.

use banger::Error;
use banger::image::Made;
use banger::store::Name;

use super::report_made;
use crate::cli::Global;
use crate::cli::places::Shelves;

/// Give an image another name
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    image: String,
    /// Its new name
    #[arg(value_parser = Name::parse)]
    name: Name,
}

impl Arguments {
    pub(super) fn run(self, shelves: &Shelves, global: &Global) -> Result<(), Error> {
        let image = shelves.store.rename(&self.image, &self.name)?;
        let made = Made {
            image,
            warnings: Vec::new(),
        };
        report_made(&shelves.store, &made, global)
    }
}
