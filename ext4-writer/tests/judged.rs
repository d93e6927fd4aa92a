//! Images judged by e2fsprogs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use ext4_writer::{FileKind, FormatOptions, Metadata, SizeRule, Timestamp, Xattrs};

fn small() -> FormatOptions {
    FormatOptions::default().size(SizeRule::Exact(64 << 20))
}

#[test]
fn an_empty_image_is_what_mke2fs_makes() {
    let (image, summary) = Image::new(FormatOptions::default()).finish();
    check(image.path());
    assert_eq!(summary.size_bytes, 1 << 30);
    assert_eq!(image.path().metadata().unwrap().len(), 1 << 30);
    if !have("mke2fs") || !have("dumpe2fs") {
        return;
    }
    let theirs = tempfile::NamedTempFile::new().unwrap();
    theirs.as_file().set_len(1 << 30).unwrap();
    let arguments = [
        "-q",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-m",
        "0",
        theirs.path().to_str().unwrap(),
    ];
    assert!(run("mke2fs", &arguments).status.success());
    for key in [
        "Filesystem features",
        "Default mount options",
        "Filesystem state",
        "Errors behavior",
        "Inode count",
        "Block count",
        "Reserved block count",
        "First block",
        "Block size",
        "Group descriptor size",
        "Reserved GDT blocks",
        "Blocks per group",
        "Inodes per group",
        "Inode blocks per group",
        "Flex block group size",
        "Maximum mount count",
        "Check interval",
        "Reserved blocks uid",
        "First inode",
        "Inode size",
        "Required extra isize",
        "Desired extra isize",
        "Journal inode",
        "Default directory hash",
        "Journal backup",
        "Checksum type",
        "Journal features",
        "Total journal size",
        "Total journal blocks",
        "Max transaction length",
        "Journal sequence",
        "Journal start",
        "Free inodes",
    ] {
        assert_eq!(
            dumpe2fs(image.path(), key),
            dumpe2fs(theirs.path(), key),
            "{key}"
        );
    }
    // The same but for the order in which things lie.
    assert_eq!(
        dumpe2fs(image.path(), "Free blocks"),
        dumpe2fs(theirs.path(), "Free blocks")
    );
}

#[test]
fn every_kind_of_file_passes() {
    let mut image = Image::new(small());
    let root = image.root();
    let etc = image.directory(root, b"etc");
    let id = image.file(etc, b"hostname", b"vm\n");
    image.tree.link(root, b"hard", id).unwrap();
    image.file(etc, b"empty", b"");
    image.file(etc, b"zeros", &[0; 70_000]);
    image.file(etc, b"big", &noise(1, 3_000_000));
    for length in [1, 59, 60, 61, 4095] {
        let target = vec![b't'; length].into_boxed_slice();
        let name = format!("link{length}");
        image
            .tree
            .insert(etc, name.as_bytes(), FileKind::Symlink(target), file())
            .unwrap();
    }
    let devices = [
        ("null", FileKind::CharacterDevice { major: 1, minor: 3 }),
        ("sda", FileKind::BlockDevice { major: 8, minor: 0 }),
        (
            "far",
            FileKind::BlockDevice {
                major: 4095,
                minor: 1_048_575,
            },
        ),
        ("pipe", FileKind::Fifo),
        ("socket", FileKind::Socket),
    ];
    for (name, kind) in devices {
        image
            .tree
            .insert(root, name.as_bytes(), kind, file())
            .unwrap();
    }
    let owner = file().uid(100_000).gid(4_000_000_000).mode(0o6755);
    image
        .tree
        .insert(root, b"owned", FileKind::Fifo, owner)
        .unwrap();
    let (image, _) = image.finish();
    check(image.path());
    let stat = debugfs(image.path(), "stat /owned");
    assert!(
        stat.contains("User: 100000") && stat.contains("Group: -294967296"),
        "{stat}"
    );
    assert!(debugfs(image.path(), "stat /far").contains("4095:1048575"));
    assert_eq!(debugfs(image.path(), "cat /etc/hostname"), "vm\n");
    let stat = debugfs(image.path(), "stat /hard");
    assert!(stat.contains("Links: 2"), "{stat}");
}

#[test]
fn directories_of_any_length_pass() {
    let options = FormatOptions::default().size(SizeRule::AtLeast(0));
    let mut image = Image::new(options);
    let root = image.root();
    for count in [1, 100, 300, 1000, 20_000, 70_000] {
        let parent = image.directory(root, format!("d{count}").as_bytes());
        for n in 0..count {
            let name = format!("name-{n}-{}", "x".repeat(n % 50));
            image
                .tree
                .insert(parent, name.as_bytes(), FileKind::Fifo, file())
                .unwrap();
        }
    }
    let (image, _) = image.finish();
    check(image.path());
}

#[test]
fn seventy_thousand_subdirectories_pass() {
    for count in [64_997, 64_998, 64_999, 70_000] {
        let mut image = Image::new(FormatOptions::default());
        let root = image.root();
        let parent = image.directory(root, b"d");
        for n in 0..count {
            image.directory(parent, n.to_string().as_bytes());
        }
        let (image, _) = image.finish();
        check(image.path());
    }
}

#[test]
fn attributes_pass_in_inodes_and_blocks() {
    let mut image = Image::new(small());
    let root = image.root();
    let mut capability = Xattrs::new();
    capability
        .insert(
            b"security.capability",
            &[
                1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        )
        .unwrap();
    let mut large = Xattrs::new();
    large.insert(b"user.empty", b"").unwrap();
    large.insert(b"user.large", &noise(2, 3000)).unwrap();
    large.insert(b"user.\xff\xfe", &noise(3, 77)).unwrap();
    large.insert(b"trusted.overlay.opaque", b"y").unwrap();
    for n in 0..2500 {
        let metadata = file().xattrs(large.clone());
        image
            .tree
            .insert(root, format!("f{n}").as_bytes(), FileKind::Socket, metadata)
            .unwrap();
    }
    let metadata = file().xattrs(capability);
    image
        .tree
        .insert(
            root,
            b"ping",
            FileKind::File(ext4_writer::Content::empty()),
            metadata,
        )
        .unwrap();
    let (image, _) = image.finish();
    check(image.path());
    let value = debugfs(image.path(), "ea_get /ping security.capability");
    assert!(value.contains("01 00 00 02 00 20"), "{value}");
}

#[test]
fn times_of_every_epoch_are_kept() {
    let mut image = Image::new(small());
    let root = image.root();
    let moments: [i64; 8] = [
        -(1 << 31),
        -1,
        0,
        1,
        (1 << 31) - 1,
        1 << 31,
        1 << 32,
        0x3_7fff_ffff,
    ];
    for (n, seconds) in moments.into_iter().enumerate() {
        let metadata = Metadata::new(0o644, Timestamp::new(seconds, 999_999_999));
        image
            .tree
            .insert(root, n.to_string().as_bytes(), FileKind::Fifo, metadata)
            .unwrap();
    }
    let (image, _) = image.finish();
    check(image.path());
}

#[test]
fn files_of_many_extents_pass() {
    let options = FormatOptions::default().size(SizeRule::AtLeast(0));
    for extents in [4_u64, 5, 340, 341, 1360, 1361] {
        let mut image = Image::new(options.clone());
        let mut content = image.writer.content(0);
        for n in 0..extents {
            content.append(&noise(n, 4096)).unwrap();
            content.hole(4096).unwrap();
        }
        let content = content.finish().unwrap();
        let root = image.root();
        image
            .tree
            .insert(root, b"f", FileKind::File(content), file())
            .unwrap();
        let (image, _) = image.finish();
        check_primary(image.path());
        let listed = debugfs(image.path(), "ex /f");
        // Leaves are on the level that is the depth: "1/ 1".
        let leaf = |line: &&str| {
            let (level, rest) = line.trim_start().split_once('/').unwrap_or(("", ""));
            rest.split_whitespace().next() == Some(level.trim())
        };
        assert_eq!(
            listed.lines().filter(leaf).count(),
            extents as usize,
            "{listed}"
        );
    }
}
