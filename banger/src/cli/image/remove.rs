//! `banger image remove`.

use banger::Error;
use banger::image;
use serde_json::json;

use crate::cli::places::Shelves;
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
    pub(super) fn run(self, shelves: &Shelves, global: &Global) -> Result<(), Error> {
        let ids = image::remove(&shelves.store, &self.images)?;
        match global.format {
            Format::Json => report::result_json(&json!({ "removed": ids })),
            Format::Text => {
                let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
                report::result(&lines)
            }
        }
    }
}
