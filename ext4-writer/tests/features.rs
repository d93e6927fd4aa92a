//! Every feature that may be switched, each judged by e2fsck and dumpe2fs, and used by the kernel where it can mount.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::Write;

use common::sample::*;
use common::*;
use ext4_writer::{
    BlockSize, Content, Error, Features, FileDevice, FileKind, FormatOptions, SizeRule, Xattrs,
    dump,
};

/// Makes the sample with one feature more, and has the kernel write to it.
fn on(feature: Features, name: &str) -> tempfile::NamedTempFile {
    let image = judge_writing(with(feature));
    assert!(features_of(image.path()).contains(&name.to_owned()));
    image
}

/// Makes the sample with features less, and has the kernel write to it.
fn off(features: Features, name: &str) {
    let image = judge_writing(without(features));
    assert!(!features_of(image.path()).contains(&name.to_owned()));
}

#[test]
fn metadata_csum_seed_frees_the_uuid() {
    let image = judge(with(Features::METADATA_CSUM_SEED));
    assert!(features_of(image.path()).contains(&"metadata_csum_seed".to_owned()));
    assert!(dumpe2fs(image.path(), "Checksum seed").starts_with("0x"));
    // Without the feature this takes new checksums everywhere.
    let uuid = "01234567-89ab-4cde-8f01-23456789abcd";
    let path = image.path().to_str().unwrap();
    let output = run("tune2fs", &["-U", uuid, path]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(dumpe2fs(image.path(), "Filesystem UUID"), uuid);
    check_primary(image.path());
    compare(image.path());
    if mount::writes(image.path(), &["file-1"]) {
        check_primary(image.path());
    }
}

#[test]
fn orphan_file_takes_orphans() {
    let image = on(Features::ORPHAN_FILE, "orphan_file");
    let inode = dumpe2fs(image.path(), "Orphan file inode");
    assert!(inode.parse::<u32>().unwrap() > 11, "{inode}");
    let Some(mount) = mount::mount(image.path(), "rw") else {
        return;
    };
    // Deleted while open: orphans until they are closed.
    let open: Vec<File> = (0..300)
        .map(|n| {
            let path = mount.path(format!("orphan-{n}").as_bytes());
            let mut file = File::create(&path).unwrap();
            file.write_all(&noise(n, 9000)).unwrap();
            std::fs::remove_file(path).unwrap();
            file
        })
        .collect();
    drop(open);
    drop(mount);
    check_primary(image.path());
}

#[test]
fn inline_data_grows_out_of_its_inode() {
    let image = on(Features::INLINE_DATA, "inline_data");
    let inline = debugfs(image.path(), "stat /many/file-50");
    assert!(inline.contains("Flags: 0x10000000"), "{inline}");
    let block = debugfs(image.path(), "stat /many/file-61");
    assert!(block.contains("Flags: 0x80000"), "{block}");
    let Some(mount) = mount::mount(image.path(), "rw") else {
        return;
    };
    let path = mount.path(b"many/file-50");
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(&noise(1, 5000)).unwrap();
    drop(file);
    let wanted = [noise(50, 50), noise(1, 5000)].concat();
    assert!(std::fs::read(&path).unwrap() == wanted);
    drop(mount);
    check_primary(image.path());
}

#[test]
fn large_dir_shows_and_passes() {
    // What it is for is in the tests of scale.
    on(Features::LARGE_DIR, "large_dir");
}

#[test]
fn ea_inode_shows_and_passes() {
    on(Features::EA_INODE, "ea_inode");
}

#[test]
fn verity_shows_and_passes() {
    // A kernel that has fs-verity seals a file in the slow tests.
    on(Features::VERITY, "verity");
}

#[test]
fn quota_and_project_show_and_pass() {
    // Many kernels lack the format of quota files and refuse to write; one that has it is in the cross-crate tests.
    for (features, names) in [
        (Features::QUOTA, &["quota"][..]),
        (Features::PROJECT, &["project"]),
        (Features::QUOTA | Features::PROJECT, &["quota", "project"]),
    ] {
        let image = judge(with(features));
        let have = features_of(image.path());
        for name in ["quota", "project"] {
            assert_eq!(have.iter().any(|it| it == name), names.contains(&name));
        }
    }
}

#[test]
fn without_a_resize_inode_all_passes() {
    off(Features::RESIZE_INODE, "resize_inode");
}

#[test]
fn without_an_index_all_passes() {
    off(Features::DIR_INDEX, "dir_index");
}

#[test]
fn without_64bit_all_passes() {
    off(Features::BIT64, "64bit");
}

#[test]
fn without_checksums_all_passes() {
    off(Features::METADATA_CSUM, "metadata_csum");
}

#[test]
fn with_all_backups_all_passes() {
    off(
        Features::SPARSE_SUPER | Features::RESIZE_INODE,
        "sparse_super",
    );
}

#[test]
fn meta_bg_takes_over_where_descriptors_outgrow_their_place() {
    // A thousand times the content, in groups of 8 MiB: known only when the descriptors' place is fixed.
    let size = SizeRule::FactorWithFloor {
        percent: 100_000,
        floor: 0,
    };
    let options = FormatOptions::default()
        .block_size(BlockSize::B1024)
        .size(size);
    let mut image = Image::new(options);
    let root = image.root();
    image.directory(root, b"many");
    image.file(root, b"many-bytes", &noise(1, 18_000_000));
    let (image, summary) = image.finish();
    assert!(summary.size_bytes > 16 << 30, "{summary:?}");
    check_primary(image.path());
    check_backup(image.path(), 8193, 1024);
    let features = features_of(image.path());
    assert!(features.contains(&"meta_bg".to_owned()));
    assert!(!features.contains(&"resize_inode".to_owned()));
    if mount::writes(image.path(), &[]) {
        check_primary(image.path());
    }
}

#[test]
fn getfacl_shows_access_control_lists() {
    if !have("getfacl") {
        return;
    }
    let list = |entries: &[(u16, u16, u32)]| {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, mode, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(mode.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    };
    let nobody = u32::MAX;
    let access = list(&[
        (1, 6, nobody),
        (2, 4, 1000),
        (2, 7, 70_000),
        (4, 4, nobody),
        (8, 5, 4_000_000_000),
        (0x10, 7, nobody),
        (0x20, 0, nobody),
    ]);
    let default = list(&[(1, 7, nobody), (4, 5, nobody), (0x20, 1, nobody)]);
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"system.posix_acl_access", &access).unwrap();
    let metadata = file().mode(0o670).xattrs(xattrs.clone());
    let mut image = Image::new(with(Features::empty()));
    let root = image.root();
    let kind = FileKind::File(Content::empty());
    image
        .tree
        .insert(root, b"f", kind, metadata.clone())
        .unwrap();
    xattrs
        .insert(b"system.posix_acl_default", &default)
        .unwrap();
    let metadata = metadata.xattrs(xattrs);
    image
        .tree
        .insert(root, b"d", FileKind::Directory, metadata)
        .unwrap();
    let (image, _) = image.finish();
    check_primary(image.path());
    let Some(mount) = mount::mount(image.path(), "ro") else {
        return;
    };
    let shown = |name: &[u8]| {
        let path = mount.path(name);
        let output = run("getfacl", &["-ncpE".as_ref(), path.as_os_str()]);
        assert!(output.status.success(), "{}", text(&output));
        text(&output).trim().to_owned()
    };
    let access = "user::rw-\nuser:1000:r--\nuser:70000:rwx\ngroup::r--\ngroup:4000000000:r-x\nmask::rwx\nother::---";
    assert_eq!(shown(b"f"), access);
    let default = "default:user::rwx\ndefault:group::r-x\ndefault:other::--x";
    assert_eq!(shown(b"d"), format!("{access}\n{default}"));
}

/// The text tells of every inode in use, wherever the descriptors are.
#[test]
fn dump_finds_the_descriptors_of_meta_bg() {
    let off = Features::default().difference(Features::RESIZE_INODE);
    for features in [off | Features::META_BG, off] {
        let mut image = Image::new(
            FormatOptions::default()
                .block_size(BlockSize::B1024)
                .size(SizeRule::Exact(512 << 20))
                .features(features),
        );
        let root = image.root();
        for n in 0..40_000 {
            let name = n.to_string();
            image
                .tree
                .insert(root, name.as_bytes(), FileKind::Fifo, file())
                .unwrap();
        }
        let (image, _) = image.finish();
        check_primary(image.path());
        let text = dump(FileDevice::new(image.reopen().unwrap())).unwrap();
        let fifos = text.lines().filter(|line| line.contains(": mode 10644, "));
        assert_eq!(fifos.count(), 40_000, "{features:?}");
    }
}

/// Where it is shorter than its backup, the last group has none.
#[test]
fn two_backups_pass_whatever_the_length_of_the_last_group() {
    let features = Features::default().difference(Features::SPARSE_SUPER) | Features::SPARSE_SUPER2;
    for resize_inode in [true, false] {
        for more in [1, 2, 9, 128, 129, 130, 131, 500] {
            let mut features = features;
            features.set(Features::RESIZE_INODE, resize_inode);
            let blocks = 2 * 32_768 + more;
            let image = Image::new(
                FormatOptions::default()
                    .size(SizeRule::Exact(blocks * 4096))
                    .features(features),
            );
            let (image, summary) = image.finish();
            assert_eq!(summary.size_bytes, blocks * 4096);
            assert_eq!(image.path().metadata().unwrap().len(), blocks * 4096);
            check_primary(image.path());
        }
    }
}

#[test]
fn two_backups_pass() {
    let features = Features::default().difference(Features::SPARSE_SUPER) | Features::SPARSE_SUPER2;
    let options = with(Features::empty()).features(features);
    let image = judge_writing(options.clone());
    assert!(features_of(image.path()).contains(&"sparse_super2".to_owned()));
    assert_eq!(dumpe2fs(image.path(), "Backup block groups"), "1 2");
    let (image, _) = sample(options.clone().size(SizeRule::Exact(128 << 20)));
    check_primary(image.path());
    let (image, _) = sample(options.block_size(BlockSize::B1024));
    check_primary(image.path());
    check_backup(image.path(), 8193, 1024);
}

#[test]
fn descriptors_in_groups_pass() {
    let features = Features::default().difference(Features::RESIZE_INODE) | Features::META_BG;
    for block_size in [BlockSize::B1024, BlockSize::B4096] {
        for rest in [Features::empty(), Features::BIT64] {
            let image = judge_writing(
                with(Features::empty())
                    .features(features.difference(rest))
                    .block_size(block_size),
            );
            assert!(features_of(image.path()).contains(&"meta_bg".to_owned()));
        }
    }
}

#[test]
fn quotas_count_what_everybody_has() {
    for block_size in [BlockSize::B1024, BlockSize::B4096] {
        let mut image =
            Image::new(with(Features::QUOTA | Features::PROJECT).block_size(block_size));
        let root = image.root();
        for n in 0..3000_u32 {
            let kind = FileKind::File(image.content(&noise(u64::from(n), n as usize * 7)));
            let (uid, gid) = (n.wrapping_mul(0x0012_3457), n % 40);
            let metadata = file().uid(uid).gid(gid);
            let name = n.to_string();
            let id = image
                .tree
                .insert(root, name.as_bytes(), kind, metadata)
                .unwrap();
            image.tree.set_project(id, n % 7).unwrap();
        }
        let (image, _) = image.finish();
        // e2fsck counts for itself, and complains where the files differ.
        check_primary(image.path());
        let listed = debugfs(image.path(), "list_quota group");
        assert_eq!(listed.lines().count(), 41, "{listed}");
        assert!(debugfs(image.path(), "get_quota project 6").lines().count() >= 2);
    }
}

#[test]
fn every_owner_of_a_long_value_pays_for_it() {
    for block_size in [BlockSize::B1024, BlockSize::B4096] {
        let mut image = Image::new(
            with(Features::QUOTA | Features::PROJECT | Features::EA_INODE).block_size(block_size),
        );
        let root = image.root();
        // More owners than one block can have, so that there are several blocks with the same values.
        for n in 0..2100_u32 {
            let kind = FileKind::File(image.content(b"small"));
            let mut xattrs = Xattrs::new();
            let values = n % 3;
            for value in 0..values {
                let name = format!("user.long-{value}");
                xattrs
                    .insert(name.as_bytes(), &noise(7, 9000 + 5000 * value as usize))
                    .unwrap();
            }
            let metadata = file().uid(n % 5).gid(n).xattrs(xattrs);
            image
                .tree
                .insert(root, n.to_string().as_bytes(), kind, metadata)
                .unwrap();
        }
        let (image, _) = image.finish();
        check_primary(image.path());
        let listed = debugfs(image.path(), "get_quota group 2");
        let inodes = listed
            .lines()
            .last()
            .unwrap()
            .split_whitespace()
            .nth(4)
            .unwrap();
        assert_eq!(inodes, "3", "the file and two values: {listed}");
    }
}

#[test]
fn projects_need_their_feature() {
    let mut image = Image::new(with(Features::empty()));
    let root = image.root();
    image.tree.set_project(root, 5).unwrap();
    let Image { writer, tree, .. } = image;
    assert!(matches!(
        writer.finish(tree),
        Err(Error::ProjectWithoutFeature { path, project: 5 }) if path == "/"
    ));
}

#[test]
fn large_values_need_ea_inode() {
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.large", &noise(1, 60_000)).unwrap();
    xattrs.insert(b"user.other", &noise(2, 3000)).unwrap();
    let metadata = file().xattrs(xattrs);
    let build = |options| {
        let mut image = Image::new(options);
        let root = image.root();
        for n in 0..1500 {
            let kind = FileKind::File(Content::empty());
            image
                .tree
                .insert(root, format!("f{n}").as_bytes(), kind, metadata.clone())
                .unwrap();
        }
        let Image { writer, tree, path } = image;
        (writer.finish(tree), path)
    };
    let (result, _) = build(with(Features::empty()));
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::XattrsTooLarge { limit: 4060, .. }),
        "{error}"
    );
    let (result, image) = build(with(Features::EA_INODE));
    result.unwrap();
    check_primary(image.path());
    assert!(features_of(image.path()).contains(&"ea_inode".to_owned()));
    if let Some(mount) = mount::mount(image.path(), "rw") {
        for name in ["f0", "f1499"] {
            let got = mount::attributes(&mount.path(name.as_bytes()));
            assert!(got[&b"user.large"[..]] == noise(1, 60_000));
        }
        // The kernel drops references to shared values, and shares them itself.
        let flags = rustix::fs::XattrFlags::empty();
        for (name, seed) in [("f1", 1), ("f2", 9)] {
            let path = mount.path(name.as_bytes());
            rustix::fs::setxattr(&path, "user.large", &noise(seed, 60_000), flags).unwrap();
        }
        std::fs::remove_file(mount.path(b"f3")).unwrap();
        let got = mount::attributes(&mount.path(b"f2"));
        assert!(got[&b"user.large"[..]] == noise(9, 60_000));
        drop(mount);
        check_primary(image.path());
    }
}
