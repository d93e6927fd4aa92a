//! Sizes: what is refused, what is reused, what is moved, and what must not remain.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use ext4_writer::{
    BlockSize, Error, FileKind, FormatOptions, ImageWriter, JournalRule, MemoryDevice, SizeRule,
};

const MIB: u64 = 1 << 20;

fn exact(bytes: u64) -> FormatOptions {
    FormatOptions::default().size(SizeRule::Exact(bytes))
}

#[test]
fn released_content_is_reused_moved_down_and_gone() {
    let marker = b"this was deleted by an upper layer";
    let options = FormatOptions::default().size(SizeRule::Shrink);
    let mut image = Image::new(options);
    let root = image.root();
    let mut old = image.content(&marker.repeat(100_000));
    for round in 0..10 {
        let new = image.content(&noise(round, 3_400_000));
        image.writer.release(old).unwrap();
        old = if round < 9 {
            image.content(&marker.repeat(100_000))
        } else {
            new
        };
        if round < 9 {
            continue;
        }
    }
    image
        .tree
        .insert(root, b"kept", FileKind::File(old), file())
        .unwrap();
    let (image, summary) = image.finish();
    check(image.path());
    let bytes = std::fs::read(image.path()).unwrap();
    let found = bytes.windows(marker.len()).any(|window| window == marker);
    assert!(!found, "deleted content survives");
    assert!(summary.size_bytes < 12 * MIB, "{summary:?}");
}

#[test]
fn released_content_leaves_no_bytes_in_what_stays_free() {
    let marker = b"this was deleted by an upper layer";
    let mut image = Image::new(exact(64 * MIB));
    let root = image.root();
    // A hole between contents that stay, one by replacement, and free space behind them all, which the journal takes.
    image.file(root, b"first", &noise(1, 500_000));
    let hole = image.content(&marker.repeat(20_000));
    image.file(root, b"second", &noise(2, 500_000));
    let old = image.content(&marker.repeat(20_000));
    let kind = FileKind::File(old);
    image.tree.insert(root, b"replaced", kind, file()).unwrap();
    image.file(root, b"third", &noise(3, 500_000));
    let last = image.content(&marker.repeat(200_000));
    let kind = FileKind::Symlink(b"target"[..].into());
    let (_, gone) = image.tree.replace(root, b"replaced", kind, file()).unwrap();
    assert_eq!(gone.len(), 1);
    for content in gone.into_iter().chain([hole, last]) {
        image.writer.release(content).unwrap();
    }
    let (image, _) = image.finish();
    check(image.path());
    let bytes = std::fs::read(image.path()).unwrap();
    assert!(!bytes.windows(marker.len()).any(|window| window == marker));
    let view = view(image.path());
    for (n, name) in (1..).zip(["/first", "/second", "/third"]) {
        assert!(view.read(name).unwrap() == noise(n, 500_000), "{name}");
    }
}

#[test]
fn content_beyond_the_final_size_is_moved_down_intact() {
    let options = FormatOptions::default().size(SizeRule::Shrink);
    let mut image = Image::new(options);
    let root = image.root();
    let first: Vec<_> = (0..40).map(|n| image.content(&noise(n, 50_000))).collect();
    for n in 0..8_u64 {
        image.file(
            root,
            format!("big{n}").as_bytes(),
            &noise(100 + n, 1_000_000 + n as usize * 5000),
        );
    }
    for (n, content) in first.into_iter().enumerate() {
        if n % 3 == 0 {
            let name = format!("small{n}");
            image
                .tree
                .insert(root, name.as_bytes(), FileKind::File(content), file())
                .unwrap();
        } else {
            image.writer.release(content).unwrap();
        }
    }
    let (image, _) = image.finish();
    check(image.path());
    let view = view(image.path());
    for n in 0..8_u64 {
        let read = view.read(format!("/big{n}").as_str()).unwrap();
        assert!(
            read == noise(100 + n, 1_000_000 + n as usize * 5000),
            "big{n}"
        );
    }
    for n in (0..40_u64).step_by(3) {
        let read = view.read(format!("/small{n}").as_str()).unwrap();
        assert!(read == noise(n, 50_000), "small{n}");
    }
}

#[test]
fn dropped_content_is_neither_counted_nor_kept() {
    let options = FormatOptions::default().size(SizeRule::Shrink);
    let mut image = Image::new(options);
    let root = image.root();
    let marker = b"nobody owns these bytes";
    drop(image.content(&marker.repeat(50_000)));
    image.file(root, b"kept", &noise(1, 100_000));
    let (image, summary) = image.finish();
    check(image.path());
    let bytes = std::fs::read(image.path()).unwrap();
    assert!(!bytes.windows(marker.len()).any(|window| window == marker));
    assert!(summary.content_bytes < 200_000, "{summary:?}");
}

#[test]
fn the_smallest_size_works_and_one_block_less_does_not() {
    for content in [
        0,
        1_000_000,
        30_000_000,
        126_000_000,
        140_000_000,
        400_000_000_usize,
    ] {
        let attempt = |bytes: u64| {
            let device = MemoryDevice::new();
            let mut writer = ImageWriter::new(&device, exact(bytes)).unwrap();
            let mut tree = ext4_writer::FileTree::new(directory()).unwrap();
            let mut stored = writer.content(content as u64);
            let chunk = noise(9, 1 << 20);
            let mut left = content;
            while left > 0 {
                let count = left.min(chunk.len());
                stored.append(&chunk[..count]).unwrap();
                left -= count;
            }
            let stored = stored.finish().unwrap();
            tree.insert(tree.root(), b"f", FileKind::File(stored), file())
                .unwrap();
            (writer.finish(tree), device)
        };
        let (result, _) = attempt(4096);
        let Err(Error::TooSmall {
            requested: 4096,
            smallest,
        }) = result
        else {
            panic!("{content}: {result:?}")
        };
        let (result, _) = attempt(smallest - 4096);
        assert!(
            matches!(result, Err(Error::TooSmall { smallest: s, .. }) if s == smallest),
            "{content} {smallest}: {result:?}"
        );
        let (result, device) = attempt(smallest);
        assert_eq!(result.unwrap().size_bytes, smallest);
        let image = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(image.path(), device.to_vec()).unwrap();
        check_primary(image.path());
    }
}

#[test]
fn sizes_around_group_borders_pass() {
    for groups in [1_u64, 2, 3, 4, 9, 16, 17, 49] {
        for offset in [-1_i64, 0, 1, 60, 129, 130, 200, 700] {
            let blocks = (groups * 32_768).checked_add_signed(offset).unwrap();
            let mut image = Image::new(exact(blocks * 4096));
            let root = image.root();
            image.file(root, b"f", &noise(1, 10_000));
            let (image, summary) = image.finish();
            assert_eq!(image.path().metadata().unwrap().len(), blocks * 4096);
            assert!(summary.blocks <= blocks && summary.blocks + 129 >= blocks);
            check_primary(image.path());
        }
    }
}

#[test]
fn the_default_size_is_a_quarter_more_than_the_content() {
    let mut image = Image::new(FormatOptions::default());
    let root = image.root();
    // 1,000 MiB of one-block files would be slow; one file with a block in each MiB is not.
    let mut content = image.writer.content(0);
    let block = noise(1, 1 << 20);
    for _ in 0..900 {
        content.append(&block).unwrap();
    }
    let content = content.finish().unwrap();
    image
        .tree
        .insert(root, b"f", FileKind::File(content), file())
        .unwrap();
    let (image, summary) = image.finish();
    assert_eq!(
        summary.size_bytes,
        1152 * MIB,
        "1.25 times 900 MiB in whole groups"
    );
    check(image.path());
}

#[test]
fn files_that_end_around_group_borders_pass() {
    // Groups of 8 MiB; a border without copies, then one with them.
    for group in [2_u64, 3] {
        for offset in [-2_i64, -1, 0, 1, 2] {
            let options = FormatOptions::default()
                .block_size(BlockSize::B1024)
                .journal(JournalRule::None)
                .size(SizeRule::AtLeast(0));
            let mut image = Image::new(options.clone());
            let root = image.root();
            // What lies before the content, twice: first in group 0, then in the copies of group 1.
            let kept = 2 * (1 + 128);
            let border = (group * 8192).checked_add_signed(offset).unwrap() - kept;
            let mut content = image.writer.content(border * 1024);
            let chunk = noise(group, 1024);
            for _ in 0..border {
                content.append(&chunk).unwrap();
            }
            let content = content.finish().unwrap();
            image
                .tree
                .insert(root, b"f", FileKind::File(content), file())
                .unwrap();
            image.file(root, b"next", &noise(7, 5000));
            let (image, _) = image.finish();
            check_primary(image.path());
            let view = view(image.path());
            let read = view.read("/f").unwrap();
            assert!(read.len() as u64 == border * 1024 && read.chunks(1024).all(|it| it == chunk));
            assert!(view.read("/next").unwrap() == noise(7, 5000));
        }
    }
}
