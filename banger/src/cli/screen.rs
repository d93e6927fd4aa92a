//! Standard error, which messages, the log and progress bars share.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use banger::text::{printable_json, printable_lines};
use indicatif::MultiProgress;

/// The bars on the screen. A process has one standard error.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

fn bars() -> MutexGuard<'static, Option<MultiProgress>> {
    BARS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has text written above `bars` from now on.
pub(super) fn show(shown: &MultiProgress) {
    *bars() = Some(shown.clone());
}

/// There are no bars any more.
pub(super) fn forget() {
    *bars() = None;
}

/// Writes lines to standard error, above the bars.
pub(crate) fn write(text: &str) {
    emit(&printable_lines(text));
}

/// Writes one JSON document as a line of standard error, above the bars.
pub(crate) fn write_json(document: &str) {
    emit(&format!("{}\n", printable_json(document)));
}

/// There is nowhere to report a failure of this.
fn emit(text: &str) {
    let emit = || drop(io::stderr().lock().write_all(text.as_bytes()));
    match &*bars() {
        Some(shown) => shown.suspend(emit),
        None => emit(),
    }
}

/// Writes the lines of the log, each whole.
pub(crate) struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
