//! Bytes as damage to an image of ours, of which every fact is then asked.

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use banger::ErrorKind;
use banger::boot::{RuntimeConfig, boot_block};
use banger::image::Ext4Tree;
use banger::packages::Packages;
use ext4_writer::reader::{ImageReader, ReadLimits};
use ext4_writer::{
    BlockSize, Content, Features, FileKind, FileTree, FileType, FormatOptions, ImageWriter,
    JournalRule, MemoryDevice, Metadata, NodeId, SizeRule, Timestamp,
};

/// How long one image may take, with a sanitizer or a busy machine in between.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The least that a block has.
const BLOCK_BYTES: usize = 1024;

/// An image, and where in it something is.
struct Base {
    bytes: Vec<u8>,
    /// Offsets of every 4 bytes that are not zeros, but for contents of large files.
    used: Vec<usize>,
}

/// Applies the damage that `script` describes and asks for everything. Whatever is in the image, there is an answer or an error, soon.
pub(crate) fn check(script: &[u8]) {
    let (&which, script) = script.split_first().unwrap_or((&0, &[]));
    let bases = bases();
    let base = &bases[usize::from(which) % bases.len()];
    let mut image = base.bytes.clone();
    for damage in script.chunks_exact(8) {
        apply(&mut image, &base.used, damage);
    }
    let begun = Instant::now();
    let facts = ask_facts(&image);
    if image == base.bytes {
        assert_eq!(facts, Some((true, Some(2))), "what is whole is read right");
    }
    ask_everything(&image);
    let took = begun.elapsed();
    assert!(took < TIME_LIMIT, "it takes {took:?}");
}

/// One change: a kind, a place among those in use, four bytes.
fn apply(image: &mut [u8], used: &[usize], damage: &[u8]) {
    let word = u32::from_le_bytes([damage[4], damage[5], damage[6], damage[7]]);
    let place = usize::from(damage[1]) | usize::from(damage[2]) << 8 | usize::from(damage[3]) << 16;
    let at = used[place % used.len()];
    match damage[0] % 4 {
        // Another number.
        0 => image[at..at + 4].copy_from_slice(&word.to_le_bytes()),
        // A flipped bit.
        1 => image[at + word as usize % 4] ^= 1 << (word >> 8 & 7),
        // A number like one that is elsewhere: a block or inode that is there, but for something else.
        2 => {
            let from = used[word as usize % used.len()];
            image.copy_within(from..from + 4, at);
        }
        // A block in place of another.
        _ => {
            let (at, from) = (
                at / BLOCK_BYTES * BLOCK_BYTES,
                used[word as usize % used.len()],
            );
            let from = from / BLOCK_BYTES * BLOCK_BYTES;
            image.copy_within(from..from + BLOCK_BYTES, at);
        }
    }
}

/// What `image pull`, `register` and `show` ask.
fn ask_facts(image: &[u8]) -> Option<(bool, Option<u64>)> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(image).expect("room for the image");
    let facts = Ext4Tree::ask(
        file.reopen().expect("it opens"),
        file.path(),
        &|| false,
        |tree| {
            let _ = (tree.uuid(), tree.state_warning());
            let boot = boot_block(tree, RuntimeConfig::default(), None);
            let packages = Packages::of_tree(tree, &[]);
            Ok((
                boot?.bootable,
                packages?.and_then(|packages| packages.count),
            ))
        },
    );
    match facts {
        Ok(facts) => Some(facts),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
            None
        }
    }
}

/// What `image files` and `image cat` ask: every name, and what every file holds.
fn ask_everything(image: &[u8]) {
    let mut limits = ReadLimits::default();
    limits.bytes = 64 << 20;
    limits.entries = 200_000;
    limits.memory = 4 << 20;
    let Ok(reader) = ImageReader::open(image, limits, &|| false) else {
        return;
    };
    let Ok(Some(root)) = reader.resolve(b"/") else {
        return;
    };
    let _ = reader.walk(&root, &mut |entry| {
        assert!(entry.path.starts_with(b"/"));
        let outcome = match entry.inode.file_type() {
            FileType::Symlink => reader.target(entry.inode).map(|target| {
                assert!((1..=4095).contains(&target.len()));
            }),
            FileType::Regular => {
                let mut left = entry.inode.size();
                let limit = reader.content(entry.inode, 0..u64::MAX, &mut |piece| {
                    left -= match piece {
                        ext4_writer::reader::Piece::Data(bytes) => bytes.len() as u64,
                        ext4_writer::reader::Piece::Hole(length) => length,
                    };
                    Ok(())
                });
                assert!(limit.is_err() || left == 0, "every byte is shown once");
                limit
            }
            _ => Ok(()),
        };
        let _ = reader.resolve(entry.path);
        // What cannot be read does not hide the rest.
        drop(outcome);
        Ok(())
    });
}

fn bases() -> &'static [Base] {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    BASES.get_or_init(|| {
        let sealed = FormatOptions::read_only();
        let features = sealed.features.difference(Features::METADATA_CSUM);
        let plain = FormatOptions::read_only().features(features);
        let linear = FormatOptions::default()
            .size(SizeRule::Shrink)
            .journal(JournalRule::None);
        vec![
            base(plain.clone()),
            base(plain.clone().block_size(BlockSize::B1024)),
            base(plain.features(features | Features::INLINE_DATA)),
            base(sealed),
            base(linear),
        ]
    })
}

fn metadata(mode: u16) -> Metadata {
    Metadata::new(mode, Timestamp::new(1_700_000_000, 0))
}

/// A root filesystem with every kind of fact in it.
fn base(options: FormatOptions) -> Base {
    let device = MemoryDevice::new();
    let mut writer = ImageWriter::new(&device, options).expect("the options are right");
    let mut tree = Tree {
        tree: FileTree::new(metadata(0o755)).expect("the root is right"),
        directories: HashMap::new(),
    };
    let mut elf = vec![0; 128];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18] = 62;
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\n\n".repeat(300);
    let files: [(&str, &[u8]); 8] = [
        ("usr/lib/systemd/systemd", &elf),
        ("usr/bin/bash", &elf),
        ("init", b"#! /bin/sh -e\n"),
        ("var/lib/dpkg/status", status.as_bytes()),
        ("var/lib/dpkg/status.d/base", b"Package: b\nVersion: 2\n"),
        ("lib/apk/db/installed", b"P:musl\nV:1\nA:x86_64\n"),
        ("var/lib/rpm/Packages", &[7; 70_000]),
        ("etc/os-release", b"ID=test\n"),
    ];
    for (path, content) in files {
        let mut written = writer.content(content.len() as u64);
        written.append(content).expect("it is written");
        // Holes, so that the extent tree has nodes of its own.
        for _ in 0..if path.ends_with("Packages") { 6 } else { 0 } {
            written.hole(8192).expect("a hole");
            written.append(&[9; 4096]).expect("it is written");
        }
        let content = written.finish().expect("it ends");
        tree.insert(path, FileKind::File(content));
    }
    for n in 0..60 {
        let path = format!("usr/share/many/a-name-that-takes-its-room-in-a-directory-{n}");
        tree.insert(&path, FileKind::Fifo);
    }
    for (path, target) in [
        ("sbin/init", "../usr/lib/systemd/systemd".to_owned()),
        ("bin/sh", "/usr/bin/bash".to_owned()),
        ("etc/init", format!("{}sbin/init", "../".repeat(40))),
    ] {
        let target = target.into_bytes().into_boxed_slice();
        tree.insert(path, FileKind::Symlink(target));
    }
    writer.finish(tree.tree).expect("the image is made");
    let bytes = device.to_vec();
    let used = (0..bytes.len() - BLOCK_BYTES)
        .step_by(4)
        .filter(|at| {
            !matches!(
                bytes[*at..*at + 4],
                [0, 0, 0, 0] | [7, 7, 7, 7] | [9, 9, 9, 9]
            )
        })
        .collect();
    Base { bytes, used }
}

/// A tree to which files are added by their paths.
struct Tree {
    tree: FileTree<Content>,
    directories: HashMap<String, NodeId>,
}

impl Tree {
    fn insert(&mut self, path: &str, kind: FileKind<Content>) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(parent);
        self.tree
            .insert(parent, name.as_bytes(), kind, metadata(0o755))
            .expect("the file is right");
    }

    fn directory(&mut self, path: &str) -> NodeId {
        if path.is_empty() {
            return self.tree.root();
        }
        if let Some(known) = self.directories.get(path) {
            return *known;
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(parent);
        let made = self
            .tree
            .insert(
                parent,
                name.as_bytes(),
                FileKind::Directory,
                metadata(0o755),
            )
            .expect("the directory is right");
        self.directories.insert(path.into(), made);
        made
    }
}
