use std::path::Path;

use oci_flatten::digest::Digest;
use oci_flatten::error::ErrorKind;
use oci_flatten::limits::Limits;
use oci_flatten::source::{ImageChoice, LocalName, OpenOptions, TarInput, open_local};
use oci_flatten::testkit::{Entry, Header, Layer, pax_record};

use crate::support::{Blobs, flatten, gzip, layer, open, tagged, tar, tool, write_files};
use crate::{assert_error, assert_failed};

const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";

fn write(directory: &Path, name: &str, bytes: &[u8]) -> String {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// A pipe by name, and the thread that feeds it.
fn pipe(directory: &Path, name: &str, bytes: Vec<u8>) -> (String, std::thread::JoinHandle<()>) {
    let path = directory.join(name);
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let name = path.display().to_string();
    // The reader may stop before the end, as it should when the archive is broken.
    let feeder = std::thread::spawn(move || drop(std::fs::write(path, bytes)));
    (name, feeder)
}

#[tokio::test]
async fn an_oci_archive_is_a_layout_in_a_tar() {
    let directory = tempfile::tempdir().unwrap();
    let mut blobs = Blobs::default();
    let one = blobs.image("linux/amd64", &[layer("one", "1")]);
    let two = blobs.image("linux/amd64", &[layer("two", "2")]);
    let archive = tar(&blobs.layout(&[tagged("v1", one), tagged("v2", two.clone())]));
    let plain = write(directory.path(), "plain.tar", &archive);
    let zipped = write(directory.path(), "zipped.tar.gz", &gzip(&archive));
    for file in [plain, zipped] {
        let source = open(&format!("oci-archive:{file}:v2")).await.unwrap();
        assert_eq!(
            source.image().digest.as_ref().unwrap().as_str(),
            two["digest"]
        );
        assert_eq!(flatten(source).await.unwrap().listing, ["two=2 mtime=1"]);
        let name = format!("oci-archive:{file}");
        assert_error(open(&name).await, ErrorKind::InvalidInput, "several images");
        assert_error(
            open(&format!("{name}:v3")).await,
            ErrorKind::NotFound,
            "v1, v2",
        );
    }
    for (name, bytes) in [("a", archive.clone()), ("b", gzip(&archive))] {
        let (file, feeder) = pipe(directory.path(), name, bytes);
        let source = open(&format!("oci-archive:{file}:v1")).await.unwrap();
        feeder.join().unwrap();
        assert_eq!(flatten(source).await.unwrap().listing, ["one=1 mtime=1"]);
    }
}

/// What a compressor makes of a file; none where the machine does not have it.
fn packed(program: &str, extension: &str, file: &str) -> Option<Vec<u8>> {
    tool(program, &["-k", "-f", file])?;
    Some(std::fs::read(format!("{file}.{extension}")).unwrap())
}

#[tokio::test]
async fn archives_are_read_inside_whatever_docker_load_reads() {
    let directory = tempfile::tempdir().unwrap();
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("one", "1")]);
    let layout = tar(&blobs.layout(&[image]));
    let (config, rootfs) = (
        br#"{"os":"linux","architecture":"amd64"}"#,
        layer("two", "2"),
    );
    let diff_id = Digest::sha256(&rootfs);
    let config = [
        &config[..config.len() - 1],
        format!(r#","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#).as_bytes(),
    ]
    .concat();
    let saved = Layer::new()
        .entry(Entry::file(
            "manifest.json",
            br#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["l/layer.tar"]}]"#,
        ))
        .entry(Entry::file("c.json", config))
        .entry(Entry::file("l/layer.tar", rootfs))
        .finish();
    let layout = write(directory.path(), "layout.tar", &layout);
    let saved = write(directory.path(), "saved.tar", &saved);
    for (program, extension) in [
        ("gzip", "gz"),
        ("zstd", "zst"),
        ("xz", "xz"),
        ("bzip2", "bz2"),
    ] {
        for (kind, archive, listing) in [
            ("oci-archive", &layout, "one=1 mtime=1"),
            ("docker-archive", &saved, "two=2 mtime=1"),
        ] {
            let Some(bytes) = packed(program, extension, archive) else {
                continue;
            };
            let file = write(directory.path(), "packed", &bytes);
            let (fifo, feeder) = pipe(directory.path(), "fifo", bytes);
            for file in [&file, &fifo] {
                let source = open(&format!("{kind}:{file}")).await.unwrap();
                let found = flatten(source).await.unwrap().listing;
                assert_eq!(found, [listing], "{kind} {program}");
            }
            feeder.join().unwrap();
            std::fs::remove_file(fifo).unwrap();
        }
    }
}

#[tokio::test]
async fn endless_archives_end_at_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let endless = [
        ("zeros", vec![0; 1 << 20]),
        ("text", b"y\n".repeat(1 << 19)),
        ("members of nothing", gzip(b"").repeat(1 << 15)),
        ("padding", [&gzip(b"")[..], &vec![0; 1 << 20]].concat()),
        ("a bomb", gzip(&vec![0; 1 << 24])),
    ];
    for (what, bytes) in endless {
        for kind in ["oci-archive", "docker-archive"] {
            let bytes = bytes.clone();
            let (fifo, feeder) = pipe(directory.path(), "fifo", bytes);
            let mut limits = Limits::default();
            limits.expanded_bytes = 100_000;
            let options = OpenOptions {
                platform: "linux/amd64".parse().unwrap(),
                limits,
                allow_truncated_tar: false,
                spool_dir: directory.path().into(),
            };
            let (file, image) = (TarInput::File(fifo.clone().into()), None);
            let name = match kind {
                "docker-archive" => LocalName::DockerArchive { file, image },
                _ => LocalName::OciArchive {
                    file,
                    image: ImageChoice::Only,
                },
            };
            let error = open_local(&name, &options).await.err().expect(what);
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{what}: {error}");
            assert!(error.message().contains("more than 1"), "{what}: {error}");
            // The feeder's pipe has lost its reader.
            feeder.join().unwrap();
            std::fs::remove_file(fifo).unwrap();
        }
    }
}

#[tokio::test]
async fn members_may_have_dots_and_long_names_and_directories() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "1")]);
    let mut archive = Layer::new()
        .entry(Entry::directory("./"))
        .entry(Entry::directory("./blobs/"));
    for (path, bytes) in blobs.layout(&[image]) {
        let long = format!("./{}{path}", "./".repeat(100));
        archive = archive.entry(Entry::file("short", bytes).pax("path", long));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "x.tar", &archive.finish());
    let source = open(&format!("oci-archive:{file}")).await.unwrap();
    assert_eq!(flatten(source).await.unwrap().listing, ["a=1 mtime=1"]);
}

/// A member whose type a reader does not know has a body all the same, and what is in it are no members.
#[tokio::test]
async fn bodies_of_odd_members_are_no_members() {
    let image = |name: &str| {
        let mut blobs = Blobs::default();
        let image = blobs.image("linux/amd64", &[layer(name, "")]);
        blobs.layout(&[image])
    };
    let (seen, hidden) = (image("seen"), image("hidden"));
    let directory = tempfile::tempdir().unwrap();
    for flag in *b"7VDMNAZg" {
        let mut archive = Layer::new();
        for (path, bytes) in &seen {
            archive = archive.entry(Entry::file(path, bytes));
        }
        // A global header is made of records; there a record hides the rest.
        let body = match flag {
            b'g' => pax_record(b"comment", &tar(&hidden)),
            _ => tar(&hidden),
        };
        archive = archive.entry(Entry::of_type(flag, "junk").body(body));
        let file = write(directory.path(), "x.tar", &archive.finish());
        let source = open(&format!("oci-archive:{file}")).await.unwrap();
        let listing = flatten(source).await.unwrap().listing;
        assert_eq!(listing, ["seen= mtime=1"], "{}", char::from(flag));
    }
}

#[tokio::test]
async fn members_may_be_sparse() {
    let mut blobs = Blobs::default();
    let holes = Layer::new()
        .entry(Entry::file("large", vec![0; 3 << 20]))
        .finish();
    let image = blobs.image_of(
        "linux/amd64",
        std::slice::from_ref(&holes),
        &[(OCI_TAR, holes.clone())],
    );
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    std::fs::create_dir(&layout).unwrap();
    write_files(&layout, &blobs.layout(&[image]));
    let top = layout.display().to_string();
    let file = directory.path().join("x.tar").display().to_string();
    let gnu = ["--format=gnu", "--sparse", "-C", &top, "-cf", &file, "."];
    let mut commands = vec![("tar", gnu.to_vec())];
    for version in [
        "--sparse-version=0.0",
        "--sparse-version=0.1",
        "--sparse-version=1.0",
    ] {
        let mut command = gnu.to_vec();
        command[0] = "--format=pax";
        command.insert(1, version);
        commands.push(("tar", command));
    }
    // Where it finds holes, it makes the file sparse unasked.
    commands.push(("bsdtar", vec!["-C", &top, "-cf", &file, "."]));
    // A file that cp makes has its holes where the zeros are.
    let blob = std::fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.metadata().unwrap().len() > 1 << 20)
        .unwrap();
    let (from, to) = (
        blob.display().to_string(),
        format!("{}.holes", blob.display()),
    );
    let Some(_) = tool("cp", &["--sparse=always", &from, &to]) else {
        return;
    };
    std::fs::rename(&to, &from).unwrap();
    for (program, arguments) in commands {
        let Some(_) = tool(program, &arguments) else {
            continue;
        };
        assert!(
            std::fs::metadata(&file).unwrap().len() < 1 << 20,
            "{program} {arguments:?}"
        );
        let source = open(&format!("oci-archive:{file}")).await.unwrap();
        let listing = flatten(source).await.unwrap().listing;
        assert_eq!(listing.len(), 1, "{program} {arguments:?}");
    }
}

#[tokio::test]
async fn headers_of_archives_have_the_limits_of_layers() {
    let directory = tempfile::tempdir().unwrap();
    let long = |flag, length: usize| {
        let long = Entry::of_type(flag, "long").body(vec![b'a'; length]);
        Layer::new()
            .entry(long)
            .entry(Entry::file("x", ""))
            .finish()
    };
    for (archive, text) in [
        (
            long(b'L', (1 << 20) + 1),
            "extension header is 1048577 bytes (limit 1048576)",
        ),
        (
            long(b'x', (1 << 20) + 1),
            "extension header is 1048577 bytes (limit 1048576)",
        ),
        (
            long(b'L', 5000),
            "path of a member is 5000 bytes (limit 4095)",
        ),
    ] {
        let file = write(directory.path(), "x.tar", &archive);
        let outcome = open(&format!("oci-archive:{file}")).await;
        assert_error(outcome, ErrorKind::LimitExceeded, text);
    }
}

/// The dialects that layers may have, archives may have as well.
#[tokio::test]
async fn odd_headers_are_read_as_in_layers() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "1")]);
    let files = blobs.layout(&[image]);
    let directory = tempfile::tempdir().unwrap();
    let changes: [fn(Entry) -> Entry; 3] = [
        |entry| entry.pax("comment", ""),
        |entry| entry.xattr("user.empty", ""),
        |entry| entry.header(|header| header.bytes(Header::MAGIC, b"ustar\0\0\0")),
    ];
    for change in changes {
        let empty_size =
            Entry::directory("odd/").header(|header| header.bytes(Header::SIZE, &[0; 12]));
        let archive = files
            .iter()
            .fold(Layer::new().entry(empty_size), |archive, (path, bytes)| {
                archive.entry(change(Entry::file(path, bytes)))
            });
        let file = write(directory.path(), "x.tar", &archive.finish());
        let source = open(&format!("oci-archive:{file}")).await.unwrap();
        assert_eq!(flatten(source).await.unwrap().listing, ["a=1 mtime=1"]);
    }
    let lone = Layer::new().entry(Entry::file("a", "")).raw(&[0; 512]);
    let lone = lone.entry(Entry::file("index.json", "{}")).finish();
    let file = write(directory.path(), "x.tar", &lone);
    let outcome = open(&format!("oci-archive:{file}")).await;
    assert_error(outcome, ErrorKind::Malformed, "single zero block");
}

#[tokio::test]
async fn a_hard_link_keeps_its_file() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", "1")]);
    let mut archive = Layer::new();
    for (path, bytes) in blobs.layout(&[image]) {
        archive = archive
            .entry(Entry::file("same-name", bytes))
            .entry(Entry::hard_link(path, "same-name"));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "x.tar", &archive.finish());
    let source = open(&format!("oci-archive:{file}")).await.unwrap();
    assert_eq!(flatten(source).await.unwrap().listing, ["a=1 mtime=1"]);
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let mut blobs = Blobs::default();
    let image = blobs.image("linux/amd64", &[layer("a", &"x".repeat(10_000))]);
    let archive = tar(&blobs.layout(&[image]));
    let directory = tempfile::tempdir().unwrap();
    let mut cut = tar(&[("index.json".into(), vec![b' '; 10_000])]);
    cut.truncate(5000);
    let mut bad_checksum = archive.clone();
    bad_checksum[0] ^= 1;
    let loop_ = Layer::new()
        .entry(Entry::symlink("index.json", "b"))
        .entry(Entry::symlink("b", "./x/../index.json"));
    let outside = Layer::new().entry(Entry::symlink("index.json", "../../etc/passwd"));
    for (bytes, kind, text) in [
        (
            cut,
            ErrorKind::Malformed,
            "archive ends inside member index.json (10000 bytes)",
        ),
        (archive[..1124].to_vec(), ErrorKind::Malformed, "archive"),
        (
            archive[..100].to_vec(),
            ErrorKind::Malformed,
            "archive is cut short",
        ),
        (
            bad_checksum,
            ErrorKind::Malformed,
            "header checksum does not match",
        ),
        (Vec::new(), ErrorKind::NotFound, "not an OCI image layout"),
        (
            gzip(&archive)[..500].to_vec(),
            ErrorKind::Malformed,
            "x.tar",
        ),
        (
            loop_.finish(),
            ErrorKind::Malformed,
            "more than 16 links from member index.json",
        ),
        (
            outside.finish(),
            ErrorKind::NotFound,
            "has no member index.json",
        ),
        (
            b"\xfd7zXZ\0 and so on".to_vec(),
            ErrorKind::Malformed,
            "malformed xz data",
        ),
        (
            b"\x89LZO\0 and so on".to_vec(),
            ErrorKind::Unsupported,
            "lzo compression is not supported",
        ),
    ] {
        let file = write(directory.path(), "x.tar", &bytes);
        assert_error(open(&format!("oci-archive:{file}")).await, kind, text);
    }
    let name = format!("oci-archive:{}", directory.path().display());
    assert_error(open(&name).await, ErrorKind::Io, "open ");
    assert_error(
        open("oci-archive:/nowhere.tar").await,
        ErrorKind::NotFound,
        "open /nowhere.tar",
    );
}

#[tokio::test]
async fn a_compressed_archive_may_not_expand_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let bomb = write(directory.path(), "bomb.tar.gz", &gzip(&vec![0; 1 << 20]));
    let mut limits = Limits::default();
    limits.expanded_bytes = 1000;
    let options = OpenOptions {
        platform: "linux/amd64".parse().unwrap(),
        limits,
        allow_truncated_tar: false,
        spool_dir: directory.path().into(),
    };
    let file = TarInput::File(bomb.into());
    let name = LocalName::DockerArchive { file, image: None };
    let Err(error) = open_local(&name, &options).await else {
        panic!("it expands too far")
    };
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(
        error.message().contains("expands to more than 1000 bytes"),
        "{error}"
    );
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but the bomb is there");
}

#[tokio::test]
async fn a_root_filesystem_tar_is_an_image_of_one_layer() {
    let directory = tempfile::tempdir().unwrap();
    let rootfs = Layer::new()
        .entry(Entry::directory("etc").mtime(3))
        .entry(Entry::file("etc/motd", "hi"))
        .finish();
    for bytes in [rootfs.clone(), gzip(&rootfs)] {
        let file = write(directory.path(), "root:fs.tar", &bytes);
        let (fifo, feeder) = pipe(directory.path(), "fifo", bytes.clone());
        for (file, size) in [(file, Some(bytes.len() as u64)), (fifo.clone(), None)] {
            let source = open(&format!("tar:{file}")).await.unwrap();
            assert_eq!(source.image().digest, None);
            assert_eq!(source.image().layers[0].size, size);
            let merged = flatten(source).await.unwrap();
            assert_eq!(merged.listing, ["etc/ mtime=3", "etc/motd=hi"]);
            assert_eq!(merged.flattened.digest, Digest::sha256(&bytes));
            assert_eq!(merged.flattened.stored_bytes, bytes.len() as u64);
        }
        feeder.join().unwrap();
        std::fs::remove_file(fifo).unwrap();
    }
}

#[tokio::test]
async fn a_pipe_is_read_once_and_an_archive_of_nothing_is_an_empty_tree() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = Layer::new().finish();
    let (fifo, feeder) = pipe(directory.path(), "fifo", nothing.clone());
    let source = open(&format!("tar:{fifo}")).await.unwrap();
    let merged = flatten(source.clone()).await.unwrap();
    feeder.join().unwrap();
    assert!(merged.flattened.rootfs.is_empty());
    assert_eq!(merged.flattened.digest, Digest::sha256(&nothing));
    assert_failed(flatten(source).await, ErrorKind::InvalidInput, "only once");
}

/// Nor is one that decompresses to nothing.
#[tokio::test]
async fn no_bytes_are_no_root_filesystem() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [Vec::new(), gzip(b"")] {
        let file = write(directory.path(), "rootfs.tar", &bytes);
        let (fifo, feeder) = pipe(directory.path(), "fifo", bytes);
        for file in [file, fifo.clone()] {
            let source = open(&format!("tar:{file}")).await.unwrap();
            let error = flatten(source).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            let cause = error.into_source().unwrap().to_string();
            assert_eq!(cause, "tar archive is empty (0 bytes)");
        }
        feeder.join().unwrap();
        std::fs::remove_file(fifo).unwrap();
    }
}
