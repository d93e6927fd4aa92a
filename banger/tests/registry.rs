//! The program against a real registry on a loopback port: pulling, the cache, offline use.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{banger, run, sample, tool};

/// Debian's `docker-registry` with the sample image in it; stopped when dropped.
struct Registry {
    process: Child,
    image: String,
    folder: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: 127.0.0.1:0}}\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        // It finds a free port by itself, which nobody else can take meanwhile.
        let port = loop {
            let line = said.next().expect("the registry starts").unwrap();
            if let Some((_, rest)) = line.split_once("listening on 127.0.0.1:") {
                let digits = rest.split(|c: char| !c.is_ascii_digit());
                break digits.into_iter().next().unwrap().to_owned();
            }
        };
        // The pipe must not fill up.
        std::thread::spawn(move || said.for_each(drop));
        let image = format!("127.0.0.1:{port}/sample:latest");
        let registry = Self {
            process,
            image,
            folder,
        };
        let to = format!("docker://{}", registry.image);
        let mut copy = Command::new("skopeo");
        copy.args([
            "copy",
            "-q",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &sample(),
            &to,
        ]);
        run(&mut copy, 0);
        registry
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, with a home of its own.
    fn banger(&self, arguments: &[&str]) -> Command {
        let mut command = banger();
        command
            .env("BANGER_HOME", self.path("home"))
            .args(arguments);
        command
    }

    fn flatten(&self, output: &Path, more: &[&str]) -> Command {
        let mut command = self.banger(&["flatten", "--no-fsync", &self.image, "-o"]);
        command.arg(output).args(more);
        command
    }

    /// A cached blob of some length: a layer.
    fn cached_layer(&self) -> PathBuf {
        fs::read_dir(self.path("home/cache/oci/blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .max_by_key(|path| fs::metadata(path).unwrap().len())
            .unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; the test has its result by now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_pull_gives_the_bytes_of_the_layout_and_fills_the_cache() {
    if !(tool("docker-registry") && tool("skopeo")) {
        return;
    }
    let mut registry = Registry::start();
    let local = registry.path("local");
    run(
        registry
            .banger(&["flatten", "--no-fsync", &sample(), "-o"])
            .arg(&local),
        0,
    );
    let pulled = registry.path("pulled");
    run(&mut registry.flatten(&pulled, &[]), 0);
    run(Command::new("cmp").arg(&local).arg(&pulled), 0);

    let (shown, _) = run(
        &mut registry.banger(&["cache", "show", "--format", "json"]),
        0,
    );
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["images"][0]["reference"], registry.image);
    assert_eq!(shown["images"][0]["missing_blobs"], 0);
    assert_eq!(shown["blobs"], 5);
    let cache = format!("oci:{}", registry.path("home/cache/oci").display());
    run(Command::new("skopeo").args(["inspect", "--raw", &cache]), 0);

    let missing = registry.image.replace("sample", "no-such-image");
    let mut command = registry.banger(&["flatten", &missing, "-o"]);
    run(command.arg(registry.path("none")), 3);
    registry.process.kill().unwrap();
    registry.process.wait().unwrap();
    let again = registry.path("again");
    run(&mut registry.flatten(&again, &["--offline"]), 0);
    run(Command::new("cmp").arg(&local).arg(&again), 0);
}

#[test]
fn a_cached_blob_that_changed_on_disk_is_fetched_again() {
    if !(tool("docker-registry") && tool("skopeo")) {
        return;
    }
    let registry = Registry::start();
    let first = registry.path("first");
    run(&mut registry.flatten(&first, &[]), 0);
    let layer = registry.cached_layer();
    let good = fs::read(&layer).unwrap();
    let spoil = || {
        let mut bytes = good.clone();
        bytes[good.len() / 2] ^= 1;
        fs::remove_file(&layer).ok();
        fs::write(&layer, bytes).unwrap();
    };
    spoil();
    // Another one as well: each is replaced in its turn.
    for entry in fs::read_dir(registry.path("home/cache/oci/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            fs::remove_file(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }
    }
    let second = registry.path("second");
    run(&mut registry.flatten(&second, &[]), 0);
    run(Command::new("cmp").arg(&first).arg(&second), 0);
    assert_eq!(fs::read(&layer).unwrap(), good);

    spoil();
    let (shown, stderr) = run(&mut registry.banger(&["cache", "verify"]), 7);
    assert!(shown.contains("1 damaged"), "{shown}");
    assert!(stderr.contains("hint: the next pull fetches"), "{stderr}");
    assert!(!layer.exists());
    run(&mut registry.banger(&["cache", "verify"]), 0);
    run(
        &mut registry.flatten(&registry.path("none"), &["--offline"]),
        3,
    );
    run(&mut registry.flatten(&registry.path("third"), &[]), 0);

    spoil();
    let offline = &mut registry.flatten(&registry.path("none"), &["--offline"]);
    let (_, stderr) = run(offline, 3);
    assert!(stderr.contains("cached blob is corrupt"), "{stderr}");
}

#[test]
fn pruning_removes_what_it_said_it_would() {
    if !(tool("docker-registry") && tool("skopeo")) {
        return;
    }
    let registry = Registry::start();
    run(&mut registry.flatten(&registry.path("rootfs"), &[]), 0);
    let (kept, _) = run(
        &mut registry.banger(&["cache", "prune", "--unused-for", "1d", "-q"]),
        0,
    );
    assert_eq!(kept, "");
    let arguments = ["cache", "prune", "--keep-size", "0", "-q"];
    let (told, _) = run(registry.banger(&arguments).arg("--dry-run"), 0);
    assert_eq!(told.lines().count(), 5);
    assert!(registry.cached_layer().exists());
    let (gone, _) = run(&mut registry.banger(&arguments), 0);
    assert_eq!(told, gone);
    assert!(
        fs::read_dir(registry.path("home/cache/oci/blobs/sha256"))
            .unwrap()
            .next()
            .is_none()
    );
    run(&mut registry.banger(&["cache", "show"]), 0);
}

/// What is shown is what skopeo shows, for every kind of source, and no layer is fetched or kept.
#[test]
fn an_image_is_inspected_where_it_is() {
    if !(tool("docker-registry") && tool("skopeo")) {
        return;
    }
    let registry = Registry::start();
    // Docker's archives know no zstd.
    let mut layout = support::Layout::new(&registry.path("layout"));
    layout.gzip_layer(&support::tar_of(&[("a", b"b")]));
    let plain = layout.finish();
    let archive = |kind: &str, name: &str, from: &str| {
        let source = format!("{kind}:{}", registry.path(name).display());
        let target = format!("{source}:sample:latest");
        run(
            Command::new("skopeo").args(["copy", "-q", from, &target]),
            0,
        );
        source
    };
    let sources = [
        registry.image.clone(),
        sample(),
        archive("oci-archive", "oci.tar", &sample()),
        archive("docker-archive", "docker.tar", &plain),
    ];
    for source in &sources {
        let inspect = ["inspect", source, "--platform", "linux/amd64"];
        let (shown, _) = run(
            &mut registry.banger(&[&inspect[..], &["--format=json"]].concat()),
            0,
        );
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let theirs = match source.starts_with("127.") {
            true => format!("docker://{source}"),
            false => source.clone(),
        };
        let raw = |arguments: &[&str]| -> serde_json::Value {
            let mut skopeo = Command::new("skopeo");
            skopeo
                .args(["inspect", "--tls-verify=false"])
                .args(arguments);
            serde_json::from_str(&run(skopeo.arg(&theirs), 0).0).unwrap()
        };
        assert_eq!(shown["config"], raw(&["--config", "--raw"]), "{source}");
        let theirs = raw(&[]);
        assert_eq!(shown["platform"], "linux/amd64");
        assert_eq!(
            shown["layers"].as_array().unwrap().len(),
            theirs["Layers"].as_array().unwrap().len()
        );
        if !source.starts_with("docker-archive") {
            assert_eq!(shown["manifest"], raw(&["--raw"]), "{source}");
            assert_eq!(shown["digest"], theirs["Digest"]);
            assert_eq!(shown["layers"][0]["digest"], theirs["Layers"][0]);
        }
        let (text, _) = run(&mut registry.banger(&inspect), 0);
        for part in ["reference ", "platform ", "\nLAYER "] {
            assert!(text.contains(part), "{text}");
        }
    }
    let tar = registry.path("root.tar");
    fs::write(&tar, support::tar_of(&[("a", b"b")])).unwrap();
    let tar = format!("tar:{}", tar.display());
    let (shown, _) = run(&mut registry.banger(&["inspect", &tar, "--format=json"]), 0);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert!(
        shown["manifest"].is_null() && shown["digest"].is_null(),
        "{shown}"
    );
    // Nothing of it all is in the cache.
    let (cache, _) = run(&mut registry.banger(&["cache", "show", "--format=json"]), 0);
    let cache: serde_json::Value = serde_json::from_str(&cache).unwrap();
    assert_eq!(cache["blobs"], 0, "{cache}");
    assert_eq!(cache["images"], serde_json::json!([]));
    run(
        &mut registry.banger(&["inspect", &registry.image, "--offline"]),
        3,
    );
}

/// An index offers several platforms, and each can be looked at.
#[test]
fn the_platforms_of_an_index_are_listed() {
    if !tool("skopeo") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    let one = support::Layout::new(&layout).finish();
    // The same manifest under two platforms will do.
    let index = layout.join("index.json");
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let annotations = document["manifests"][0]["annotations"].take();
    let mut entry = document["manifests"][0].clone();
    entry.as_object_mut().unwrap().remove("annotations");
    entry["platform"] = serde_json::json!({"os": "linux", "architecture": "amd64"});
    let mut other = entry.clone();
    other["platform"] = serde_json::json!({"os": "linux", "architecture": "arm", "variant": "v6"});
    let mut proof = entry.clone();
    proof["platform"] = serde_json::json!({"os": "unknown", "architecture": "unknown"});
    let media_type = "application/vnd.oci.image.index.v1+json";
    let inner = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type, "manifests": [entry, other, proof],
    });
    let inner = inner.to_string();
    let digest = support::digest(inner.as_bytes());
    let blob = layout.join("blobs").join(digest.replace(':', "/"));
    fs::write(blob, &inner).unwrap();
    document["manifests"] = serde_json::json!([{
        "mediaType": media_type, "digest": digest, "size": inner.len(), "annotations": annotations,
    }]);
    fs::write(&index, document.to_string()).unwrap();
    for platform in ["linux/amd64", "linux/arm/v6"] {
        let mut inspect = banger();
        inspect.args(["inspect", &one, "--platform", platform, "--format=json"]);
        let (shown, _) = run(inspect.env("BANGER_HOME", folder.path()), 0);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let offered = shown["platforms"].as_array().unwrap();
        let offered: Vec<_> = offered
            .iter()
            .map(|one| one["platform"].as_str().unwrap())
            .collect();
        assert_eq!(offered, ["linux/amd64", "linux/arm/v6"]);
        assert_eq!(shown["platforms"][0]["digest"], shown["digest"]);
    }
}
