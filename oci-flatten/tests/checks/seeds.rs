//! What fuzzing starts from: one small example of everything that the formats can say.

#[path = "../../tar/tests/checks/seeds.rs"]
mod archives;

use archives::{Seeds, archives};

/// Names and bytes of the seeds of one target.
pub(crate) fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let seeds = match target {
        "layer_stream" | "tar_differential" | "tar_to_image" => {
            let archives = archives().into_iter();
            archives
                .map(|(name, archive)| (name, [vec![1], archive].concat()))
                .collect()
        }
        "layer_stack" => stacks(),
        "image_documents" => documents(),
        _ => Vec::new(),
    };
    seeds
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect()
}

/// Kinds, paths and metadata as `layer_stack` reads them.
fn stacks() -> Seeds {
    vec![
        ("empty", vec![]),
        // d/, d/f; then .wh.d, d/, d/g.
        (
            "recreated",
            vec![
                1, 0x0c, 0xc0, 0, 0x0d, 0xc0, 7, 4, 0x0c, 1, 0x0c, 0xc0, 0, 0x1d, 0xc0,
            ],
        ),
        // A file, a link to it, the file replaced in the next layer.
        (
            "links",
            vec![0, 0x00, 0x40, 3, 0x04, 0x00, 0x40, 7, 0, 0x00, 0x41],
        ),
        // A symbolic link, a file through it, an opaque marker at the root.
        (
            "through",
            vec![2, 0x00, 0, 0x04, 0, 0x01, 0x40, 7, 6, 0, 0x08, 0x40],
        ),
        (
            "opaque",
            vec![1, 0x04, 0xc0, 0, 0x05, 0x40, 7, 0, 0x15, 0x40, 5, 0x04],
        ),
    ]
}

fn documents() -> Seeds {
    let config = r#"{"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z","rootfs":{"type":"layers","diff_ids":["sha256:1111111111111111111111111111111111111111111111111111111111111111"]}}"#;
    let manifest = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@0","size":#0},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","size":100}]}"#;
    let index = |platform: &str, kind: &str, number: usize| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.{kind}.v1+json","digest":"@{number}","size":#{number}{platform}}}]}}"#
        )
    };
    let with_platform = index(
        r#","platform":{"os":"linux","architecture":"amd64"}"#,
        "manifest",
        1,
    );
    let without = index("", "manifest", 1);
    let attestation = index(
        r#","platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#,
        "manifest",
        1,
    );
    let nested = index("", "index", 2);
    let join = |documents: &[&str]| documents.join("\0").into_bytes();
    vec![
        ("manifest", join(&[config, manifest])),
        ("index", join(&[config, manifest, &with_platform])),
        (
            "index-without-platform",
            join(&[config, manifest, &without]),
        ),
        ("attestation", join(&[config, manifest, &attestation])),
        ("nested", join(&[config, manifest, &with_platform, &nested])),
        (
            "docker",
            join(&[
                config,
                &manifest.replace(
                    "vnd.oci.image.manifest.v1",
                    "vnd.docker.distribution.manifest.v2",
                ),
            ]),
        ),
        ("schema1", join(&[r#"{"schemaVersion":1,"fsLayers":[]}"#])),
        (
            "both",
            join(&[r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#]),
        ),
    ]
}
