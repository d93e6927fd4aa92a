//! Progress on standard error: bars on a terminal, lines in a pipe, or one JSON event a line.

mod bars;
mod lines;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use oci_flatten::progress::{Event, Observer, Silent};

/// How progress is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Style {
    /// Bars on a terminal, else lines
    Auto,
    /// A line for each step
    Plain,
    /// A JSON object a line
    Json,
    /// Nothing
    None,
}

/// The observer that shows progress in `style`.
pub(crate) fn observer(style: Style, quiet: bool) -> Arc<dyn Observer> {
    match style {
        Style::None => Arc::new(Silent),
        _ if quiet => Arc::new(Silent),
        Style::Auto if std::io::stderr().is_terminal() => Once::of(bars::Bars::new()),
        Style::Auto | Style::Plain => Once::of(lines::Plain::default()),
        Style::Json => Once::of(lines::Json::default()),
    }
}

/// Tells once that the image is resolved: a registry's source says it before its downloads begin, and the
/// flattening says it of every source.
#[derive(Debug)]
struct Once<O> {
    resolved: AtomicBool,
    shown: O,
}

impl<O: Observer> Once<O> {
    fn of(shown: O) -> Arc<Self> {
        Arc::new(Self {
            resolved: AtomicBool::new(false),
            shown,
        })
    }
}

impl<O: Observer> Observer for Once<O> {
    fn observe(&self, event: Event) {
        let again =
            matches!(event, Event::Resolved { .. }) && self.resolved.swap(true, Ordering::Relaxed);
        if !again {
            self.shown.observe(event);
        }
    }
}
