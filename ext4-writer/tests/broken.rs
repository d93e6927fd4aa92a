//! Images broken on purpose: e2fsck notices one flipped bit in each kind of metadata block, which proves that the
//! block is covered by a checksum, and that the other tests' e2fsck would notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsStr;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::*;
use ext4_writer::{Content, Features, FileKind, FormatOptions, SizeRule, Xattrs};

/// An image with every kind of metadata block.
fn image() -> tempfile::NamedTempFile {
    let options = FormatOptions::default().size(SizeRule::Exact(300 << 20));
    let mut image = Image::new(options);
    let root = image.root();
    let mut content = image.writer.content(0);
    for n in 0..20 {
        content.append(&noise(n, 4096)).unwrap();
        content.hole(4096).unwrap();
    }
    let content = content.finish().unwrap();
    image
        .tree
        .insert(root, b"extents", FileKind::File(content), file())
        .unwrap();
    let small = image.directory(root, b"small");
    image.file(small, b"f", b"x");
    let large = image.directory(root, b"large");
    for n in 0..9000 {
        // Long names: more leaves than the root's 507 entries, so that there are nodes.
        let name = format!("{n:05}{}", "x".repeat(240));
        image
            .tree
            .insert(large, name.as_bytes(), FileKind::Fifo, file())
            .unwrap();
    }
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.long", &noise(1, 2000)).unwrap();
    let metadata = file().xattrs(xattrs);
    image
        .tree
        .insert(
            root,
            b"attributes",
            FileKind::File(Content::empty()),
            metadata,
        )
        .unwrap();
    let (image, _) = image.finish();
    check(image.path());
    image
}

/// The first number after a mark in what debugfs says.
fn number(image: &Path, request: &str, mark: &str) -> u64 {
    let said = debugfs(image, request);
    let rest = said
        .split_once(mark)
        .unwrap_or_else(|| panic!("{request}: {said}"))
        .1;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{request}: {said}"))
}

/// The `n`th block of a file.
fn block(image: &Path, path: &str, n: u64) -> u64 {
    let said = debugfs(image, &format!("bmap {path} {n}"));
    said.trim().parse().unwrap()
}

/// What e2fsck says of the image, nothing where it finds it sound.
fn complaints(image: &Path, more: &[&str]) -> String {
    let mut arguments: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
    arguments.extend([OsStr::new("-fn"), image.as_os_str()]);
    let output = run("e2fsck", &arguments);
    let said = text(&output);
    if output.status.success() && !said.contains("checksum") {
        return String::new();
    }
    said
}

/// Inverts one bit, asks e2fsck and puts the bit back.
fn with_flipped_bit(image: &tempfile::NamedTempFile, offset: u64, more: &[&str]) -> String {
    let mut byte = [0];
    let file = image.as_file();
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
    let said = complaints(image.path(), more);
    file.write_all_at(&byte, offset).unwrap();
    said
}

#[test]
fn one_flipped_bit_is_noticed_in_every_kind_of_block() {
    if !have("e2fsck") || !have("debugfs") {
        return;
    }
    let image = image();
    let path = image.path();
    let group = |mark| number(path, "stats", mark) * 4096;
    let inode_table = group("inode table at ");
    let offsets = [
        ("superblock", 1024 + 0x58 + 0x100),
        ("superblock, label", 1024 + 0x78),
        // The high half of a counter that nothing else disagrees with.
        ("superblock, reserved words", 1024 + 0x290),
        ("group descriptor", 4096 + 64 + 0x3c),
        ("block bitmap", group("block bitmap at ") + 4000),
        ("inode bitmap", group("inode bitmap at ") + 700),
        ("inode", inode_table + 256 + 0x24),
        ("inode, creation time", inode_table + 256 + 0x90),
        ("extent block", extent_block(path) * 4096 + 300),
        ("directory block", block(path, "/small", 0) * 4096 + 2000),
        ("htree root", block(path, "/large", 0) * 4096 + 40),
        ("htree node", block(path, "/large", 1) * 4096 + 16),
        ("htree leaf", block(path, "/large", 20) * 4096 + 4000),
        (
            "attribute block",
            number(path, "stat /attributes", "File ACL: ") * 4096 + 2500,
        ),
        ("journal superblock", block(path, "<8>", 0) * 4096 + 12),
    ];
    for (what, offset) in offsets {
        let said = with_flipped_bit(&image, offset, &[]);
        // Not any complaint will do: a wrong count would be noticed without a checksum.
        let word = match what {
            // This one has a checksum only once the kernel has used it.
            "journal superblock" => "journal",
            _ => "checksum",
        };
        assert!(said.contains(word), "{what} at {offset}: {said}");
    }
    // Descriptors read from a copy get new checksums before they are looked at.
    let more = ["-b", "32768", "-B", "4096"];
    let said = with_flipped_bit(&image, 32_768 * 4096 + 0x290, &more);
    assert!(said.contains("checksum"), "copy of the superblock: {said}");
    check(path);
}

#[test]
fn one_flipped_bit_is_noticed_in_orphan_files_and_attribute_values() {
    if !have("e2fsck") || !have("debugfs") {
        return;
    }
    let options = FormatOptions::default()
        .features(Features::default() | Features::ORPHAN_FILE | Features::EA_INODE)
        .size(SizeRule::Exact(64 << 20));
    let mut image = Image::new(options);
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.long", &noise(1, 20_000)).unwrap();
    let metadata = file().xattrs(xattrs);
    let root = image.root();
    let kind = FileKind::File(Content::empty());
    let id = image.tree.insert(root, b"f", kind, metadata);
    id.unwrap();
    let (image, _) = image.finish();
    check_primary(image.path());
    let orphans = dumpe2fs(image.path(), "Orphan file inode");
    let orphans = block(image.path(), &format!("<{orphans}>"), 0) * 4096;
    // The value's inode follows the file's.
    let value = number(image.path(), "stat /f", "Inode: ") + 1;
    let value = block(image.path(), &format!("<{value}>"), 0) * 4096;
    let said = with_flipped_bit(&image, orphans + 8, &[]);
    assert!(said.contains("rphan file"), "{said}");
    check_primary(image.path());
    // Only the kernel reads values.
    for (flip, length) in [(0, Ok(20_000)), (0x10, Err(rustix::io::Errno::UCLEAN))] {
        let mut byte = [0];
        image
            .as_file()
            .read_exact_at(&mut byte, value + 77)
            .unwrap();
        image
            .as_file()
            .write_all_at(&[byte[0] ^ flip], value + 77)
            .unwrap();
        if let Some(mount) = mount::mount(image.path(), "ro") {
            let mut read = vec![0; 65_536];
            let got = rustix::fs::lgetxattr(mount.path(b"f"), "user.long", &mut read[..]);
            assert_eq!(got, length);
        }
    }
    check_primary(image.path());
}

/// The block of the extent tree of `/extents`, whose index entry debugfs lists first.
fn extent_block(image: &Path) -> u64 {
    let said = debugfs(image, "ex /extents");
    let line = said.lines().nth(1).unwrap_or_else(|| panic!("{said}"));
    let after_range = line.split_once(" - ").unwrap().1;
    let mut numbers = after_range.split_whitespace();
    numbers
        .nth(1)
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("{said}"))
}
