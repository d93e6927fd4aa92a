//! Results on standard output, failures and warnings on standard error.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use banger::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Format, screen};

/// Writes the result of a command to standard output. A reader that has gone away is no failure.
pub(crate) fn result(text: &str) -> Result<(), Error> {
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

/// Writes the result of a command as one JSON document.
pub(crate) fn result_json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Failure, "write the result as JSON").with_source(error)
    })?;
    result(&format!("{text}\n"))
}

/// Writes a warning to standard error.
pub(crate) fn warning(text: &str) {
    screen::write(&format!("warning: {}\n", printable(text)));
}

/// Writes a failure, its causes and its hint to standard error.
pub(crate) fn failure(error: &Error, format: Format) {
    screen::write(&match format {
        Format::Text => failure_text(error),
        Format::Json => failure_json(error),
    });
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
    format!("{document}\n")
}

/// Text for a terminal: names in images and answers of registries may carry escape sequences.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
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
