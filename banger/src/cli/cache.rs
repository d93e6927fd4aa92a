//! `banger cache`: what is kept of pulled images, and how it is checked and cleared.

use std::time::Duration;

use banger::operation::{
    CacheContents, CachePrune, CachePruned, CacheShow, CacheVerified, CacheVerify,
};
use banger::size::{format_count, format_size, parse_size};
use banger::text::printable;
use banger::{Error, ErrorKind};
use clap::Subcommand;

use super::backend::Backend;
use super::table::{fields, short_digest, table};
use super::{Global, report};

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
        let backend = Backend::of(global)?;
        match self.command {
            Command::Show => report_contents(&backend.call(CacheShow {}, global)?, global),
            Command::Verify => report_verified(&backend.call(CacheVerify {}, global)?, global),
            Command::Prune {
                unused_for,
                keep_size,
                dry_run,
            } => {
                let prune = CachePrune {
                    unused_for_seconds: unused_for.map(|time| time.as_secs()),
                    keep_size_bytes: keep_size,
                    dry_run,
                };
                report_pruned(&backend.call(prune, global)?, global)
            }
        }
    }
}

fn report_contents(contents: &CacheContents, global: &Global) -> Result<(), Error> {
    let references = contents.images.iter().map(|image| &image.reference);
    report::reply(global, contents, &[], references, || {
        contents_text(contents)
    })
}

fn contents_text(contents: &CacheContents) -> String {
    let sum = |count: u64, bytes: u64| format!("{}, {}", format_count(count), format_size(bytes));
    let mut text = fields(&[
        ("location", contents.location.display().to_string()),
        ("images", format_count(contents.images.len() as u64)),
        ("blobs", sum(contents.blobs, contents.blob_bytes)),
        (
            "leftovers",
            sum(contents.leftover_blobs, contents.leftover_bytes),
        ),
        (
            "unfinished",
            sum(contents.unfinished, contents.unfinished_bytes),
        ),
    ]);
    let rows: Vec<[String; 4]> = contents
        .images
        .iter()
        .map(|image| {
            [
                image.reference.clone(),
                short_digest(&image.digest),
                format_size(image.size_bytes),
                image.pulled.clone().unwrap_or_else(|| "-".into()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        text += &table(["REFERENCE", "DIGEST", "SIZE", "PULLED"], &rows);
    }
    text
}

fn report_verified(verified: &CacheVerified, global: &Global) -> Result<(), Error> {
    let digests = verified.corrupt.iter().map(|blob| &blob.digest);
    report::reply(global, verified, &[], digests, || verified_text(verified))?;
    let (blobs, others) = (verified.corrupt.len(), verified.repaired.len());
    if blobs + others == 0 {
        return Ok(());
    }
    let message = match others {
        0 => format!("{blobs} cached blobs were damaged, and are removed"),
        _ => format!(
            "{blobs} cached blobs were damaged and are removed; {others} other entries are repaired or removed"
        ),
    };
    Err(Error::new(ErrorKind::Integrity, message).with_hint("the next pull fetches them anew"))
}

fn verified_text(verified: &CacheVerified) -> String {
    let mut text = format!(
        "{} blobs read, {}, {} damaged\n",
        format_count(verified.blobs),
        format_size(verified.bytes),
        verified.corrupt.len()
    );
    for blob in &verified.corrupt {
        let found = printable(&blob.found);
        text += &format!("removed {}: found {found}\n", blob.digest);
    }
    for repair in &verified.repaired {
        let path = printable(&repair.path);
        text += &format!("repaired {path}: {}\n", printable(&repair.outcome));
    }
    for image in &verified.incomplete {
        let (reference, missing) = (printable(&image.reference), image.missing.len());
        text += &format!("incomplete {reference}: {missing} blobs to be fetched\n");
    }
    text
}

fn report_pruned(pruned: &CachePruned, global: &Global) -> Result<(), Error> {
    let digests = pruned.removed.iter().map(|file| &file.digest);
    report::reply(global, pruned, &[], digests, || pruned_text(pruned))
}

fn pruned_text(pruned: &CachePruned) -> String {
    let verb = match pruned.dry_run {
        true => "would remove",
        false => "removed",
    };
    let mut text = String::new();
    for reference in &pruned.images {
        text += &format!("{verb} {}\n", printable(reference));
    }
    let (files, kept) = (pruned.removed.len(), format_size(pruned.kept_bytes));
    let freed = format_size(pruned.freed_bytes);
    text += &format!("{verb} {files} files, {freed}; {kept} left\n");
    if pruned.in_use > 0 {
        text += &format!("{} files are in use and stay\n", pruned.in_use);
    }
    text
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
