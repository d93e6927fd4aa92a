//! Progress as lines: for people who read a log, and for programs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use banger::progress::ProgressEvent;
use banger::size::{format_count, format_size};
use banger::text::printable;

use crate::cli::screen;

/// One line for each step that is worth one.
#[derive(Debug, Default)]
pub(super) struct Plain {
    layers: usize,
}

impl Plain {
    pub(super) fn take(&mut self, event: &ProgressEvent) {
        if let ProgressEvent::Resolved { layers, .. } = event {
            self.layers = layers.len();
        }
        if let Some(line) = plain_line(event, self.layers) {
            screen::write(&format!("{}\n", printable(&line)));
        }
    }
}

/// Whom the command waits for.
pub(super) fn waiting(what: &str) -> String {
    format!("waiting for another run, which has locked {what}")
}

fn plain_line(event: &ProgressEvent, layers: usize) -> Option<String> {
    Some(match event {
        ProgressEvent::Resolved {
            reference,
            platform,
            layers,
            ..
        } => {
            let plural = if layers.len() == 1 { "" } else { "s" };
            format!("{reference}: {platform}, {} layer{plural}", layers.len())
        }
        ProgressEvent::Cached { digest } => format!("{digest}: cached"),
        ProgressEvent::Downloaded { digest } => format!("{digest}: downloaded"),
        ProgressEvent::Retrying {
            digest,
            attempt,
            wait_seconds,
            reason,
        } => {
            let what = digest.as_deref().unwrap_or("request");
            format!("{what}: {reason}; attempt {attempt} in {wait_seconds:.1} s")
        }
        ProgressEvent::Waiting { what } => waiting(what),
        ProgressEvent::LayerStarted { layer } => {
            format!("layer {} of {layers}: flattening", layer + 1)
        }
        ProgressEvent::LayerFinished {
            layer,
            expanded,
            entries,
        } => format!(
            "layer {} of {layers}: done, {} entries, {}",
            layer + 1,
            format_count(*entries),
            format_size(*expanded),
        ),
        _ => return None,
    })
}

/// One JSON object a line. Of the events that only say how far something is, each subject gets ten a
/// second at most.
#[derive(Debug, Default)]
pub(super) struct Json {
    last: HashMap<String, Instant>,
}

const INTERVAL: Duration = Duration::from_millis(100);

impl Json {
    pub(super) fn take(&mut self, event: &ProgressEvent) {
        if let Some(subject) = event.subject() {
            let subject = format!("{subject:?}");
            let now = Instant::now();
            let last = self.last.get(&subject);
            if last.is_some_and(|shown| now - *shown < INTERVAL) {
                return;
            }
            self.last.insert(subject, now);
        }
        if let Ok(line) = serde_json::to_string(event) {
            screen::write_json(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_tell_steps_and_not_bytes() {
        let finished = ProgressEvent::LayerFinished {
            layer: 0,
            expanded: 2048,
            entries: 1234,
        };
        let line = plain_line(&finished, 2).unwrap();
        assert_eq!(line, "layer 1 of 2: done, 1,234 entries, 2 KiB");
        assert_eq!(
            plain_line(
                &ProgressEvent::LayerProgress {
                    layer: 0,
                    read: 1,
                    expanded: 1,
                    entries: 1
                },
                2
            ),
            None
        );
    }
}
