//! A registry in memory, which does no more than answer.

use std::collections::BTreeMap;
use std::fs;

use oci_flatten::digest::Digest;
use oci_flatten::media_type::OCI_MANIFEST;

use super::image::TestImage;
use super::proxy::{Answer, Request};

/// The documents and layers of one image, under every repository and every tag.
#[derive(Clone)]
pub(crate) struct Memory {
    blobs: BTreeMap<String, Vec<u8>>,
    manifest: Vec<u8>,
}

impl Memory {
    pub(crate) fn of(image: &TestImage) -> Self {
        let folder = image.path().join("blobs/sha256");
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        let blobs: BTreeMap<_, _> = files
            .map(|file| fs::read(file).unwrap())
            .map(|bytes| (Digest::sha256(&bytes).to_string(), bytes))
            .collect();
        let manifest = blobs[image.manifest.as_str()].clone();
        Self { blobs, manifest }
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        let (_, name) = path.rsplit_once('/').unwrap_or_default();
        if path == "/v2/" {
            return Answer::new(200).body("{}");
        }
        if path.contains("/manifests/") {
            return match self.blobs.get(name) {
                Some(bytes) => document(OCI_MANIFEST, bytes),
                None if name.contains(':') => missing(),
                None => document(OCI_MANIFEST, &self.manifest),
            };
        }
        match self.blobs.get(name) {
            Some(bytes) => Answer::new(200)
                .header("Content-Type", "application/octet-stream")
                .body(bytes.clone()),
            None => missing(),
        }
    }

    /// Whether a request is for the image's config.
    pub(crate) fn is_config(&self, request: &Request) -> bool {
        let (_, name) = request.path.rsplit_once('/').unwrap_or_default();
        let blob = self.blobs.get(name);
        request.path.contains("/blobs/") && blob.is_some_and(|bytes| bytes.starts_with(b"{"))
    }
}

fn document(media_type: &str, bytes: &[u8]) -> Answer {
    Answer::new(200)
        .header("Content-Type", media_type)
        .header("Docker-Content-Digest", Digest::sha256(bytes).to_string())
        .body(bytes)
}

fn missing() -> Answer {
    Answer::new(404)
        .body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#)
}
