//! What takes minutes under emulation: a guest grows its mounted root filesystem, seals a file by fs-verity, and has a directory that
//! ignores case.
//!
//! `cargo test -p banger-tests --test slow_guest`

use std::process::Command;

use banger_tests::guest::run_in_guest;
use banger_tests::{flatten_layout, repository, sample_image, succeed, tool};
use ext4_writer::{
    Features, FileDevice, FileKind, FileTree, FormatOptions, ImageWriter, Metadata, SizeRule,
    Timestamp,
};

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

#[test]
fn a_guest_seals_a_file_and_keeps_names_by_case() {
    if !(tool("qemu-system-x86_64") && tool("fsverity") && tool("cpio") && tool("ldd")) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let image = work.path().join("verity.ext4");
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&image)
        .unwrap();
    let options = FormatOptions::default()
        .features(Features::default() | Features::VERITY)
        .size(SizeRule::AtLeast(64 << 20));
    let mut writer = ImageWriter::new(FileDevice::unsynced(file), options).unwrap();
    let time = Timestamp::new(1_700_000_000, 0);
    let mut tree = FileTree::new(Metadata::new(0o755, time)).unwrap();
    for name in ["sealed", "SEALED"] {
        let mut content = writer.content(0);
        content.append(name.as_bytes()).unwrap();
        let kind = FileKind::File(content.finish().unwrap());
        let metadata = Metadata::new(0o644, time);
        tree.insert(tree.root(), name.as_bytes(), kind, metadata)
            .unwrap();
    }
    writer.finish(tree).unwrap();
    let fsverity = succeed(Command::new("sh").args(["-c", "command -v fsverity"]));
    let console = run_in_guest(
        &image,
        &[fsverity.trim(), "/sbin/e2fsck"],
        "mount -t ext4 /dev/nvme0n1 /mnt\n\
         fsverity enable /mnt/sealed\n\
         fsverity measure /mnt/sealed\n\
         if echo more >>/mnt/sealed; then exit 1; fi\n\
         test $(cat /mnt/sealed) = sealed\n\
         test $(cat /mnt/SEALED) = SEALED\n\
         umount /mnt\n\
         e2fsck -fn /dev/nvme0n1",
        600,
    );
    assert!(console.contains("sha256:"), "{console}");
}

#[test]
fn a_directory_that_ignores_case_is_refused_in_a_guest() {
    let tools = ["qemu-system-x86_64", "mke2fs", "chattr", "cpio", "ldd"];
    if !tools.iter().all(|name| tool(name)) {
        return;
    }
    succeed(
        Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "ext4-writer"])
            .args(["--example", "mkfs"])
            .current_dir(repository()),
    );
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let work = tempfile::tempdir().unwrap();
    let mkfs = work.path().join("mkfs");
    std::fs::copy(profile.join("examples/mkfs"), &mkfs).unwrap();
    let image = work.path().join("casefold.ext4");
    let mut mke2fs = Command::new("/sbin/mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-O", "casefold"]);
    succeed(mke2fs.arg(&image).arg("64M"));
    let script = format!(
        "mkfs={}\n\
         mount -t ext4 /dev/nvme0n1 /mnt\n\
         mkdir -p /mnt/tree/exact /mnt/tree/folded\n\
         $mkfs /mnt/tree /mnt/before.ext4\n\
         chattr +F /mnt/tree/folded\n\
         echo same >/mnt/tree/folded/Name\n\
         test $(cat /mnt/tree/folded/NAME) = same\n\
         if $mkfs /mnt/tree /mnt/after.ext4 2>/mnt/error; then exit 1; fi\n\
         cat /mnt/error",
        mkfs.display()
    );
    let mkfs = mkfs.display().to_string();
    let console = run_in_guest(&image, &[&mkfs, "/usr/bin/chattr"], &script, 600);
    assert!(
        console.contains("a directory that ignores case"),
        "{console}"
    );
    assert!(console.contains("folded"), "{console}");
}
