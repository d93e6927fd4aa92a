//! What the tests of the program share: the program itself, small images, outside tools.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests may")]

pub(crate) mod server;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The program under test.
pub(crate) fn banger() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banger"));
    command.env_remove("BANGER_HOME");
    command
}

/// The sample image of the repository.
pub(crate) fn sample() -> String {
    format!(
        "oci:{}/../examples/sample:latest",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// Whether an outside tool is there. A missing one is named and the caller skips; where `CI` is set it
/// fails instead.
pub(crate) fn tool(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder: PathBuf| folder.join(name).is_file());
    needed(found, name)
}

/// Whether this process is root; skips and fails as [`tool`] does.
pub(crate) fn root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && left_to_root() {
        return false;
    }
    needed(is_root, "root")
}

/// Notes this test for `.ci/run`, which repeats it as root; false where nobody has asked for that.
fn left_to_root() -> bool {
    let Some(list) = std::env::var_os("TESTS_FOR_ROOT") else {
        return false;
    };
    let program = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("{} {test}\n", program.display());
    let list = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(list);
    std::io::Write::write_all(&mut list.unwrap(), line.as_bytes()).unwrap();
    println!("left to root: {test}");
    true
}

fn needed(found: bool, what: &str) -> bool {
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI needs {what}");
        println!("skipped: {what} is missing");
    }
    found
}

/// Runs a command and checks its exit code; returns standard output and standard error.
#[track_caller]
pub(crate) fn run(command: &mut Command, code: i32) -> (String, String) {
    let output = command.output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\n{stdout}{stderr}"
    );
    (stdout, stderr)
}

/// Both streams of a command.
pub(crate) fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Checks a filesystem with `e2fsck`, which must have nothing to say.
#[track_caller]
pub(crate) fn assert_clean(image: &Path) {
    let (stdout, stderr) = run(Command::new("/sbin/e2fsck").arg("-fn").arg(image), 0);
    for complaint in ["Fix?", "differences", "ERROR", "WARNING", "optimi"] {
        assert!(!stdout.contains(complaint), "{stdout}{stderr}");
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// An OCI image layout in the making.
pub(crate) struct Layout {
    folder: PathBuf,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
}

impl Layout {
    /// Begins a layout in a new folder.
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(
            folder.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        Self {
            folder: folder.to_owned(),
            layers: Vec::new(),
            diff_ids: Vec::new(),
        }
    }

    /// Adds a layer, compressed with gzip.
    pub(crate) fn gzip_layer(&mut self, tar: &[u8]) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(tar).unwrap();
        let bytes = encoder.finish().unwrap();
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        self.layer(media_type, &bytes, &digest(tar));
    }

    /// Adds a layer, not compressed.
    pub(crate) fn plain_layer(&mut self, tar: &[u8]) {
        self.layer("application/vnd.oci.image.layer.v1.tar", tar, &digest(tar));
    }

    /// Adds a blob as a layer with any `diff_id`.
    pub(crate) fn layer(&mut self, media_type: &str, bytes: &[u8], diff_id: &str) {
        let descriptor = self.store(media_type, bytes);
        self.layers.push(descriptor);
        self.diff_ids.push(diff_id.to_owned());
    }

    /// Completes the layout; returns its source name.
    pub(crate) fn finish(self) -> String {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        });
        let config = self.store(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config,
            "layers": self.layers,
        });
        let mut descriptor = self.store(media_type, manifest.to_string().as_bytes());
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
        format!("oci:{}:latest", self.folder.display())
    }

    fn store(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(
            self.folder.join("blobs").join(digest.replace(':', "/")),
            bytes,
        )
        .unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// A tar of regular files.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}
