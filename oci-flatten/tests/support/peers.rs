//! Programs that lay layers out on the host, by which the merge and the reader are judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_flatten::digest::Digest;
use serde_json::{Value, json};

use super::tools;
use super::trees::{Facts, Tree, differences, of_host};

/// A program that lays out layers, or one archive, on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "not every test asks all of them")]
pub(crate) enum Peer {
    /// `umoci unpack`, which goes by the specification and reads with Go's `archive/tar`.
    Umoci,
    /// containers-storage with its `vfs` driver, which podman and buildah use: layer by layer onto one tree, as
    /// containerd and docker do without an overlay filesystem. `skopeo` brings it; it needs root.
    Storage,
    /// GNU tar.
    GnuTar,
    /// libarchive's `bsdtar`.
    BsdTar,
    /// Python's `tarfile`, which knows no extended attributes.
    Python,
}

impl Peer {
    /// Those that know what a layer is.
    #[allow(dead_code, reason = "not every test asks them")]
    pub(crate) const ENGINES: [Self; 2] = [Self::Umoci, Self::Storage];
    /// Those that read one archive.
    #[allow(dead_code, reason = "not every test asks them")]
    pub(crate) const READERS: [Self; 4] = [Self::Umoci, Self::GnuTar, Self::BsdTar, Self::Python];

    fn tool(self) -> &'static str {
        match self {
            Self::Umoci => "umoci",
            Self::Storage => "skopeo",
            Self::GnuTar => "tar",
            Self::BsdTar => "bsdtar",
            Self::Python => "python3",
        }
    }

    /// What it lays out, or what it says when it refuses.
    pub(crate) fn unpack(self, layers: &[Vec<u8>]) -> Result<Tree, String> {
        let scratch = tempfile::tempdir().expect("directory is made");
        let rootfs = match self {
            Self::Umoci | Self::Storage => {
                let layout = scratch.path().join("layout");
                write_layout(&layout, layers);
                match self {
                    Self::Umoci => umoci(&layout, scratch.path()),
                    _ => storage(&layout, scratch.path()),
                }
            }
            _ => self.extract(&layers.concat(), scratch.path()),
        };
        rootfs.map(|rootfs| of_host(&rootfs))
    }

    fn extract(self, archive: &[u8], scratch: &Path) -> Result<PathBuf, String> {
        let (from, to) = (scratch.join("archive.tar"), scratch.join("tree"));
        fs::write(&from, archive).expect("archive is written");
        fs::create_dir(&to).expect("directory is made");
        let mut command = Command::new(self.tool());
        match self {
            Self::GnuTar => command.args([
                "-xp",
                "--numeric-owner",
                "--xattrs",
                "--xattrs-include=*",
                "-f",
            ]),
            Self::BsdTar => command.args(["-xp", "--numeric-owner", "-f"]),
            _ => command.args([
                "-c",
                "import sys, tarfile\n\
                 archive = tarfile.open(sys.argv[1])\n\
                 if hasattr(tarfile, 'fully_trusted_filter'):\n    \
                     archive.extraction_filter = tarfile.fully_trusted_filter\n\
                 archive.extractall(sys.argv[3], numeric_owner=True)",
            ]),
        };
        run(command.arg(&from).arg("-C").arg(&to)).map(|()| to)
    }
}

/// Peers that do otherwise than we do, and why we do not follow them.
#[derive(Default)]
pub(crate) struct Unlike<'a>(Vec<(&'a [Peer], &'a str)>);

#[allow(dead_code, reason = "not every test has known differences")]
pub(crate) fn unlike<'a>(peers: &'a [Peer], why: &'a str) -> Unlike<'a> {
    Unlike::default().and(peers, why)
}

#[allow(dead_code, reason = "not every test has known differences")]
impl<'a> Unlike<'a> {
    /// Further ones.
    pub(crate) fn and(mut self, peers: &'a [Peer], why: &'a str) -> Self {
        self.0.push((peers, why));
        self
    }

    /// Compares what peers make of these layers with our tree, or with our refusing them. In CI a known
    /// difference must be one.
    #[track_caller]
    pub(crate) fn check(&self, peers: &[Peer], layers: &[Vec<u8>], ours: Option<&Tree>) {
        for &peer in peers {
            if !tools::can_lay_out() || !tools::is_there(peer.tool()) {
                continue;
            }
            let differences = match (ours, peer.unpack(layers)) {
                (Some(ours), Ok(theirs)) => {
                    differences(&comparable(ours, peer), &comparable(&theirs, peer)).join("\n")
                }
                (Some(_), Err(error)) => error,
                (None, Ok(theirs)) => format!("accepted: {theirs:?}"),
                (None, Err(_)) => String::new(),
            };
            match self.0.iter().find(|(others, _)| others.contains(&peer)) {
                None => assert_eq!(differences, "", "unlike {peer:?}"),
                Some((_, why)) if differences.is_empty() => {
                    // Another version may have come round to it; where tools are of a known version, the list is held.
                    println!("{peer:?} does the same now, not: {why}");
                    assert!(std::env::var_os("CI").is_none(), "{peer:?} does not: {why}");
                }
                Some(_) => {}
            }
        }
    }
}

/// Leaves out what a peer does not keep: the times of directories, which come from the clock when a child comes or
/// goes, and the attributes and times of links that Python does not set.
fn comparable(tree: &Tree, peer: Peer) -> Tree {
    let facts = |(name, facts): (&String, &Facts)| {
        let mut facts = facts.clone();
        if facts.kind == "directory" {
            facts.mtime = (0, 0);
        }
        if peer == Peer::Python {
            facts.xattrs.clear();
            if facts.kind.starts_with("link ") {
                facts.mtime = (0, 0);
            }
        }
        (name.clone(), facts)
    };
    tree.iter().map(facts).collect()
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
