//! Images mounted by the kernel, where this runs as root and has loop devices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use common::mount::{attributes, mount};
use common::*;
use ext4_writer::{Content, FileKind, FormatOptions, Metadata, SizeRule, Timestamp, Xattrs};

#[test]
fn the_kernel_reads_what_was_written_and_writes_more() {
    let mut image = Image::new(FormatOptions::default());
    let root = image.root();
    let moments = [
        -(1_i64 << 31),
        -1,
        0,
        (1 << 31) - 1,
        1 << 31,
        1 << 32,
        0x3_7fff_ffff,
    ];
    for (n, &seconds) in moments.iter().enumerate() {
        let metadata = Metadata::new(0o640, Timestamp::new(seconds, 999_999_999));
        image
            .tree
            .insert(root, format!("t{n}").as_bytes(), FileKind::Fifo, metadata)
            .unwrap();
    }
    let many = image.directory(root, b"many");
    let mut names = Vec::new();
    for n in 0..3000_usize {
        // All lengths and all bytes.
        let name: Vec<u8> = noise(n as u64, 1 + n % 255)
            .into_iter()
            .map(|byte| if byte == b'/' { 0xff } else { byte })
            .chain(n.to_string().into_bytes())
            .take(255)
            .collect();
        if image
            .tree
            .insert(many, &name, FileKind::Socket, file())
            .is_ok()
        {
            names.push(name);
        }
    }
    let body = noise(5, 5_000_001);
    image.file(root, b"body", &body);
    let mut xattrs = Xattrs::new();
    let acl = [
        &2_u32.to_le_bytes()[..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 0xe8, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[0x10, 0, 4, 0, 255, 255, 255, 255],
        &[0x20, 0, 4, 0, 255, 255, 255, 255],
    ]
    .concat();
    xattrs.insert(b"system.posix_acl_access", &acl).unwrap();
    xattrs.insert(b"user.note", b"short").unwrap();
    xattrs.insert(b"user.long", &noise(8, 2000)).unwrap();
    let metadata = file().xattrs(xattrs).uid(70_000).gid(80_000);
    for n in 0..3 {
        let name = format!("x{n}");
        image
            .tree
            .insert(
                root,
                name.as_bytes(),
                FileKind::File(Content::empty()),
                metadata.clone(),
            )
            .unwrap();
    }
    let device = FileKind::CharacterDevice {
        major: 300,
        minor: 70_000,
    };
    image.tree.insert(root, b"device", device, file()).unwrap();
    let (image, _) = image.finish();
    {
        let Some(mount) = mount(image.path(), "rw") else {
            return;
        };
        for (n, &seconds) in moments.iter().enumerate() {
            let stat = mount
                .path(format!("t{n}").as_bytes())
                .symlink_metadata()
                .unwrap();
            assert_eq!((stat.mtime(), stat.mtime_nsec()), (seconds, 999_999_999));
            assert_eq!(stat.atime(), seconds);
            assert_eq!(stat.ctime(), seconds);
            assert!(stat.file_type().is_fifo());
        }
        for name in &names {
            let path = mount.path(b"many").join(OsStr::from_bytes(name));
            assert!(path.symlink_metadata().is_ok(), "lookup of {name:?}");
        }
        let listed = std::fs::read_dir(mount.path(b"many")).unwrap().count();
        assert_eq!(listed, names.len());
        assert!(std::fs::read(mount.path(b"body")).unwrap() == body);
        for n in 0..3 {
            let path = mount.path(format!("x{n}").as_bytes());
            let got = attributes(&path);
            assert_eq!(got[&b"system.posix_acl_access"[..]], acl);
            assert_eq!(got[&b"user.note"[..]], b"short");
            assert_eq!(got[&b"user.long"[..]], noise(8, 2000));
            assert_eq!(path.symlink_metadata().unwrap().uid(), 70_000);
        }
        let number = mount.path(b"device").symlink_metadata().unwrap().rdev();
        assert_eq!(
            (rustix::fs::major(number), rustix::fs::minor(number)),
            (300, 70_000)
        );
        // The kernel goes on from here: splits leaves, unshares attribute blocks, deletes.
        for n in 0..2000 {
            std::fs::write(mount.path(b"many").join(format!("new{n}")), b"x").unwrap();
        }
        for name in names.iter().step_by(2) {
            std::fs::remove_file(mount.path(b"many").join(OsStr::from_bytes(name))).unwrap();
        }
        rustix::fs::lsetxattr(
            mount.path(b"x1"),
            "user.note",
            b"changed",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        assert_eq!(attributes(&mount.path(b"x2"))[&b"user.note"[..]], b"short");
        std::fs::write(mount.path(b"fresh"), noise(4, 9_000_000)).unwrap();
        std::fs::remove_file(mount.path(b"body")).unwrap();
    }
    check_primary(image.path());
}

#[test]
fn offline_resize2fs_grows_and_shrinks() {
    if !have("resize2fs") {
        return;
    }
    let options = FormatOptions::default().size(SizeRule::AtLeast(512 << 20));
    let mut image = Image::new(options);
    let root = image.root();
    let body = noise(5, 20_000_001);
    image.file(root, b"body", &body);
    let (image, _) = image.finish();
    for size in ["3G", "12G", "300M", "1G"] {
        let arguments = [image.path().as_os_str(), OsStr::new(size)];
        assert!(
            run("e2fsck", &[OsStr::new("-fp"), image.path().as_os_str()])
                .status
                .success()
        );
        let output = run("resize2fs", &arguments);
        assert!(
            output.status.success(),
            "resize2fs {size}: {}",
            text(&output)
        );
        check_primary(image.path());
        assert!(view(image.path()).read("/body").unwrap() == body);
    }
}
