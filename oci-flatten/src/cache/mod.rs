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
mod file;
mod index;
mod ingest;
mod prune;
mod show;
mod verify;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};

pub use blob::{CachedBlob, CorruptBlob};
pub use ingest::{Claim, Ingest};
pub use prune::{PrunePolicy, Pruned, Removed};
pub use show::{CachedImage, Contents};
pub use verify::{IncompleteImage, Verified};

/// What the `oci-layout` file holds.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// An index without images.
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
/// Largest manifest, index or config that is read, in bytes.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
/// The folders that blobs may lie in.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
/// Only the owner may look: images can be private.
const DIRECTORY_MODE: u32 = 0o700;

/// A cache folder; clones share it.
#[derive(Clone, Debug)]
pub struct Cache {
    root: Arc<Path>,
}

impl Cache {
    /// Opens the cache in `root`, and makes it when it is not there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::NoSpace`] when the folder cannot be made or written,
    /// [`ErrorKind::InvalidInput`] when it holds something other than an image layout.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let cache = Self { root: root.into() };
        for directory in [cache.blobs(Algorithm::Sha256), cache.ingest_directory()] {
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(&directory)
                .map_err(|error| Error::io(format!("create {}", directory.display()), error))?;
        }
        cache.check_layout()?;
        Ok(cache)
    }

    /// Opens the cache in `root` when there is one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_existing(root: impl AsRef<Path>) -> Result<Option<Self>> {
        let root = root.as_ref();
        match fs::metadata(root.join("oci-layout")) {
            Ok(_) => Self::open(root).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("open cache {}", root.display()), error)),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn check_layout(&self) -> Result<()> {
        let path = self.root.join("oci-layout");
        let found = match fs::read(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.create_layout(&path);
            }
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

    fn create_layout(&self, path: &Path) -> Result<()> {
        let _lock = self.lock()?;
        if !self.index_path().exists() {
            file::replace(&self.index_path(), EMPTY_INDEX)?;
        }
        file::replace(path, LAYOUT)
    }

    /// Holds off everyone else who would change `index.json` or prune.
    fn lock(&self) -> Result<File> {
        let failed = |error| Error::io(format!("lock cache {}", self.root.display()), error);
        let directory = File::open(&self.root).map_err(failed)?;
        directory.lock().map_err(failed)?;
        Ok(directory)
    }

    fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.name())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    fn ingest_directory(&self) -> PathBuf {
        self.root.join("ingest")
    }

    fn part_path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}.part", digest.algorithm().name(), digest.hex());
        self.ingest_directory().join(name)
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }

    /// Every complete blob with its size in bytes, by digest. Other files in the folders are left alone.
    fn list_blobs(&self) -> Result<Vec<(Digest, fs::Metadata)>> {
        let mut found = Vec::new();
        for algorithm in ALGORITHMS {
            for (name, metadata) in file::list(&self.blobs(algorithm))? {
                if let Ok(digest) = format!("{}:{name}", algorithm.name()).parse::<Digest>() {
                    found.push((digest, metadata));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Every partial file.
    fn list_parts(&self) -> Result<Vec<(PathBuf, fs::Metadata)>> {
        let directory = self.ingest_directory();
        let files = file::list(&directory)?;
        Ok(files
            .into_iter()
            .map(|(name, metadata)| (directory.join(name), metadata))
            .collect())
    }
}
