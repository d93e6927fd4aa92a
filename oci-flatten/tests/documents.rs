//! From documents to an image: what is chosen, and what is refused by name.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use oci_flatten::digest::{Algorithm, Digest};
use oci_flatten::error::{Error, ErrorKind};
use oci_flatten::image::{Image, resolve};
use oci_flatten::limits::Limits;
use oci_flatten::media_type;
use serde_json::{Value, json};
use support::{Blobs, config, index, layer, manifest, noted, on};

async fn find_within(
    blobs: &Blobs,
    top: &Value,
    platform: &str,
    limits: &Limits,
) -> Result<Image, Error> {
    let platform = platform.parse().unwrap();
    resolve(blobs, "test", blobs.document(top), &platform, limits).await
}

async fn find(blobs: &Blobs, top: &Value, platform: &str) -> Result<Image, Error> {
    find_within(blobs, top, platform, &Limits::default()).await
}

fn assert_error(outcome: Result<Image, Error>, kind: ErrorKind, text: &str) {
    let error = outcome.expect_err(text);
    assert_eq!(error.kind(), kind, "{error}");
    support::assert_nothing_said_twice(&error);
    assert!(error.message().contains(text), "{error} (wanted {text})");
}

/// An index of one image for each platform; the layer's name tells them apart.
fn multi(blobs: &mut Blobs, platforms: &[&str]) -> Vec<Value> {
    let image = |(number, platform): (usize, &&str)| {
        let image = blobs.image(platform, &[layer(&format!("{number}"), platform)]);
        on(platform, image)
    };
    platforms.iter().enumerate().map(image).collect()
}

#[tokio::test]
async fn the_nearest_platform_is_chosen_and_the_first_of_equals() {
    let offered = [
        "linux/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm64/v8",
        "linux/amd64/v3",
        "windows/amd64",
        "linux/amd64",
    ];
    let mut blobs = Blobs::default();
    let entries = multi(&mut blobs, &offered);
    let top = blobs.add_json(media_type::OCI_INDEX, &index(&entries));
    for (wanted, chosen) in [
        ("linux/amd64", 0),
        ("linux/x86_64", 0),
        ("linux/amd64/v2", 0),
        ("linux/amd64/v3", 4),
        ("linux/amd64/v4", 4),
        ("linux/arm", 2),
        ("linux/arm/v8", 2),
        ("linux/arm/v6", 1),
        ("linux/arm64", 3),
        ("linux/arm64/v9", 3),
        ("windows/amd64", 5),
    ] {
        let image = find(&blobs, &top, wanted).await.unwrap();
        let digest = entries[chosen]["digest"].as_str();
        assert_eq!(
            image.digest.as_ref().map(Digest::as_str),
            digest,
            "{wanted}"
        );
        assert_eq!(image.layers.len(), 1);
        let created = image.created.unwrap();
        assert_eq!((created.seconds, created.nanoseconds), (1_714_979_289, 10));
    }
    let there_is = "no image for linux/riscv64; there is: linux/amd64, linux/arm/v6, linux/arm/v7, \
                    linux/arm64, linux/amd64/v3, windows/amd64";
    assert_error(
        find(&blobs, &top, "linux/riscv64").await,
        ErrorKind::NotFound,
        there_is,
    );
    assert_error(
        find(&blobs, &top, "linux/arm/v5").await,
        ErrorKind::NotFound,
        "linux/arm/v6",
    );
}

#[tokio::test]
async fn entries_without_a_platform_are_asked_of_their_configs() {
    let mut blobs = Blobs::default();
    let arm = blobs.image("linux/arm64", &[layer("a", "arm")]);
    let amd = blobs.image("linux/amd64", &[layer("a", "amd")]);
    let artifact = blobs.add("application/vnd.oci.empty.v1+json", "{}");
    let artifact = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&artifact, &[]));
    let mut unnamed = amd.clone();
    unnamed["platform"] = json!({});
    let entries = [artifact.clone(), arm.clone(), unnamed];
    let top = blobs.add_json(media_type::OCI_INDEX, &index(&entries));
    for (wanted, chosen) in [("linux/amd64", &amd), ("linux/arm64/v8", &arm)] {
        let image = find(&blobs, &top, wanted).await.unwrap();
        assert_eq!(
            image.digest.as_ref().map(Digest::as_str),
            chosen["digest"].as_str()
        );
    }
    let outcome = find(&blobs, &top, "linux/s390x").await;
    assert_error(
        outcome,
        ErrorKind::NotFound,
        "there is: linux/arm64, linux/amd64",
    );

    // A platform in the index goes before one in a config.
    let entries = [arm, on("linux/arm64", amd.clone())];
    let top = blobs.add_json(media_type::OCI_INDEX, &index(&entries));
    let image = find(&blobs, &top, "linux/arm64").await.unwrap();
    assert_eq!(
        image.digest.as_ref().map(Digest::as_str),
        amd["digest"].as_str()
    );

    let top = blobs.add_json(media_type::OCI_INDEX, &index(&[artifact]));
    let outcome = find(&blobs, &top, "linux/amd64").await;
    assert_error(
        outcome,
        ErrorKind::Unsupported,
        "application/vnd.oci.empty.v1+json",
    );
}

#[tokio::test]
async fn a_single_image_must_be_for_the_platform() {
    let mut blobs = Blobs::default();
    let arm = blobs.image("linux/arm64/v8", &[]);
    assert!(find(&blobs, &arm, "linux/arm64").await.is_ok());
    let outcome = find(&blobs, &arm, "linux/amd64").await;
    assert_error(
        outcome,
        ErrorKind::NotFound,
        "no image for linux/amd64; this one is for linux/arm64",
    );

    // A config without a system is for Linux.
    let nameless = blobs.image("/amd64", &[]);
    let image = find(&blobs, &nameless, "linux/amd64").await.unwrap();
    assert_eq!(image.platform.to_string(), "linux/amd64");

    // A config that names none is an image for any.
    let config = blobs.add(media_type::OCI_CONFIG, "{}");
    let any = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&config, &[]));
    let image = find(&blobs, &any, "linux/s390x").await.unwrap();
    assert_eq!(image.platform.to_string(), "linux/s390x");
    assert_eq!(image.created, None);
}

#[tokio::test]
async fn attestations_are_never_chosen() {
    let mut blobs = Blobs::default();
    let image = on("linux/amd64", blobs.image("linux/amd64", &[]));
    let attested = blobs.image("unknown/unknown", &[layer("in-toto", "{}")]);
    let unknown = on("unknown/unknown", attested.clone());
    // A malicious one claims a platform.
    let annotated = noted(
        "vnd.docker.reference.type",
        "attestation-manifest",
        on("linux/amd64", attested.clone()),
    );
    let top = blobs.add_json(
        media_type::OCI_INDEX,
        &index(&[unknown.clone(), annotated.clone(), image.clone()]),
    );
    let found = find(&blobs, &top, "linux/amd64").await.unwrap();
    assert_eq!(
        found.digest.as_ref().map(Digest::as_str),
        image["digest"].as_str()
    );

    let top = blobs.add_json(media_type::OCI_INDEX, &index(&[unknown, annotated]));
    for wanted in ["linux/amd64", "unknown/unknown"] {
        assert_error(
            find(&blobs, &top, wanted).await,
            ErrorKind::NotFound,
            "lists no image",
        );
    }
}

/// So many indexes around an image.
fn nested(blobs: &mut Blobs, depth: usize) -> Value {
    let mut top = blobs.image("linux/amd64", &[]);
    for _ in 0..depth {
        let sibling = on("linux/arm64", blobs.image("linux/arm64", &[]));
        top = blobs.add_json(media_type::DOCKER_INDEX, &json!({
            "schemaVersion": 2, "mediaType": media_type::DOCKER_INDEX, "manifests": [sibling, top],
        }));
    }
    top
}

#[tokio::test]
async fn indexes_nest_to_a_limit() {
    let mut blobs = Blobs::default();
    for depth in 1..=4 {
        let top = nested(&mut blobs, depth);
        assert!(find(&blobs, &top, "linux/amd64").await.is_ok(), "{depth}");
    }
    let top = nested(&mut blobs, 5);
    let outcome = find(&blobs, &top, "linux/amd64").await;
    assert_error(
        outcome,
        ErrorKind::LimitExceeded,
        "nesting of indexes is 5 levels (limit 4)",
    );
    let mut limits = Limits::default();
    limits.index_depth = 5;
    assert!(
        find_within(&blobs, &top, "linux/amd64", &limits)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn indexes_have_a_limit_in_breadth() {
    let mut blobs = Blobs::default();
    let image = on("linux/amd64", blobs.image("linux/amd64", &[]));
    let wide = |count: usize| index(&vec![image.clone(); count]);
    let top = blobs.add_json(media_type::OCI_INDEX, &wide(1000));
    assert!(find(&blobs, &top, "linux/amd64").await.is_ok());
    let top = blobs.add_json(media_type::OCI_INDEX, &wide(1001));
    let outcome = find(&blobs, &top, "linux/amd64").await;
    assert_error(
        outcome,
        ErrorKind::LimitExceeded,
        "index is 1001 descriptors (limit 1000)",
    );
    let mut limits = Limits::default();
    limits.index_entries = 1001;
    assert!(
        find_within(&blobs, &top, "linux/amd64", &limits)
            .await
            .is_ok()
    );

    // A few small documents must not unfold into a great many reads.
    let mut bomb = blobs.add_json(media_type::OCI_INDEX, &wide(10));
    for _ in 0..3 {
        bomb = blobs.add_json(media_type::OCI_INDEX, &index(&vec![bomb; 10]));
    }
    let outcome = find(&blobs, &bomb, "linux/amd64").await;
    assert_error(outcome, ErrorKind::LimitExceeded, "limit 1000");
}

#[tokio::test]
async fn ambiguous_and_old_documents_are_refused_by_name() {
    let mut blobs = Blobs::default();
    let config = blobs.add_json(media_type::OCI_CONFIG, &config("linux/amd64", &[]));
    let image = manifest(&config, &[]);
    let both = |key: &str, value: Value| {
        let mut document = image.clone();
        document[key] = value;
        document
    };
    let index_with = |key: &str, value: Value| {
        let mut document = index(&[]);
        document[key] = value;
        document
    };
    let typed = |media_type: &str| both("mediaType", media_type.into());
    use ErrorKind::{Malformed, Unsupported};
    for (declared, document, kind, text) in [
        (
            media_type::OCI_MANIFEST,
            both("manifests", json!([])),
            Malformed,
            "both an image and an index",
        ),
        (
            media_type::OCI_MANIFEST,
            both("manifests", Value::Null),
            Malformed,
            "both an image",
        ),
        (
            media_type::OCI_INDEX,
            index_with("layers", json!([])),
            Malformed,
            "both an image",
        ),
        (
            media_type::OCI_INDEX,
            index_with("config", config.clone()),
            Malformed,
            "both an image",
        ),
        (
            media_type::OCI_MANIFEST,
            both("fsLayers", json!([])),
            Unsupported,
            "schema 1",
        ),
        (
            media_type::OCI_INDEX,
            index_with("fsLayers", json!([])),
            Unsupported,
            "schema 1",
        ),
        (
            media_type::OCI_MANIFEST,
            both("schemaVersion", json!(1)),
            Unsupported,
            "schema 1",
        ),
        (
            media_type::OCI_MANIFEST,
            both("schemaVersion", json!(3)),
            Unsupported,
            "schemaVersion 3",
        ),
        (
            media_type::OCI_MANIFEST,
            index(&[]),
            Malformed,
            "document is an index",
        ),
        (
            media_type::OCI_INDEX,
            image.clone(),
            Malformed,
            "document is an image manifest",
        ),
        (
            media_type::OCI_MANIFEST,
            typed(media_type::OCI_INDEX),
            Malformed,
            "its type says",
        ),
        (
            media_type::OCI_MANIFEST,
            json!({}),
            Malformed,
            "neither an image nor an index",
        ),
        (
            media_type::OCI_MANIFEST,
            json!({ "layers": [] }),
            Malformed,
            "neither",
        ),
        (
            media_type::OCI_MANIFEST,
            json!([]),
            Malformed,
            "does not parse",
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            image.clone(),
            Unsupported,
            "schema 1",
        ),
        (
            "application/vnd.oci.artifact.manifest.v1+json",
            json!({ "artifactType": "application/x-thing", "blobs": [] }),
            Unsupported,
            "an artifact, not an image: application/x-thing",
        ),
    ] {
        let top = blobs.add_json(declared, &document);
        assert_error(find(&blobs, &top, "linux/amd64").await, kind, text);
    }
    for (declared, bytes) in [
        (media_type::OCI_MANIFEST, format!("{image} x")),
        (
            media_type::OCI_MANIFEST,
            image.to_string().replacen('{', r#"{"layers":[],"#, 1),
        ),
        (
            media_type::OCI_INDEX,
            r#"{"manifests":[],"manifests":[]}"#.into(),
        ),
        (media_type::OCI_INDEX, "[".repeat(100_000)),
        (media_type::OCI_INDEX, String::new()),
    ] {
        let top = blobs.add(declared, bytes);
        let outcome = find(&blobs, &top, "linux/amd64").await;
        assert_error(outcome, Malformed, "does not parse");
    }
}

#[tokio::test]
async fn artifacts_and_encrypted_layers_are_refused_by_name() {
    let mut blobs = Blobs::default();
    let config = blobs.add_json(media_type::OCI_CONFIG, &config("linux/amd64", &[]));
    let helm = blobs.add("application/vnd.cncf.helm.config.v1+json", "{}");
    let empty = blobs.add("application/vnd.oci.empty.v1+json", "{}");
    let blob = |blobs: &mut Blobs, media_type: &str| blobs.add(media_type, "x");
    let wasm = blob(&mut blobs, "application/wasm");
    let secret = blob(
        &mut blobs,
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    );
    let bzip2 = blob(&mut blobs, "application/vnd.oci.image.layer.v1.tar+bzip2");
    let plain = blob(&mut blobs, media_type::OCI_LAYER);
    let mut typed = manifest(&empty, std::slice::from_ref(&wasm));
    typed["artifactType"] = "application/vnd.example+type".into();
    for (document, text) in [
        (
            manifest(&helm, &[]),
            "an artifact, not an image: application/vnd.cncf.helm.config.v1+json",
        ),
        (
            typed,
            "an artifact, not an image: application/vnd.example+type",
        ),
        (
            manifest(&config, &[wasm]),
            "layer 1 of 1 is not a filesystem layer (application/wasm)",
        ),
        (
            manifest(&config, &[plain.clone(), secret, plain.clone()]),
            "layer 2 of 3 is encrypted",
        ),
        (
            manifest(&config, &[plain, bzip2]),
            "layer 2 of 2 is not a filesystem layer",
        ),
    ] {
        let top = blobs.add_json(media_type::OCI_MANIFEST, &document);
        assert_error(
            find(&blobs, &top, "linux/amd64").await,
            ErrorKind::Unsupported,
            text,
        );
    }
}

#[tokio::test]
async fn every_document_is_checked_against_its_descriptor() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "b")]);
    let top = blobs.add_json(
        media_type::OCI_INDEX,
        &index(&[on("linux/amd64", image.clone())]),
    );
    let good = blobs.clone();
    let of =
        |descriptor: &Value| -> Digest { descriptor["digest"].as_str().unwrap().parse().unwrap() };
    let manifest: Value = serde_json::from_slice(&blobs.0[&of(&image)]).unwrap();
    for (name, digest) in [
        ("manifest", of(&image)),
        ("config", of(&manifest["config"])),
    ] {
        let bytes = good.0[&digest].clone();
        let changed = [&bytes[..bytes.len() - 2], b" }"].concat();
        for (bytes, text) in [
            (changed, format!("{name} has digest sha256:")),
            (
                bytes[1..].to_vec(),
                format!("{name} has size {}", bytes.len() - 1),
            ),
            (
                [&bytes[..], b"\n"].concat(),
                format!("(expected {})", bytes.len()),
            ),
        ] {
            let mut blobs = good.clone();
            blobs.0.insert(digest.clone(), bytes);
            let outcome = find(&blobs, &top, "linux/amd64").await;
            assert_error(outcome, ErrorKind::Integrity, &text);
        }
        let mut blobs = good.clone();
        blobs.0.remove(&digest);
        assert_error(
            find(&blobs, &top, "linux/amd64").await,
            ErrorKind::NotFound,
            digest.as_str(),
        );
    }
}

#[tokio::test]
async fn documents_have_size_limits() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "b")]);
    let top = blobs.add_json(
        media_type::OCI_INDEX,
        &index(&[on("linux/amd64", image.clone())]),
    );
    let mut limits = Limits::default();
    limits.manifest_bytes = image["size"].as_u64().unwrap();
    assert!(
        find_within(&blobs, &top, "linux/amd64", &limits)
            .await
            .is_ok()
    );
    limits.manifest_bytes -= 1;
    let outcome = find_within(&blobs, &top, "linux/amd64", &limits).await;
    assert_error(outcome, ErrorKind::LimitExceeded, "manifest is ");
    limits = Limits::default();
    limits.config_bytes = 10;
    let outcome = find_within(&blobs, &top, "linux/amd64", &limits).await;
    assert_error(outcome, ErrorKind::LimitExceeded, "(limit 10)");

    // The limit is held against what the descriptor says, before anything is read.
    let mut huge = on("linux/amd64", image);
    huge["size"] = (5 << 20).into();
    let top = blobs.add_json(media_type::OCI_INDEX, &index(&[huge.clone()]));
    let outcome = find(&blobs, &top, "linux/amd64").await;
    assert_error(
        outcome,
        ErrorKind::LimitExceeded,
        "manifest is 5242880 bytes (limit 4194304)",
    );
    huge["size"] = (-1).into();
    let top = blobs.add_json(media_type::OCI_INDEX, &index(&[huge]));
    assert_error(
        find(&blobs, &top, "linux/amd64").await,
        ErrorKind::Malformed,
        "does not parse",
    );
}

#[tokio::test]
async fn layers_and_diff_ids_must_be_as_many() {
    let mut blobs = Blobs::default();
    let tar = layer("a", "b");
    let diff_id = Digest::sha256(&tar).to_string();
    for (ids, layers) in [(0, 1), (1, 0), (2, 3), (500, 499)] {
        let ids = vec![diff_id.clone(); ids];
        let config = blobs.add_json(media_type::OCI_CONFIG, &config("linux/amd64", &ids));
        let stored = vec![blobs.add(media_type::OCI_LAYER, tar.clone()); layers];
        let top = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&config, &stored));
        let text = format!(
            "manifest lists {layers} layers, its config {} diff_ids",
            ids.len()
        );
        assert_error(
            find(&blobs, &top, "linux/amd64").await,
            ErrorKind::Malformed,
            &text,
        );
    }
}

#[tokio::test]
async fn docker_types_null_lists_and_other_algorithms_are_fine() {
    let mut blobs = Blobs::default();
    let config = blobs.add_as(
        Algorithm::Sha512,
        media_type::DOCKER_CONFIG,
        r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":null}}"#,
    );
    let document = json!({ "schemaVersion": 2, "config": config, "layers": null });
    let bytes = document.to_string();
    let image = blobs.add_as(
        Algorithm::Sha384,
        media_type::DOCKER_MANIFEST,
        bytes.clone(),
    );
    let list = json!({ "schemaVersion": 2, "manifests": [on("linux/amd64", image.clone())] });
    let top = blobs.add_json(media_type::DOCKER_INDEX, &list);
    let found = find(&blobs, &top, "linux/amd64").await.unwrap();
    assert_eq!(found.layers, []);
    assert_eq!(found.manifest, bytes.as_bytes());
    assert!(found.digest.unwrap().as_str().starts_with("sha384:"));

    let empty = blobs.add(
        media_type::OCI_INDEX,
        r#"{"schemaVersion":2,"manifests":null}"#,
    );
    assert_error(
        find(&blobs, &empty, "linux/amd64").await,
        ErrorKind::NotFound,
        "no image",
    );
}

#[tokio::test]
async fn foreign_layers_are_layers_and_their_urls_are_not_read() {
    let mut blobs = Blobs::default();
    let tar = layer("a", "b");
    let ids = [Digest::sha256(&tar).to_string()];
    let config = blobs.add_json(media_type::OCI_CONFIG, &config("linux/amd64", &ids));
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut stored = blobs.add(foreign, tar);
    stored["urls"] = json!(["http://169.254.169.254/latest"]);
    let top = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&config, &[stored]));
    let image = find(&blobs, &top, "linux/amd64").await.unwrap();
    assert_eq!(
        image.layers[0].media_type.as_ref().unwrap().as_str(),
        foreign
    );
}

#[tokio::test]
async fn what_a_config_is_its_content_says() {
    let mut blobs = Blobs::default();
    let tar = layer("a", "b");
    let ids = [Digest::sha256(&tar).to_string()];
    let document = config("linux/amd64", &ids);
    let stored = blobs.add(media_type::OCI_LAYER, tar);
    for media_type in [
        "application/octet-stream",
        "application/json",
        "text/html",
        "text/plain; charset=utf-8",
        "",
    ] {
        let config = blobs.add_json(media_type, &document);
        let top = manifest(&config, std::slice::from_ref(&stored));
        let top = blobs.add_json(media_type::DOCKER_MANIFEST, &top);
        let mut top_index = index(&[on("linux/amd64", top.clone())]);
        top_index["mediaType"] = media_type::OCI_INDEX.into();
        let found = find(&blobs, &top, "linux/amd64").await;
        assert_eq!(found.unwrap().layers.len(), 1, "{media_type:?}");
        let through = blobs.add_json(media_type::OCI_INDEX, &top_index);
        assert!(find(&blobs, &through, "linux/amd64").await.is_ok());
        // A config of something else, whatever its type.
        for other in ["{}", "[]", "text", r#"{"name":"chart","version":"1"}"#] {
            let config = blobs.add(media_type, other);
            let top = manifest(&config, std::slice::from_ref(&stored));
            let top = blobs.add_json(media_type::OCI_MANIFEST, &top);
            let outcome = find(&blobs, &top, "linux/amd64").await;
            assert_error(outcome, ErrorKind::Unsupported, "an artifact, not an image");
        }
    }
}

#[tokio::test]
async fn entries_of_an_index_that_do_not_run_here_are_passed_over_in_any_order() {
    let mut blobs = Blobs::default();
    let image = on(
        "linux/amd64",
        blobs.image("linux/amd64", &[layer("a", "b")]),
    );
    let other = blobs.image("linux/amd64", &[layer("c", "d")]);
    let mut featured = on("linux/amd64", other.clone());
    featured["platform"]["os.features"] = json!(["nydus.remoteimage.v1"]);
    let mut artifact = on("linux/amd64", other);
    artifact["artifactType"] = "application/vnd.nydus.image.manifest.v1+json".into();
    // What the descriptor keeps quiet about, the documents tell.
    let config = blobs.add_json(media_type::OCI_CONFIG, &config("linux/amd64", &[]));
    let boot = blobs.add("application/vnd.oci.image.layer.nydus.blob.v1", "BOOT");
    let lazy = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&config, &[boot]));
    let chart = blobs.add("application/vnd.cncf.helm.config.v1+json", "{}");
    let chart = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&chart, &[]));
    let mut configured = support::config("linux/amd64", &[]);
    configured["os.features"] = json!(["win32k"]);
    let configured = blobs.add_json(media_type::OCI_CONFIG, &configured);
    let configured = blobs.add_json(media_type::OCI_MANIFEST, &manifest(&configured, &[]));
    let alone = find(&blobs, &configured, "linux/amd64").await;
    assert_error(alone, ErrorKind::Unsupported, "win32k");
    for entry in [
        featured,
        artifact,
        on("linux/amd64", lazy),
        on("linux/amd64", chart),
        configured,
    ] {
        for entries in [
            [entry.clone(), image.clone()],
            [image.clone(), entry.clone()],
        ] {
            let top = blobs.add_json(media_type::OCI_INDEX, &index(&entries));
            let found = find(&blobs, &top, "linux/amd64").await.unwrap();
            let expected = image["digest"].as_str();
            assert_eq!(
                found.digest.as_ref().map(Digest::as_str),
                expected,
                "{entry}"
            );
        }
        let top = blobs.add_json(media_type::OCI_INDEX, &index(&[entry]));
        let outcome = find(&blobs, &top, "linux/amd64").await;
        assert_error(outcome, ErrorKind::Unsupported, "");
    }
}
