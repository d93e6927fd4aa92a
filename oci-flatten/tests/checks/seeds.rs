//! What fuzzing starts from: one small example of everything that the formats can say.

use oci_flatten::testkit::{Checksum, Entry, Header, Layer, pax_record};

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

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn archive(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    entries
        .into_iter()
        .fold(Layer::new(), Layer::entry)
        .finish()
}

fn archives() -> Seeds {
    let gnu = |entry: Entry| entry.header(Header::gnu);
    let long =
        |flag, name: &str| gnu(Entry::of_type(flag, "././@LongLink").body(format!("{name}\0")));
    let sparse = |major, minor| {
        Entry::file("f", "abcde")
            .pax("GNU.sparse.major", major)
            .pax("GNU.sparse.minor", minor)
            .pax("GNU.sparse.name", "s")
    };
    let mut map = b"2\n10\n2\n600\n3\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abcde");
    vec![
        ("empty", archive([])),
        (
            "kinds",
            archive([
                Entry::directory("d/"),
                Entry::file("d/f", "body").mode(0o4755).owner(1, 2).mtime(3),
                Entry::symlink("s", "d"),
                Entry::hard_link("s/h", "d/f"),
                Entry::char_device("c", 1, 3),
                Entry::block_device("b", 8, 1),
                Entry::fifo("p"),
                Entry::file("d/.wh.f", ""),
                Entry::file("d/.wh..wh..opq", ""),
                Entry::file(".wh..wh.plnk/1", "x"),
                Entry::of_type(b'V', "label"),
            ]),
        ),
        (
            "pax",
            archive([Entry::file("f", "body")
                .pax("path", "long")
                .pax("mtime", "-1.5")
                .pax("uid", "5")
                .pax("size", "4")
                .xattr("security.capability", [1, 0, 0, 2])]),
        ),
        (
            "gnu",
            archive([
                gnu(Entry::symlink("a", "b"))
                    .preceded_by(long(b'L', "name"))
                    .preceded_by(long(b'K', "link")),
                gnu(Entry::file("n", "").header(|header| header.text(Header::PREFIX, b"pre/fix"))),
                gnu(Entry::file("m", "").header(|header| header.binary(Header::MTIME, -10))),
            ]),
        ),
        (
            "global",
            archive([
                Entry::of_type(b'g', "g").body(pax_record(b"path", b"x")),
                Entry::file("f", ""),
            ]),
        ),
        (
            "sparse-old",
            archive([
                gnu(Entry::of_type(b'S', "f").body("abcde")).header(|header| {
                    header
                        .number((386, 12), 10)
                        .number((398, 12), 2)
                        .number((410, 12), 600)
                        .number((422, 12), 3)
                        .number((483, 12), 1000)
                }),
            ]),
        ),
        (
            "sparse-0.0",
            archive([Entry::file("f", "abcde")
                .pax("GNU.sparse.size", "1000")
                .pax("GNU.sparse.numblocks", "1")
                .pax("GNU.sparse.offset", "10")
                .pax("GNU.sparse.numbytes", "5")]),
        ),
        (
            "sparse-0.1",
            archive([sparse("0", "1")
                .pax("GNU.sparse.size", "1000")
                .pax("GNU.sparse.numblocks", "2")
                .pax("GNU.sparse.map", "10,2,600,3")]),
        ),
        (
            "sparse-1.0",
            archive([sparse("1", "0")
                .pax("GNU.sparse.realsize", "1000")
                .body(map)]),
        ),
        (
            "odd",
            Layer::new()
                .entry(Entry::file("\u{e9}", "").header(|header| header.checksum(Checksum::Signed)))
                .entry(Entry::of_type(0, "d/").header(Header::v7))
                .entry(Entry::directory("e").header(|header| header.number(Header::SIZE, 512)))
                .raw(&[0; 512])
                .entry(Entry::file("../f", ""))
                .cut(),
        ),
    ]
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
