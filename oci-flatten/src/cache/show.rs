//! What is in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde_json::Value;

use super::Cache;
use super::index::{Entry, digest_of};
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};

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
    /// [`ErrorKind::Io`] when the folder cannot be read.
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
                digest: image.entry.digest.clone(),
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
    ///
    /// What a document is follows from its fields, as when it is resolved: more than what the pull read may be
    /// followed here, but never less.
    pub(super) fn anatomies(&self, inventory: &Inventory) -> Result<Vec<Anatomy>> {
        let mut anatomies = Vec::new();
        for entry in self.entries()? {
            let last_used = inventory
                .get(&entry.digest)
                .and_then(|(_, modified)| *modified);
            let mut blobs = BTreeSet::from([entry.digest.clone()]);
            let mut followed = BTreeSet::new();
            let mut pending = vec![entry.digest.clone()];
            while let Some(digest) = pending.pop() {
                if !followed.insert(digest.clone()) {
                    continue;
                }
                let Children { documents, leaves } = self.children(&digest)?;
                let present = |digest: &Digest| inventory.contains_key(digest);
                pending.extend(documents.into_iter().filter(present));
                blobs.extend(leaves);
                blobs.insert(digest);
            }
            anatomies.push(Anatomy {
                entry,
                blobs,
                last_used,
            });
        }
        Ok(anatomies)
    }

    /// What a manifest or index names; nothing for a blob that is gone, or is no such document.
    pub(super) fn children(&self, digest: &Digest) -> Result<Children> {
        let document = match self.peek(digest) {
            Ok(Some(bytes)) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            Ok(None) => Value::Null,
            Err(error) if error.kind() == ErrorKind::LimitExceeded => Value::Null,
            Err(error) => return Err(error),
        };
        let listed = |field: &str| {
            let list = document.get(field).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(digest_of)
        };
        let config = document.get("config").and_then(digest_of);
        Ok(Children {
            documents: listed("manifests").collect(),
            leaves: config
                .into_iter()
                .chain(listed("layers"))
                .chain(listed("blobs"))
                .collect(),
        })
    }
}

/// What a document refers to.
pub(super) struct Children {
    /// Manifests and indexes of an index.
    pub(super) documents: Vec<Digest>,
    /// The config and the layers of a manifest, or the blobs of an artifact.
    pub(super) leaves: Vec<Digest>,
}
