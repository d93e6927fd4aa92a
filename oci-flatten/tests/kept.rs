//! The cache never loses what it could still serve: for any answer with which a pull succeeds, pruning removes
//! nothing that a pull without the network needs, and does remove what nothing refers to.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use oci_flatten::cache::{Cache, DamagedIndex, PrunePolicy};
use oci_flatten::digest::Digest;
use oci_flatten::error::{Error, ErrorKind, Result};
use oci_flatten::limits::Limits;
use oci_flatten::lock::Waiter;
use oci_flatten::progress::Silent;
use oci_flatten::reference::Reference;
use oci_flatten::registry::{PullOptions, RegistrySettings, RegistrySource};
use oci_flatten::source::Source as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

const OCI: &str = "application/vnd.oci.image";
const DOCKER: &str = "application/vnd.docker.distribution.manifest";

/// Bodies by path, and the type that goes with all manifests.
#[derive(Default)]
struct Content {
    bodies: HashMap<String, Vec<u8>>,
    content_type: String,
}

impl Content {
    fn put(&mut self, folder: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.bodies
            .insert(format!("/v2/app/{folder}/{digest}"), bytes.to_vec());
        digest
    }
}

/// A registry on loopback that says what it is told.
fn serve(content: Content) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let content = Arc::new(Mutex::new(content));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let content = Arc::clone(&content);
            thread::spawn(move || answer(stream, &content));
        }
    });
    address
}

fn answer(stream: TcpStream, content: &Mutex<Content>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let content = content.lock().unwrap();
        let (status, body) = match content.bodies.get(path) {
            Some(body) => ("200 OK", body.clone()),
            None if path == "/v2/" => ("200 OK", b"{}".to_vec()),
            None => ("404 Not Found", Vec::new()),
        };
        let content_type = match content.content_type.as_str() {
            "" => String::new(),
            text => format!("Content-Type: {text}\r\n"),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{content_type}\r\n",
            body.len()
        );
        writer.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            writer.write_all(&body).ok()?;
        }
    }
}

/// How the documents of an image are written.
#[derive(Clone, Debug)]
struct Shape {
    content_type: &'static str,
    /// Indexes around the manifest.
    depth: usize,
    docker: bool,
    /// Whether documents name their own type.
    typed: bool,
    upper_case: bool,
    /// The layers; none is written as `null`, as Go does.
    layers: Option<Vec<Vec<u8>>>,
    /// Entries of indexes that are no images, before and after the one that is.
    strangers: (bool, bool),
    /// Whether the entry of an artifact has the digest of the image.
    double: bool,
    by_digest: bool,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let content_types = prop::sample::select(vec![
        "",
        "application/json",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "APPLICATION/VND.OCI.IMAGE.MANIFEST.V1+JSON; charset=utf-8",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.example.artifact",
    ]);
    let layers = prop::option::of(prop::collection::vec(
        prop::collection::vec(any::<u8>(), 1..40),
        0..4,
    ));
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<(bool, bool)>(),
        any::<bool>(),
        any::<bool>(),
    );
    (content_types, 0..5_usize, layers, flags).prop_map(|(content_type, depth, layers, flags)| {
        let (docker, typed, upper_case, strangers, double, by_digest) = flags;
        Shape {
            content_type,
            depth,
            docker,
            typed,
            upper_case,
            layers,
            strangers,
            double,
            by_digest,
        }
    })
}

impl Shape {
    fn media_type(&self, kind: &str) -> String {
        let text = match (self.docker, kind) {
            (true, "manifest") => format!("{DOCKER}.v2+json"),
            (true, _) => format!("{DOCKER}.list.v2+json"),
            (false, kind) => format!("{OCI}.{kind}.v1+json"),
        };
        match self.upper_case {
            true => text.to_uppercase(),
            false => text,
        }
    }

    /// Puts the image into a registry; gives its reference there.
    fn publish(&self, content: &mut Content) -> String {
        let diff_ids: Vec<String> = self
            .layers
            .iter()
            .flatten()
            .map(|layer| Digest::sha256(layer).to_string())
            .collect();
        let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = config.to_string().into_bytes();
        let layers = self.layers.as_ref().map(|layers| {
            let layers = layers.iter().map(|layer| {
                let digest = content.put("blobs", layer);
                json!({ "mediaType": format!("{OCI}.layer.v1.tar"), "digest": digest, "size": layer.len() })
            });
            layers.collect::<Vec<Value>>()
        });
        let mut document = json!({
            "schemaVersion": 2,
            "config": { "mediaType": format!("{OCI}.config.v1+json"), "digest": content.put("blobs", &config), "size": config.len() },
            "layers": layers,
        });
        let mut kind = "manifest";
        for level in 0..=self.depth {
            if self.typed {
                document["mediaType"] = json!(self.media_type(kind));
            }
            let bytes = document.to_string().into_bytes();
            let digest = content.put("manifests", &bytes);
            if level == self.depth {
                content.bodies.insert("/v2/app/manifests/v1".into(), bytes);
                return match self.by_digest {
                    true => format!("app@{digest}"),
                    false => "app:v1".into(),
                };
            }
            let mut entry = json!({ "mediaType": self.media_type(kind), "digest": digest, "size": bytes.len() });
            let stranger = match self.double {
                true => {
                    json!({ "mediaType": "application/vnd.example.artifact", "digest": digest, "size": bytes.len() })
                }
                false => {
                    json!({ "mediaType": self.media_type("manifest"), "digest": Digest::sha256(b"else"), "size": 4,
                    "platform": { "os": "windows", "architecture": "mips" } })
                }
            };
            if level == 0 {
                entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
            }
            let (before, after) = self.strangers;
            let mut manifests = Vec::new();
            manifests.extend(before.then(|| stranger.clone()));
            manifests.push(entry);
            manifests.extend(after.then_some(stranger));
            document = json!({ "schemaVersion": 2, "manifests": manifests, "config": null });
            kind = "index";
        }
        unreachable!("the last level returns")
    }
}

/// Pulls everything; gives the layers.
async fn pull(reference: &Reference, cache: &Cache, offline: bool) -> Result<Vec<Vec<u8>>> {
    let options = PullOptions {
        settings: Arc::new(RegistrySettings {
            offline,
            ..RegistrySettings::default()
        }),
        cache: cache.clone(),
        platform: "linux/amd64".parse().unwrap(),
        limits: Limits::default(),
        observer: Arc::new(Silent),
    };
    let source = RegistrySource::open(reference, &options).await?;
    let mut layers = Vec::new();
    for index in 0..source.image().layers.len() {
        let mut bytes = Vec::new();
        source
            .open_layer(index)
            .await?
            .read_to_end(&mut bytes)
            .await
            .map_err(|error| Error::io("read a layer", error))?;
        layers.push(bytes);
    }
    Ok(layers)
}

fn prune(cache: &Cache) -> Vec<String> {
    let policy = PrunePolicy {
        now: SystemTime::now(),
        unused_for: None,
        keep_bytes: None,
        dry_run: false,
    };
    let pruned = cache.prune(&policy).unwrap();
    pruned.removed.into_iter().map(|file| file.name).collect()
}

fn has_skopeo() -> bool {
    let found = Command::new("skopeo").arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "CI needs skopeo");
    found
}

fn check(shape: &Shape, skopeo: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("oci")).unwrap();
    let mut content = Content {
        content_type: shape.content_type.into(),
        ..Content::default()
    };
    let name = shape.publish(&mut content);
    let reference = Reference::parse(&format!("{}/{name}", serve(content))).unwrap();
    let Ok(layers) = runtime.block_on(pull(&reference, &cache, false)) else {
        return;
    };
    assert_eq!(layers, shape.layers.clone().unwrap_or_default());
    let unreferenced = Digest::sha256(b"of no image");
    fs::write(
        cache.root().join("blobs/sha256").join(unreferenced.hex()),
        b"of no image",
    )
    .unwrap();
    assert_eq!(prune(&cache), [unreferenced.to_string()]);
    assert_eq!(cache.show().unwrap().images[0].missing, 0);
    let again = runtime.block_on(pull(&reference, &cache, true));
    assert_eq!(again.unwrap(), layers, "without the network");
    // In a layout, skopeo knows OCI's own types alone, in lower case, and no references by digest.
    if skopeo && !shape.docker && !shape.upper_case && !shape.by_digest {
        let image = format!("oci:{}:{reference}", cache.root().display());
        let output = Command::new("skopeo")
            .args(["inspect", "--raw", &image])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_pulled_can_be_pulled_without_the_network_after_pruning(shape in shapes()) {
        static SKOPEO: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        check(&shape, *SKOPEO.get_or_init(has_skopeo));
    }
}

fn plain() -> Shape {
    Shape {
        content_type: "application/json",
        depth: 1,
        docker: false,
        typed: false,
        upper_case: false,
        layers: Some(vec![b"layer".to_vec()]),
        strangers: (false, false),
        double: false,
        by_digest: false,
    }
}

/// A cache with one image, its reference, and a runtime to pull with.
fn pulled(folder: &Path) -> (Cache, Reference, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let cache = Cache::open(folder.join("oci")).unwrap();
    let mut content = Content::default();
    let name = plain().publish(&mut content);
    let reference = Reference::parse(&format!("{}/{name}", serve(content))).unwrap();
    runtime.block_on(pull(&reference, &cache, false)).unwrap();
    (cache, reference, runtime)
}

#[test]
fn a_damaged_index_is_named_and_repaired_and_no_blob_is_lost() {
    let damages: [&dyn Fn(&Path); 5] = [
        &|path| fs::write(path, b"{\"schemaVersion\":2,\"manif").unwrap(),
        &|path| fs::write(path, b"").unwrap(),
        &|path| fs::write(path, b"{\"manifests\":{}}").unwrap(),
        &|path| fs::remove_file(path).unwrap(),
        &|path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let (cache, reference, runtime) = pulled(folder.path());
        let top = cache.resolve(&reference).unwrap().unwrap().digest;
        damage(&cache.root().join("index.json"));
        let error = cache.resolve(&reference).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .is::<DamagedIndex>()
        );
        let (cache, repairs) = Cache::repair(cache.root(), Waiter::default())
            .unwrap()
            .unwrap();
        assert_eq!(repairs.len(), 1, "{repairs:?}");
        assert!(prune(&cache).is_empty());
        let domain = reference.domain();
        let pinned = Reference::parse(&format!("{domain}/app@{top}")).unwrap();
        runtime.block_on(pull(&pinned, &cache, true)).unwrap();
        runtime.block_on(pull(&reference, &cache, false)).unwrap();
        assert!(
            Cache::repair(cache.root(), Waiter::default())
                .unwrap()
                .unwrap()
                .1
                .is_empty()
        );
    }
}

#[test]
fn entries_without_a_digest_hide_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, reference, runtime) = pulled(folder.path());
    let path = cache.root().join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let manifests = index["manifests"].as_array_mut().unwrap();
    manifests.extend([json!(null), json!({ "digest": "md5:00" }), json!("text")]);
    // Nor does one whose type is not what it is, as older versions may have kept it.
    manifests[0]["mediaType"] = json!("text/plain");
    fs::write(&path, index.to_string()).unwrap();
    assert!(prune(&cache).is_empty());
    runtime.block_on(pull(&reference, &cache, true)).unwrap();
    let (_, repairs) = Cache::repair(cache.root(), Waiter::default())
        .unwrap()
        .unwrap();
    assert!(repairs[0].outcome.starts_with("3 entries"), "{repairs:?}");
    runtime.block_on(pull(&reference, &cache, true)).unwrap();
}

#[test]
fn foreign_objects_are_reported_and_removed_and_fail_no_pull() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, reference, runtime) = pulled(folder.path());
    let blobs = cache.root().join("blobs/sha256");
    let layer = Digest::sha256(b"layer");
    fs::remove_file(blobs.join(layer.hex())).unwrap();
    symlink("/etc/passwd", blobs.join(layer.hex())).unwrap();
    let part = cache
        .root()
        .join(format!("ingest/sha256-{}.part", layer.hex()));
    fs::create_dir(&part).unwrap();
    runtime.block_on(pull(&reference, &cache, false)).unwrap();
    assert_eq!(fs::read(blobs.join(layer.hex())).unwrap(), b"layer");
    let discarded = cache.take_discarded();
    assert_eq!(discarded.len(), 1);
    assert!(
        discarded[0].to_string().contains("a symbolic link"),
        "{}",
        discarded[0]
    );

    symlink("/etc/passwd", blobs.join("link")).unwrap();
    fs::create_dir(blobs.join("folder")).unwrap();
    fs::create_dir(&part).unwrap();
    fs::write(cache.root().join("ingest/note"), b"").unwrap();
    let (cache, repairs) = Cache::repair(cache.root(), Waiter::default())
        .unwrap()
        .unwrap();
    let paths: Vec<String> = repairs
        .iter()
        .map(|repair| repair.path.display().to_string())
        .collect();
    let part = format!("ingest/sha256-{}.part", layer.hex());
    assert_eq!(
        paths,
        [
            "blobs/sha256/folder",
            "blobs/sha256/link",
            "ingest/note",
            &part
        ]
    );
    assert_eq!(cache.verify(|_, _| Ok(())).unwrap().blobs, 4);
}

#[test]
fn each_blob_that_is_fetched_again_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, reference, runtime) = pulled(folder.path());
    let layer = cache
        .root()
        .join("blobs/sha256")
        .join(Digest::sha256(b"layer").hex());
    fs::write(&layer, b"shorter than it was").unwrap();
    runtime.block_on(pull(&reference, &cache, false)).unwrap();
    let discarded = cache.take_discarded();
    assert_eq!(discarded.len(), 1);
    assert!(cache.take_discarded().is_empty());
    assert_eq!(fs::read(&layer).unwrap(), b"layer");
}
