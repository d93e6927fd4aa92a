//! Layouts from the test suites of other projects, where they lie beside the repository.

use std::path::PathBuf;

use oci_flatten::error::ErrorKind;

use crate::assert_error;
use crate::support::{flatten, open, open_for, tool};

fn layouts() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/corpus/layouts"
    ));
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

/// An index in an index with attestations; one archive has a Mac's resource forks between the blobs.
#[tokio::test]
async fn apple_containerization() {
    let Some(layouts) = layouts() else { return };
    for file in ["apple-scratch", "apple-scratch_no_annotations"] {
        let name = format!("oci-archive:{}/{file}.tar.gz", layouts.display());
        for platform in ["linux/amd64", "linux/arm64"] {
            let source = open_for(&name, platform).await.unwrap();
            let listing = flatten(source).await.unwrap().listing;
            assert!(listing[0].starts_with("file="), "{listing:?}");
        }
        let there_is = "no image for linux/s390x; there is: linux/arm64, linux/amd64";
        assert_error(
            open_for(&name, "linux/s390x").await,
            ErrorKind::NotFound,
            there_is,
        );
    }
}

/// Docker 25 with an index that lists nothing.
#[tokio::test]
async fn docker_25_hello_world() {
    let Some(layouts) = layouts() else { return };
    let file = format!("{}/ggcr-hello-world-v25.tar.gz", layouts.display());
    let source = open_for(&format!("docker-archive:{file}"), "linux/arm64")
        .await
        .unwrap();
    let digest = source.image().layers[0].digest.clone();
    assert_eq!(digest, source.image().layers[0].diff_id);
    let listing = flatten(source).await.unwrap().listing;
    assert!(listing[0].starts_with("hello="), "{:.60}", listing[0]);
    let outcome = open(&format!("oci-archive:{file}")).await;
    assert_error(outcome, ErrorKind::NotFound, "index lists no image");
}

#[tokio::test]
async fn go_containerregistry() {
    let Some(layouts) = layouts() else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display().to_string();
    for (file, choice, outcome) in [
        ("test_index_one_image", "", Ok("test=")),
        ("test_gc_index", ":1", Ok("bar=")),
        ("test_gc_index", ":3", Ok("bar=")),
        ("test_index", ":4", Ok("bar=")),
        // Three tags of one image.
        ("test_gc_index", "", Ok("bar=")),
        (
            "test_index",
            ":2",
            Err((
                ErrorKind::Unsupported,
                "application/vnd.oci.descriptor.v1+json",
            )),
        ),
        (
            "test_index_media_type",
            "",
            Err((ErrorKind::Unsupported, "vnd.cncf.helm.config")),
        ),
        (
            "test_gc_image_unknown_mediatype",
            "",
            Err((ErrorKind::Unsupported, "is no image")),
        ),
    ] {
        let archive = format!("{}/ggcr-{file}.tar.gz", layouts.display());
        if tool("tar", &["-C", &at, "-xzf", &archive]).is_none() {
            return;
        }
        let opened = open(&format!("oci:{at}/{file}{choice}")).await;
        match outcome {
            Err((kind, text)) => assert_error(opened, kind, text),
            Ok(first) => {
                let listing = flatten(opened.unwrap()).await.unwrap().listing;
                assert!(listing[0].starts_with(first), "{listing:?}");
            }
        }
    }
}
