//! Zeros that must have blocks, as swap files and boot loaders need them, and the host's file stays sparse all the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::{FileExt, MetadataExt};

use common::*;
use ext4_writer::{
    BlockDevice, BlockSize, Content, Device, FileKind, FileTree, FormatOptions, ImageWriter,
    SizeRule,
};
use tempfile::NamedTempFile;

const MIB: usize = 1 << 20;

/// Part of a file.
#[derive(Clone, Copy)]
enum Part {
    Noise(usize),
    Zeros(usize),
    Hole(usize),
}
use Part::{Hole, Noise, Zeros};

impl Part {
    fn length(self) -> usize {
        match self {
            Noise(length) | Zeros(length) | Hole(length) => length,
        }
    }
}

fn store<D: Device>(writer: &mut ImageWriter<D>, parts: &[Part]) -> Content {
    let total: usize = parts.iter().map(|part| part.length()).sum();
    let mut content = writer.content(total as u64);
    for part in parts {
        match *part {
            Noise(length) => content.append(&noise(1, length)).unwrap(),
            // In pieces that end within blocks.
            Zeros(length) => vec![0; length]
                .chunks(3000)
                .for_each(|piece| content.append(piece).unwrap()),
            Hole(length) => content.hole(length as u64).unwrap(),
        }
    }
    content.finish().unwrap()
}

fn bytes(parts: &[Part]) -> Vec<u8> {
    let piece = |part: &Part| match *part {
        Noise(length) => noise(1, length),
        Zeros(length) | Hole(length) => vec![0; length],
    };
    parts.iter().flat_map(piece).collect()
}

/// Blocks of the filesystem that hold something other than a hole, or anything but zeros.
fn blocks(parts: &[Part], block_size: usize, zeros_to_holes: bool) -> usize {
    let kept = |part: &Part| match *part {
        Noise(length) => vec![true; length],
        Zeros(length) => vec![!zeros_to_holes; length],
        Hole(length) => vec![false; length],
    };
    let bytes: Vec<bool> = parts.iter().flat_map(kept).collect();
    bytes
        .chunks(block_size)
        .filter(|block| block.contains(&true))
        .count()
}

/// What the filesystem has allocated for a file, in bytes.
fn allocated(image: &NamedTempFile, path: &str) -> usize {
    let said = debugfs(image.path(), &format!("stat {path}"));
    let (_, count) = said.split_once("Blockcount: ").unwrap();
    let count: usize = count.split_whitespace().next().unwrap().parse().unwrap();
    count * 512
}

fn on_disk(image: &NamedTempFile) -> u64 {
    image.path().metadata().unwrap().blocks() * 512
}

#[test]
fn zeros_that_were_written_have_blocks_and_holes_have_none() {
    let files: &[&[Part]] = &[
        &[Zeros(1)],
        &[Zeros(4096)],
        &[Hole(4096)],
        &[Hole(5000)],
        &[Zeros(2 * MIB), Noise(70_000)],
        &[Noise(10), Zeros(2 * MIB + 1)],
        &[Hole(3000), Zeros(3000), Hole(2 * MIB), Zeros(10)],
        &[Hole(32 * 1024), Noise(5000), Hole(100)],
        &[Zeros(8192), Hole(8192), Zeros(8191), Noise(1)],
    ];
    if !have("debugfs") {
        return;
    }
    for block_size in [BlockSize::B1024, BlockSize::B2048, BlockSize::B4096] {
        for zeros_to_holes in [false, true] {
            let mut image = Image::new(
                FormatOptions::default()
                    .block_size(block_size)
                    .zeros_to_holes(zeros_to_holes)
                    .size(SizeRule::AtLeast(0)),
            );
            for (n, parts) in files.iter().enumerate() {
                let kind = FileKind::File(store(&mut image.writer, parts));
                let (root, name) = (image.root(), format!("f{n}"));
                image
                    .tree
                    .insert(root, name.as_bytes(), kind, file())
                    .unwrap();
            }
            let (image, _) = image.finish();
            check_primary(image.path());
            let view = view(image.path());
            let size = block_size.bytes() as usize;
            for (n, parts) in files.iter().enumerate() {
                let path = format!("/f{n}");
                assert!(view.read(path.as_str()).unwrap() == bytes(parts), "{path}");
                let wanted = blocks(parts, size, zeros_to_holes) * size;
                assert_eq!(allocated(&image, &path), wanted, "{path}, blocks of {size}");
            }
        }
    }
}

#[test]
fn the_host_s_file_is_as_sparse_as_with_holes() {
    let disk = |zeros_to_holes| {
        let mut image = Image::new(FormatOptions::default().zeros_to_holes(zeros_to_holes));
        let parts = [Noise(3 * MIB), Zeros(300 * MIB), Noise(2 * MIB)];
        let kind = FileKind::File(store(&mut image.writer, &parts));
        let root = image.root();
        image.tree.insert(root, b"f", kind, file()).unwrap();
        let (image, summary) = image.finish();
        check(image.path());
        (on_disk(&image), summary.content_bytes)
    };
    let ((with_holes, less), (with_blocks, more)) = (disk(true), disk(false));
    assert_eq!(more - less, 300 * MIB as u64);
    let difference = with_blocks.abs_diff(with_holes);
    assert!(difference * 100 <= with_holes, "{with_blocks} {with_holes}");
}

#[test]
fn zeros_in_the_place_of_released_bytes_are_zeros_and_sparse() {
    let marker = b"this was deleted by an upper layer";
    let mut image = Image::new(FormatOptions::default());
    let root = image.root();
    let old = image.content(&marker.repeat(20 * MIB / marker.len()));
    image.writer.release(old).unwrap();
    // The first lies in what was released, bytes and zeros in turn, the second begins there and goes on beyond.
    let parts = [Zeros(5 * MIB), Noise(4096), Zeros(MIB), Noise(4096)];
    let further = [Zeros(40 * MIB)];
    for (name, parts) in [(&b"a"[..], &parts[..]), (b"b", &further)] {
        let kind = FileKind::File(store(&mut image.writer, parts));
        image.tree.insert(root, name, kind, file()).unwrap();
    }
    let (image, _) = image.finish();
    check(image.path());
    let view = view(image.path());
    assert!(view.read("/a").unwrap() == bytes(&parts));
    assert!(view.read("/b").unwrap() == bytes(&further));
    assert!(on_disk(&image) < MIB as u64, "{}", on_disk(&image));
}

#[test]
fn zeros_that_move_down_are_zeros_and_sparse() {
    let marker = b"this was deleted by an upper layer";
    let mut image = Image::new(FormatOptions::default().size(SizeRule::Shrink));
    let root = image.root();
    let old = image.content(&marker.repeat(30 * MIB / marker.len()));
    let parts = [Noise(5000), Zeros(50 * MIB), Noise(5000)];
    let kind = FileKind::File(store(&mut image.writer, &parts));
    image.tree.insert(root, b"f", kind, file()).unwrap();
    image.writer.release(old).unwrap();
    let (image, summary) = image.finish();
    check_primary(image.path());
    assert!(summary.size_bytes < 70 * MIB as u64, "{summary:?}");
    assert!(view(image.path()).read("/f").unwrap() == bytes(&parts));
    assert!(on_disk(&image) < MIB as u64, "{}", on_disk(&image));
}

#[test]
fn zeros_are_zeros_on_a_device_that_held_other_bytes() {
    let image = NamedTempFile::new().unwrap();
    let capacity = 64 * MIB as u64;
    image
        .as_file()
        .write_all_at(&noise(1, capacity as usize), 0)
        .unwrap();
    let device = BlockDevice::preallocated(image.reopen().unwrap()).unwrap();
    let options = FormatOptions::default().size(SizeRule::Exact(capacity));
    let mut writer = ImageWriter::new(device, options).unwrap();
    let mut tree = FileTree::new(directory()).unwrap();
    let parts = [Zeros(5 * MIB), Noise(4096), Zeros(3 * MIB)];
    let kind = FileKind::File(store(&mut writer, &parts));
    tree.insert(tree.root(), b"f", kind, file()).unwrap();
    writer.finish(tree).unwrap();
    check_primary(image.path());
    assert!(view(image.path()).read("/f").unwrap() == bytes(&parts));
}

/// GRUB takes a file that begins with a hole for damage, and 32 KiB of zeros are how an ISO image begins.
#[test]
fn grub_reads_a_file_that_begins_with_zeros() {
    if !have("grub-fstest") {
        return;
    }
    let mut image = Image::new(FormatOptions::default());
    let parts = [Zeros(32 * 1024), Noise(100_000), Zeros(70_000), Noise(1)];
    let kind = FileKind::File(store(&mut image.writer, &parts));
    let root = image.root();
    image.tree.insert(root, b"disc.iso", kind, file()).unwrap();
    let (image, _) = image.finish();
    let copy = NamedTempFile::new().unwrap();
    std::fs::write(copy.path(), bytes(&parts)).unwrap();
    let [image, copy] = [image.path(), copy.path()].map(|path| path.to_str().unwrap());
    let output = run("grub-fstest", &[image, "cmp", "/disc.iso", copy]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output), "");
}
