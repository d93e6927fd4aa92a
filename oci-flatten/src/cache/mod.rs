//! The blob cache: a valid [OCI image layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)
//! that several processes share.
//!
//! ```text
//! oci-layout            the layout's version
//! index.json            one descriptor for each pulled reference; its annotation holds the reference
//! blobs/ALG/HEX         complete: size and digest were right and the bytes on disk before the name appeared
//! ingest/ALG-HEX.part   arriving; whoever holds its lock writes it, others wait for the blob
//! ```
//!
//! Locks are `flock`s and die with their holder. A reader holds a shared one on its blob, a writer an exclusive
//! one on its partial file, and whoever changes `index.json` or prunes an exclusive one on the folder. A reader's
//! file stays readable when it is unlinked, so no reader can be harmed; the lock only spares a second download.
//!
//! Blobs are verified again each time they are read, for the bytes are at hand then. One that is wrong is
//! unlinked and reported as a [`CorruptBlob`], the sign to start over: the next try fetches it anew.

mod blob;
mod index;
mod ingest;
mod prune;
mod repair;
mod show;
mod verify;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::{Algorithm, Digest};
use crate::directory::{Directory, FileFacts, FileKind};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::Waiter;

pub use blob::{CachedBlob, CorruptBlob};
pub use index::DamagedIndex;
pub use ingest::{Claim, Ingest};
pub use prune::{PrunePolicy, Pruned, Removed};
pub use repair::Repair;
pub use show::{CachedImage, Contents};
pub use verify::{IncompleteImage, Verified};

/// The file that says that a folder is an image layout, and by which version.
const LAYOUT_FILE: &str = "oci-layout";
/// What it holds.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Largest `oci-layout` that is read, in bytes.
const LAYOUT_LIMIT: u64 = 64 << 10;
/// The file that lists the images.
const INDEX_FILE: &str = "index.json";
/// An index without images.
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// Largest manifest, index or config that is read, in bytes.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
/// The folders that blobs may lie in.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

/// A cache folder; clones share it.
#[derive(Clone, Debug)]
pub struct Cache {
    root: Directory,
    /// What was thrown away since it was opened.
    discarded: Arc<Mutex<Vec<CorruptBlob>>>,
    waiter: Waiter,
}

impl Cache {
    /// Opens the cache in `root`, and makes it when it is not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::NoSpace`] when the folder cannot be made or written,
    /// [`ErrorKind::InvalidInput`] when it holds something other than an image layout.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(root, Waiter::default())
    }

    /// As [`open`](Self::open), for someone who waits for locks with less patience.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`ErrorKind::Cancelled`].
    pub fn open_as(root: impl AsRef<Path>, waiter: Waiter) -> Result<Self> {
        let root = root.as_ref();
        let failed = |error| Error::io(format!("open cache {}", root.display()), error);
        let cache = Self {
            root: Directory::open_or_create(root).map_err(failed)?,
            discarded: Arc::default(),
            waiter,
        };
        for names in [&["blobs", Algorithm::Sha256.name()][..], &["ingest"]] {
            let mut directory = cache.root.clone();
            for name in names {
                let path = directory.path_of(name);
                directory = directory
                    .directory_or_create(name)
                    .map_err(|error| Error::io(format!("open {}", path.display()), error))?;
            }
        }
        cache.check_layout()?;
        Ok(cache)
    }

    /// Opens the cache in `root` when there is one.
    ///
    /// # Errors
    ///
    /// As [`open_as`](Self::open_as).
    pub fn open_existing(root: impl AsRef<Path>, waiter: Waiter) -> Result<Option<Self>> {
        let root = root.as_ref();
        let found = Directory::open(root).and_then(|root| root.contains(LAYOUT_FILE));
        match found {
            Ok(true) => Self::open_as(root, waiter).map(Some),
            Ok(false) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("open cache {}", root.display()), error)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The blobs that turned out wrong and were thrown away since the cache was opened, or since this was asked last.
    #[must_use]
    pub fn take_discarded(&self) -> Vec<CorruptBlob> {
        let mut discarded = self
            .discarded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *discarded)
    }

    /// Notes that a blob was thrown away.
    fn note_discarded(&self, digest: &Digest, found: impl Into<String>) {
        let mut discarded = self
            .discarded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let blob = CorruptBlob {
            expected: digest.clone(),
            found: found.into(),
        };
        if !discarded.contains(&blob) {
            discarded.push(blob);
        }
    }

    fn check_layout(&self) -> Result<()> {
        let path = self.root.path_of(LAYOUT_FILE);
        let found = match self.root.read(LAYOUT_FILE, LAYOUT_LIMIT) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.create_layout(),
            Err(error) => return Err(Error::io(format!("read {}", path.display()), error)),
        };
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Layout {
            image_layout_version: String,
        }
        match serde_json::from_slice(&found) {
            Ok(Layout {
                image_layout_version,
            }) if image_layout_version == "1.0.0" => Ok(()),
            Ok(Layout {
                image_layout_version: version,
            }) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "cache has layout version {version:?} (1.0.0 is known): {}",
                    path.display()
                ),
            )),
            Err(error) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("cache folder is not an image layout: {}", path.display()),
            )
            .with_source(error)),
        }
    }

    fn create_layout(&self) -> Result<()> {
        let _lock = self.lock()?;
        let index = self.root.contains(INDEX_FILE);
        if !index.map_err(|error| self.failed("read", INDEX_FILE, error))? {
            self.replace(INDEX_FILE, EMPTY_INDEX)?;
        }
        self.replace(LAYOUT_FILE, LAYOUT)
    }

    /// Replaces a file of the root; the caller holds the lock.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.root
            .replace(name, bytes)
            .map_err(|error| self.failed("write", name, error))
    }

    fn failed(&self, verb: &str, name: &str, error: io::Error) -> Error {
        Error::io(
            format!("{verb} {}", self.root.path_of(name).display()),
            error,
        )
    }

    /// Holds off everyone else who would change `index.json` or prune.
    fn lock(&self) -> Result<File> {
        let path = self.root.path();
        let failed = |error| Error::io(format!("lock cache {}", path.display()), error);
        let own = self.root.reopen().map_err(failed)?;
        self.waiter.lock(&own, path)?;
        Ok(own)
    }

    fn blobs(&self, algorithm: Algorithm) -> io::Result<Directory> {
        self.root.directory("blobs")?.directory(algorithm.name())
    }

    fn ingest_directory(&self) -> io::Result<Directory> {
        self.root.directory("ingest")
    }

    /// Every complete blob, by digest. Other things in the folders are left alone.
    fn list_blobs(&self) -> Result<Vec<(Digest, FileFacts)>> {
        let mut found = Vec::new();
        for algorithm in ALGORITHMS {
            for (name, facts) in list_files(self.blobs(algorithm), algorithm.name())? {
                let digest = name
                    .to_str()
                    .map(|hex| format!("{}:{hex}", algorithm.name()));
                if let Some(Ok(digest)) = digest.map(|text| text.parse::<Digest>()) {
                    found.push((digest, facts));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Every partial file, by name.
    fn list_parts(&self) -> Result<Vec<(OsString, FileFacts)>> {
        list_files(self.ingest_directory(), "ingest")
    }
}

/// The regular files of a folder, by name; none when it is not there.
fn list_files(directory: io::Result<Directory>, what: &str) -> Result<Vec<(OsString, FileFacts)>> {
    let entries = match directory.and_then(|directory| directory.entries()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(format!("list {what} of the cache"), error)),
    };
    let files = entries
        .into_iter()
        .filter(|entry| entry.facts.kind == FileKind::File);
    Ok(files.map(|entry| (entry.name, entry.facts)).collect())
}

/// The name of a blob's partial file.
fn part_name(digest: &Digest) -> String {
    format!("{}-{}.part", digest.algorithm().name(), digest.hex())
}

/// Marks a file as used now, by the kernel's clock.
fn touch(file: &File) -> io::Result<()> {
    use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
    let time = |nanoseconds| Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    Ok(rustix::fs::futimens(file, &times)?)
}
