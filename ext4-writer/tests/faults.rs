//! A device that fails at any one operation: the failure must come out, and the same input must give the same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::*;
use ext4_writer::{
    BlockDevice, Device, Error, FileKind, FileTree, FormatOptions, ImageWriter, MemoryDevice,
    SizeRule, Summary, Xattrs,
};

/// Fails once, at the operation whose turn it is.
struct Faulty {
    inner: MemoryDevice,
    turn: Cell<u64>,
    fails_at: u64,
    zeroed: bool,
}

impl Faulty {
    fn new(fails_at: u64, zeroed: bool) -> Self {
        Self {
            inner: MemoryDevice::new(),
            turn: Cell::new(0),
            fails_at,
            zeroed,
        }
    }

    fn step(&self) -> io::Result<()> {
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        if turn == self.fails_at {
            Err(io::Error::other("injected"))
        } else {
            Ok(())
        }
    }
}

impl Device for Faulty {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.inner.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.step()?;
        self.inner.read_at(offset, bytes)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.step()?;
        self.inner.discard(range)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step()?;
        self.inner.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.step()
    }

    fn starts_zeroed(&self) -> bool {
        self.zeroed
    }
}

/// Uses everything that touches the device: reuse, compaction, attribute blocks, an index, long extent lists.
fn build(device: &impl Device) -> Result<Summary, Error> {
    let options = FormatOptions::default().size(SizeRule::Shrink);
    let mut writer = ImageWriter::new(device, options)?;
    let mut tree = FileTree::new(directory()).unwrap();
    let root = tree.root();
    let mut store = |bytes: &[u8]| {
        let mut content = writer.content(bytes.len() as u64);
        content.append(bytes)?;
        content.finish()
    };
    let doomed = store(&noise(1, 300_000))?;
    let mut contents = Vec::new();
    for n in 0..30 {
        contents.push(store(&noise(n, 60_000))?);
    }
    writer.release(doomed)?;
    // Zeros where other bytes were, and where there were none.
    let mut content = writer.content(100_000);
    content.append(&[0; 100_000])?;
    contents.push(content.finish()?);
    let mut content = writer.content(0);
    for n in 0..10 {
        content.append(&noise(n, 4096))?;
        content.hole(4096)?;
    }
    contents.push(content.finish()?);
    for (n, content) in contents.into_iter().enumerate() {
        let name = format!("f{n}");
        tree.insert(root, name.as_bytes(), FileKind::File(content), file())
            .unwrap();
    }
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.long", &noise(3, 1000)).unwrap();
    for n in 0..300 {
        let metadata = file().xattrs(xattrs.clone());
        tree.insert(root, format!("x{n}").as_bytes(), FileKind::Fifo, metadata)
            .unwrap();
    }
    writer.finish(tree)
}

#[test]
fn a_failure_of_any_operation_comes_out() {
    for zeroed in [true, false] {
        let whole = Faulty::new(u64::MAX, zeroed);
        build(&whole).unwrap();
        let operations = whole.turn.get();
        assert!(operations > 20, "{operations}");
        for turn in 0..operations {
            let device = Faulty::new(turn, zeroed);
            match build(&device) {
                Err(Error::Device { source, .. }) => assert_eq!(source.to_string(), "injected"),
                other => panic!("operation {turn} failed and nobody noticed: {other:?}"),
            }
            // The superblock is the last thing written, so nothing takes the torso for a filesystem.
            if turn + 2 < operations {
                let mut magic = [0; 2];
                device.inner.read_at(1024 + 0x38, &mut magic).unwrap();
                assert_eq!(magic, [0, 0], "operation {turn} of {operations}");
            }
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let images = [(); 2].map(|()| {
        let device = MemoryDevice::new();
        build(&device).unwrap();
        device.to_vec()
    });
    assert!(images[0] == images[1]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &images[0]).unwrap();
    check(file.path());
}

const OLD: u8 = 0xa5;

/// A file full of old bytes.
fn old(size: u64) -> tempfile::NamedTempFile {
    let path = tempfile::NamedTempFile::new().unwrap();
    let chunk = vec![OLD; 1 << 20];
    for _ in 0..size >> 20 {
        std::io::Write::write_all(&mut path.as_file(), &chunk).unwrap();
    }
    path
}

/// Whether any block of an image holds nothing but old bytes.
fn has_old_blocks(image: &Path) -> bool {
    let bytes = std::fs::read(image).unwrap();
    let old = [OLD; 4096];
    bytes.chunks(4096).any(|block| block == old)
}

/// Makes a filesystem with one file on a device of fixed size, and has e2fsck and the kernel look at it.
fn fill(device: &BlockDevice, path: &Path) {
    let options = FormatOptions::default().size(SizeRule::Exact(device.capacity()));
    let mut writer = ImageWriter::new(device, options).unwrap();
    for bytes in [noise(1, 300_000), b"new".to_vec()] {
        let mut content = writer.content(0);
        content.append(&bytes).unwrap();
        let content = content.finish().unwrap();
        if bytes.len() > 3 {
            writer.release(content).unwrap();
            continue;
        }
        let mut tree = FileTree::new(directory()).unwrap();
        tree.insert(tree.root(), b"f", FileKind::File(content), file())
            .unwrap();
        writer.finish(tree).unwrap();
        break;
    }
    check_primary(path);
    assert_eq!(view(path).read("/f").unwrap(), b"new");
    let bytes = std::fs::read(path).unwrap();
    let removed = noise(1, 64);
    assert!(!bytes.chunks(4096).any(|block| block[..64] == removed));
}

#[test]
fn devices_with_old_bytes_become_clean_filesystems() {
    for size in [40_u64 << 20, 200 << 20] {
        for discards in [true, false] {
            let path = old(size);
            let before = path.path().metadata().unwrap().blocks();
            let file = path.reopen().unwrap();
            let device = if discards {
                BlockDevice::new(file).unwrap()
            } else {
                BlockDevice::preallocated(file).unwrap()
            };
            assert_eq!(device.capacity(), size);
            fill(&device, path.path());
            let after = path.path().metadata().unwrap();
            assert_eq!(after.len(), size);
            if discards {
                assert!(after.blocks() < before / 2, "{} blocks", after.blocks());
            } else {
                assert!(after.blocks() >= before, "{} blocks", after.blocks());
            }
            assert_eq!(has_old_blocks(path.path()), !discards);
            // The kernel uses inodes and blocks that only the old bytes occupied.
            if mount::mount(path.path(), "rw").is_some_and(|mount| {
                for n in 0..600 {
                    std::fs::write(mount.path(format!("n{n}").as_bytes()), noise(n, 9000)).unwrap();
                }
                true
            }) {
                check_primary(path.path());
            }
        }
    }
}

#[test]
fn block_devices_become_clean_filesystems() {
    if !mount::can_mount() {
        return;
    }
    for discards in [true, false] {
        let backing = old(140 << 20);
        let attached = mount::Loop::new(backing.path(), false);
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(attached.path())
            .unwrap();
        let device = if discards {
            BlockDevice::new(file).unwrap()
        } else {
            BlockDevice::preallocated(file).unwrap()
        };
        assert_eq!(device.capacity(), 140 << 20);
        fill(&device, attached.path());
        assert_eq!(has_old_blocks(attached.path()), !discards);
    }
}

#[test]
fn a_device_too_small_says_so() {
    let path = tempfile::NamedTempFile::new().unwrap();
    path.as_file().set_len(1 << 20).unwrap();
    let device = BlockDevice::new(path.reopen().unwrap()).unwrap();
    let mut writer = ImageWriter::new(&device, FormatOptions::default()).unwrap();
    let mut content = writer.content(0);
    let error = content.append(&noise(1, 4 << 20)).unwrap_err();
    assert!(error.is_no_space(), "{error}");
}
