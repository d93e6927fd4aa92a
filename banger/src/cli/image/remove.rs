//! `banger image remove`.

use banger::Error;
use banger::operation::ImageRemove;

use crate::cli::backend::Backend;
use crate::cli::{Format, Global, report};

/// Remove images
///
/// A managed image goes with its files; of a registered one only the record goes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Images: their names, or the beginnings of their ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let remove = ImageRemove {
            images: self.images,
        };
        let reply = Backend::of(global)?.call(remove, global)?;
        match global.format {
            Format::Json => report::result_json(&reply),
            Format::Text => {
                let ids = reply.removed.iter();
                report::result(&ids.map(|id| format!("{id}\n")).collect::<String>())
            }
        }
    }
}
