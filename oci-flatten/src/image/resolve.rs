//! From a document to the one image that fits a platform.
//!
//! ```text
//! index ──► entries ──► nested index ──► entries …          attestations are passed over
//!              ├─ with a platform: the nearest to what is wanted wins, the first of equals
//!              └─ without one: asked of their configs, when no entry with a platform fits
//! manifest ──► config ──► as many diff_ids as layers
//! ```

use std::future::Future;

use super::descriptor::Descriptor;
use super::document::{Config, ImageDocument, Index, Manifest};
use super::{Image, Layer};
use crate::apply::TarRole;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, excerpts};
use crate::limits::{LimitExceeded, Limits};
use crate::media_type::MediaKind;
use crate::platform::Platform;

/// Where the documents of an image are read from.
pub trait Documents: Sync {
    /// Reads the index, manifest or config that `descriptor` stands for; its media type tells which.
    ///
    /// Size and digest are checked by the caller; a reader should stop at `descriptor.size` bytes,
    /// which is within the limits when it is asked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is not there, and what reading it may give.
    fn read(&self, descriptor: &Descriptor) -> impl Future<Output = Result<Vec<u8>>> + Send;
}

/// A document at hand, with its descriptor.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its type, digest and size; verified.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Finds the image for `platform` that `top`, an index or a manifest, leads to.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is none for the platform (the message lists what there is),
/// [`ErrorKind::Integrity`] when a document is not what its descriptor says, [`ErrorKind::Malformed`] when it does
/// not parse or contradicts itself,
/// [`ErrorKind::Unsupported`] for schema 1, artifacts and encrypted layers,
/// [`ErrorKind::LimitExceeded`], and what [`Documents::read`] gives.
pub async fn resolve(
    documents: &impl Documents,
    reference: &str,
    top: Document,
    platform: &Platform,
    limits: &Limits,
) -> Result<Image> {
    check_limit(
        "manifest",
        top.bytes.len() as u64,
        "bytes",
        limits.manifest_bytes,
    )?;
    match ImageDocument::parse(&top.bytes, &top.descriptor.media_type)? {
        ImageDocument::Index(index) => {
            let (loaded, platform) = select(documents, index, platform, limits).await?;
            loaded.into_image(reference, platform)
        }
        ImageDocument::Manifest(manifest) => {
            let loaded = with_config(documents, top, manifest, limits).await?;
            match loaded.config.platform() {
                Some(found) if platform.distance(&found).is_none() => Err(Error::new(
                    ErrorKind::NotFound,
                    format!("no image for {platform}; this one is for {found}"),
                )),
                found => loaded.into_image(reference, found.unwrap_or_else(|| platform.clone())),
            }
        }
    }
}

/// A manifest and its config, read and checked.
pub(crate) struct Loaded {
    document: Document,
    manifest: Manifest,
    config_bytes: Vec<u8>,
    config: Config,
}

impl Loaded {
    pub(crate) fn config_digest(&self) -> &Digest {
        &self.manifest.config.digest
    }

    /// The image, if manifest and config agree on its layers.
    pub(crate) fn into_image(self, reference: &str, platform: Platform) -> Result<Image> {
        let diff_ids = self.config.diff_ids();
        if self.manifest.layers.len() != diff_ids.len() {
            let (layers, ids) = (self.manifest.layers.len(), diff_ids.len());
            return Err(Error::new(
                ErrorKind::Malformed,
                format!("manifest lists {layers} layers, its config {ids} diff_ids"),
            ));
        }
        let layers = self
            .manifest
            .layers
            .into_iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| Layer {
                media_type: Some(layer.media_type),
                digest: Some(layer.digest),
                size: Some(layer.size),
                diff_id: Some(diff_id.clone()),
                role: TarRole::Layer,
            });
        Ok(Image {
            reference: reference.into(),
            digest: Some(self.document.descriptor.digest),
            layers: layers.collect(),
            manifest: self.document.bytes,
            created: self.config.created(),
            config: self.config_bytes,
            platform,
        })
    }
}

/// Chooses the entry of `index`, or of an index within it, that fits `wanted` best.
pub(crate) async fn select(
    documents: &impl Documents,
    index: Index,
    wanted: &Platform,
    limits: &Limits,
) -> Result<(Loaded, Platform)> {
    let mut walk = Walk {
        wanted,
        limits,
        best: None,
        unlabelled: Vec::new(),
        seen: Seen::default(),
    };
    walk.through(documents, index).await?;
    let Walk {
        best,
        unlabelled,
        mut seen,
        ..
    } = walk;
    if let Some((_, descriptor, platform)) = best {
        return Ok((load(documents, &descriptor, limits).await?, platform));
    }
    let mut best: Option<(u32, Loaded, Platform)> = None;
    for descriptor in unlabelled {
        let loaded = match load(documents, &descriptor, limits).await {
            Ok(loaded) => loaded,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                seen.refused.push(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let platform = loaded.config.platform().unwrap_or_else(|| wanted.clone());
        match wanted.distance(&platform) {
            Some(distance) if best.as_ref().is_none_or(|(least, ..)| distance < *least) => {
                best = Some((distance, loaded, platform));
            }
            _ => seen.offer(platform),
        }
    }
    match best {
        Some((_, loaded, platform)) => Ok((loaded, platform)),
        None => Err(seen.into_error(wanted)),
    }
}

/// Reads a manifest and its config.
pub(crate) async fn load(
    documents: &impl Documents,
    descriptor: &Descriptor,
    limits: &Limits,
) -> Result<Loaded> {
    let bytes = fetch(documents, descriptor, "manifest", limits.manifest_bytes).await?;
    match ImageDocument::parse(&bytes, &descriptor.media_type)? {
        ImageDocument::Manifest(manifest) => {
            let document = Document {
                descriptor: descriptor.clone(),
                bytes,
            };
            with_config(documents, document, manifest, limits).await
        }
        ImageDocument::Index(_) => {
            let what = format!(
                "document is an index where a manifest is due: {}",
                descriptor.digest
            );
            Err(Error::new(ErrorKind::Malformed, what))
        }
    }
}

async fn with_config(
    documents: &impl Documents,
    document: Document,
    manifest: Manifest,
    limits: &Limits,
) -> Result<Loaded> {
    let config_bytes = fetch(documents, &manifest.config, "config", limits.config_bytes).await?;
    let config = Config::parse(&config_bytes)?;
    Ok(Loaded {
        document,
        manifest,
        config_bytes,
        config,
    })
}

/// The walk over an index and the indexes in it.
struct Walk<'a> {
    wanted: &'a Platform,
    limits: &'a Limits,
    best: Option<(u32, Descriptor, Platform)>,
    unlabelled: Vec<Descriptor>,
    seen: Seen,
}

impl Walk<'_> {
    async fn through(&mut self, documents: &impl Documents, index: Index) -> Result<()> {
        let mut count = 0;
        let mut pending: Vec<(Descriptor, usize)> = Vec::new();
        let mut found = Some((index, 1));
        loop {
            if let Some((index, depth)) = found.take() {
                count += index.manifests.len();
                let (entries, levels) = (self.limits.index_entries, self.limits.index_depth);
                check_limit("index", count as u64, "descriptors", entries as u64)?;
                check_limit("nesting of indexes", depth as u64, "levels", levels as u64)?;
                pending.extend(
                    index
                        .manifests
                        .into_iter()
                        .rev()
                        .map(|entry| (entry, depth)),
                );
            }
            let Some((entry, depth)) = pending.pop() else {
                return Ok(());
            };
            if self.takes(&entry) {
                let bytes = fetch(documents, &entry, "index", self.limits.manifest_bytes).await?;
                match ImageDocument::parse(&bytes, &entry.media_type)? {
                    ImageDocument::Index(index) => found = Some((index, depth + 1)),
                    ImageDocument::Manifest(_) => {
                        let what = format!(
                            "document is an image where an index is due: {}",
                            entry.digest
                        );
                        return Err(Error::new(ErrorKind::Malformed, what));
                    }
                }
            }
        }
    }

    /// Takes note of one entry; whether it is an index to walk through.
    fn takes(&mut self, entry: &Descriptor) -> bool {
        if entry.is_attestation() {
            return false;
        }
        let platform = entry.platform();
        let distance = platform
            .as_ref()
            .map(|platform| self.wanted.distance(platform));
        match (entry.media_type.kind(), platform, distance) {
            (MediaKind::Index | MediaKind::Manifest, Some(platform), Some(None)) => {
                self.seen.offer(platform);
                false
            }
            (MediaKind::Index, ..) => true,
            (MediaKind::Manifest, Some(platform), Some(Some(distance))) => {
                if self
                    .best
                    .as_ref()
                    .is_none_or(|(least, ..)| distance < *least)
                {
                    self.best = Some((distance, entry.clone(), platform));
                }
                false
            }
            (MediaKind::Manifest, ..) => {
                self.unlabelled.push(entry.clone());
                false
            }
            _ => {
                let what = format!("index entry is no image: {}", entry.media_type);
                self.seen
                    .refused
                    .push(Error::new(ErrorKind::Unsupported, what));
                false
            }
        }
    }
}

/// What did not fit, for the error that says so.
#[derive(Default)]
struct Seen {
    offered: Vec<Platform>,
    refused: Vec<Error>,
}

impl Seen {
    fn offer(&mut self, platform: Platform) {
        if !self.offered.contains(&platform) {
            self.offered.push(platform);
        }
    }

    fn into_error(mut self, wanted: &Platform) -> Error {
        if self.offered.is_empty() {
            return match self.refused.is_empty() {
                true => Error::new(ErrorKind::NotFound, "index lists no image"),
                false => self.refused.swap_remove(0),
            };
        }
        let list = excerpts(self.offered.iter().map(Platform::to_string));
        Error::new(
            ErrorKind::NotFound,
            format!("no image for {wanted}; there is: {list}"),
        )
    }
}

/// Reads a document, bounded, and checks it against its descriptor.
pub(crate) async fn fetch(
    documents: &impl Documents,
    descriptor: &Descriptor,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>> {
    check_limit(what, descriptor.size, "bytes", limit)?;
    let bytes = documents.read(descriptor).await?;
    if bytes.len() as u64 != descriptor.size {
        return Err(
            mismatch(what, "size", bytes.len(), descriptor.size).context(&descriptor.digest)
        );
    }
    let found = Digest::of(descriptor.digest.algorithm(), &bytes);
    if found != descriptor.digest {
        return Err(mismatch(what, "digest", found, &descriptor.digest));
    }
    Ok(bytes)
}

fn mismatch(
    what: &str,
    property: &str,
    found: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> Error {
    let message = format!("{what} has {property} {found} (expected {expected})");
    Error::new(ErrorKind::Integrity, message)
}

fn check_limit(what: &'static str, value: u64, unit: &'static str, limit: u64) -> Result<()> {
    LimitExceeded::check(what, value, unit, limit)
        .map_err(|error| Error::new(ErrorKind::LimitExceeded, error.to_string()))
}
