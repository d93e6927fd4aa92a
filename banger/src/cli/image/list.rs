//! `banger image list`.

use banger::Error;
use banger::operation::{ImageList, ImageListed, ListedImage};
use banger::size::format_size;
use banger::store::{ImageId, short_ids};

use crate::cli::backend::Backend;
use crate::cli::table::{short_digest, table};
use crate::cli::{Global, report};

/// List the images
///
/// An ID is shown as the eight digits that it begins with, or that it ends with where others begin so. Commands
/// accept it in that form.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let listing = Backend::of(global)?.call(ImageList {}, global)?;
        let unreadable = listing.unreadable.iter();
        let warnings: Vec<String> = unreadable
            .map(|one| format!("image {}: {}", one.id, one.error))
            .collect();
        if listing.images.is_empty() {
            report::note(global, "no images; `banger image pull SOURCE` makes one");
        }
        let ids = listing.images.iter().map(|one| one.image.record().id);
        report::reply(global, &listing, &warnings, ids, || text(&listing))
    }
}

fn text(listing: &ImageListed) -> String {
    let unreadable = listing.unreadable.iter().map(|one| one.id);
    let images = listing.images.iter().map(|one| one.image.record().id);
    let ids: Vec<ImageId> = images.chain(unreadable).collect();
    let rows = listing.images.iter().zip(short_ids(&ids));
    let rows: Vec<[String; 9]> = rows.map(|(image, id)| row(image, id)).collect();
    table(
        [
            "NAME",
            "ID",
            "REFERENCE",
            "DIGEST",
            "PLATFORM",
            "SIZE",
            "ON DISK",
            "KERNEL",
            "CREATED",
        ],
        &rows,
    )
}

fn row(listed: &ListedImage, id: String) -> [String; 9] {
    let record = listed.image.record();
    let kernel = record.kernel.as_ref().map(|kernel| match &kernel.release {
        Some(release) => release.clone(),
        None => kernel.format.to_string(),
    });
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    [
        record.name.to_string(),
        id,
        or_dash(record.reference.clone()),
        or_dash(record.digest.as_deref().map(short_digest)),
        or_dash(record.platform.clone()),
        format_size(record.sizes.rootfs_bytes),
        or_dash(listed.disk_bytes.map(format_size)),
        or_dash(kernel),
        record.created.clone(),
    ]
}
