//! Progress on standard error: bars on a terminal, lines in a pipe, or one JSON event a line.

mod bars;
mod lines;

use std::io::IsTerminal;
use std::sync::Arc;

use banger::progress::Observer;
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

/// The observer that shows progress in `style`.
pub(crate) fn observer(style: Style, quiet: bool) -> Arc<dyn Observer> {
    match style {
        Style::None => Arc::new(()),
        _ if quiet => Arc::new(()),
        Style::Auto if std::io::stderr().is_terminal() => Arc::new(bars::Bars::new()),
        Style::Auto | Style::Plain => Arc::new(lines::Plain::default()),
        Style::Json => Arc::new(lines::Json::default()),
    }
}
