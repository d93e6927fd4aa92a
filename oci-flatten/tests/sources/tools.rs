//! Images that other tools wrote: the same tree must come out of every form.

use std::path::{Path, PathBuf};

use oci_flatten::digest::Digest;
use oci_flatten::testkit::{Entry, Layer};

use crate::support::{Blobs, Merged, OCI_ZSTD, flatten, layer, open, tagged, tool, write_files};

/// An image with what the conversions could lose, as a layout.
fn sample(directory: &Path) -> String {
    let base = Layer::new()
        .entry(Entry::directory("etc").mode(0o755).mtime(5))
        .entry(
            Entry::file("etc/a", "a")
                .mode(0o4755)
                .owner(1000, 70_000)
                .mtime(9),
        )
        .entry(Entry::file("etc/gone", "x"))
        .entry(
            Entry::hard_link("etc/b", "etc/a")
                .mode(0o4755)
                .owner(1000, 70_000)
                .mtime(9),
        )
        .entry(Entry::symlink("link", "etc/a"))
        .entry(Entry::file("x", "x").xattr("user.note", "text"))
        .finish();
    let upper = Layer::new().entry(Entry::file("etc/.wh.gone", "")).finish();
    let mut blobs = Blobs::default();
    let image = blobs.image(
        "linux/amd64",
        &[base, upper.clone(), layer("n", "n"), upper],
    );
    write_files(directory, &blobs.layout(&[tagged("v1", image)]));
    format!("oci:{}:v1", directory.display())
}

async fn merged(name: &str) -> Merged {
    let source = match open(name).await {
        Ok(source) => source,
        Err(error) => panic!("{name}: {error}"),
    };
    match flatten(source).await {
        Ok(merged) => merged,
        Err(error) => panic!("{name}: {error}"),
    }
}

#[tokio::test]
async fn skopeo_converts_to_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    let name = sample(&layout);
    let wanted = merged(&name).await;
    assert_eq!(wanted.listing.len(), 6);
    let at = |file: &str| directory.path().join(file).display().to_string();
    let forms = [
        format!(
            "docker-archive:{}:example.com/org/name:v1",
            at("docker.tar")
        ),
        format!("oci-archive:{}:v1", at("oci.tar")),
        format!("oci:{}:v1", at("copy")),
    ];
    for form in &forms {
        let options = ["copy", "--quiet", "--insecure-policy", &name, form];
        if tool("skopeo", &options).is_none() {
            return;
        }
        let found = merged(form).await;
        assert_eq!(found.listing, wanted.listing, "{form}");
    }
    let saved = merged(&format!("docker-archive:{}", at("docker.tar"))).await;
    assert_eq!(saved.listing, wanted.listing);
    // Layers that are not compressed yet become zstd.
    let (saved, zstd) = (
        format!("docker-archive:{}", at("docker.tar")),
        format!("oci:{}:v1", at("zstd")),
    );
    let options = [
        "copy",
        "--quiet",
        "--insecure-policy",
        "--dest-compress-format",
        "zstd",
        &saved,
        &zstd,
    ];
    tool("skopeo", &options);
    let source = open(&zstd).await.unwrap();
    let media_type = source.image().layers[0].media_type.clone().unwrap();
    assert_eq!(media_type.as_str(), OCI_ZSTD);
    let found = flatten(source).await.unwrap();
    assert_eq!(found.listing, wanted.listing);
    assert_eq!(found.flattened.warnings().count(), 0);
}

#[tokio::test]
async fn the_digest_is_the_one_that_skopeo_shows() {
    let directory = tempfile::tempdir().unwrap();
    let name = sample(directory.path());
    let Some(shown) = tool("skopeo", &["inspect", "--format", "{{.Digest}}", &name]) else {
        return;
    };
    let source = open(&name).await.unwrap();
    assert_eq!(
        source.image().digest.as_ref().map(Digest::as_str),
        Some(shown.trim())
    );
}

#[tokio::test]
async fn umoci_writes_what_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout").display().to_string();
    let image = format!("{layout}:v1");
    if tool("umoci", &["init", "--layout", &layout]).is_none() {
        return;
    }
    tool("umoci", &["new", "--image", &image]);
    let tar = directory.path().join("layer.tar");
    for (path, content) in [("a", "1"), ("b", "2")] {
        std::fs::write(&tar, layer(path, content)).unwrap();
        tool(
            "umoci",
            &[
                "raw",
                "add-layer",
                "--image",
                &image,
                &tar.display().to_string(),
            ],
        );
    }
    let merged = merged(&format!("oci:{image}")).await;
    assert_eq!(merged.listing, ["a=1 mtime=1", "b=2 mtime=1"]);
}

/// Real images beside the repository, where there are some: all forms of one give one tree.
#[tokio::test]
async fn real_images_are_the_same_in_every_form() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/images");
    let Ok(list) = std::fs::read_dir(&images) else {
        println!("skipped: no {}", images.display());
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> = list.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| !path.ends_with("debian-min")) {
        let name = format!("oci:{}", path.display());
        let wanted = merged(&name).await;
        assert!(wanted.listing.len() > 100, "{name}");
        let saved = format!(
            "oci-archive:{}",
            directory.path().join("saved.tar").display()
        );
        let _ = std::fs::remove_file(directory.path().join("saved.tar"));
        let options = [
            "copy",
            "--quiet",
            "--insecure-policy",
            &name,
            &format!("{saved}:x/y:z"),
        ];
        if tool("skopeo", &options).is_none() {
            return;
        }
        assert_eq!(merged(&saved).await.listing, wanted.listing, "{name}");
    }
}
