//! Images made in memory, for tests.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses its own part"
)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use oci_flatten::digest::{Algorithm, Digest};
use oci_flatten::error::{Error, ErrorKind};
use oci_flatten::flatten::{CancellationToken, FlattenOptions, Flattened};
use oci_flatten::image::{Descriptor, Document, Documents};
use oci_flatten::limits::Limits;
use oci_flatten::media_type;
use oci_flatten::progress::Silent;
use oci_flatten::source::{OpenOptions, Source, SourceName, open_local};
use oci_flatten::testkit::{Entry, Layer, MemorySink, list};
use serde_json::{Value, json};

pub const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Blobs by digest.
#[derive(Clone, Default)]
pub struct Blobs(pub BTreeMap<Digest, Vec<u8>>);

impl Blobs {
    /// Keeps a blob; gives its descriptor.
    pub fn add(&mut self, media_type: &str, bytes: impl Into<Vec<u8>>) -> Value {
        self.add_as(Algorithm::Sha256, media_type, bytes)
    }

    pub fn add_as(
        &mut self,
        algorithm: Algorithm,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Value {
        let bytes = bytes.into();
        let digest = Digest::of(algorithm, &bytes);
        let descriptor = json!({
            "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len(),
        });
        self.0.insert(digest, bytes);
        descriptor
    }

    pub fn add_json(&mut self, media_type: &str, document: &Value) -> Value {
        self.add(media_type, document.to_string())
    }

    /// An OCI image of gzip layers.
    pub fn image(&mut self, platform: &str, layers: &[Vec<u8>]) -> Value {
        let stored: Vec<_> = layers.iter().map(|tar| (OCI_GZIP, gzip(tar))).collect();
        self.image_of(platform, layers, &stored)
    }

    /// An OCI image whose layers are stored as given.
    pub fn image_of(
        &mut self,
        platform: &str,
        layers: &[Vec<u8>],
        stored: &[(&str, Vec<u8>)],
    ) -> Value {
        let diff_ids: Vec<_> = layers
            .iter()
            .map(|tar| Digest::sha256(tar).as_str().to_string())
            .collect();
        let config = self.add_json(media_type::OCI_CONFIG, &config(platform, &diff_ids));
        let layers: Vec<_> = stored
            .iter()
            .map(|(media_type, bytes)| self.add(media_type, bytes.clone()))
            .collect();
        self.add_json(media_type::OCI_MANIFEST, &manifest(&config, &layers))
    }

    /// The document that a descriptor stands for.
    pub fn document(&self, descriptor: &Value) -> Document {
        let descriptor: Descriptor = serde_json::from_value(descriptor.clone()).unwrap();
        let bytes = self.0[&descriptor.digest].clone();
        Document { descriptor, bytes }
    }

    /// The files of an OCI image layout with these entries in its index.
    pub fn layout(&self, entries: &[Value]) -> Vec<(String, Vec<u8>)> {
        let index = json!({ "schemaVersion": 2, "manifests": entries });
        let mut files = vec![
            (
                "oci-layout".to_string(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
            ("index.json".to_string(), index.to_string().into_bytes()),
        ];
        for (digest, bytes) in &self.0 {
            let path = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
            files.push((path, bytes.clone()));
        }
        files
    }
}

impl Documents for Blobs {
    async fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let missing = || Error::new(ErrorKind::NotFound, format!("no {}", descriptor.digest));
        self.0.get(&descriptor.digest).cloned().ok_or_else(missing)
    }
}

pub fn config(platform: &str, diff_ids: &[String]) -> Value {
    let mut parts = platform.split('/');
    json!({
        "created": "2024-05-06T07:08:09.000000010Z",
        "os": parts.next(), "architecture": parts.next(), "variant": parts.next(),
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
}

pub fn manifest(config: &Value, layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config, "layers": layers,
    })
}

pub fn index(entries: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries })
}

/// The descriptor with a platform.
pub fn on(platform: &str, mut descriptor: Value) -> Value {
    let mut parts = platform.split('/');
    descriptor["platform"] = json!({ "os": parts.next(), "architecture": parts.next() });
    if let Some(variant) = parts.next() {
        descriptor["platform"]["variant"] = variant.into();
    }
    descriptor
}

/// The descriptor with an annotation.
pub fn noted(key: &str, value: &str, mut descriptor: Value) -> Value {
    descriptor["annotations"][key] = value.into();
    descriptor
}

/// The descriptor under a tag of its layout.
pub fn tagged(tag: &str, descriptor: Value) -> Value {
    noted("org.opencontainers.image.ref.name", tag, descriptor)
}

/// A layer of one file.
pub fn layer(path: &str, content: &str) -> Vec<u8> {
    Layer::new()
        .entry(Entry::file(path, content).mode(0o644).mtime(1))
        .finish()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar of these files.
pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut layer = Layer::new();
    for (path, bytes) in files {
        layer = layer.entry(Entry::file(path, bytes).mode(0o644));
    }
    layer.finish()
}

/// Writes files below a directory.
pub fn write_files(directory: &Path, files: &[(String, Vec<u8>)]) {
    for (path, bytes) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Runs a tool; `None`, said in one line, where the machine does not have it. With `CI` set it must be there.
pub fn tool(program: &str, arguments: &[&str]) -> Option<String> {
    let output = match std::process::Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("CI").is_none(), "{program} is needed");
            println!("skipped: {program} is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The sum of a flattening that tests look at.
#[derive(Debug)]
pub struct Merged {
    pub listing: Vec<String>,
    pub flattened: Flattened<MemorySink>,
}

/// Flattens in memory, with the default limits.
pub async fn flatten(source: Arc<dyn Source>) -> Result<Merged, Error> {
    flatten_with(source, FlattenOptions::default()).await
}

pub async fn flatten_with(
    source: Arc<dyn Source>,
    options: FlattenOptions,
) -> Result<Merged, Error> {
    let (sink, token) = (MemorySink::default(), CancellationToken::new());
    let flattened =
        oci_flatten::flatten::flatten(source, sink, options, Arc::new(Silent), token).await?;
    let listing = list(&flattened.rootfs, &flattened.sink);
    Ok(Merged { listing, flattened })
}

/// Opens a local source for `linux/amd64`.
pub async fn open(name: &str) -> Result<Arc<dyn Source>, Error> {
    open_for(name, "linux/amd64").await
}

pub async fn open_for(name: &str, platform: &str) -> Result<Arc<dyn Source>, Error> {
    let SourceName::Local(name) = SourceName::parse(name)? else {
        panic!("{name} is not local")
    };
    let options = OpenOptions {
        platform: platform.parse()?,
        limits: Limits::default(),
        allow_truncated_tar: false,
        spool_dir: std::env::temp_dir(),
    };
    open_local(&name, &options).await.map(Arc::from)
}

/// No error of a chain says what the one below it says: `{:#}` prints them all.
#[track_caller]
pub fn assert_nothing_said_twice(error: &Error) {
    let mut above = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        assert!(!above.contains(&said), "{above:?} has {said:?} below it");
        (above, next) = (said, cause.source());
    }
}
