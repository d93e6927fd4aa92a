//! What other programs make of an image: `umoci unpack` as the reference layout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{output, succeed};

/// Unpacks the image of an OCI layout with `umoci` (as root, for owners and devices) below `work`;
/// returns the root of the tree.
///
/// # Panics
///
/// When the layout cannot be read or `umoci` fails.
#[must_use]
pub fn umoci_unpack(layout: &Path, work: &Path) -> PathBuf {
    let plain = work.join("plain");
    uncompressed(layout, &plain);
    let bundle = work.join("bundle");
    let image = format!("{}:plain", plain.display());
    succeed(
        Command::new("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle),
    );
    bundle.join("rootfs")
}

/// Copies a layout of one image with its layers decompressed: Debian's umoci reads no zstd.
fn uncompressed(layout: &Path, copy: &Path) {
    let index = document(&layout.join("index.json"));
    let mut manifest = document(&blob(layout, &index["manifests"][0]));
    fs::create_dir_all(copy.join("blobs/sha256")).unwrap();
    for layer in manifest["layers"].as_array_mut().unwrap() {
        let media_type = layer["mediaType"].as_str().unwrap();
        let program = match media_type {
            kind if kind.ends_with("+zstd") => "zstdcat",
            kind if kind.ends_with("gzip") => "zcat",
            _ => "cat",
        };
        let tar = output(Command::new(program).arg(blob(layout, layer)));
        assert!(
            tar.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&tar.stderr)
        );
        *layer = store(copy, "application/vnd.oci.image.layer.v1.tar", &tar.stdout);
    }
    let config = fs::read(blob(layout, &manifest["config"])).unwrap();
    manifest["config"] = store(copy, "application/vnd.oci.image.config.v1+json", &config);
    manifest["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut descriptor = store(copy, media_type, manifest.to_string().as_bytes());
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "plain"});
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    fs::write(copy.join("index.json"), index.to_string()).unwrap();
    fs::write(copy.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn document(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    layout
        .join("blobs")
        .join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
}

fn store(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::write(layout.join("blobs/sha256").join(&hex), bytes).unwrap();
    json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
}
