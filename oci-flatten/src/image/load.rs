//! Documents of an image, read within limits and checked against their descriptors.

use std::future::Future;

use super::config::Config;
use super::descriptor::Descriptor;
use super::document::{ImageDocument, Manifest, not_an_image};
use super::{Image, Layer, Offer};
use crate::apply::TarRole;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
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

/// A manifest and its config, read and checked.
pub(crate) struct Loaded {
    document: Document,
    manifest: Manifest,
    config_bytes: Vec<u8>,
    pub(super) config: Config,
    /// What the index that led to it offers.
    pub(super) offers: Vec<Offer>,
}

impl Loaded {
    /// The digest of the manifest.
    pub(crate) fn digest(&self) -> &Digest {
        &self.document.descriptor.digest
    }

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
            offers: self.offers,
            platform,
        })
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

pub(super) async fn with_config(
    documents: &impl Documents,
    document: Document,
    manifest: Manifest,
    limits: &Limits,
) -> Result<Loaded> {
    let config_bytes = fetch(documents, &manifest.config, "config", limits.config_bytes).await?;
    let config = match manifest.config.media_type.kind() {
        MediaKind::Config => Config::parse(&config_bytes)?,
        // What no media type says, the document does: an artifact's has no layers.
        _ => Config::parse(&config_bytes)
            .ok()
            .filter(Config::describes_layers)
            .ok_or_else(|| not_an_image(&manifest.config.media_type))?,
    };
    Ok(Loaded {
        document,
        manifest,
        config_bytes,
        offers: Vec::new(),
        config,
    })
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

pub(super) fn check_limit(
    what: &'static str,
    value: u64,
    unit: &'static str,
    limit: u64,
) -> Result<()> {
    LimitExceeded::check(what, value, unit, limit)
        .map_err(|error| Error::new(ErrorKind::LimitExceeded, error.to_string()))
}
