use oci_flatten::error::ErrorKind;
use oci_flatten::media_type;
use serde_json::Value;

use crate::support::{Blobs, flatten, index, layer, on, open, open_for, tagged, write_files};
use crate::{assert_error, assert_failed};

/// A layout directory and the name of its source.
fn layout(blobs: &Blobs, entries: &[Value]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), &blobs.layout(entries));
    let name = format!("oci:{}", directory.path().display());
    (directory, name)
}

#[tokio::test]
async fn the_only_image_needs_no_tag() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "1"), layer("b", "2")]);
    for entries in [[image.clone()], [tagged("v1", image.clone())]] {
        let (_directory, name) = layout(&blobs, &entries);
        let source = open(&name).await.unwrap();
        assert_eq!(
            source.image().digest.as_ref().unwrap().as_str(),
            image["digest"]
        );
        assert_eq!(source.image().reference, name);
        let merged = flatten(source).await.unwrap();
        assert_eq!(merged.listing, ["a=1 mtime=1", "b=2 mtime=1"]);
        assert_eq!(merged.flattened.digest.as_str(), image["digest"]);
    }
}

#[tokio::test]
async fn one_of_several_is_chosen_by_tag_or_digest() {
    let mut blobs = Blobs::default();
    let one = blobs.image("linux/amd64", &[layer("one", "")]);
    let two = blobs.image("linux/amd64", &[layer("two", "")]);
    let hidden = blobs.image("linux/amd64", &[layer("hidden", "")]);
    let entries = [
        tagged("v1", one.clone()),
        tagged("reg.example/x:v2", two.clone()),
    ];
    let (_directory, name) = layout(&blobs, &entries);
    for (choice, file) in [
        (":v1".to_string(), "one= mtime=1"),
        (":reg.example/x:v2".to_string(), "two= mtime=1"),
        (
            format!("@{}", two["digest"].as_str().unwrap()),
            "two= mtime=1",
        ),
        (
            format!("@{}", hidden["digest"].as_str().unwrap()),
            "hidden= mtime=1",
        ),
    ] {
        let source = open(&format!("{name}{choice}")).await.unwrap();
        assert_eq!(flatten(source).await.unwrap().listing, [file]);
    }
    let there_is = "there is: reg.example/x:v2, v1";
    assert_error(
        open(&format!("{name}:v3")).await,
        ErrorKind::NotFound,
        there_is,
    );
    for several in [
        "several images fit",
        "v1 (@sha256:",
        "reg.example/x:v2 (@sha256:",
    ] {
        assert_error(open(&name).await, ErrorKind::InvalidInput, several);
    }
    let missing = format!("{name}@sha256:{}", "0".repeat(64));
    assert_error(
        open(&missing).await,
        ErrorKind::NotFound,
        "blobs/sha256/0000",
    );

    let (_directory, name) = layout(&blobs, &[one, two]);
    assert_error(
        open(&name).await,
        ErrorKind::InvalidInput,
        "several images fit; choose one by its tag or its digest: @sha256:",
    );
}

#[tokio::test]
async fn one_image_may_have_several_platforms() {
    let mut blobs = Blobs::default();
    let amd = on(
        "linux/amd64",
        blobs.image("linux/amd64", &[layer("amd", "")]),
    );
    let arm = on(
        "linux/arm64",
        blobs.image("linux/arm64", &[layer("arm", "")]),
    );
    let both = [amd, arm];
    let nested = blobs.add_json(media_type::OCI_INDEX, &index(&both));
    let tags = both.clone().map(|entry| tagged("v1", entry));
    for entries in [&both[..], &[tagged("v1", nested)], &tags] {
        let (_directory, name) = layout(&blobs, entries);
        for (platform, file) in [
            ("linux/amd64", "amd= mtime=1"),
            ("linux/arm64", "arm= mtime=1"),
        ] {
            let source = open_for(&name, platform).await.unwrap();
            assert_eq!(source.image().platform.to_string(), platform);
            assert_eq!(flatten(source).await.unwrap().listing, [file]);
        }
        let there_is = "no image for linux/s390x; there is: linux/amd64, linux/arm64";
        assert_error(
            open_for(&name, "linux/s390x").await,
            ErrorKind::NotFound,
            there_is,
        );
    }
}

#[tokio::test]
async fn what_is_no_layout_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("oci:{}", directory.path().display());
    assert_error(
        open(&name).await,
        ErrorKind::NotFound,
        "not an OCI image layout",
    );
    assert_error(
        open("oci:/nowhere/at/all").await,
        ErrorKind::NotFound,
        "not an OCI image layout",
    );
    for (index, kind, text) in [
        (
            "",
            ErrorKind::Malformed,
            "index.json: manifest does not parse",
        ),
        ("{}", ErrorKind::Malformed, "neither an image nor an index"),
        (
            r#"{"schemaVersion":2,"manifests":[]}"#,
            ErrorKind::NotFound,
            "lists no image",
        ),
        (
            r#"{"schemaVersion":2,"manifests":null}"#,
            ErrorKind::NotFound,
            "lists no image",
        ),
        (
            r#"{"manifests":[{"mediaType":"x","digest":"sha256:../../../etc/passwd","size":1}]}"#,
            ErrorKind::Malformed,
            "does not parse",
        ),
    ] {
        std::fs::write(directory.path().join("index.json"), index).unwrap();
        assert_error(open(&name).await, kind, text);
    }
    let file = std::fs::File::create(directory.path().join("index.json")).unwrap();
    file.set_len((4 << 20) + 1).unwrap();
    let limit = "index.json is 4194305 bytes (limit 4194304)";
    assert_error(open(&name).await, ErrorKind::LimitExceeded, limit);
}

#[tokio::test]
async fn a_missing_or_changed_blob_names_its_layer() {
    let mut blobs = Blobs::default();
    let layers = [layer("a", "1"), layer("b", "2")];
    let stored = [
        (media_type::OCI_LAYER, layers[0].clone()),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            layers[1].clone(),
        ),
    ];
    let image = blobs.image_of("linux/amd64", &layers, &stored);
    let (directory, name) = layout(&blobs, &[image]);
    let source = open(&name).await.unwrap();
    let digest = source.image().layers[1].digest.clone().unwrap();
    let path = directory.path().join("blobs/sha256").join(digest.hex());
    let place = format!("layer 2 of 2 ({digest}): ");
    let good = std::fs::read(&path).unwrap();
    for (bytes, text) in [
        (
            [&good[..], b"x"].concat(),
            format!("has more than {} bytes", good.len()),
        ),
        (
            good[..good.len() - 1].to_vec(),
            format!("(expected {})", good.len()),
        ),
        (
            [&good[..good.len() - 1], b"x"].concat(),
            "has digest sha256:".into(),
        ),
        (Vec::new(), "ends after 0 bytes".into()),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_failed(flatten(source.clone()).await, ErrorKind::Integrity, &place);
        assert_failed(flatten(source.clone()).await, ErrorKind::Integrity, &text);
    }
    std::fs::remove_file(&path).unwrap();
    assert_failed(flatten(source.clone()).await, ErrorKind::NotFound, &place);
    assert_failed(flatten(source).await, ErrorKind::NotFound, "foreign layer");
}

/// Which of the entries of a layout is taken when nothing or a tag is asked for.
#[tokio::test]
async fn two_images_that_both_fit_are_never_chosen_between() {
    const CONTAINERD_NAME: &str = "io.containerd.image.name";
    let mut blobs = Blobs::default();
    let one = blobs.image("linux/amd64", &[layer("one", "")]);
    let two = blobs.image("linux/amd64", &[layer("two", "")]);
    let arm = blobs.image("linux/arm64", &[layer("arm", "")]);
    let index_of = |blobs: &mut Blobs, image: &Value| {
        let entry = on("linux/amd64", image.clone());
        blobs.add_json(media_type::OCI_INDEX, &index(&[entry]))
    };
    let (first, second) = (index_of(&mut blobs, &one), index_of(&mut blobs, &two));
    let called = |name: &str, image: &Value| {
        let image = tagged("latest", on("linux/amd64", image.clone()));
        crate::support::noted(CONTAINERD_NAME, name, image)
    };
    let empty = blobs.add("application/vnd.oci.empty.v1+json", "{}");
    let mut referrer = crate::support::manifest(&empty, &[]);
    referrer["artifactType"] = "application/spdx+json".into();
    let referrer = blobs.add_json(media_type::OCI_MANIFEST, &referrer);
    let mut typed = on("linux/amd64", two.clone());
    typed["artifactType"] = "application/vnd.example".into();
    let mut featured = on("linux/amd64", two.clone());
    featured["platform"]["os.features"] = serde_json::json!(["nydus.remoteimage.v1"]);
    let signature = format!("{}.sig", one["digest"].as_str().unwrap().replace(':', "-"));
    for (case, entries, tag, chosen) in [
        (
            "two names",
            vec![called("aaa", &one), called("bbb", &two)],
            "",
            None,
        ),
        (
            "two names of one tag",
            vec![called("aaa", &one), called("bbb", &two)],
            ":latest",
            None,
        ),
        (
            "full name",
            vec![called("aaa", &one), called("bbb", &two)],
            ":bbb",
            Some("two"),
        ),
        (
            "one tag twice",
            vec![tagged("v1", one.clone()), tagged("v1", two.clone())],
            ":v1",
            None,
        ),
        (
            "labelled and not",
            vec![one.clone(), on("linux/amd64", two.clone())],
            "",
            None,
        ),
        ("two indexes", vec![first.clone(), second], "", None),
        (
            "index and its image",
            vec![first, one.clone()],
            "",
            Some("one"),
        ),
        (
            "one digest, two tags",
            vec![tagged("v1", one.clone()), tagged("v2", one.clone())],
            "",
            Some("one"),
        ),
        (
            "other platform",
            vec![arm.clone(), one.clone()],
            "",
            Some("one"),
        ),
        (
            "other platform by name",
            vec![tagged("a", arm), tagged("b", one.clone())],
            "",
            Some("one"),
        ),
        (
            "referrer",
            vec![referrer.clone(), tagged("v1", one.clone())],
            "",
            Some("one"),
        ),
        (
            "artifact type",
            vec![typed.clone(), one.clone()],
            "",
            Some("one"),
        ),
        (
            "features",
            vec![featured.clone(), one.clone()],
            "",
            Some("one"),
        ),
        (
            "signature",
            vec![tagged(&signature, two.clone()), tagged("v1", one.clone())],
            "",
            Some("one"),
        ),
    ] {
        for entries in [entries.clone(), entries.into_iter().rev().collect()] {
            let (_directory, name) = layout(&blobs, &entries);
            let source = open(&format!("{name}{tag}")).await;
            let Some(chosen) = chosen else {
                assert_error(source, ErrorKind::InvalidInput, "several images fit");
                continue;
            };
            let source = source.unwrap_or_else(|error| panic!("{case}: {error}"));
            let listing = flatten(source).await.unwrap().listing;
            assert_eq!(listing, [format!("{chosen}= mtime=1")], "{case}");
        }
    }
    for (entry, why) in [(referrer, "spdx"), (typed, "example"), (featured, "nydus")] {
        let (_directory, name) = layout(&blobs, &[entry]);
        assert_error(open(&name).await, ErrorKind::Unsupported, why);
    }
}
