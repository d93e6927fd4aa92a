//! Copies on a filesystem that shares blocks.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests may"
)]

mod storekit;
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use banger::artifact::{CopyMethod, Origin, copy_file};
use oci_flatten::directory::Directory;
use storekit::has_tool;

/// A btrfs filesystem on a loop device; unmounted when dropped.
struct Btrfs {
    folder: tempfile::TempDir,
}

impl Btrfs {
    /// None where it cannot be had: it takes root, `mkfs.btrfs`, and a kernel with btrfs.
    fn new() -> Option<Self> {
        if !(support::root() && has_tool("mkfs.btrfs")) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::File::create(&image)
            .unwrap()
            .set_len(256 << 20)
            .unwrap();
        fs::create_dir(&mounted).unwrap();
        let mut format = Command::new("mkfs.btrfs");
        assert!(format.arg("-q").arg(&image).status().unwrap().success());
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "btrfs", "-o", "loop"])
            .arg(&image)
            .arg(&mounted);
        if !mount.status().unwrap().success() {
            println!("skipped: this kernel has no btrfs");
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("mounted")
    }
}

impl Drop for Btrfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn copy(source: &Path, folder: &Path, name: &str) -> CopyMethod {
    let folder = Directory::open(folder).unwrap();
    copy_file(Origin::Named(source), &folder, name, &|| false).unwrap()
}

fn free_bytes(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_bavail * found.f_frsize
}

#[test]
fn a_copy_shares_blocks_where_the_filesystem_can() {
    let Some(btrfs) = Btrfs::new() else { return };
    let (source, target) = (btrfs.path().join("a"), btrfs.path().join("b"));
    // More than half of what there is: a copy of the data would not fit.
    let bytes: Vec<u8> = (0..100_u32 << 18).flat_map(u32::to_le_bytes).collect();
    fs::write(&source, &bytes).unwrap();
    fs::File::open(&source).unwrap().sync_all().unwrap();
    let before = free_bytes(&source);
    assert!(before < 150 << 20, "{before} bytes are free");
    let method = copy(&source, &btrfs.path(), "b");
    assert_eq!(method, CopyMethod::Reflink);
    assert!(before - free_bytes(&source).min(before) < 4 << 20);
    assert!(fs::read(&target).unwrap() == bytes);
}

#[test]
fn a_copy_between_filesystems_keeps_its_holes() {
    use std::os::unix::fs::MetadataExt;
    let Some(btrfs) = Btrfs::new() else { return };
    let (source, target) = (btrfs.path().join("a"), btrfs.folder.path().join("b"));
    let file = fs::File::create(&source).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 1 << 30).unwrap();
    file.set_len(2 << 30).unwrap();
    let method = copy(&source, btrfs.folder.path(), "b");
    assert_eq!(method, CopyMethod::Data);
    let metadata = fs::metadata(&target).unwrap();
    assert_eq!(metadata.len(), 2 << 30);
    assert!(metadata.blocks() * 512 < 1 << 20);
}
