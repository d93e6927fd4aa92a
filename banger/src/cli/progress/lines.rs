//! Progress as lines: for people who read a log, and for programs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use banger::size::{format_count, format_size};
use oci_flatten::progress::{Event, Observer};
use serde_json::{Value, json};

use crate::cli::report::{printable, to_stderr};

/// One line for each step that is worth one.
#[derive(Debug, Default)]
pub(super) struct Plain {
    layers: Mutex<usize>,
}

impl Observer for Plain {
    fn observe(&self, event: Event) {
        let mut layers = self
            .layers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Event::Resolved { layers: found, .. } = &event {
            *layers = found.len();
        }
        if let Some(line) = plain_line(&event, *layers) {
            to_stderr(&format!("{}\n", printable(&line)));
        }
    }
}

fn plain_line(event: &Event, layers: usize) -> Option<String> {
    Some(match event {
        Event::Resolved {
            reference,
            platform,
            layers,
            ..
        } => {
            format!("{reference}: {platform}, {} layers", layers.len())
        }
        Event::Cached { digest } => format!("{digest}: cached"),
        Event::Downloaded { digest } => format!("{digest}: downloaded"),
        Event::Retrying {
            digest,
            attempt,
            wait,
            reason,
        } => {
            let what = digest
                .as_ref()
                .map_or_else(|| "request".to_owned(), ToString::to_string);
            format!(
                "{what}: {reason}; attempt {attempt} in {:.1} s",
                wait.as_secs_f64()
            )
        }
        Event::LayerStarted { layer } => format!("layer {} of {layers}: flattening", layer + 1),
        Event::LayerFinished {
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
    last: Mutex<HashMap<String, Instant>>,
}

const INTERVAL: Duration = Duration::from_millis(100);

impl Observer for Json {
    fn observe(&self, event: Event) {
        let subject = match &event {
            Event::Downloading { digest, .. } => Some(digest.to_string()),
            Event::LayerProgress { layer, .. } => Some(layer.to_string()),
            _ => None,
        };
        if let Some(subject) = subject {
            let mut last = self
                .last
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let now = Instant::now();
            if last
                .get(&subject)
                .is_some_and(|shown| now - *shown < INTERVAL)
            {
                return;
            }
            last.insert(subject, now);
        }
        if let Some(value) = json_value(&event) {
            to_stderr(&format!("{value}\n"));
        }
    }
}

fn json_value(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Resolved {
            reference,
            digest,
            platform,
            layers,
        } => json!({
            "event": "resolved",
            "reference": reference,
            "digest": digest.as_ref().map(ToString::to_string),
            "platform": platform.to_string(),
            "layers": layers.iter().map(|(digest, size)| json!({
                "digest": digest.as_ref().map(ToString::to_string),
                "size": size,
            })).collect::<Vec<_>>(),
        }),
        Event::Cached { digest } => json!({"event": "cached", "digest": digest.to_string()}),
        Event::Downloading {
            digest,
            received,
            size,
        } => json!({
            "event": "downloading",
            "digest": digest.to_string(),
            "received": received,
            "size": size,
        }),
        Event::Downloaded { digest } => {
            json!({"event": "downloaded", "digest": digest.to_string()})
        }
        Event::Retrying {
            digest,
            attempt,
            wait,
            reason,
        } => json!({
            "event": "retrying",
            "digest": digest.as_ref().map(ToString::to_string),
            "attempt": attempt,
            "wait_seconds": wait.as_secs_f64(),
            "reason": reason,
        }),
        Event::LayerStarted { layer } => json!({"event": "layer-started", "layer": layer}),
        Event::LayerProgress {
            layer,
            read,
            expanded,
        } => json!({
            "event": "layer-progress",
            "layer": layer,
            "read": read,
            "expanded": expanded,
        }),
        Event::LayerFinished {
            layer,
            expanded,
            entries,
        } => json!({
            "event": "layer-finished",
            "layer": layer,
            "expanded": expanded,
            "entries": entries,
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_tell_steps_and_not_bytes() {
        let finished = Event::LayerFinished {
            layer: 0,
            expanded: 2048,
            entries: 1234,
        };
        let line = plain_line(&finished, 2).unwrap();
        assert_eq!(line, "layer 1 of 2: done, 1,234 entries, 2 KiB");
        assert_eq!(
            plain_line(
                &Event::LayerProgress {
                    layer: 0,
                    read: 1,
                    expanded: 1
                },
                2
            ),
            None
        );
    }

    #[test]
    fn json_events_have_a_name() {
        let value = json_value(&Event::LayerStarted { layer: 3 }).unwrap();
        assert_eq!(value, json!({"event": "layer-started", "layer": 3}));
    }
}
