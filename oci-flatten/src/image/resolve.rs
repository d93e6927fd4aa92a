//! From a document to the one image that fits a platform.
//!
//! ```text
//! index ──► entries ──► nested index ──► entries …          attestations are passed over
//!              ├─ with a platform: the nearest to what is wanted wins, the first of equals
//!              └─ without one: asked of their configs, when no entry with a platform fits
//! manifest ──► config ──► as many diff_ids as layers
//! ```

use super::Image;
use super::document::ImageDocument;
use super::load::{Document, Documents, check_limit, with_config};
use super::select::{needs_features, select};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::platform::Platform;

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
            let fit = select(documents, index, platform, limits).await?;
            fit.loaded.into_image(reference, fit.platform)
        }
        ImageDocument::Manifest(manifest) => {
            let loaded = with_config(documents, top, manifest, limits).await?;
            let features = loaded.config.os_features();
            match loaded.config.platform() {
                _ if !features.is_empty() => Err(needs_features(loaded.digest(), features)),
                Some(found) if platform.distance(&found).is_none() => Err(Error::new(
                    ErrorKind::NotFound,
                    format!("no image for {platform}; this one is for {found}"),
                )),
                found => loaded.into_image(reference, found.unwrap_or_else(|| platform.clone())),
            }
        }
    }
}
