//! The format's limits: lengths, counts and depths at which formatters break.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use ext4_writer::{
    BlockSize, Content, Error, Features, FileKind, FileTree, FormatOptions, ImageWriter, InodeRule,
    JournalRule, MemoryDevice, SizeRule,
};

fn growing() -> FormatOptions {
    FormatOptions::default().size(SizeRule::AtLeast(0))
}

#[test]
fn the_longest_file_passes_and_a_byte_more_does_not() {
    for block_size in [BlockSize::B1024, BlockSize::B4096] {
        let longest = u64::from(u32::MAX) * u64::from(block_size.bytes());
        let mut image = Image::new(growing().block_size(block_size));
        let mut content = image.writer.content(longest);
        content.append(b"first").unwrap();
        content.hole(longest - 9).unwrap();
        content.append(b"last").unwrap();
        let content = content.finish().unwrap();
        assert_eq!(content.size(), longest);
        let root = image.root();
        image
            .tree
            .insert(root, b"f", FileKind::File(content), file())
            .unwrap();
        let mut content = image.writer.content(0);
        let error = content.hole(longest + 1).unwrap_err();
        assert!(matches!(error, Error::FileTooLarge { limit } if limit == longest));
        let error = content.finish().unwrap_err();
        assert!(matches!(error, Error::IncompleteContent), "{error}");
        let (image, _) = image.finish();
        check_primary(image.path());
        assert!(debugfs(image.path(), "stat /f").contains(&format!("Size: {longest}")));
    }
}

#[test]
fn filesystems_beyond_16_tib_pass() {
    // Few inodes keep e2fsck quick; bitmaps of all groups are written whatever their number.
    let options = FormatOptions::default()
        .size(SizeRule::Exact(17 << 40))
        .inodes(InodeRule::Count(0));
    // Few filesystems hold so long a file; the one in memory does, and needs a gigabyte for the bitmaps.
    let Ok(path) = tempfile::NamedTempFile::new_in("/dev/shm") else {
        return;
    };
    if path.as_file().set_len(17 << 40).is_err() {
        return;
    }
    let mut image = Image::in_file(path, options);
    let root = image.root();
    image.file(root, b"f", &noise(1, 100_000));
    let (image, summary) = image.finish();
    assert_eq!(summary.blocks, (17 << 40) / 4096);
    check_primary(image.path());
    let features = dumpe2fs(image.path(), "Filesystem features");
    assert!(
        !features.contains("resize_inode"),
        "32-bit addresses: {features}"
    );
}

#[test]
fn without_64bit_16_tib_are_too_many() {
    let options = FormatOptions::default()
        .size(SizeRule::Exact(17 << 40))
        .features(Features::default().difference(Features::BIT64));
    let device = MemoryDevice::new();
    let writer = ImageWriter::new(&device, options).unwrap();
    let error = writer
        .finish(FileTree::new(directory()).unwrap())
        .unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

#[test]
fn a_million_names_need_three_levels_of_small_blocks() {
    let build = |features| {
        let options = growing()
            .block_size(BlockSize::B1024)
            .features(Features::default() | features);
        let mut image = Image::new(options);
        let root = image.root();
        let parent = image.directory(root, b"d");
        let first = image.file(parent, b"0", b"x");
        for n in 1..1_000_000_u32 {
            // Mostly hard links: inodes are not what this is about.
            let name = format!("a-name-of-usual-length-{n}");
            if n % 60_000 == 0 {
                image
                    .tree
                    .insert(parent, name.as_bytes(), FileKind::Fifo, file())
                    .unwrap();
            } else if n < 60_000 {
                image.tree.link(parent, name.as_bytes(), first).unwrap();
            } else {
                let target = image.tree.lookup(
                    parent,
                    format!("a-name-of-usual-length-{}", n / 60_000 * 60_000).as_bytes(),
                );
                image
                    .tree
                    .link(parent, name.as_bytes(), target.unwrap())
                    .unwrap();
            }
        }
        let Image { writer, tree, path } = image;
        (writer.finish(tree), path)
    };
    let (result, _) = build(Features::empty());
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            Error::DirectoryTooLarge {
                levels: 2,
                limit: 1,
                ..
            }
        ),
        "{error}"
    );
    let (result, image) = build(Features::LARGE_DIR);
    result.unwrap();
    check_primary(image.path());
    if let Some(mount) = mount::mount(image.path(), "ro") {
        for n in [1_u32, 59_999, 60_000, 777_777, 999_999] {
            let name = format!("d/a-name-of-usual-length-{n}");
            assert!(
                mount.path(name.as_bytes()).symlink_metadata().is_ok(),
                "{name}"
            );
        }
        assert!(
            mount
                .path(b"d/a-name-of-usual-length-1000000")
                .symlink_metadata()
                .is_err()
        );
    }
}

#[test]
fn extents_at_the_length_of_one_record_pass() {
    for (blocks, records) in [(32_767_u64, 1), (32_768, 1), (32_769, 2)] {
        let mut image = Image::new(growing());
        let root = image.root();
        let chunk = noise(3, 4096);
        // The first file fills group 0 beyond its end: from there to the copies in group 3 nothing interrupts.
        for (name, blocks) in [(b"0", 32_768), (b"f", blocks)] {
            let mut content = image.writer.content(blocks * 4096);
            for _ in 0..blocks {
                content.append(&chunk).unwrap();
            }
            let content = content.finish().unwrap();
            image
                .tree
                .insert(root, name, FileKind::File(content), file())
                .unwrap();
        }
        let (image, _) = image.finish();
        check(image.path());
        let listed = debugfs(image.path(), "stat /f");
        assert!(
            listed.contains(&format!("Blockcount: {}", blocks * 8)),
            "{listed}"
        );
        let extents = debugfs(image.path(), "ex /f");
        assert_eq!(extents.lines().count(), 1 + records, "{extents}");
        let read = view(image.path()).read("/f").unwrap();
        assert!(read.len() as u64 == blocks * 4096 && read.chunks(4096).all(|it| it == chunk));
    }
}

#[test]
fn small_blocks_cut_a_long_file_at_every_backup() {
    // 1 KiB blocks: backups of 265 blocks in groups of 8 MiB.
    let options = growing()
        .block_size(BlockSize::B1024)
        .journal(JournalRule::None);
    let mut image = Image::new(options);
    let mut content = image.writer.content(0);
    let chunk = noise(5, 1 << 20);
    for _ in 0..220 {
        content.append(&chunk).unwrap();
    }
    let content = content.finish().unwrap();
    let root = image.root();
    image
        .tree
        .insert(root, b"f", FileKind::File(content), file())
        .unwrap();
    let (image, _) = image.finish();
    check_primary(image.path());
    let read = view(image.path()).read("/f").unwrap();
    assert!(read.len() == 220 << 20 && read.chunks(1 << 20).all(|part| part == chunk));
}

#[test]
fn four_thousand_levels_of_directories_pass() {
    let mut image = Image::new(growing());
    let mut at = image.root();
    for _ in 0..4000 {
        at = image.directory(at, b"d");
    }
    image
        .tree
        .insert(at, b"f", FileKind::File(Content::empty()), file())
        .unwrap();
    let (image, _) = image.finish();
    check(image.path());
}
