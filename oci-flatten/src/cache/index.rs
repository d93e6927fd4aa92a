//! `index.json`: which references are in the cache.

use std::io;
use std::time::Instant;

use serde_json::{Value, json};

use super::ingest::Ingest;
use super::{Cache, INDEX_FILE};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Document, media_type_of};
use crate::reference::Reference;

/// The annotation that holds an image's reference, by the OCI image layout specification.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Largest `index.json` that is read, in bytes: some 200,000 images.
const INDEX_LIMIT: u64 = 64 << 20;

/// An image in the index.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) digest: Digest,
    /// What the index says of it; `None` where another tool has left something out.
    root: Option<Descriptor>,
}

impl Cache {
    /// Notes that `reference` stands for the first of `documents`, and keeps them all.
    ///
    /// It is called as soon as the layers are known and before they arrive, so that pruning knows they are wanted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::NoSpace`] when the disk fails, [`ErrorKind::Integrity`] when a document
    /// is not what its digest says.
    pub fn record(&self, reference: &Reference, documents: &[Document]) -> Result<()> {
        let Some(root) = documents.first() else {
            return Ok(());
        };
        let _lock = self.lock()?;
        for document in documents {
            self.store(document)?;
        }
        let mut index = self.read_index()?;
        let name = reference.to_string();
        let mut entry = descriptor_of(&root.descriptor.digest, &root.bytes).ok_or_else(|| {
            let digest = &root.descriptor.digest;
            let message = format!("document is neither an image nor an index: {digest}");
            Error::new(ErrorKind::Integrity, message)
        })?;
        entry["annotations"] = json!({ REF_NAME: name });
        let manifests = manifests_of(&mut index);
        if manifests.contains(&entry) {
            return Ok(());
        }
        manifests.retain(|manifest| name_of(manifest) != Some(&name));
        manifests.push(entry);
        manifests.sort_by(|a, b| name_of(a).cmp(&name_of(b)));
        self.write_index(&index)
    }

    /// What `reference` stood for when it was pulled last; `None` when it never was, or is pruned.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the index cannot be read, [`ErrorKind::Integrity`] when it is damaged
    /// ([`DamagedIndex`]).
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let name = reference.to_string();
        let found = self
            .entries()?
            .into_iter()
            .find(|entry| match reference.digest() {
                Some(digest) => entry.digest == *digest,
                None => entry.name == name,
            });
        let Some(mut root) = found.and_then(|entry| entry.root) else {
            return Ok(None);
        };
        // Older versions have kept what a registry said.
        let bytes = self.peek(&root.digest)?;
        if let Some(found) = bytes.as_deref().and_then(media_type_of) {
            root.media_type = found;
        }
        Ok(Some(root))
    }

    /// The images of the index; one that another tool has put there without a name goes by its digest.
    pub(super) fn entries(&self) -> Result<Vec<Entry>> {
        let mut index = self.read_index()?;
        // Without a digest, an entry stands for nothing.
        let entries = manifests_of(&mut index).iter_mut().filter_map(|manifest| {
            Some(Entry {
                name: label_of(manifest).to_owned(),
                digest: digest_of(manifest)?,
                root: serde_json::from_value(manifest.take()).ok(),
            })
        });
        Ok(entries.collect())
    }

    /// Takes images out of the index; the caller holds the lock.
    pub(super) fn forget(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut index = self.read_index()?;
        manifests_of(&mut index)
            .retain(|manifest| !names.iter().any(|gone| gone == label_of(manifest)));
        self.write_index(&index)
    }

    fn store(&self, document: &Document) -> Result<()> {
        let (digest, size) = (&document.descriptor.digest, document.bytes.len() as u64);
        let (begun, mut told) = (Instant::now(), false);
        while self.blob(digest, Some(size))?.is_none() {
            let Some(part) = self.lock_part(digest)? else {
                let path = self.part_path(digest);
                self.waiter.pause(&path, begun, &mut told)?;
                continue;
            };
            let mut ingest = Ingest::resume(self.clone(), digest.clone(), size, part)?;
            ingest.restart()?;
            ingest.write(&document.bytes)?;
            ingest.commit()?;
        }
        Ok(())
    }

    pub(super) fn read_index(&self) -> Result<Value> {
        let path = self.root.path_of(INDEX_FILE).display().to_string();
        let damaged = |error: Error| error.with_source(DamagedIndex);
        let bytes = match self.root.read(INDEX_FILE, INDEX_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if is_damage(&error) => {
                let message = format!("cache index is damaged: {error}: {path}");
                return Err(damaged(Error::new(ErrorKind::Integrity, message)));
            }
            Err(error) => return Err(self.failed("read", INDEX_FILE, error)),
        };
        let why = match serde_json::from_slice::<Value>(&bytes) {
            Ok(index) if index.get("manifests").is_some_and(Value::is_array) => return Ok(index),
            Ok(_) => "it has no list of manifests".to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("cache index is damaged: {why}: {path}");
        Err(damaged(Error::new(ErrorKind::Integrity, message)))
    }

    pub(super) fn write_index(&self, index: &Value) -> Result<()> {
        self.replace(INDEX_FILE, index.to_string().as_bytes())
    }
}

/// The cache's `index.json` cannot be read, which [`Cache::repair`] mends.
///
/// It is the source of an [`Error`] of kind [`ErrorKind::Integrity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index of the cache can be repaired")]
pub struct DamagedIndex;

/// Whether the file is gone, is something else than a file, or is too long.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
    ) || error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

/// An index entry for a document that is at hand; `None` when it is neither an index nor a manifest.
pub(super) fn descriptor_of(digest: &Digest, bytes: &[u8]) -> Option<Value> {
    let media_type = media_type_of(bytes)?;
    Some(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
}

/// The digest that a descriptor has, whatever else is wrong with it.
pub(super) fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

pub(super) fn manifests_of(index: &mut Value) -> &mut Vec<Value> {
    index["manifests"]
        .as_array_mut()
        .expect("read_index accepts nothing else")
}

fn label_of(manifest: &Value) -> &str {
    let digest = manifest.get("digest").and_then(Value::as_str);
    name_of(manifest).or(digest).unwrap_or_default()
}

fn name_of(manifest: &Value) -> Option<&str> {
    manifest.get("annotations")?.get(REF_NAME)?.as_str()
}
