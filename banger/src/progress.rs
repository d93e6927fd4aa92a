//! How far a pull is, as values that can cross a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oci_flatten::progress::{self, Event};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that happened while an image was fetched and flattened.
///
/// Downloads are told by digest, because blobs arrive in any order and two layers may share one; layers
/// are told by their index, counted from 0 at the bottom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProgressEvent {
    /// It is known what the image is made of.
    Resolved {
        /// The source, in full.
        reference: String,
        /// The manifest's digest; none for a root filesystem tar.
        digest: Option<String>,
        /// The chosen platform, as `os/arch[/variant]`.
        platform: String,
        /// The layers, bottom first.
        layers: Vec<LayerBlob>,
    },
    /// A blob was in the cache.
    Cached {
        /// The blob.
        digest: String,
    },
    /// Some of a blob has arrived.
    Downloading {
        /// The blob.
        digest: String,
        /// Bytes so far, those of an earlier run included.
        received: u64,
        /// All its bytes.
        size: u64,
    },
    /// A blob is complete.
    Downloaded {
        /// The blob.
        digest: String,
    },
    /// A request failed and is tried again.
    Retrying {
        /// The blob; none for a manifest, a token or another small document.
        digest: Option<String>,
        /// The try that comes, counted from 2.
        attempt: u32,
        /// How long is waited before it.
        wait_seconds: f64,
        /// What went wrong.
        reason: String,
    },
    /// A step of the operation begins.
    StepStarted {
        /// The step.
        step: Step,
    },
    /// Another run holds a lock, and has been waited for for a second.
    Waiting {
        /// What is locked.
        what: String,
    },
    /// A layer is being applied.
    LayerStarted {
        /// The layer.
        layer: usize,
    },
    /// Some of a layer is applied.
    LayerProgress {
        /// The layer.
        layer: usize,
        /// Compressed bytes read.
        read: u64,
        /// Bytes of tar applied.
        expanded: u64,
        /// Entries applied.
        entries: u64,
    },
    /// A layer is applied.
    LayerFinished {
        /// The layer.
        layer: usize,
        /// Bytes of tar.
        expanded: u64,
        /// Entries of the tar.
        entries: u64,
    },
}

/// What an operation does next. A step is told when it begins; those of a pull come in this order.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The source has been parsed, and the pull begins.
    Parse,
    /// The name is given or derived.
    Name,
    /// A name that exists is refused.
    NameCheck,
    /// The kernel is found and checked.
    Kernel,
    /// The name is reserved and the staging directory made.
    Reserve,
    /// Layers are fetched and streamed into the filesystem.
    Fetch,
    /// The size is decided.
    Size,
    /// The filesystem is finished.
    Finish,
    /// The dm-verity hash tree is appended.
    Seal,
    /// Kernel, initrd and modules, or what else is to belong to the store, are copied.
    Stage,
    /// It is looked what the root filesystem holds.
    Inspect,
    /// Everything is synced and published by one rename.
    Publish,
    /// The blobs of the cache are read.
    Verify,
    /// What is no longer wanted is removed.
    Remove,
    /// It is done.
    Done,
}

/// A layer as the manifest names it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerBlob {
    /// The digest of its blob, where it has one.
    pub digest: Option<String>,
    /// The blob's size in bytes, where it is known.
    pub size: Option<u64>,
}

/// Takes events as they happen, from any thread; it must not block for long.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: ProgressEvent);
}

/// Nobody looks.
impl Observer for () {
    fn observe(&self, _event: ProgressEvent) {}
}

/// Hands the library's events on to an [`Observer`].
///
/// That the image is resolved is told once: a registry's source says it before its downloads begin, and
/// the flattening says it of every source.
pub struct Forward {
    resolved: AtomicBool,
    to: Arc<dyn Observer>,
}

impl Forward {
    /// Hands events on to `to`.
    #[must_use]
    pub fn to(to: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            resolved: AtomicBool::new(false),
            to,
        })
    }
}

impl progress::Observer for Forward {
    fn observe(&self, event: Event) {
        let again =
            matches!(event, Event::Resolved { .. }) && self.resolved.swap(true, Ordering::Relaxed);
        if let Some(event) = ProgressEvent::of(event).filter(|_| !again) {
            self.to.observe(event);
        }
    }
}

impl ProgressEvent {
    /// The event as a value of this crate; none for one that the library has and users are not told.
    #[must_use]
    pub fn of(event: Event) -> Option<Self> {
        let text = |digest: Option<oci_flatten::digest::Digest>| digest.map(|d| d.to_string());
        Some(match event {
            Event::Resolved {
                reference,
                digest,
                platform,
                layers,
            } => Self::Resolved {
                reference,
                digest: text(digest),
                platform: platform.to_string(),
                layers: layers
                    .into_iter()
                    .map(|(digest, size)| LayerBlob {
                        digest: text(digest),
                        size,
                    })
                    .collect(),
            },
            Event::Cached { digest } => Self::Cached {
                digest: digest.to_string(),
            },
            Event::Downloading {
                digest,
                received,
                size,
            } => Self::Downloading {
                digest: digest.to_string(),
                received,
                size,
            },
            Event::Downloaded { digest } => Self::Downloaded {
                digest: digest.to_string(),
            },
            Event::Retrying {
                digest,
                attempt,
                wait,
                reason,
            } => Self::Retrying {
                digest: text(digest),
                attempt,
                wait_seconds: wait.as_secs_f64(),
                reason,
            },
            Event::Waiting { path } => Self::Waiting {
                what: path.display().to_string(),
            },
            Event::LayerStarted { layer } => Self::LayerStarted { layer },
            Event::LayerProgress {
                layer,
                read,
                expanded,
                entries,
            } => Self::LayerProgress {
                layer,
                read,
                expanded,
                entries,
            },
            Event::LayerFinished {
                layer,
                expanded,
                entries,
            } => Self::LayerFinished {
                layer,
                expanded,
                entries,
            },
            _ => return None,
        })
    }

    /// What the event is about, where a later one of the same subject makes it worthless: it only says
    /// how far something is.
    #[must_use]
    pub fn subject(&self) -> Option<Subject<'_>> {
        match self {
            Self::Downloading { digest, .. } => Some(Subject::Blob(digest)),
            Self::LayerProgress { layer, .. } => Some(Subject::Layer(*layer)),
            _ => None,
        }
    }
}

/// What an event that only says how far something is, is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Subject<'a> {
    /// The download of a blob.
    Blob(&'a str),
    /// The application of a layer.
    Layer(usize),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_have_a_name_and_come_back() {
        let event = ProgressEvent::of(Event::LayerStarted { layer: 3 }).unwrap();
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(value, json!({"event": "layer-started", "layer": 3}));
        let back: ProgressEvent = serde_json::from_value(value).unwrap();
        assert_eq!(back, event);
    }
}
