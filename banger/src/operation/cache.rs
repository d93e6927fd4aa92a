//! The operations on the layer cache.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use oci_flatten::cache::{self, Cache, PrunePolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Context, Operation, Pace, Watch};
use crate::error::Error;
use crate::watch::{Observer as _, Step};

/// The cache; none where there is no folder. Looking at a cache should not make one.
fn open(context: &Context, watch: &Watch) -> Result<Option<Cache>, Error> {
    let places = &context.config.places;
    Ok(Cache::open_existing(&places.cache, watch.waiter())?)
}

/// Tells where the cache is and what is in it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CacheShow {}

/// What is in the cache.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CacheContents {
    /// The folder: an OCI image layout.
    pub location: PathBuf,
    /// The images.
    pub images: Vec<CachedImage>,
    /// Complete blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Blobs that no image needs.
    pub leftover_blobs: u64,
    /// Their bytes.
    pub leftover_bytes: u64,
    /// Unfinished downloads.
    pub unfinished: u64,
    /// Their bytes.
    pub unfinished_bytes: u64,
}

/// An image in the cache.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CachedImage {
    /// Its reference.
    pub reference: String,
    /// The digest of its manifest or index.
    pub digest: String,
    /// Bytes of its blobs that are there.
    pub size_bytes: u64,
    /// How many of its blobs are not.
    pub missing_blobs: u64,
    /// When it was last pulled: RFC 3339 in UTC.
    pub pulled: Option<String>,
}

impl Operation for CacheShow {
    const METHOD: &'static str = "cache.show";
    type Reply = CacheContents;

    fn run(self, context: &Context, watch: &Watch) -> Result<CacheContents, Error> {
        let found = match open(context, watch)? {
            Some(cache) => cache.show()?,
            None => cache::Contents::default(),
        };
        let images = found.images.into_iter().map(|image| CachedImage {
            reference: image.reference,
            digest: image.digest.to_string(),
            size_bytes: image.bytes,
            missing_blobs: image.missing,
            pulled: image.last_used.and_then(moment),
        });
        Ok(CacheContents {
            location: context.config.places.cache.clone(),
            images: images.collect(),
            blobs: found.blobs,
            blob_bytes: found.blob_bytes,
            leftover_blobs: found.unreferenced,
            leftover_bytes: found.unreferenced_bytes,
            unfinished: found.partial,
            unfinished_bytes: found.partial_bytes,
        })
    }
}

/// A time in UTC, to the second.
fn moment(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Reads everything in the cache, and throws away what is damaged.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CacheVerify {}

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CacheVerified {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were damaged, and are removed.
    pub corrupt: Vec<DamagedBlob>,
    /// Images that lack blobs.
    pub incomplete: Vec<IncompleteImage>,
    /// What else was damaged or did not belong there, and is repaired or removed.
    pub repaired: Vec<RepairedEntry>,
}

/// A file of the cache that was repaired, or something else in its place that was removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RepairedEntry {
    /// Its path, from the cache's folder.
    pub path: String,
    /// What was found, and what was done.
    pub outcome: String,
}

/// A blob that was not what its name says.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DamagedBlob {
    /// The digest that it should have had.
    pub digest: String,
    /// What was found.
    pub found: String,
}

/// An image that lacks blobs; the next pull fetches them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IncompleteImage {
    /// Its reference.
    pub reference: String,
    /// The digests of the blobs.
    pub missing: Vec<String>,
}

impl Operation for CacheVerify {
    const METHOD: &'static str = "cache.verify";
    const PACE: Pace = Pace::Long;
    type Reply = CacheVerified;

    fn run(self, context: &Context, watch: &Watch) -> Result<CacheVerified, Error> {
        watch.begin(Step::Verify)?;
        let root = &context.config.places.cache;
        let Some((cache, repairs)) = Cache::repair(root, watch.waiter())? else {
            return Ok(CacheVerified::default());
        };
        let repaired = repairs.into_iter().map(|repair| RepairedEntry {
            path: repair.path.to_string_lossy().into_owned(),
            outcome: repair.outcome,
        });
        let found = cache.verify(|_, _| match watch.is_cancelled() {
            true => Err(oci_flatten::error::Error::cancelled()),
            false => Ok(()),
        })?;
        let corrupt = found.corrupt.into_iter().map(|blob| DamagedBlob {
            digest: blob.expected.to_string(),
            found: blob.found.clone(),
        });
        let incomplete = found.incomplete.into_iter().map(|image| IncompleteImage {
            reference: image.reference,
            missing: image.missing.iter().map(ToString::to_string).collect(),
        });
        Ok(CacheVerified {
            blobs: found.blobs,
            bytes: found.bytes,
            corrupt: corrupt.collect(),
            incomplete: incomplete.collect(),
            repaired: repaired.collect(),
        })
    }
}

/// Removes what no image needs, and images by age or size.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CachePrune {
    /// Remove images that were not pulled for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_for_seconds: Option<u64>,
    /// Remove the least recently pulled images until this much is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_size_bytes: Option<u64>,
    /// Only say what would be removed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct CachePruned {
    /// Whether nothing was removed in truth.
    pub dry_run: bool,
    /// References of images.
    pub images: Vec<String>,
    /// Files.
    pub removed: Vec<RemovedFile>,
    /// Bytes of those files.
    pub freed_bytes: u64,
    /// Bytes that stay.
    pub kept_bytes: u64,
    /// Files that stay because a running pull uses them.
    pub in_use: u64,
}

/// A file of the cache that was removed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemovedFile {
    /// The digest of the blob.
    pub digest: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Whether it was an unfinished download.
    pub unfinished: bool,
}

impl Operation for CachePrune {
    const METHOD: &'static str = "cache.prune";
    type Reply = CachePruned;

    fn run(self, context: &Context, watch: &Watch) -> Result<CachePruned, Error> {
        let policy = PrunePolicy {
            now: SystemTime::now(),
            unused_for: self.unused_for_seconds.map(Duration::from_secs),
            keep_bytes: self.keep_size_bytes,
            dry_run: self.dry_run,
        };
        watch.begin(Step::Remove)?;
        let found = match open(context, watch)? {
            Some(cache) => cache.prune(&policy)?,
            None => cache::Pruned::default(),
        };
        let freed_bytes = found.freed_bytes();
        let removed = found.removed.into_iter().map(|file| RemovedFile {
            digest: file.name,
            size_bytes: file.bytes,
            unfinished: file.partial,
        });
        Ok(CachePruned {
            dry_run: self.dry_run,
            images: found.images,
            removed: removed.collect(),
            freed_bytes,
            kept_bytes: found.kept_bytes,
            in_use: found.in_use,
        })
    }
}
