//! The read-only profile, and dm-verity trees behind it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::FileExt;

use common::*;
use ext4_writer::{FileDevice, FormatOptions, VerityOptions, append_verity};

fn image(bytes: usize) -> (tempfile::NamedTempFile, ext4_writer::Summary) {
    let mut image = Image::new(FormatOptions::read_only());
    let root = image.root();
    let many = image.directory(root, b"many");
    for n in 0..2000 {
        image.file(many, format!("f{n}").as_bytes(), &noise(n, 100));
    }
    image.file(root, b"body", &noise(1, bytes));
    image.finish()
}

#[test]
fn nothing_is_kept_for_later() {
    let (image, summary) = image(5_000_000);
    check(image.path());
    assert_eq!(summary.journal_bytes, 0);
    assert_eq!(summary.size_bytes, image.path().metadata().unwrap().len());
    assert!(summary.free_inodes < 16, "{summary:?}");
    // Room for descriptors that a larger filesystem would have had.
    assert!(summary.free_blocks <= 8, "{summary:?}");
    assert_eq!(dumpe2fs(image.path(), "Reserved block count"), "0");
    let features = dumpe2fs(image.path(), "Filesystem features");
    assert!(
        !features.contains("has_journal") && !features.contains("resize_inode"),
        "{features}"
    );
    let Some(mount) = mount::mount(image.path(), "ro") else {
        return;
    };
    assert!(std::fs::read(mount.path(b"body")).unwrap() == noise(1, 5_000_000));
}

#[test]
fn veritysetup_verifies_the_tree_and_notices_a_changed_byte() {
    // Trees of one, two and three levels.
    for (bytes, salt) in [
        (1, vec![]),
        (700_000, vec![7; 32]),
        (80_000_000, vec![9; 256]),
    ] {
        let (image, summary) = image(bytes);
        let device = FileDevice::unsynced(image.reopen().unwrap());
        let options = VerityOptions::new(summary.uuid).salt(salt);
        let tree = append_verity(&device, summary.size_bytes, &options).unwrap();
        assert_eq!(image.path().metadata().unwrap().len(), tree.total_bytes);
        check_primary(image.path());
        if !have("veritysetup") {
            return;
        }
        let hash: String = tree
            .root_hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let offset = format!("--hash-offset={}", tree.hash_offset);
        let path = image.path().to_str().unwrap();
        let arguments = ["verify", path, path, &hash, &offset];
        let output = run("veritysetup", &arguments);
        assert!(output.status.success(), "{}", text(&output));
        let mut byte = [0];
        let file = image.as_file();
        file.read_exact_at(&mut byte, summary.size_bytes / 2)
            .unwrap();
        file.write_all_at(&[!byte[0]], summary.size_bytes / 2)
            .unwrap();
        assert!(!run("veritysetup", &arguments).status.success());
    }
}

#[test]
fn a_long_salt_is_refused() {
    let options = VerityOptions::new(uuid::Uuid::nil()).salt(vec![0; 257]);
    let error = append_verity(ext4_writer::MemoryDevice::new(), 4096, &options).unwrap_err();
    assert!(error.to_string().contains("limit 256"), "{error}");
}
