//! Choosing among the entries of an index.

use super::Offer;
use super::descriptor::Descriptor;
use super::document::{ImageDocument, Index, not_an_image, unsupported};
use super::load::{Documents, Loaded, check_limit, fetch, load};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, excerpts};
use crate::limits::Limits;
use crate::media_type::MediaKind;
use crate::platform::Platform;

/// An image that runs on the wanted platform.
pub(crate) struct Fit {
    /// How far its platform is from the wanted one.
    pub(crate) distance: u32,
    pub(crate) loaded: Loaded,
    pub(crate) platform: Platform,
}

/// Chooses the entry of `index`, or of an index within it, that fits `wanted` best.
pub(super) async fn select(
    documents: &impl Documents,
    index: Index,
    wanted: &Platform,
    limits: &Limits,
) -> Result<Fit> {
    let mut walk = Walk::new(wanted, limits);
    walk.through(documents, index).await?;
    match walk.settle(documents).await? {
        Some(mut fit) => {
            fit.loaded.offers = walk.offers;
            Ok(fit)
        }
        None => Err(walk.seen.into_error(wanted)),
    }
}

/// Every one of `entries` that fits `wanted`, with its image: for lists whose entries are images of their own and not
/// one image for several platforms. There is at least one.
pub(crate) async fn select_each(
    documents: &impl Documents,
    entries: Vec<Descriptor>,
    wanted: &Platform,
    limits: &Limits,
) -> Result<Vec<(Descriptor, Fit)>> {
    let mut walk = Walk::new(wanted, limits);
    let mut fits = Vec::new();
    for entry in entries {
        let manifests = vec![entry.clone()];
        walk.through(documents, Index { manifests }).await?;
        if let Some(fit) = walk.settle(documents).await? {
            fits.push((entry, fit));
        }
    }
    for (_, fit) in &mut fits {
        fit.loaded.offers.clone_from(&walk.offers);
    }
    if fits.is_empty() {
        return Err(walk.seen.into_error(wanted));
    }
    Ok(fits)
}

/// The walk over an index and the indexes in it.
struct Walk<'a> {
    wanted: &'a Platform,
    limits: &'a Limits,
    /// Entries met so far, in whatever index.
    count: usize,
    labelled: Vec<(u32, Descriptor, Platform)>,
    unlabelled: Vec<Descriptor>,
    offers: Vec<Offer>,
    seen: Seen,
}

impl<'a> Walk<'a> {
    fn new(wanted: &'a Platform, limits: &'a Limits) -> Self {
        Self {
            wanted,
            limits,
            count: 0,
            labelled: Vec::new(),
            unlabelled: Vec::new(),
            offers: Vec::new(),
            seen: Seen::default(),
        }
    }

    async fn through(&mut self, documents: &impl Documents, index: Index) -> Result<()> {
        let mut pending: Vec<(Descriptor, usize)> = Vec::new();
        let mut found = Some((index, 1));
        loop {
            if let Some((index, depth)) = found.take() {
                self.count += index.manifests.len();
                let (entries, levels) = (self.limits.index_entries, self.limits.index_depth);
                check_limit("index", self.count as u64, "descriptors", entries as u64)?;
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
        if let Some(artifact_type) = entry.artifact_type() {
            self.seen.refused.push(not_an_image(artifact_type));
            return false;
        }
        let platform = entry.platform();
        let kind = entry.media_type.kind();
        // An index without a platform is walked through, and offers what it holds.
        if kind == MediaKind::Manifest || kind == MediaKind::Index && platform.is_some() {
            self.offers.push(Offer {
                platform: platform.clone(),
                digest: entry.digest.clone(),
                size: entry.size,
            });
        }
        let distance = platform
            .as_ref()
            .map(|platform| self.wanted.distance(platform));
        match (kind, platform, distance) {
            (MediaKind::Index | MediaKind::Manifest, Some(platform), Some(None)) => {
                self.seen.offer(platform);
                false
            }
            (MediaKind::Index | MediaKind::Manifest, ..) if !entry.os_features().is_empty() => {
                let error = needs_features(&entry.digest, entry.os_features());
                self.seen.refused.push(error);
                false
            }
            (MediaKind::Index, ..) => true,
            (MediaKind::Manifest, Some(platform), Some(Some(distance))) => {
                self.labelled.push((distance, entry.clone(), platform));
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

    /// The best of the entries met since the last time; those whose documents turn out to be of no image are passed over.
    async fn settle(&mut self, documents: &impl Documents) -> Result<Option<Fit>> {
        let mut labelled = std::mem::take(&mut self.labelled);
        let unlabelled = std::mem::take(&mut self.unlabelled);
        // Stable: the first of equals stays the first.
        labelled.sort_by_key(|(distance, ..)| *distance);
        for (distance, descriptor, platform) in labelled {
            if let Some(loaded) = self.load(documents, &descriptor).await? {
                return Ok(Some(Fit {
                    distance,
                    loaded,
                    platform,
                }));
            }
        }
        let mut best: Option<Fit> = None;
        for descriptor in unlabelled {
            let Some(loaded) = self.load(documents, &descriptor).await? else {
                continue;
            };
            let platform = loaded.config.platform();
            let platform = platform.unwrap_or_else(|| self.wanted.clone());
            let Some(distance) = self.wanted.distance(&platform) else {
                self.seen.offer(platform);
                continue;
            };
            let features = loaded.config.os_features();
            if !features.is_empty() {
                let error = needs_features(&descriptor.digest, features);
                self.seen.refused.push(error);
            } else if best.as_ref().is_none_or(|best| distance < best.distance) {
                best = Some(Fit {
                    distance,
                    loaded,
                    platform,
                });
            }
        }
        Ok(best)
    }

    async fn load(
        &mut self,
        documents: &impl Documents,
        descriptor: &Descriptor,
    ) -> Result<Option<Loaded>> {
        match load(documents, descriptor, self.limits).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                self.seen.refused.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

pub(super) fn needs_features(digest: &Digest, features: &[String]) -> Error {
    let features = excerpts(features);
    unsupported(format!(
        "image needs os.features that are not available ({features}): {digest}"
    ))
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
