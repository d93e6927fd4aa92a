//! A small image with layers of noise, as an OCI layout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_tests::succeed;
use oci_flatten::digest::Digest;
use oci_flatten::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use oci_flatten::platform::Platform;
use tempfile::TempDir;

use super::server::Registry;

/// An image on disk.
pub(crate) struct TestImage {
    folder: TempDir,
    /// The blobs of its layers, bottom first.
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) manifest: Digest,
}

impl TestImage {
    pub(crate) fn new() -> Self {
        Self::of(Self::layers())
    }

    /// Layers of 3 MiB, 40 KB, nothing, 1 MiB, and the second once more.
    pub(crate) fn layers() -> Vec<Vec<u8>> {
        let second = noise(2, 40_000);
        vec![
            noise(1, 3 << 20),
            second.clone(),
            Vec::new(),
            noise(3, 1 << 20),
            second,
        ]
    }

    pub(crate) fn of(layers: Vec<Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let descriptors: Vec<String> = layers
            .iter()
            .map(|layer| put(path, OCI_LAYER, layer))
            .collect();
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("\"{}\"", Digest::sha256(layer)))
            .collect();
        let here = Platform::linux_here();
        let config = format!(
            r#"{{"os":"{}","architecture":"{}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            here.os(),
            here.architecture(),
            diff_ids.join(",")
        );
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":[{}]}}"#,
            put(path, OCI_CONFIG, config.as_bytes()),
            descriptors.join(",")
        );
        let top = put(path, OCI_MANIFEST, manifest.as_bytes());
        let index =
            format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{top}]}}"#);
        fs::write(path.join("index.json"), index).unwrap();
        Self {
            folder,
            layers,
            manifest: Digest::sha256(manifest.as_bytes()),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn digest(&self, layer: usize) -> Digest {
        Digest::sha256(&self.layers[layer])
    }

    /// Pushes it with skopeo.
    pub(crate) fn push(&self, registry: &Registry, name: &str) {
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--preserve-digests"]);
        registry.trust(&mut command, "dest");
        command.arg(format!("oci:{}", self.path().display()));
        succeed(command.arg(format!("docker://{}/{name}", registry.domain())));
    }
}

/// Bytes that no compressor makes smaller, the same in each run.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn put(layout: &Path, media_type: &str, bytes: &[u8]) -> String {
    let digest = Digest::sha256(bytes);
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    format!(
        r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#,
        bytes.len()
    )
}
