//! `banger flatten`: an image to an ext4 file, no store, no kernel.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use banger::Error;
use banger::flatten::{Options, Summary, open_and_flatten};
use banger::output::OutputFile;
use banger::size::{format_count, format_size};
use banger::watch::{Observer as _, Step};
use serde::Serialize;

use super::filesystem::FilesystemArguments;
use super::progress::Display;
use super::source::SourceArguments;
use super::table::fields;
use super::{Global, interrupt, report};

/// Flatten an image into an ext4 filesystem image
///
/// The source is a registry reference (debian:bookworm), oci:DIR[:TAG], oci-archive:FILE[:TAG],
/// docker-archive:FILE[:REF] or tar:FILE; for the archives, - is standard input.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// File to make; it appears whole or not at all
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    filesystem: FilesystemArguments,
    /// Replace an existing output file
    #[arg(long)]
    force: bool,
    /// Do not wait until the file is on disk
    #[arg(long)]
    no_fsync: bool,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let started = Instant::now();
        let options = self.filesystem.parameters().options()?;
        let (name, sources) = self.source.parse()?;
        let output = OutputFile::create(&self.output, self.force)?;
        let options = Options {
            limits: sources.limits.clone(),
            ..options
        };
        let sync = !self.no_fsync;
        let display = Display::new(global.progress, global.quiet, true);
        let summary = interrupt::run(display, |watch| async move {
            let file = output.handle()?;
            watch.begin(Step::Fetch)?;
            let (_, summary) = open_and_flatten(&name, &sources, &file, &options, &watch).await?;
            interrupt::blocking(move || output.publish(sync, &watch)).await?;
            Ok(summary)
        })?;
        let elapsed = started.elapsed();
        report::document(
            global,
            &Document::new(&summary, &self.output, elapsed),
            &summary.warnings,
            [summary.uuid],
            || text(&summary, &self.output, elapsed),
        )
    }
}

/// The summary as a JSON document: that of the library, and what only the command knows.
#[derive(Serialize)]
struct Document<'a> {
    output: String,
    #[serde(flatten)]
    summary: &'a Summary,
    seconds: f64,
    megabytes_per_second: f64,
}

impl<'a> Document<'a> {
    fn new(summary: &'a Summary, output: &Path, elapsed: Duration) -> Self {
        Self {
            output: output.display().to_string(),
            summary,
            seconds: elapsed.as_secs_f64(),
            megabytes_per_second: megabytes_per_second(summary, elapsed),
        }
    }
}

/// Uncompressed layer bytes per second, in units of 10⁶.
fn megabytes_per_second(summary: &Summary, elapsed: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let megabytes = summary.expanded_bytes as f64 / 1e6;
    megabytes / elapsed.as_secs_f64().max(1e-9)
}

fn text(summary: &Summary, output: &Path, elapsed: Duration) -> String {
    let mut rows = vec![("reference", summary.reference.clone())];
    rows.push(("digest", summary.digest.clone()));
    rows.push(("platform", summary.platform.clone()));
    rows.push((
        "layers",
        format!(
            "{}, {} stored, {} expanded",
            summary.layers.len(),
            format_size(summary.stored_bytes),
            format_size(summary.expanded_bytes)
        ),
    ));
    rows.push((
        "entries",
        format!(
            "{} in the layers, {} inodes in the filesystem",
            format_count(summary.entries),
            format_count(summary.used_inodes)
        ),
    ));
    rows.push(("content", format_size(summary.content_bytes)));
    rows.push((
        "filesystem",
        format!("{}, ext4", format_size(summary.size_bytes)),
    ));
    rows.push((
        "free",
        format!(
            "{}, {} inodes",
            format_size(summary.free_bytes),
            format_count(summary.free_inodes)
        ),
    ));
    rows.push(("on disk", format_size(summary.disk_bytes)));
    rows.push(("uuid", summary.uuid.to_string()));
    if let Some(verity) = &summary.verity {
        rows.push(("root hash", verity.root_hash.clone()));
        rows.push(("hash offset", format!("{} bytes", verity.hash_offset)));
    }
    rows.push((
        "time",
        format!(
            "{:.2} s, {:.0} MB/s",
            elapsed.as_secs_f64(),
            megabytes_per_second(summary, elapsed)
        ),
    ));
    rows.push(("output", output.display().to_string()));
    fields(&rows)
}
