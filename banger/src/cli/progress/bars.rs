//! Progress as bars: one for each layer, and a line with the totals.

use std::collections::{HashMap, HashSet};

use banger::progress::{LayerBlob, ProgressEvent};
use banger::size::format_count;
use banger::text::printable;
use banger::watch::Step;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::waiting;
use crate::cli::screen;
use crate::cli::table::short_digest;

/// Layers that get a bar of their own; of images with more, the rest is in the total line.
const MAX_BARS: usize = 20;

/// Rows of the terminal that stay free of layers: the total, and some of what was there before.
const FREE_ROWS: usize = 3;

/// Rows of a terminal that does not tell.
const USUAL_ROWS: u16 = 24;

/// Bars on the terminal that standard error is.
#[derive(Debug)]
pub(super) struct Bars {
    screen: MultiProgress,
    layers: Vec<ProgressBar>,
    /// The layers that a blob feeds: two may share one.
    layers_of: HashMap<String, Vec<usize>>,
    /// Blobs that still arrive: their bars tell what has arrived, not what is applied.
    arriving: HashSet<String>,
    /// Bytes of tar and entries that are applied, by layer.
    applied: HashMap<usize, (u64, u64)>,
    /// The layer that is being applied.
    flattening: Option<usize>,
    total: ProgressBar,
}

impl Bars {
    pub(super) fn new() -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        let total = multi.add(ProgressBar::new_spinner());
        total.set_style(style(
            "{elapsed:>5}  {binary_bytes:>11}  {binary_bytes_per_sec:>13}  {wide_msg}",
        ));
        screen::show(&multi);
        Self {
            screen: multi,
            layers: Vec::new(),
            layers_of: HashMap::new(),
            arriving: HashSet::new(),
            applied: HashMap::new(),
            flattening: None,
            total,
        }
    }

    /// Shows that time passes.
    pub(super) fn tick(&self) {
        self.total.tick();
    }

    /// Takes the bars off the screen.
    pub(super) fn clear(self) {
        // The result or the error that follows says it all.
        let _ = self.screen.clear();
        self.end();
    }

    /// Leaves the bars on the screen, and goes to the line below them.
    pub(super) fn leave(self) {
        self.end();
        screen::write("\n");
    }

    fn end(&self) {
        // Bars draw themselves once more when they are dropped.
        self.screen.set_draw_target(ProgressDrawTarget::hidden());
        screen::forget();
    }

    pub(super) fn take(&mut self, event: ProgressEvent) {
        match event {
            ProgressEvent::Resolved {
                reference, layers, ..
            } => self.resolve(&reference, layers),
            ProgressEvent::Cached { digest } => self.say(&digest, "cached"),
            ProgressEvent::Downloading {
                digest,
                received,
                size,
            } => {
                for bar in self.bars_of(&digest) {
                    bar.set_length(size);
                    bar.set_position(received);
                }
                if self.arriving.insert(digest.clone()) {
                    self.say(&digest, "downloading");
                }
            }
            ProgressEvent::Downloaded { digest } => {
                self.arriving.remove(&digest);
                self.say(&digest, "downloaded");
            }
            ProgressEvent::Retrying { reason, .. } => {
                self.total.set_message(printable(&reason).into_owned());
            }
            ProgressEvent::Waiting { what } => {
                self.total
                    .set_message(printable(&waiting(&what)).into_owned());
            }
            ProgressEvent::StepStarted { step } => {
                if let Some(text) = described(step) {
                    self.total.set_message(text);
                }
            }
            ProgressEvent::LayerStarted { layer } => {
                self.flattening = Some(layer);
                if let Some(bar) = self.layers.get(layer) {
                    bar.set_message("flattening");
                }
            }
            ProgressEvent::LayerProgress {
                layer,
                read,
                expanded,
                entries,
            } => {
                if !self.is_arriving(layer)
                    && let Some(bar) = self.layers.get(layer)
                {
                    bar.set_position(read);
                }
                self.count(layer, expanded, entries);
            }
            ProgressEvent::LayerFinished {
                layer,
                expanded,
                entries,
            } => {
                self.count(layer, expanded, entries);
                if let Some(bar) = self.layers.get(layer) {
                    bar.set_position(bar.length().unwrap_or(0));
                    bar.set_message("done");
                    bar.abandon();
                }
            }
            _ => {}
        }
    }

    fn resolve(&mut self, reference: &str, layers: Vec<LayerBlob>) {
        self.total.set_message(printable(reference).into_owned());
        let most = MAX_BARS.min(rows().saturating_sub(FREE_ROWS));
        for (index, LayerBlob { digest, size }) in layers.into_iter().enumerate().take(most) {
            let bar = ProgressBar::new(size.unwrap_or(0));
            let bar = self.screen.insert_before(&self.total, bar);
            bar.set_style(style(
                "{prefix:.dim} [{wide_bar}] {binary_bytes:>10}/{binary_total_bytes:<10} {msg:11}",
            ));
            let name = digest.as_deref().map_or_else(|| "tar".into(), short_digest);
            bar.set_prefix(format!("{:<12}", printable(&name)));
            bar.set_message("waiting");
            if let Some(digest) = digest {
                self.layers_of.entry(digest).or_default().push(index);
            }
            self.layers.push(bar);
        }
    }

    fn bars_of(&self, digest: &str) -> impl Iterator<Item = &ProgressBar> {
        let layers = self.layers_of.get(digest).into_iter().flatten();
        layers.filter_map(|layer| self.layers.get(*layer))
    }

    /// Says what becomes of a blob, at the layers that wait for it.
    fn say(&self, digest: &str, state: &'static str) {
        for layer in self.layers_of.get(digest).into_iter().flatten() {
            let begun = self.applied.contains_key(layer) || self.flattening == Some(*layer);
            if !begun && let Some(bar) = self.layers.get(*layer) {
                bar.set_message(state);
            }
        }
    }

    fn is_arriving(&self, layer: usize) -> bool {
        let mut arriving = self.arriving.iter();
        arriving.any(|digest| {
            self.layers_of
                .get(digest)
                .is_some_and(|of| of.contains(&layer))
        })
    }

    fn count(&mut self, layer: usize, expanded: u64, entries: u64) {
        self.applied.insert(layer, (expanded, entries));
        let sum = |of: fn(&(u64, u64)) -> u64| self.applied.values().map(of).sum::<u64>();
        self.total.set_position(sum(|(expanded, _)| *expanded));
        let entries = format_count(sum(|(_, entries)| *entries));
        self.total.set_message(format!("{entries} entries"));
    }
}

/// What is said of a step that comes after the layers.
fn described(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Finish => "finishing the filesystem",
        Step::Seal => "appending the hash tree",
        Step::Stage => "copying the kernel",
        Step::Inspect => "looking into the filesystem",
        Step::Publish => "flushing to disk",
        _ => return None,
    })
}

/// Rows of the terminal.
fn rows() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    let rows = size.map_or(0, |size| size.ws_row);
    usize::from(if rows == 0 { USUAL_ROWS } else { rows })
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates of this file are valid")
        .progress_chars("=> ")
}
