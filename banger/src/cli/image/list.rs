//! `banger image list`.

use banger::Error;
use banger::operation::{ImageList, ImageListed};
use banger::size::format_size;
use banger::store::Image;

use crate::cli::backend::Backend;
use crate::cli::table::table;
use crate::cli::{Format, Global, report};

/// Characters of an id that are shown: the time of its making, to the millisecond.
const SHORT_ID: usize = 13;

/// List the images
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let listing = Backend::of(global)?.call(ImageList {}, global)?;
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
            Format::Json => report::result_json(&listing),
        }
    }
}

fn text(listing: &ImageListed) -> String {
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
