//! Results on standard output, failures and warnings on standard error.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};

use banger::text::{printable, printable_json, printable_lines};
use banger::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Format, Global, screen};

/// Writes the result of a command to standard output. A reader that has gone away is no failure.
pub(crate) fn result(text: &str) -> Result<(), Error> {
    to_stdout(&printable_lines(text))
}

/// Writes the result of a command as one JSON document.
pub(crate) fn result_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Failure, "write the result as JSON").with_source(error)
    })?;
    to_stdout(&printable_json(&format!("{text}\n")))
}

/// Reports a reply: as one JSON document, with `--quiet` as identifiers, one a line, or as text. In JSON the
/// warnings are a member of the document; else they go to standard error.
pub(crate) fn reply<I: Display>(
    global: &Global,
    reply: &impl Serialize,
    warnings: &[String],
    identifiers: impl IntoIterator<Item = I>,
    text: impl FnOnce() -> String,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct WithWarnings<'a, T> {
        #[serde(flatten)]
        reply: &'a T,
        warnings: &'a [String],
    }
    let document = WithWarnings { reply, warnings };
    self::document(global, &document, warnings, identifiers, text)
}

/// Reports a reply that holds its warnings itself, as [`reply`] does.
pub(crate) fn document<I: Display>(
    global: &Global,
    document: &impl Serialize,
    warnings: &[String],
    identifiers: impl IntoIterator<Item = I>,
    text: impl FnOnce() -> String,
) -> Result<(), Error> {
    if global.format == Format::Json {
        return result_json(document);
    }
    for warning in warnings {
        self::warning(warning);
    }
    match global.quiet {
        true => result(&lines(identifiers)),
        false => result(&text()),
    }
}

/// One value a line.
pub(crate) fn lines<I: Display>(values: impl IntoIterator<Item = I>) -> String {
    let mut text = String::new();
    for value in values {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", printable(&value.to_string()));
    }
    text
}

/// Writes a warning to standard error.
pub(crate) fn warning(text: &str) {
    screen::write(&format!("warning: {}\n", printable(text)));
}

/// Says on standard error what an empty result means.
pub(crate) fn note(global: &Global, text: &str) {
    if global.format == Format::Text && !global.quiet {
        screen::write(&format!("{}\n", printable(text)));
    }
}

/// Writes a failure, its causes and its hint to standard error.
pub(crate) fn failure(error: &Error, format: Format) {
    match format {
        Format::Text => screen::write(&failure_text(error)),
        Format::Json => screen::write_json(&failure_json(error)),
    }
}

fn failure_text(error: &Error) -> String {
    let mut text = format!("error: {}\n", printable(&error.to_string()));
    for cause in error.causes() {
        let _ = writeln!(text, "caused by: {}", printable(&cause));
    }
    if let Some(hint) = error.hint() {
        let _ = writeln!(text, "hint: {}", printable(hint));
    }
    text
}

fn failure_json(error: &Error) -> String {
    let document = json!({
        "error": {
            "code": error.kind().code(),
            "exit_code": error.kind().exit_code(),
            "message": error.to_string(),
            "causes": error.causes(),
            "hint": error.hint(),
        }
    });
    document.to_string()
}

/// Has the libraries' log written to standard error.
pub(crate) fn start_log() {
    let ours = ["banger", "oci_flatten", "ext4_writer"].map(|name| (name, LevelFilter::DEBUG));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| screen::LogWriter)
        .with_timer(tracing_subscriber::fmt::time::uptime())
        .with_ansi(false);
    // There is one log a process, and this is the only place that starts it.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(Targets::new().with_targets(ours)))
        .try_init();
}

fn to_stdout(text: &str) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to standard output", error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_show_causes_and_hints_and_no_escape_sequences() {
        let inner = Error::new(ErrorKind::Failure, "bad name \u{1b}[31m");
        let error = Error::new(ErrorKind::Integrity, "layer 2 of 3 is malformed")
            .with_source(inner)
            .with_hint("pull it again");
        assert_eq!(
            failure_text(&error),
            "error: layer 2 of 3 is malformed\ncaused by: bad name \\u{1b}[31m\nhint: pull it again\n"
        );
        let json: serde_json::Value = serde_json::from_str(&failure_json(&error)).unwrap();
        assert_eq!(json["error"]["code"], "integrity");
        assert_eq!(json["error"]["exit_code"], 7);
    }
}
