use oci_flatten::digest::Digest;
use oci_flatten::error::ErrorKind;
use oci_flatten::media_type;
use oci_flatten::testkit::{Entry, Layer};
use serde_json::{Value, json};

use crate::support::{Blobs, config, flatten, index, layer, on, open, open_for, tagged, tar};
use crate::{assert_error, assert_failed};

/// An archive on disk and the name of its source.
fn archive(bytes: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved.tar");
    std::fs::write(&path, bytes).unwrap();
    let name = format!("docker-archive:{}", path.display());
    (directory, name)
}

fn config_of(layers: &[&Vec<u8>]) -> String {
    let ids: Vec<_> = layers
        .iter()
        .map(|layer| Digest::sha256(layer).to_string())
        .collect();
    config("linux/amd64", &ids).to_string()
}

/// What `docker save` wrote before version 25: a directory for each layer, a symbolic link where a layer
/// was there already, and the manifest last.
#[tokio::test]
async fn the_old_form_with_links_and_the_manifest_last() {
    let (base, top) = (layer("base", "1"), layer("top", "2"));
    let config = config_of(&[&base, &top, &base]);
    let id = Digest::sha256(config.as_bytes());
    let manifest = json!([{
        "Config": format!("{}.json", id.hex()),
        "RepoTags": ["example:v1", "ghcr.io/org/example:latest"],
        "Layers": ["aaa/layer.tar", "bbb/layer.tar", "ccc/layer.tar"],
    }]);
    let saved = Layer::new()
        .entry(Entry::directory("aaa/"))
        .entry(Entry::file("aaa/VERSION", "1.0"))
        .entry(Entry::file("aaa/layer.tar", &base))
        .entry(Entry::directory("ccc/"))
        .entry(Entry::symlink("ccc/layer.tar", "../aaa/layer.tar"))
        .entry(Entry::file("bbb/layer.tar", &top))
        .entry(Entry::file(format!("{}.json", id.hex()), &config))
        .entry(Entry::file("repositories", "{}"))
        .entry(Entry::file("manifest.json", manifest.to_string()))
        .finish();
    let (_directory, name) = archive(&saved);
    for choice in [
        "",
        ":example:v1",
        ":docker.io/library/example:v1",
        ":ghcr.io/org/example",
        ":ghcr.io/org/example:latest",
    ] {
        let source = open(&format!("{name}{choice}")).await.unwrap();
        assert_eq!(source.image().digest, Some(id.clone()));
        assert_eq!(source.image().config, config.as_bytes());
        assert!(source.image().manifest.is_empty());
        let merged = flatten(source).await.unwrap();
        assert_eq!(merged.listing, ["base=1 mtime=1", "top=2 mtime=1"]);
        assert_eq!(merged.flattened.warnings().count(), 0);
    }
    let there_is = "no image called example:v2; there is: example:v1, ghcr.io/org/example:latest";
    assert_error(
        open(&format!("{name}:example:v2")).await,
        ErrorKind::NotFound,
        there_is,
    );
    let outcome = open_for(&name, "linux/arm64").await;
    assert_error(
        outcome,
        ErrorKind::NotFound,
        "no image for linux/arm64; there is: linux/amd64",
    );
}

#[tokio::test]
async fn several_images_must_be_told_apart() {
    let (one, two) = (layer("one", "1"), layer("two", "2"));
    let item = |name: &str| {
        json!({
            "Config": format!("{name}.json"),
            "RepoTags": [format!("{name}:v1")],
            "Layers": [format!("{name}.tar")],
        })
    };
    let files = |items: &[Value]| {
        tar(&[
            ("one.json".into(), config_of(&[&one]).into_bytes()),
            ("two.json".into(), config_of(&[&two]).into_bytes()),
            ("one.tar".into(), one.clone()),
            ("two.tar".into(), two.clone()),
            (
                "manifest.json".into(),
                json!(items).to_string().into_bytes(),
            ),
        ])
    };
    let (_directory, name) = archive(&files(&[item("one"), item("two")]));
    let source = open(&format!("{name}:two:v1")).await.unwrap();
    assert_eq!(flatten(source).await.unwrap().listing, ["two=2 mtime=1"]);
    let several = "several images fit; choose one by its tag: one:v1, two:v1";
    assert_error(open(&name).await, ErrorKind::InvalidInput, several);

    let mut nameless = item("one");
    nameless["RepoTags"] = Value::Null;
    let (_directory, name) = archive(&files(std::slice::from_ref(&nameless)));
    assert!(open(&name).await.is_ok(), "one image needs no name");
    let (_directory, name) = archive(&files(&[nameless.clone(), nameless.clone()]));
    assert!(open(&name).await.is_ok(), "one image, listed twice");
    let mut other = item("two");
    other["RepoTags"] = Value::Null;
    let (_directory, name) = archive(&files(&[nameless, other]));
    let several = "several images fit; choose one by its tag: one.json, two.json";
    assert_error(open(&name).await, ErrorKind::InvalidInput, several);
    // Two of one name are no better.
    let mut double = item("two");
    double["RepoTags"] = json!(["one:v1"]);
    let (_directory, name) = archive(&files(&[item("one"), double]));
    for choice in ["", ":one:v1"] {
        let source = open(&format!("{name}{choice}")).await;
        assert_error(source, ErrorKind::InvalidInput, "several images fit");
    }
    let (_directory, name) = archive(&files(&[]));
    assert_error(
        open(&name).await,
        ErrorKind::NotFound,
        "archive has no image",
    );
}

/// The layout with a `manifest.json` beside its index, as Docker writes since version 25.
fn saved(blobs: &Blobs, entries: &[Value], image: &Value, tags: Value) -> Vec<u8> {
    let document: Value = serde_json::from_slice(&blobs.document(image).bytes).unwrap();
    let path = |descriptor: &Value| {
        format!(
            "blobs/{}",
            descriptor["digest"].as_str().unwrap().replace(':', "/")
        )
    };
    let layers: Vec<_> = document["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(path)
        .collect();
    let item = json!([{ "Config": path(&document["config"]), "RepoTags": tags, "Layers": layers }]);
    let mut files = blobs.layout(entries);
    files.push(("manifest.json".into(), item.to_string().into_bytes()));
    tar(&files)
}

#[tokio::test]
async fn the_new_form_has_its_true_manifest() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "1"), layer("b", "2")]);
    let other = blobs.image("linux/arm64", &[layer("c", "3")]);
    let mut absent = on("linux/s390x", other.clone());
    absent["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    let nested = index(&[
        absent,
        on("linux/arm64", other.clone()),
        on("linux/amd64", image.clone()),
    ]);
    let nested = blobs.add_json(media_type::OCI_INDEX, &nested);
    for entries in [vec![tagged("v1", image.clone())], vec![nested]] {
        let (_directory, name) = archive(&saved(&blobs, &entries, &image, json!(["example:v1"])));
        for choice in ["", ":example:v1"] {
            let source = open(&format!("{name}{choice}")).await.unwrap();
            assert_eq!(
                source.image().digest.as_ref().unwrap().as_str(),
                image["digest"]
            );
            assert_eq!(source.image().manifest, blobs.document(&image).bytes);
            let merged = flatten(source).await.unwrap();
            assert_eq!(merged.listing, ["a=1 mtime=1", "b=2 mtime=1"]);
        }
    }
    // An index that lists nothing, as some versions wrote: the config stands in for the manifest.
    let (_directory, name) = archive(&saved(&blobs, &[], &image, Value::Null));
    let source = open(&name).await.unwrap();
    let document: Value = serde_json::from_slice(&blobs.document(&image).bytes).unwrap();
    assert_eq!(
        source.image().digest.as_ref().unwrap().as_str(),
        document["config"]["digest"]
    );
    assert_eq!(
        flatten(source).await.unwrap().listing,
        ["a=1 mtime=1", "b=2 mtime=1"]
    );
}

#[tokio::test]
async fn a_layout_without_the_docker_manifest_is_read_as_one() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "1")]);
    let (_directory, name) = archive(&tar(&blobs.layout(&[tagged("v1", image)])));
    for choice in ["", ":v1"] {
        assert!(open(&format!("{name}{choice}")).await.is_ok());
    }
    assert_error(
        open(&format!("{name}:v2")).await,
        ErrorKind::NotFound,
        "there is: v1",
    );
    let (_directory, name) = archive(&tar(&[("file".into(), Vec::new())]));
    assert_error(
        open(&name).await,
        ErrorKind::NotFound,
        "not what docker save writes",
    );
}

#[tokio::test]
async fn contradictions_are_refused() {
    let good = layer("a", "1");
    let config = config_of(&[&good]);
    let hex = Digest::sha256(b"another").hex().to_string();
    let blob = |hex: &str| format!("blobs/sha256/{hex}");
    let item = |config: &str, layers: &[&str]| {
        json!([{ "Config": config, "RepoTags": null, "Layers": layers }]).to_string()
    };
    for (manifest, kind, text) in [
        (
            item("c.json", &[]),
            ErrorKind::Malformed,
            "manifest.json lists 0 layers, the config 1 diff_ids",
        ),
        (
            item("c.json", &["a.tar", "a.tar"]),
            ErrorKind::Malformed,
            "lists 2 layers",
        ),
        (
            item("c.json", &["b.tar"]),
            ErrorKind::NotFound,
            "has no member b.tar",
        ),
        (
            item("c.json", &["../a.tar"]),
            ErrorKind::NotFound,
            "has no member ../a.tar",
        ),
        (
            item("none.json", &["a.tar"]),
            ErrorKind::NotFound,
            "has no member none.json",
        ),
        (
            item(&blob(&hex), &["a.tar"]),
            ErrorKind::Integrity,
            "config has digest",
        ),
        (
            item("a.tar", &["a.tar"]),
            ErrorKind::Malformed,
            "image configuration does not parse",
        ),
        (
            "{}".into(),
            ErrorKind::Malformed,
            "manifest.json does not parse",
        ),
    ] {
        let (_directory, name) = archive(&tar(&[
            ("c.json".into(), config.clone().into_bytes()),
            (blob(&hex), config.clone().into_bytes()),
            ("a.tar".into(), good.clone()),
            ("manifest.json".into(), manifest.into_bytes()),
        ]));
        assert_error(open(&name).await, kind, text);
    }
    let (_directory, name) = archive(&tar(&[
        ("c.json".into(), config.into_bytes()),
        ("a.tar".into(), layer("a", "2")),
        (
            "manifest.json".into(),
            item("c.json", &["a.tar"]).into_bytes(),
        ),
    ]));
    let source = open(&name).await.unwrap();
    let diff_id = Digest::sha256(&good);
    let place = format!("layer 1 of 1 ({diff_id}): ");
    assert_failed(flatten(source.clone()).await, ErrorKind::Integrity, &place);
    let expected = format!("(expected {diff_id})");
    assert_failed(flatten(source).await, ErrorKind::Integrity, &expected);
}
