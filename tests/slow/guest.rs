//! What takes minutes under emulation: a guest grows its mounted root filesystem.
//!
//! `cargo test -p banger-tests --test slow_guest`

use std::process::Command;

use banger_tests::guest::run_in_guest;
use banger_tests::{flatten_layout, sample_image, succeed, tool};

#[test]
fn a_guest_grows_the_mounted_filesystem() {
    if !(tool("qemu-system-x86_64") && tool("resize2fs") && tool("cpio") && tool("ldd")) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let image = work.path().join("rootfs.ext4");
    flatten_layout(&sample_image(), &image);
    succeed(Command::new("truncate").args(["-s", "40G"]).arg(&image));
    let console = run_in_guest(
        &image,
        &["/sbin/resize2fs", "/sbin/e2fsck", "/sbin/dumpe2fs"],
        "mount -t ext4 /dev/nvme0n1 /mnt\n\
         dd if=/dev/zero of=/mnt/before bs=1M count=64\n\
         resize2fs /dev/nvme0n1 8G\n\
         dd if=/dev/zero of=/mnt/between bs=1M count=64\n\
         resize2fs /dev/nvme0n1\n\
         echo more >/mnt/after\n\
         df -k /mnt\n\
         umount /mnt\n\
         e2fsck -fn /dev/nvme0n1\n\
         ! dmesg | grep -E 'EXT4-fs (error|warning)'",
        600,
    );
    println!("{console}");
    let said = succeed(Command::new("/sbin/e2fsck").arg("-fn").arg(&image));
    assert!(
        !said.contains("Fix?") && !said.contains("differences"),
        "{said}"
    );
    let dump = succeed(Command::new("/sbin/dumpe2fs").arg("-h").arg(&image));
    let blocks = dump
        .lines()
        .find_map(|line| line.strip_prefix("Block count:"))
        .unwrap();
    assert_eq!(blocks.trim().parse(), Ok((40_u64 << 30) / 4096));
}
