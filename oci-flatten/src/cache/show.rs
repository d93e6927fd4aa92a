//! What is in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::Cache;
use super::index::Entry;
use crate::digest::Digest;
use crate::error::Result;
use crate::media_type::{MediaKind, MediaType};

/// Deepest nesting of indexes that is followed.
const DEPTH_LIMIT: u32 = 4;

/// A summary of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// The images, by name.
    pub images: Vec<CachedImage>,
    /// Complete blobs.
    pub blobs: u64,
    /// Bytes of complete blobs.
    pub blob_bytes: u64,
    /// Complete blobs that no image needs.
    pub unreferenced: u64,
    /// Bytes of blobs that no image needs.
    pub unreferenced_bytes: u64,
    /// Downloads that are under way or were interrupted.
    pub partial: u64,
    /// Bytes of such downloads.
    pub partial_bytes: u64,
}

/// An image in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedImage {
    /// Its canonical reference.
    pub reference: String,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// Bytes of its blobs that are there, shared ones included.
    pub bytes: u64,
    /// Its blobs that are not there; those of platforms that were never pulled do not count.
    pub missing: u64,
    /// When it was pulled last; `None` when its manifest is gone.
    pub last_used: Option<SystemTime>,
}

/// What an image of the index is made of.
#[derive(Debug)]
pub(super) struct Anatomy {
    pub(super) entry: Entry,
    pub(super) blobs: BTreeSet<Digest>,
    pub(super) last_used: Option<SystemTime>,
}

/// The sizes and times of all complete blobs.
pub(super) type Inventory = BTreeMap<Digest, (u64, Option<SystemTime>)>;

impl Cache {
    /// Lists images and sums up blobs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) when the folder cannot be read.
    pub fn show(&self) -> Result<Contents> {
        let inventory = self.inventory()?;
        let anatomies = self.anatomies(&inventory)?;
        let size_of = |digest: &Digest| inventory.get(digest).map(|(size, _)| *size);
        let wanted: BTreeSet<&Digest> = anatomies.iter().flat_map(|image| &image.blobs).collect();
        let unreferenced: Vec<u64> = inventory
            .iter()
            .filter(|(digest, _)| !wanted.contains(digest))
            .map(|(_, (size, _))| *size)
            .collect();
        let parts = self.list_parts()?;
        let images = anatomies
            .iter()
            .map(|image| CachedImage {
                reference: image.entry.name.clone(),
                digest: image.entry.root.digest.clone(),
                bytes: image.blobs.iter().filter_map(size_of).sum(),
                missing: image
                    .blobs
                    .iter()
                    .filter(|digest| size_of(digest).is_none())
                    .count() as u64,
                last_used: image.last_used,
            })
            .collect();
        Ok(Contents {
            images,
            blobs: inventory.len() as u64,
            blob_bytes: inventory.values().map(|(size, _)| size).sum(),
            unreferenced: unreferenced.len() as u64,
            unreferenced_bytes: unreferenced.iter().sum(),
            partial: parts.len() as u64,
            partial_bytes: parts.iter().map(|(_, facts)| facts.length).sum(),
        })
    }

    pub(super) fn inventory(&self) -> Result<Inventory> {
        let blobs = self.list_blobs()?.into_iter();
        Ok(blobs
            .map(|(digest, facts)| (digest, (facts.length, Some(facts.modified))))
            .collect())
    }

    /// Follows each image of the index to its blobs. Manifests of an index that are not there were not pulled.
    pub(super) fn anatomies(&self, inventory: &Inventory) -> Result<Vec<Anatomy>> {
        let mut anatomies = Vec::new();
        for entry in self.entries()? {
            let last_used = inventory
                .get(&entry.root.digest)
                .and_then(|(_, modified)| *modified);
            let mut blobs = BTreeSet::from([entry.root.digest.clone()]);
            let mut pending = vec![(entry.root.digest.clone(), entry.root.media_type.clone(), 0)];
            while let Some((digest, media_type, depth)) = pending.pop() {
                for (child, child_type) in self.children(&digest, &media_type)? {
                    let nested =
                        matches!(child_type.kind(), MediaKind::Index | MediaKind::Manifest);
                    if nested && (depth == DEPTH_LIMIT || !inventory.contains_key(&child)) {
                        continue;
                    }
                    if blobs.insert(child.clone()) && nested {
                        pending.push((child, child_type, depth + 1));
                    }
                }
            }
            anatomies.push(Anatomy {
                entry,
                blobs,
                last_used,
            });
        }
        Ok(anatomies)
    }

    /// What a manifest or index names; nothing for a document that is gone or malformed.
    fn children(
        &self,
        digest: &Digest,
        media_type: &MediaType,
    ) -> Result<Vec<(Digest, MediaType)>> {
        #[derive(serde::Deserialize)]
        struct Node {
            #[serde(default)]
            manifests: Vec<Child>,
            config: Option<Child>,
            #[serde(default)]
            layers: Vec<Child>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Child {
            digest: Digest,
            media_type: MediaType,
        }
        if !matches!(media_type.kind(), MediaKind::Index | MediaKind::Manifest) {
            return Ok(Vec::new());
        }
        let Some(bytes) = self.peek(digest)? else {
            return Ok(Vec::new());
        };
        let Ok(Node {
            manifests,
            config,
            layers,
        }) = serde_json::from_slice(&bytes)
        else {
            return Ok(Vec::new());
        };
        let children = manifests.into_iter().chain(config).chain(layers);
        Ok(children
            .map(|child| (child.digest, child.media_type))
            .collect())
    }
}
