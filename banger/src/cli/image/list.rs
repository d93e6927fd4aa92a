//! `banger image list`.

use banger::Error;
use banger::size::format_size;
use banger::store::{Image, Listing};
use serde_json::{Value, json};

use crate::cli::places::Shelves;
use crate::cli::table::table;
use crate::cli::{Format, Global, report};

/// Characters of an id that are shown: the time of its making, to the millisecond.
const SHORT_ID: usize = 13;

/// List the images
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, shelves: &Shelves, global: &Global) -> Result<(), Error> {
        let listing = shelves.store.list()?;
        for unreadable in &listing.unreadable {
            report::warning(&format!("image {}: {}", unreadable.id, unreadable.error));
        }
        match global.format {
            _ if global.quiet => {
                let ids = listing.images.iter();
                let lines: String = ids
                    .map(|image| format!("{}\n", image.record().id))
                    .collect();
                report::result(&lines)
            }
            Format::Text => report::result(&text(&listing)),
            Format::Json => report::result_json(&document(&listing)),
        }
    }
}

fn text(listing: &Listing) -> String {
    let rows: Vec<[String; 7]> = listing.images.iter().map(row).collect();
    table(
        [
            "NAME", "ID", "PLATFORM", "SIZE", "KERNEL", "MANAGED", "CREATED",
        ],
        &rows,
    )
}

fn row(image: &Image) -> [String; 7] {
    let record = image.record();
    let kernel = record.kernel.as_ref().map(|kernel| match &kernel.release {
        Some(release) => release.clone(),
        None => kernel.format.to_string(),
    });
    let unknown = || "-".to_owned();
    [
        record.name.to_string(),
        record.id.to_string().chars().take(SHORT_ID).collect(),
        record.platform.clone().unwrap_or_else(unknown),
        format_size(record.sizes.rootfs_bytes),
        kernel.unwrap_or_else(unknown),
        if record.managed { "yes" } else { "no" }.to_owned(),
        record.created.clone(),
    ]
}

fn document(listing: &Listing) -> Value {
    let images: Vec<Value> = listing
        .images
        .iter()
        .map(|image| {
            let mut value = json!(image.record());
            value["directory"] = json!(image.directory());
            value
        })
        .collect();
    let unreadable: Vec<Value> = listing
        .unreadable
        .iter()
        .map(|one| json!({"id": one.id, "name": one.name, "error": one.error.to_string()}))
        .collect();
    json!({ "images": images, "unreadable": unreadable })
}
