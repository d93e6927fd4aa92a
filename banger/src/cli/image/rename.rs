//! `banger image rename`.

use banger::Error;
use banger::operation::ImageRename;
use banger::store::Name;

use super::report_made;
use crate::cli::Global;
use crate::cli::backend::Backend;

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
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let rename = ImageRename {
            image: self.image,
            name: self.name,
        };
        report_made(&Backend::of(global)?.call(rename, global)?, global)
    }
}
