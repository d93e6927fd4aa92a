//! The check of the fuzz target `image_documents`, whose header has the invariants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci_flatten::digest::Digest;
use oci_flatten::error::{Error, ErrorKind, Result};
use oci_flatten::image::{Descriptor, Document, Documents, Image, resolve};
use oci_flatten::limits::Limits;
use oci_flatten::media_type::MediaKind;
use oci_flatten::platform::Platform;

/// Documents between NULs, the top one last. In each, `@N` stands for the digest of document N, counted from 0, if
/// that came before, and `#N` for its size, so that documents can refer to one another.
pub(crate) fn check(data: &[u8]) {
    leads_to_an_image(data);
}

/// The check, and whether there was an image in the end.
pub(crate) fn leads_to_an_image(data: &[u8]) -> bool {
    let Some(store) = Store::parse(data) else {
        return false;
    };
    let platform = Platform::new("linux", "amd64", None);
    let first = run(&store, &platform);
    let reads = store.reads.swap(0, Ordering::Relaxed);
    let limits = limits();
    assert!(
        reads <= 3 * limits.index_entries + 2,
        "{reads} documents read"
    );
    let second = run(&store, &platform);
    assert_eq!(
        summary(&first),
        summary(&second),
        "same documents, other outcome"
    );
    let Ok(image) = first else { return false };
    assert!(
        store.blobs.values().any(|bytes| *bytes == image.manifest),
        "manifest is one of the documents"
    );
    assert!(
        store.blobs.values().any(|bytes| *bytes == image.config),
        "config is one of the documents"
    );
    assert_eq!(image.digest, Some(Digest::sha256(&image.manifest)));
    assert!(image.platform == platform || platform.distance(&image.platform).is_some());
    for layer in &image.layers {
        assert!(layer.digest.is_some() && layer.diff_id.is_some() && layer.size.is_some());
    }
    true
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.index_entries = 20;
    limits.manifest_bytes = 1 << 16;
    limits.config_bytes = 1 << 16;
    limits
}

fn run(store: &Store, platform: &Platform) -> Result<Image> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime starts");
    runtime.block_on(resolve(
        store,
        "fuzz",
        store.top.clone(),
        platform,
        &limits(),
    ))
}

fn summary(outcome: &Result<Image>) -> String {
    match outcome {
        Ok(image) => format!("{image:?}"),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            text
        }
    }
}

struct Store {
    blobs: BTreeMap<String, Vec<u8>>,
    top: Document,
    reads: AtomicUsize,
}

impl Store {
    fn parse(data: &[u8]) -> Option<Self> {
        let mut documents: Vec<Vec<u8>> = Vec::new();
        for text in data.split(|&byte| byte == 0).take(32) {
            let document = resolve_references(text, &documents);
            documents.push(document);
        }
        let top = documents.last()?.clone();
        let kind = if top.windows(11).any(|window| window == b"\"manifests\"") {
            "application/vnd.oci.image.index.v1+json"
        } else {
            "application/vnd.oci.image.manifest.v1+json"
        };
        let media_type = serde_json::from_value(kind.into()).ok()?;
        let descriptor = Descriptor::new(media_type, Digest::sha256(&top), top.len() as u64);
        let blobs = documents
            .into_iter()
            .map(|bytes| (Digest::sha256(&bytes).to_string(), bytes));
        Some(Self {
            blobs: blobs.collect(),
            top: Document {
                descriptor,
                bytes: top,
            },
            reads: AtomicUsize::new(0),
        })
    }
}

fn resolve_references(text: &[u8], documents: &[Vec<u8>]) -> Vec<u8> {
    let mut resolved = Vec::new();
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let referred = tail
            .first()
            .map(|digit| usize::from(digit.wrapping_sub(b'0')));
        let referred = referred.and_then(|index| documents.get(index));
        rest = match (first, referred) {
            (b'@', Some(document)) => {
                resolved.extend(Digest::sha256(document).to_string().bytes());
                &tail[1..]
            }
            (b'#', Some(document)) => {
                resolved.extend(document.len().to_string().bytes());
                &tail[1..]
            }
            _ => {
                resolved.push(*first);
                tail
            }
        };
    }
    resolved
}

impl Documents for Store {
    async fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(
            descriptor.size <= 1 << 16,
            "size is within the limits when asked"
        );
        assert!(
            !descriptor.is_attestation(),
            "attestation is never asked for"
        );
        let kind = descriptor.media_type.kind();
        assert!(!matches!(kind, MediaKind::Layer(_)), "layer is no document");
        let blob = self.blobs.get(&descriptor.digest.to_string());
        blob.cloned()
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no such document"))
    }
}
