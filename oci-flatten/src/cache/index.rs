//! `index.json`: which references are in the cache.

use std::thread;

use serde_json::{Value, json};

use super::ingest::{Ingest, POLL};
use super::{Cache, INDEX_FILE};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Document};
use crate::reference::Reference;

/// The annotation that holds an image's reference, by the OCI image layout specification.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Largest `index.json` that is read, in bytes: some 200,000 images.
const INDEX_LIMIT: u64 = 64 << 20;

/// An image in the index.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) root: Descriptor,
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
        let entry = json!({
            "mediaType": root.descriptor.media_type,
            "digest": root.descriptor.digest,
            "size": root.bytes.len(),
            "annotations": { REF_NAME: name },
        });
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
    /// [`ErrorKind::Io`] when the index cannot be read, [`ErrorKind::InvalidInput`] when it is malformed.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let name = reference.to_string();
        let found = self
            .entries()?
            .into_iter()
            .find(|entry| match reference.digest() {
                Some(digest) => entry.root.digest == *digest,
                None => entry.name == name,
            });
        Ok(found.map(|entry| entry.root))
    }

    /// The images of the index; one that another tool has put there without a name goes by its digest.
    pub(super) fn entries(&self) -> Result<Vec<Entry>> {
        let mut index = self.read_index()?;
        let mut entries = Vec::new();
        for manifest in manifests_of(&mut index) {
            let name = label_of(manifest).to_owned();
            let root = serde_json::from_value(manifest.take()).map_err(|error| {
                self.malformed(&format!("entry {name:?} is not a descriptor"))
                    .with_source(error)
            })?;
            entries.push(Entry { name, root });
        }
        Ok(entries)
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
        while self.blob(digest, Some(size))?.is_none() {
            let Some(part) = self.lock_part(digest)? else {
                thread::sleep(POLL);
                continue;
            };
            let mut ingest = Ingest::resume(self.clone(), digest.clone(), size, part)?;
            ingest.restart()?;
            ingest.write(&document.bytes)?;
            ingest.commit()?;
        }
        Ok(())
    }

    fn read_index(&self) -> Result<Value> {
        let bytes = self
            .root
            .read(INDEX_FILE, INDEX_LIMIT)
            .map_err(|error| self.failed("read", INDEX_FILE, error))?;
        let index: Value = serde_json::from_slice(&bytes)
            .map_err(|error| self.malformed("not JSON").with_source(error))?;
        match index.get("manifests") {
            Some(Value::Array(_)) => Ok(index),
            _ => Err(self.malformed("it has no manifests")),
        }
    }

    fn write_index(&self, index: &Value) -> Result<()> {
        self.replace(INDEX_FILE, index.to_string().as_bytes())
    }

    fn malformed(&self, why: &str) -> Error {
        let path = self.root.path_of(INDEX_FILE);
        Error::new(
            ErrorKind::InvalidInput,
            format!("cache index is malformed: {why}: {}", path.display()),
        )
    }
}

fn manifests_of(index: &mut Value) -> &mut Vec<Value> {
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
