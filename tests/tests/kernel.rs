//! The filesystem under real kernels: what is mounted equals what `umoci unpack` lays out, and it stays
//! clean when written to.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_tests::mount::{LoopMount, user_mode_linux};
use banger_tests::{
    flatten_layout, flatten_source, oracle, root, sample_image, shared_images, succeed, tool, tree,
};

fn images() -> Vec<PathBuf> {
    let mut images = shared_images();
    images.push(sample_image());
    images
}

#[test]
fn the_mounted_tree_is_what_umoci_unpacks() {
    if !(root() && tool("umoci") && tool("zstdcat")) {
        return;
    }
    for layout in images() {
        let work = tempfile::tempdir().unwrap();
        let image = work.path().join("rootfs.ext4");
        flatten_layout(&layout, &image);
        let expected = tree::snapshot(&oracle::umoci_unpack(&layout, work.path())).unwrap();
        let mount = LoopMount::new(&image, false);
        let found = tree::snapshot(mount.path()).unwrap();
        mount.unmount();
        let differences = tree::differences(&expected, &found);
        assert!(
            differences.is_empty(),
            "{}: {} differences\n{}",
            layout.display(),
            differences.len(),
            differences
                .iter()
                .take(20)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        );
        assert!(found.len() > 10, "{} is nearly empty", layout.display());
    }
}

#[test]
fn the_kernel_writes_to_it_and_it_stays_clean() {
    if !(root() && tool("e2fsck")) {
        return;
    }
    for layout in images() {
        let work = tempfile::tempdir().unwrap();
        let image = work.path().join("rootfs.ext4");
        flatten_layout(&layout, &image);
        assert_clean(&image);
        let mount = LoopMount::new(&image, true);
        write_and_remove(mount.path());
        mount.unmount();
        assert_clean(&image);
    }
}

fn write_and_remove(root: &Path) {
    let folder = root.join("written");
    fs::create_dir(&folder).unwrap();
    for number in 0..2000 {
        fs::write(
            folder.join(format!("file-{number:05}")),
            vec![7; number * 3],
        )
        .unwrap();
    }
    fs::write(root.join("large"), vec![9; 8 << 20]).unwrap();
    for number in (0..2000).step_by(2) {
        fs::remove_file(folder.join(format!("file-{number:05}"))).unwrap();
    }
    fs::rename(root.join("large"), folder.join("moved")).unwrap();
}

#[test]
fn user_mode_linux_writes_to_it_and_it_stays_clean() {
    if !(tool("linux.uml") && tool("e2fsck")) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let image = work.path().join("rootfs.ext4");
    flatten_layout(&sample_image(), &image);
    let console = user_mode_linux(
        &image,
        work.path(),
        "cat /mnt/disk/etc/motd\n\
         for i in $(seq 500); do echo $i >/mnt/disk/tmp/file-$i; done\n\
         rm /mnt/disk/tmp/file-1*\n\
         test $(stat -c %h /mnt/disk/bin/greet) = 2",
    );
    assert!(
        console.contains("This greeting is from layer 2."),
        "{console}"
    );
    assert_clean(&image);
}

/// The kernel takes no swap file that has holes.
#[test]
fn user_mode_linux_swaps_to_a_file_of_the_image() {
    if !(tool("linux.uml") && tool("mkswap") && tool("swapon") && tool("e2fsck")) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("root");
    fs::create_dir(&folder).unwrap();
    let swap = folder.join("swapfile");
    fs::File::create(&swap).unwrap().set_len(16 << 20).unwrap();
    fs::set_permissions(&swap, fs::Permissions::from_mode(0o600)).unwrap();
    succeed(Command::new("/sbin/mkswap").arg(&swap));
    let archive = work.path().join("rootfs.tar");
    succeed(
        Command::new("tar")
            .args(["--owner=0", "--group=0", "-C"])
            .arg(&folder)
            .arg("-cf")
            .arg(&archive)
            .arg("."),
    );
    let image = work.path().join("rootfs.ext4");
    flatten_source(&format!("tar:{}", archive.display()), &image);
    let on_disk = fs::metadata(&image).unwrap().blocks() * 512;
    assert!(
        on_disk < 2 << 20,
        "the zeros take {on_disk} bytes of the host"
    );
    let console = user_mode_linux(
        &image,
        work.path(),
        "swapon /mnt/disk/swapfile\ncat /proc/swaps\nswapoff /mnt/disk/swapfile",
    );
    assert!(console.contains("/mnt/disk/swapfile"), "{console}");
    assert_clean(&image);
}

#[test]
fn user_mode_linux_keeps_the_quotas_of_an_image() {
    if !(tool("linux.uml") && tool("e2fsck") && tool("busybox")) {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let image = work.path().join("quota.ext4");
    with_quotas(&image);
    assert_clean(&image);
    let console = user_mode_linux(
        &image,
        work.path(),
        "dmesg | grep 'Quota mode: journalled'\n\
         cd /mnt/disk\n\
         for i in $(seq 200); do echo $i >new-$i; chown $((i % 7)):5 new-$i; done\n\
         dd if=/dev/zero of=large bs=1M count=9\n\
         chown 12 large file-1*\n\
         rm file-2* new-1*\n\
         cd /\nsync",
    );
    // e2fsck counts for itself, and complains where the files of the kernel differ.
    assert_clean(&image);
    assert!(console.contains("journalled"), "{console}");
    let listed = succeed(
        Command::new("/sbin/debugfs")
            .args(["-R", "get_quota user 12"])
            .arg(&image),
    );
    assert!(listed.contains("12"), "{listed}");
}

/// An image with quota files, and files of many owners and projects, some with an attribute in an inode of its own.
fn with_quotas(path: &Path) {
    use ext4_writer::{
        Features, FileDevice, FileKind, FileTree, FormatOptions, ImageWriter, Metadata, SizeRule,
        Timestamp, Xattrs,
    };
    let file = fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    let options = FormatOptions::default()
        .features(Features::default() | Features::QUOTA | Features::PROJECT | Features::EA_INODE)
        .size(SizeRule::AtLeast(64 << 20));
    let mut writer = ImageWriter::new(FileDevice::unsynced(file), options).unwrap();
    let time = Timestamp::new(1_700_000_000, 0);
    let mut tree = FileTree::new(Metadata::new(0o755, time)).unwrap();
    for n in 0..300_u32 {
        let mut content = writer.content(0);
        content.append(&vec![7; n as usize * 50]).unwrap();
        let kind = FileKind::File(content.finish().unwrap());
        let mut xattrs = Xattrs::new();
        if n % 10 == 7 {
            // In an inode that many share, and that each pays for.
            xattrs.insert(b"user.long", &[8; 20_000]).unwrap();
        }
        let metadata = Metadata::new(0o644, time)
            .uid(n % 20)
            .gid(n % 3)
            .xattrs(xattrs);
        let name = format!("file-{n}");
        let id = tree.insert(tree.root(), name.as_bytes(), kind, metadata);
        tree.set_project(id.unwrap(), n % 5).unwrap();
    }
    writer.finish(tree).unwrap();
}

#[test]
fn it_grows_and_shrinks_offline() {
    if !(tool("resize2fs") && tool("e2fsck")) {
        return;
    }
    for layout in images() {
        let work = tempfile::tempdir().unwrap();
        let image = work.path().join("rootfs.ext4");
        flatten_layout(&layout, &image);
        for size in ["3G", "20G", "700M"] {
            succeed(
                Command::new("/sbin/resize2fs")
                    .arg("-f")
                    .arg(&image)
                    .arg(size),
            );
            assert_clean(&image);
        }
    }
}

#[track_caller]
fn assert_clean(image: &Path) {
    let said = succeed(Command::new("/sbin/e2fsck").arg("-fn").arg(image));
    for complaint in ["Fix?", "differences", "ERROR", "WARNING", "optimi"] {
        assert!(!said.contains(complaint), "{said}");
    }
}
