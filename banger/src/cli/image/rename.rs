//! `banger image rename`.

use banger::Error;
use banger::operation::ImageRename;
use banger::store::Name;
use banger::text::printable;

use crate::cli::backend::Backend;
use crate::cli::completion;
use crate::cli::{Global, report};

/// Give an image another name
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    #[arg(add = completion::images())]
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
        let text = format!("renamed {} to {}\n", printable(&rename.image), rename.name);
        let made = Backend::of(global)?.call(rename, global)?;
        let id = made.image.record.id;
        report::reply(global, &made.image, &made.warnings, [id], || text)
    }
}
