//! What happens while an image is fetched and flattened, as values: never a terminal.

use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;
use crate::platform::Platform;

/// One thing that happened.
///
/// Downloads are told by digest, because blobs arrive in any order and two layers may share one;
/// layers are told by their index, counted from 0 at the bottom.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The image is chosen and its layers are known.
    Resolved {
        /// The source, in full.
        reference: String,
        /// The manifest's digest; `None` for a root filesystem tar, which is known by its bytes only.
        digest: Option<Digest>,
        /// The chosen platform.
        platform: Platform,
        /// The layers, bottom first: blob digest and compressed size in bytes where they are known.
        layers: Vec<(Option<Digest>, Option<u64>)>,
    },
    /// A blob is in the cache: nothing is fetched.
    Cached {
        /// The blob.
        digest: Digest,
    },
    /// More of a blob has arrived.
    Downloading {
        /// The blob.
        digest: Digest,
        /// Bytes so far, those of an earlier run included.
        received: u64,
        /// All its bytes.
        size: u64,
    },
    /// A blob is complete, verified and kept.
    Downloaded {
        /// The blob.
        digest: Digest,
    },
    /// More of a blob was sent to a registry.
    Uploading {
        /// The blob.
        digest: Digest,
        /// Bytes that the registry has.
        sent: u64,
        /// All its bytes.
        size: u64,
    },
    /// A blob is complete at a registry.
    Uploaded {
        /// The blob.
        digest: Digest,
    },
    /// A request failed and is tried again.
    Retrying {
        /// The blob; `None` for a manifest, a token or another small document.
        digest: Option<Digest>,
        /// The try that comes, counted from 2.
        attempt: u32,
        /// How long is waited before it.
        wait: Duration,
        /// What went wrong.
        reason: String,
    },
    /// Another run holds a lock, and has been waited for for a second.
    Waiting {
        /// What is locked.
        path: PathBuf,
    },
    /// A layer is being decoded.
    LayerStarted {
        /// The layer.
        layer: usize,
    },
    /// A layer has got further; sent at most once for each buffer.
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
    /// A layer is applied, and its digests are right.
    LayerFinished {
        /// The layer.
        layer: usize,
        /// Bytes of tar.
        expanded: u64,
        /// Entries of the tar.
        entries: u64,
    },
}

/// Takes events as they happen, from any thread; it must not block for long.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn observe(&self, event: Event);
}

impl<F: Fn(Event) + Send + Sync> Observer for F {
    fn observe(&self, event: Event) {
        self(event);
    }
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: Event) {}
}
