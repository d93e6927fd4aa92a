//! Progress on standard error: bars on a terminal, lines in a pipe, or one JSON event a line.

mod bars;
mod lines;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger::progress::{Observer, ProgressEvent};
use clap::ValueEnum;

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

/// What is shown while a command works. Once it is dropped, the bars are off the screen and nothing more
/// is written, whoever still has the observer: what follows is the result.
pub(crate) struct Display(Arc<Gate>);

/// Lets events through until it is closed.
struct Gate(Mutex<Option<Shown>>);

enum Shown {
    Bars(bars::Bars),
    Plain(lines::Plain),
    Json(lines::Json),
}

impl Display {
    /// Shows progress in `style`. Only what has layers has bars.
    pub(crate) fn new(style: Style, quiet: bool, has_layers: bool) -> Self {
        let is_terminal = has_layers && std::io::stderr().is_terminal();
        let shown = match style {
            Style::None => None,
            _ if quiet => None,
            Style::Auto if is_terminal => Some(Shown::Bars(bars::Bars::new())),
            Style::Auto | Style::Plain => Some(Shown::Plain(lines::Plain::default())),
            Style::Json => Some(Shown::Json(lines::Json::default())),
        };
        Self(Arc::new(Gate(Mutex::new(shown))))
    }

    /// Takes the events to show.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        self.0.clone()
    }

    /// Shows that time passes. To be called a few times a second.
    pub(crate) fn tick(&self) {
        if let Some(Shown::Bars(bars)) = &*self.0.lock() {
            bars.tick();
        }
    }

    /// Shows no more, and leaves bars on the screen as they are: a terminal has written `^C` below them, so
    /// that nobody can tell any more where they are.
    pub(crate) fn freeze(&self) {
        if let Some(Shown::Bars(bars)) = self.0.lock().take() {
            bars.leave();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(Shown::Bars(bars)) = self.0.lock().take() {
            bars.clear();
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Option<Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Gate {
    fn observe(&self, event: ProgressEvent) {
        match &mut *self.lock() {
            Some(Shown::Bars(bars)) => bars.take(event),
            Some(Shown::Plain(lines)) => lines.take(&event),
            Some(Shown::Json(lines)) => lines.take(&event),
            None => {}
        }
    }
}
