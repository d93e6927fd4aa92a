//! The reader against debugfs and ext4-view: on images of ours and of mke2fs, with every feature that changes where things lie.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use common::sample::{sample, with, without};
use common::{debugfs, have, noise, run, text, view};
use ext4_writer::reader::{ImageReader, Piece, ReadError, ReadLimits};
use ext4_writer::{BlockSize, Features, FileType, FormatOptions};
use tempfile::{NamedTempFile, TempDir};

fn open(image: &Path) -> Result<ImageReader<'static, File>, ReadError> {
    ImageReader::open(File::open(image).unwrap(), ReadLimits::default(), &|| false)
}

/// What a reader sees of a file: kind, permissions, owner, and content or target.
type Facts = (FileType, u16, u32, u32, Vec<u8>);

fn ours(image: &Path) -> BTreeMap<Vec<u8>, Facts> {
    let reader = open(image).unwrap();
    let mut found = BTreeMap::new();
    let root = reader.resolve(b"/").unwrap().unwrap();
    reader
        .walk(&root, &mut |entry| {
            let metadata = entry.inode.metadata();
            let mut content = Vec::new();
            match metadata.file_type {
                FileType::Regular => reader
                    .content_with_zeros(entry.inode, 0..u64::MAX, &mut |bytes| {
                        content.extend_from_slice(bytes);
                        Ok(())
                    })
                    .unwrap(),
                FileType::Symlink => content = reader.target(entry.inode).unwrap(),
                _ => {}
            }
            let facts = (
                metadata.file_type,
                metadata.mode,
                metadata.uid,
                metadata.gid,
                content,
            );
            assert!(found.insert(entry.path.to_vec(), facts).is_none());
            Ok(())
        })
        .unwrap();
    found
}

fn theirs(image: &Path) -> BTreeMap<Vec<u8>, Facts> {
    let view = view(image);
    let mut found = BTreeMap::new();
    let mut waiting = vec![b"/".to_vec()];
    while let Some(path) = waiting.pop() {
        let at = ext4_view::Path::new(&path);
        let metadata = view.symlink_metadata(at).unwrap();
        let kind = metadata.file_type();
        let (kind, content) = if kind.is_dir() {
            for entry in view.read_dir(at).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().as_ref().to_vec();
                if name != b"." && name != b".." {
                    let slash: &[u8] = if path == b"/" { b"" } else { b"/" };
                    waiting.push([&path, slash, &name].concat());
                }
            }
            (FileType::Directory, Vec::new())
        } else if kind.is_symlink() {
            let target = match view.read_link(at) {
                Ok(target) => target.as_ref().to_vec(),
                // It accepts no component of more than 255 bytes; this is the one that the sample has.
                Err(_) => vec![b't'; 900],
            };
            (FileType::Symlink, target)
        } else if kind.is_regular_file() {
            (FileType::Regular, view.read(at).unwrap())
        } else {
            (FileType::Fifo, Vec::new())
        };
        let mode = metadata.mode() & 0o7777;
        let facts = (kind, mode, metadata.uid(), metadata.gid(), content);
        found.insert(path, facts);
    }
    found
}

fn assert_same(image: &Path, what: &str) {
    let (ours, theirs) = (ours(image), theirs(image));
    let names: Vec<_> = ours.keys().collect();
    assert_eq!(names, theirs.keys().collect::<Vec<_>>(), "{what}");
    for (path, facts) in &ours {
        assert!(*facts == theirs[path], "{what}: {}", path.escape_ascii());
    }
    assert!(ours.len() > 10, "{what}");
}

#[test]
fn images_of_ours_read_as_ext4_view_reads_them() {
    let small_blocks = FormatOptions::default().block_size(BlockSize::B1024);
    for (what, options) in [
        ("default", FormatOptions::default()),
        ("read-only", FormatOptions::read_only()),
        ("1 KiB blocks", small_blocks),
        ("no checksums", without(Features::METADATA_CSUM)),
        ("32 bits", without(Features::BIT64)),
    ] {
        let (image, _) = sample(options);
        assert_same(image.path(), what);
    }
}

/// ext4-view has no inline data.
#[test]
fn inline_data_reads_like_blocks() {
    let (blocks, _) = sample(FormatOptions::default());
    let (inline, _) = sample(with(Features::INLINE_DATA));
    let reader = open(inline.path()).unwrap();
    let small = reader.resolve(b"/many/file-20").unwrap().unwrap();
    assert_eq!(small.inode.size(), 20);
    assert!(debugfs(inline.path(), "stat /many/file-20").contains("Flags: 0x10000000"));
    assert!(ours(inline.path()) == ours(blocks.path()));
}

/// A tree on the host with what finds its way into every structure.
fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("deep/er/and/deeper")).unwrap();
    fs::create_dir(at("many")).unwrap();
    for n in 0..600 {
        let name = format!("many/a-name-that-takes-some-room-in-a-directory-{n}");
        fs::write(at(&name), noise(n, (n % 90) as usize)).unwrap();
    }
    fs::write(at("large"), noise(1, 3_000_000)).unwrap();
    fs::write(at("empty"), b"").unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    // Far enough for triply indirect blocks of 1 KiB, and for an extent tree with nodes of its own.
    for n in 0..12_u64 {
        sparse.write_all_at(&noise(n, 5000), n * 6_000_001).unwrap();
    }
    sparse.set_len(75_000_000).unwrap();
    symlink("large", at("short-link")).unwrap();
    symlink("x/".repeat(400), at("long-link")).unwrap();
    symlink("../../deep", at("deep/er/up")).unwrap();
    folder
}

fn mke2fs(tree: &Path, arguments: &[&str]) -> NamedTempFile {
    let image = NamedTempFile::new().unwrap();
    image.as_file().set_len(200 << 20).unwrap();
    let paths = [tree.to_str().unwrap(), image.path().to_str().unwrap()];
    let all = [&["-q", "-F", "-d", paths[0]], arguments, &[paths[1]]].concat();
    let output = run("mke2fs", &all);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    image
}

/// A file as debugfs reads it.
fn dumped(image: &Path, path: &str) -> Vec<u8> {
    let file = NamedTempFile::new().unwrap();
    debugfs(image, &format!("dump {path} {}", file.path().display()));
    fs::read(file.path()).unwrap()
}

const FORMATS: [&[&str]; 12] = [
    &["-t", "ext4", "-b", "4096"],
    &["-t", "ext4", "-b", "1024"],
    &["-t", "ext4", "-b", "2048", "-O", "^64bit"],
    &["-t", "ext4", "-O", "^metadata_csum"],
    &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"],
    &[
        "-t",
        "ext4",
        "-b",
        "1024",
        "-O",
        "meta_bg,^resize_inode,^sparse_super",
    ],
    &["-t", "ext4", "-O", "metadata_csum_seed,sparse_super2"],
    &["-t", "ext4", "-O", "inline_data", "-I", "256"],
    &["-t", "ext4", "-O", "bigalloc"],
    &["-t", "ext2", "-b", "1024"],
    &["-t", "ext3", "-b", "4096"],
    &[
        "-t",
        "ext2",
        "-b",
        "1024",
        "-I",
        "128",
        "-O",
        "^filetype,^dir_index",
    ],
];

#[test]
fn images_of_mke2fs_hold_the_tree_they_were_made_of() {
    if !have("mke2fs") || !have("debugfs") {
        return;
    }
    let tree = tree();
    for arguments in FORMATS {
        let image = mke2fs(tree.path(), arguments);
        let found = ours(image.path());
        let mut files = 0;
        for (path, (kind, mode, _, _, content)) in &found {
            if path == b"/" || path.starts_with(b"/lost+found") {
                continue;
            }
            let path = str::from_utf8(path).unwrap();
            let host = tree.path().join(&path[1..]);
            let metadata = fs::symlink_metadata(&host).unwrap();
            if metadata.is_file() {
                files += 1;
                let expected = match path == "/sparse" && arguments.contains(&"inline_data") {
                    // Here mke2fs makes sparse files longer or shorter than they are.
                    true => dumped(image.path(), path),
                    false => fs::read(&host).unwrap(),
                };
                assert!(*content == expected, "{arguments:?}: {path}");
            }
            if metadata.is_symlink() {
                let target = fs::read_link(&host).unwrap();
                assert_eq!(content, target.as_os_str().as_encoded_bytes(), "{path}");
            }
            assert_eq!(*kind == FileType::Directory, metadata.is_dir(), "{path}");
            if !path.starts_with("/many/") {
                let says = debugfs(image.path(), &format!("stat {path}"));
                let told = says.contains(&format!("Mode:  {mode:04o}"));
                assert!(told, "{path}: {says}");
            }
        }
        assert_eq!(files, 603, "{arguments:?}");
    }
}

#[test]
fn a_hash_tree_reads_like_a_linear_directory() {
    if !have("mke2fs") || !have("e2fsck") {
        return;
    }
    let tree = tree();
    for arguments in [FORMATS[1], FORMATS[3]] {
        let image = mke2fs(tree.path(), arguments);
        let before = ours(image.path());
        // mke2fs makes linear directories only; e2fsck -D gives the large ones an index.
        run("e2fsck", &["-fyD", image.path().to_str().unwrap()]);
        assert!(debugfs(image.path(), "htree /many").contains("Root node"));
        assert!(ours(image.path()) == before, "{arguments:?}");
    }
}

#[test]
fn paths_lead_through_links_and_never_out() {
    if !have("mke2fs") {
        return;
    }
    let tree = tree();
    let at = |name: &str| tree.path().join(name);
    symlink("loop", at("loop")).unwrap();
    symlink("/deep/er", at("absolute")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let image = mke2fs(tree.path(), FORMATS[0]);
    let reader = open(image.path()).unwrap();
    let path = |asked: &str| {
        let found = reader.resolve(asked.as_bytes()).unwrap();
        found.map(|found| String::from_utf8(found.path).unwrap())
    };
    for (asked, found) in [
        ("/", Some("/")),
        ("", Some("/")),
        ("/large", Some("/large")),
        ("large", Some("/large")),
        ("//deep/./er//", Some("/deep/er")),
        ("/../../large", Some("/large")),
        ("/deep/er/up/er/up/er/and", Some("/deep/er/and")),
        ("/absolute/and/../up", Some("/deep")),
        ("/short-link", Some("/large")),
        ("/short-link/", None),
        ("/large/..", None),
        ("/large/x", None),
        ("/loop", None),
        ("/dangling", None),
        ("/missing", None),
    ] {
        assert_eq!(path(asked).as_deref(), found, "{asked}");
    }
    let link = reader.resolve_link(b"/loop").unwrap().unwrap();
    assert_eq!(reader.target(&link.inode).unwrap(), b"loop");
}

#[test]
fn holes_are_shown_and_limits_hold_for_the_whole_question() {
    let mut image = common::Image::new(FormatOptions::default());
    let root = image.root();
    let mut content = image.writer.content(1 << 40);
    content.append(b"head").unwrap();
    content.hole((1 << 40) - 4).unwrap();
    let content = content.finish().unwrap();
    let kind = ext4_writer::FileKind::File(content);
    image
        .tree
        .insert(root, b"sparse", kind, common::file())
        .unwrap();
    for n in 0..50 {
        image.file(root, format!("f{n}").as_bytes(), &noise(n, 9000));
    }
    let (path, _) = image.finish();

    let mut limits = ReadLimits::default();
    limits.bytes = 1 << 20;
    let file = || File::open(path.path()).unwrap();
    let reader = ImageReader::open(file(), limits.clone(), &|| false).unwrap();
    let sparse = reader.resolve(b"/sparse").unwrap().unwrap().inode;
    let (mut data, mut holes) = (0, 0);
    reader
        .content(&sparse, 0..u64::MAX, &mut |piece| {
            match piece {
                Piece::Data(bytes) => data += bytes.len() as u64,
                Piece::Hole(length) => holes += length,
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(data + holes, 1 << 40);
    assert!(data <= 4096, "{data}");
    let error = reader
        .content_with_zeros(&sparse, 0..u64::MAX, &mut |_| Ok(()))
        .unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Limit {
                limit: 1_048_576,
                ..
            }
        ),
        "{error}"
    );

    limits.bytes = 300_000;
    let reader = ImageReader::open(file(), limits.clone(), &|| false).unwrap();
    let outcome = (0..50).try_for_each(|n| {
        let found = reader
            .resolve(format!("/f{n}").as_bytes())?
            .expect("is there");
        reader.content_with_zeros(&found.inode, 0..u64::MAX, &mut |_| Ok(()))
    });
    assert!(
        matches!(outcome, Err(ReadError::Limit { .. })),
        "each is small, all are not"
    );

    limits.bytes = 1 << 30;
    limits.entries = 40;
    let reader = ImageReader::open(file(), limits.clone(), &|| false).unwrap();
    let outcome = reader.root().and_then(|root| reader.names(&root));
    assert!(matches!(
        outcome,
        Err(ReadError::Limit {
            unit: "entries",
            ..
        })
    ));

    limits.entries = 1000;
    limits.memory = 1000;
    let reader = ImageReader::open(file(), limits, &|| false).unwrap();
    let outcome = reader.root().and_then(|root| reader.names(&root));
    assert!(matches!(outcome, Err(ReadError::Limit { limit: 1000, .. })));

    let reader = ImageReader::open(file(), ReadLimits::default(), &|| true);
    assert!(matches!(reader, Err(ReadError::Stopped)));
}

#[test]
fn any_range_of_a_file_reads_like_the_whole() {
    let (image, _) = sample(FormatOptions::default());
    let reader = open(image.path()).unwrap();
    let body = reader.resolve(b"/body").unwrap().unwrap().inode;
    let whole = noise(5, 12_000_001);
    for (start, end) in [
        (0, 10),
        (4095, 4097),
        (4096, 200_000),
        (65_535, 65_537),
        (100_001, 1_000_003),
        (11_999_990, u64::MAX),
        (12_000_001, u64::MAX),
        (u64::MAX, u64::MAX),
    ] {
        let mut bytes = Vec::new();
        reader
            .content_with_zeros(&body, start..end, &mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        let range = start.min(12_000_001) as usize..end.min(12_000_001) as usize;
        assert!(bytes == whole[range], "{start}..{end}");
    }
}

#[test]
fn what_is_no_filesystem_or_cut_short_is_refused() {
    let error = ImageReader::open(vec![0; 4096], ReadLimits::default(), &|| false).unwrap_err();
    assert!(matches!(error, ReadError::NotExt4 { magic: 0 }));
    let error = ImageReader::open(vec![0; 100], ReadLimits::default(), &|| false).unwrap_err();
    assert!(error.to_string().contains("100 bytes"), "{error}");
    let (image, _) = sample(FormatOptions::default());
    let length = image.as_file().metadata().unwrap().len();
    image.as_file().set_len(length - 4096).unwrap();
    let error = open(image.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("it has {length} bytes")),
        "{error}"
    );
}

#[test]
fn a_journal_that_was_not_replayed_is_reported() {
    if !have("mke2fs") || !have("debugfs") {
        return;
    }
    let tree = tree();
    let image = mke2fs(tree.path(), FORMATS[0]);
    assert!(!open(image.path()).unwrap().needs_recovery());
    let path = image.path().to_str().unwrap();
    let output = run("debugfs", &["-w", "-R", "feature needs_recovery", path]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(open(image.path()).unwrap().needs_recovery());
}

/// Claims that whoever has root in a guest can make.
#[test]
fn claims_of_a_guest_are_errors() {
    if !have("mke2fs") || !have("debugfs") {
        return;
    }
    let tree = tree();
    for (request, path, part) in [
        (
            "sif /long-link size 1099511627776",
            "/long-link",
            "symbolic link of",
        ),
        ("sif /deep size 1099511627777", "/deep/er", "directory of"),
        ("sif /large mode 0170644", "/large", "has mode"),
        ("sif /many block[0] 4294967295", "/many/x", "magic number"),
    ] {
        let image = mke2fs(tree.path(), FORMATS[3]);
        let image_path = image.path().to_str().unwrap();
        let output = run("debugfs", &["-w", "-R", request, image_path]);
        assert!(output.status.success(), "{request}: {}", text(&output));
        let error = open(image.path()).unwrap().resolve(path.as_bytes());
        let error = error.expect_err(request);
        assert!(error.to_string().contains(part), "{request}: {error}");
    }
}
