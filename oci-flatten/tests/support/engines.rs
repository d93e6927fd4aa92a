//! Container engines that lay layers out on the host, by which the merge is judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_flatten::digest::Digest;
use serde_json::{Value, json};

use super::trees::{Tree, of_host};

/// A program that unpacks images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// `umoci unpack`, which goes by the specification.
    Umoci,
    /// containers-storage with its `vfs` driver, which podman and buildah use: layer by layer onto one tree, as
    /// containerd and docker do without an overlay filesystem. `skopeo` brings it; it needs root.
    #[allow(dead_code, reason = "random stacks go through umoci only")]
    Storage,
}

impl Engine {
    /// The program that must be there.
    pub(crate) fn tool(self) -> &'static str {
        match self {
            Self::Umoci => "umoci",
            Self::Storage => "skopeo",
        }
    }

    /// What it lays out, or what it says when it refuses.
    pub(crate) fn unpack(self, layers: &[Vec<u8>]) -> Result<Tree, String> {
        let scratch = tempfile::tempdir().expect("directory is made");
        let layout = scratch.path().join("layout");
        write_layout(&layout, layers);
        let rootfs = match self {
            Self::Umoci => umoci(&layout, scratch.path()),
            Self::Storage => storage(&layout, scratch.path()),
        };
        rootfs.map(|rootfs| of_host(&rootfs))
    }
}

fn umoci(layout: &Path, scratch: &Path) -> Result<PathBuf, String> {
    let bundle = scratch.join("bundle");
    let mut command = Command::new("umoci");
    command.arg("unpack");
    if !rustix::process::getuid().is_root() {
        command.arg("--rootless");
    }
    let image = format!("{}:test", layout.display());
    run(command.args(["--image", &image]).arg(&bundle))?;
    Ok(bundle.join("rootfs"))
}

fn storage(layout: &Path, scratch: &Path) -> Result<PathBuf, String> {
    let store = scratch.join("store");
    let place = |name: &str| store.join(name).display().to_string();
    let from = format!("oci:{}:test", layout.display());
    let to = format!(
        "containers-storage:[vfs@{}+{}]test",
        place("root"),
        place("run")
    );
    let policy = scratch.join("policy.json");
    let anything = json!({ "default": [{ "type": "insecureAcceptAnything" }] });
    fs::write(&policy, anything.to_string()).expect("policy is written");
    run(Command::new("skopeo")
        .arg("--policy")
        .arg(policy)
        .args(["copy", "--quiet", &from, &to]))?;
    let images = fs::read(store.join("root/vfs-images/images.json")).expect("image is listed");
    let images: Value = serde_json::from_slice(&images).expect("list is JSON");
    let top = images[0]["layer"].as_str().unwrap_or_default();
    Ok(store.join("root/vfs/dir").join(top))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().expect("tool runs");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Writes an image layout with one image of these layers, called `test`.
fn write_layout(directory: &Path, layers: &[Vec<u8>]) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("directory is made");
    let blob = |bytes: &[u8], kind: &str| {
        let digest = Digest::sha256(bytes);
        fs::write(blobs.join(digest.hex()), bytes).expect("blob is written");
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": digest.to_string(),
            "size": bytes.len(),
        })
    };
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| Digest::sha256(layer).to_string())
        .collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| blob(layer, "layer.v1.tar"))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "config": blob(config.to_string().as_bytes(), "config.v1+json"),
        "layers": layers,
    });
    let mut manifest = blob(manifest.to_string().as_bytes(), "manifest.v1+json");
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "test" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(directory.join("index.json"), index.to_string()).expect("index is written");
    let layout = json!({ "imageLayoutVersion": "1.0.0" });
    fs::write(directory.join("oci-layout"), layout.to_string()).expect("layout is written");
}
