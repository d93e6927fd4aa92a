//! `banger cache`: what is kept of pulled images, and how it is checked and cleared.

use std::time::{Duration, SystemTime};

use banger::size::{format_count, format_size, parse_size};
use banger::{Error, ErrorKind};
use clap::Subcommand;
use oci_flatten::cache::{Cache, Contents, PrunePolicy, Pruned, Verified};
use oci_flatten::flatten::CancellationToken;
use serde_json::{Value, json};

use super::source::here;
use super::table::{fields, table};
use super::{Format, Global, interrupt, report};

/// Show, verify and prune the cache of pulled layers
///
/// The cache is an OCI image layout, which skopeo can read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where the cache is and what is in it
    Show,
    /// Read everything in the cache, and throw away what is damaged
    ///
    /// Ends with exit code 7 when something was. The next pull fetches it anew.
    Verify,
    /// Remove what no image needs, and images by age or size
    ///
    /// Without an option only leftovers go: layers of images whose tag has moved on, and unfinished
    /// downloads. What a running pull uses stays.
    Prune {
        /// Remove images that were not pulled for this long, such as 12h, 30d or 4w
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        unused_for: Option<Duration>,
        /// Remove the least recently pulled images until this much is left, such as 10G
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        keep_size: Option<u64>,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let folder = here()?.places.cache;
        let location = folder.display().to_string();
        let cache = match Cache::open_existing(&folder)? {
            Some(cache) => cache,
            // Looking at a cache should not make one, and an empty one is as good.
            None => return report_nothing(&self.command, &location, global),
        };
        match self.command {
            Command::Show => report_contents(&cache.show()?, &location, global),
            Command::Verify => report_verified(&verify(cache)?, global),
            Command::Prune {
                unused_for,
                keep_size,
                dry_run,
            } => {
                let policy = PrunePolicy {
                    now: SystemTime::now(),
                    unused_for,
                    keep_bytes: keep_size,
                    dry_run,
                };
                report_pruned(&cache.prune(&policy)?, dry_run, global)
            }
        }
    }
}

fn verify(cache: Cache) -> Result<Verified, Error> {
    let cancellation = CancellationToken::new();
    interrupt::run(&cancellation, async {
        let watched = cancellation.clone();
        let verify = move || {
            let verified = cache.verify(|_, _| match watched.is_cancelled() {
                true => Err(oci_flatten::error::Error::cancelled()),
                false => Ok(()),
            });
            Ok(verified?)
        };
        interrupt::blocking(verify).await
    })
}

fn report_nothing(command: &Command, location: &str, global: &Global) -> Result<(), Error> {
    match command {
        Command::Show => report_contents(&Contents::default(), location, global),
        Command::Verify => report_verified(&Verified::default(), global),
        Command::Prune { dry_run, .. } => report_pruned(&Pruned::default(), *dry_run, global),
    }
}

fn report_contents(contents: &Contents, location: &str, global: &Global) -> Result<(), Error> {
    match global.format {
        _ if global.quiet => {
            let images = contents.images.iter();
            let lines: String = images
                .map(|image| format!("{}\n", image.reference))
                .collect();
            report::result(&lines)
        }
        Format::Text => report::result(&contents_text(contents, location)),
        Format::Json => report::result_json(&contents_document(contents, location)),
    }
}

fn contents_text(contents: &Contents, location: &str) -> String {
    let sum = |count: u64, bytes: u64| format!("{}, {}", format_count(count), format_size(bytes));
    let mut text = fields(&[
        ("location", location.to_owned()),
        ("images", format_count(contents.images.len() as u64)),
        ("blobs", sum(contents.blobs, contents.blob_bytes)),
        (
            "leftovers",
            sum(contents.unreferenced, contents.unreferenced_bytes),
        ),
        ("unfinished", sum(contents.partial, contents.partial_bytes)),
    ]);
    let rows: Vec<[String; 4]> = contents
        .images
        .iter()
        .map(|image| {
            [
                image.reference.clone(),
                image.digest.hex()[..12].to_owned(),
                format_size(image.bytes),
                image
                    .last_used
                    .and_then(moment)
                    .unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text += &table(["REFERENCE", "DIGEST", "SIZE", "PULLED"], &rows);
    }
    text
}

fn contents_document(contents: &Contents, location: &str) -> Value {
    let images: Vec<Value> = contents
        .images
        .iter()
        .map(|image| {
            json!({
                "reference": image.reference,
                "digest": image.digest.to_string(),
                "size_bytes": image.bytes,
                "missing_blobs": image.missing,
                "pulled": image.last_used.and_then(moment),
            })
        })
        .collect();
    json!({
        "location": location,
        "images": images,
        "blobs": contents.blobs,
        "blob_bytes": contents.blob_bytes,
        "leftover_blobs": contents.unreferenced,
        "leftover_bytes": contents.unreferenced_bytes,
        "unfinished": contents.partial,
        "unfinished_bytes": contents.partial_bytes,
    })
}

fn report_verified(verified: &Verified, global: &Global) -> Result<(), Error> {
    let corrupt = verified.corrupt.iter();
    match global.format {
        _ if global.quiet => {
            let lines: String = corrupt.map(|blob| format!("{}\n", blob.expected)).collect();
            report::result(&lines)?;
        }
        Format::Text => {
            let mut text = format!(
                "{} blobs read, {}, {} damaged\n",
                format_count(verified.blobs),
                format_size(verified.bytes),
                verified.corrupt.len()
            );
            for blob in corrupt {
                text += &format!("removed {}: found {}\n", blob.expected, blob.found);
            }
            for image in &verified.incomplete {
                let (reference, missing) = (&image.reference, image.missing.len());
                text += &format!("incomplete {reference}: {missing} blobs to be fetched\n");
            }
            report::result(&text)?;
        }
        Format::Json => {
            let corrupt: Vec<Value> = corrupt
                .map(|blob| json!({"digest": blob.expected.to_string(), "found": blob.found}))
                .collect();
            let missing = |image: &oci_flatten::cache::IncompleteImage| -> Vec<String> {
                image.missing.iter().map(ToString::to_string).collect()
            };
            let incomplete: Vec<Value> = verified
                .incomplete
                .iter()
                .map(|image| json!({"reference": image.reference, "missing": missing(image)}))
                .collect();
            report::result_json(&json!({
                "blobs": verified.blobs,
                "bytes": verified.bytes,
                "corrupt": corrupt,
                "incomplete": incomplete,
            }))?;
        }
    }
    if verified.corrupt.is_empty() {
        return Ok(());
    }
    let count = verified.corrupt.len();
    let message = format!("{count} cached blobs were damaged, and are removed");
    Err(Error::new(ErrorKind::Integrity, message).with_hint("the next pull fetches them anew"))
}

fn report_pruned(pruned: &Pruned, dry_run: bool, global: &Global) -> Result<(), Error> {
    match global.format {
        _ if global.quiet => {
            let removed = pruned.removed.iter();
            let lines: String = removed
                .map(|removed| format!("{}\n", removed.name))
                .collect();
            report::result(&lines)
        }
        Format::Text => {
            let verb = if dry_run { "would remove" } else { "removed" };
            let mut text = String::new();
            for reference in &pruned.images {
                text += &format!("{verb} {reference}\n");
            }
            let (files, kept) = (pruned.removed.len(), format_size(pruned.kept_bytes));
            let freed = format_size(pruned.freed_bytes());
            text += &format!("{verb} {files} files, {freed}; {kept} left\n");
            if pruned.in_use > 0 {
                text += &format!("{} files are in use and stay\n", pruned.in_use);
            }
            report::result(&text)
        }
        Format::Json => {
            let removed: Vec<Value> = pruned
                .removed
                .iter()
                .map(|removed| {
                    json!({
                        "digest": removed.name,
                        "size_bytes": removed.bytes,
                        "unfinished": removed.partial,
                    })
                })
                .collect();
            report::result_json(&json!({
                "dry_run": dry_run,
                "images": pruned.images,
                "removed": removed,
                "freed_bytes": pruned.freed_bytes(),
                "kept_bytes": pruned.kept_bytes,
                "in_use": pruned.in_use,
            }))
        }
    }
}

/// A time for people and programs, in UTC to the second.
fn moment(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A whole number of seconds, minutes, hours, days or weeks.
fn parse_time(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, u64); 5] = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 86400),
        ('w', 604_800),
    ];
    let wrong = || format!("time {text:?} is not a number with a unit (s, m, h, d or w)");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, seconds) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("90m", 5400),
            ("12h", 43200),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "30",
            "1y",
            "-1d",
            "1.5d",
            "99999999999999999999d",
            "18446744073709551615w",
            "1ä",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
