//! Every option and feature, judged by e2fsck and dumpe2fs, and read back by the kernel where it can be.

#![allow(clippy::print_stdout, reason = "says what was skipped")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use ext4_writer::{
    BlockSize, Content, Error, Features, FileKind, FormatOptions, HashAlgorithm, ImageWriter,
    InodeRule, InodeSize, JournalRule, MemoryDevice, Metadata, MountOptions, OptionsError,
    Reserved, SizeRule, Xattrs,
};

/// A tree that uses most of the format, large enough for several groups of 1 KiB blocks.
fn sample(options: FormatOptions) -> (tempfile::NamedTempFile, ext4_writer::Summary) {
    let mut image = Image::new(options);
    let root = image.root();
    let many = image.directory(root, b"many");
    for n in 0..3000_usize {
        image.file(
            many,
            format!("file-{n}").as_bytes(),
            &noise(n as u64, n % 200),
        );
    }
    image.file(root, b"body", &noise(5, 12_000_001));
    let links = image.directory(root, b"links");
    for length in [1, 59, 60, 900] {
        let target = vec![b't'; length].into_boxed_slice();
        let name = format!("l{length}");
        image
            .tree
            .insert(links, name.as_bytes(), FileKind::Symlink(target), file())
            .unwrap();
    }
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.short", b"1").unwrap();
    xattrs.insert(b"user.long", &noise(6, 600)).unwrap();
    let metadata = Metadata { xattrs, ..file() };
    for n in 0..3 {
        let kind = FileKind::File(image.content(b"has attributes"));
        image
            .tree
            .insert(root, format!("x{n}").as_bytes(), kind, metadata.clone())
            .unwrap();
    }
    image.finish()
}

/// Checks the sample with the kernel, where it mounts.
fn compare(image: &std::path::Path) {
    let Some(mount) = mount::mount(image, "loop,ro") else {
        return;
    };
    assert!(std::fs::read(mount.path(b"body")).unwrap() == noise(5, 12_000_001));
    for n in 0..3000_usize {
        let read = std::fs::read(mount.path(b"many").join(format!("file-{n}"))).unwrap();
        assert!(read == noise(n as u64, n % 200), "file-{n}");
    }
    for length in [1, 59, 60, 900] {
        let target = std::fs::read_link(mount.path(b"links").join(format!("l{length}"))).unwrap();
        assert_eq!(target.as_os_str().len(), length);
    }
    for n in 0..3 {
        let got = mount::attributes(&mount.path(format!("x{n}").as_bytes()));
        assert_eq!(got[&b"user.short"[..]], b"1");
        assert_eq!(got[&b"user.long"[..]], noise(6, 600));
        assert_eq!(
            std::fs::read(mount.path(format!("x{n}").as_bytes())).unwrap(),
            b"has attributes"
        );
    }
}

fn judge(options: FormatOptions) -> tempfile::NamedTempFile {
    let (image, _) = sample(options);
    check_primary(image.path());
    compare(image.path());
    image
}

/// As [`judge`], and has the kernel write.
fn judge_writing(options: FormatOptions) -> tempfile::NamedTempFile {
    let image = judge(options);
    if mount::writes(image.path(), &["file-1", "file-2"]) {
        check_primary(image.path());
    }
    image
}

fn features_of(image: &std::path::Path) -> Vec<String> {
    let list = dumpe2fs(image, "Filesystem features");
    list.split_whitespace().map(str::to_owned).collect()
}

fn with(features: Features) -> FormatOptions {
    let size = SizeRule::AtLeast(300 << 20);
    FormatOptions {
        features: Features::default() | features,
        size,
        ..FormatOptions::default()
    }
}

fn without(features: Features) -> FormatOptions {
    let size = SizeRule::AtLeast(300 << 20);
    FormatOptions {
        features: Features::default().difference(features),
        size,
        ..FormatOptions::default()
    }
}

#[test]
fn block_and_inode_sizes_pass() {
    for block_size in [BlockSize::B1024, BlockSize::B2048, BlockSize::B4096] {
        for inode_size in [
            InodeSize::B128,
            InodeSize::B256,
            InodeSize::B512,
            InodeSize::B1024,
        ] {
            let size = SizeRule::AtLeast(100 << 20);
            let options = FormatOptions {
                block_size,
                inode_size,
                size,
                ..FormatOptions::default()
            };
            let (image, _) = sample(options);
            check_primary(image.path());
            let blocks = u64::from(block_size.bytes()) * 8;
            let first = u64::from(block_size == BlockSize::B1024);
            if 100 << 20 > blocks * u64::from(block_size.bytes()) {
                check_backup(image.path(), blocks + first, block_size.bytes());
            }
            compare(image.path());
            assert_eq!(
                dumpe2fs(image.path(), "Block size"),
                block_size.bytes().to_string()
            );
            assert_eq!(
                dumpe2fs(image.path(), "Inode size"),
                inode_size.bytes().to_string()
            );
        }
    }
}

#[test]
fn hash_algorithms_pass() {
    for (hash_algorithm, name) in [
        (HashAlgorithm::Legacy, "legacy"),
        (HashAlgorithm::HalfMd4, "half_md4"),
        (HashAlgorithm::Tea, "tea"),
    ] {
        let image = judge_writing(FormatOptions {
            hash_algorithm,
            ..with(Features::empty())
        });
        assert_eq!(dumpe2fs(image.path(), "Default directory hash"), name);
    }
}

#[test]
fn each_feature_shows_and_passes() {
    for (feature, name) in [
        (Features::METADATA_CSUM_SEED, "metadata_csum_seed"),
        (Features::LARGE_DIR, "large_dir"),
        (Features::VERITY, "verity"),
        (Features::EA_INODE, "ea_inode"),
        (Features::INLINE_DATA, "inline_data"),
        (Features::ORPHAN_FILE, "orphan_file"),
        (Features::QUOTA, "quota"),
        (Features::PROJECT, "project"),
        (Features::QUOTA | Features::PROJECT, "quota"),
    ] {
        // Many kernels are built without the format of quota files and mount such images read-only.
        let quota = feature.intersects(Features::QUOTA | Features::PROJECT);
        let image = if quota {
            judge(with(feature))
        } else {
            judge_writing(with(feature))
        };
        assert!(
            features_of(image.path()).iter().any(|have| have == name),
            "{name}"
        );
    }
    for (feature, name) in [
        (Features::RESIZE_INODE, "resize_inode"),
        (Features::DIR_INDEX, "dir_index"),
        (Features::BIT64, "64bit"),
        (Features::METADATA_CSUM, "metadata_csum"),
        (
            Features::SPARSE_SUPER | Features::RESIZE_INODE,
            "sparse_super",
        ),
    ] {
        let image = judge_writing(without(feature));
        assert!(
            !features_of(image.path()).iter().any(|have| have == name),
            "{name}"
        );
    }
}

#[test]
fn two_backups_pass() {
    let features = Features::default().difference(Features::SPARSE_SUPER) | Features::SPARSE_SUPER2;
    let options = FormatOptions {
        features,
        ..with(Features::empty())
    };
    let image = judge_writing(options.clone());
    assert!(features_of(image.path()).contains(&"sparse_super2".to_owned()));
    assert_eq!(dumpe2fs(image.path(), "Backup block groups"), "1 2");
    let (image, _) = sample(FormatOptions {
        size: SizeRule::Exact(128 << 20),
        ..options.clone()
    });
    check_primary(image.path());
    let (image, _) = sample(FormatOptions {
        block_size: BlockSize::B1024,
        ..options
    });
    check_primary(image.path());
    check_backup(image.path(), 8193, 1024);
}

#[test]
fn descriptors_in_groups_pass() {
    let features = Features::default().difference(Features::RESIZE_INODE) | Features::META_BG;
    for block_size in [BlockSize::B1024, BlockSize::B4096] {
        for rest in [Features::empty(), Features::BIT64] {
            let image = judge_writing(FormatOptions {
                features: features.difference(rest),
                block_size,
                ..with(Features::empty())
            });
            assert!(features_of(image.path()).contains(&"meta_bg".to_owned()));
        }
    }
}

#[test]
fn journals_of_any_size_pass() {
    for (journal, blocks) in [
        (JournalRule::None, None),
        (JournalRule::Bytes(4 << 20), Some("1024")),
        (JournalRule::Bytes(200 << 20), Some("51200")),
    ] {
        let image = judge_writing(FormatOptions {
            journal,
            ..with(Features::empty())
        });
        match blocks {
            Some(blocks) => assert_eq!(dumpe2fs(image.path(), "Total journal blocks"), blocks),
            None => assert!(!features_of(image.path()).contains(&"has_journal".to_owned())),
        }
    }
    // Backups cut a long journal of small blocks into more extents than its inode holds.
    let options = FormatOptions {
        block_size: BlockSize::B1024,
        journal: JournalRule::Bytes(100 << 20),
        ..with(Features::empty())
    };
    let image = judge_writing(options);
    assert_eq!(dumpe2fs(image.path(), "Total journal blocks"), "102400");
}

#[test]
fn journals_are_as_long_as_mke2fs_makes_them() {
    if !have("mke2fs") || !have("dumpe2fs") {
        return;
    }
    let mib = [
        8_u64, 127, 128, 129, 1023, 1024, 2047, 2048, 16_383, 16_384, 32_768, 65_536, 131_072,
    ];
    for size in mib.map(|mib| mib << 20) {
        let options = FormatOptions {
            size: SizeRule::Exact(size),
            ..FormatOptions::default()
        };
        let (image, _) = Image::new(options).finish();
        let theirs = tempfile::NamedTempFile::new().unwrap();
        theirs.as_file().set_len(size).unwrap();
        let path = theirs.path().to_str().unwrap();
        assert!(
            run("mke2fs", &["-q", "-t", "ext4", "-b", "4096", path])
                .status
                .success()
        );
        let key = "Total journal blocks";
        assert_eq!(
            dumpe2fs(image.path(), key),
            dumpe2fs(theirs.path(), key),
            "{size}"
        );
        check_primary(image.path());
    }
}

#[test]
fn inode_rules_are_followed() {
    let options = FormatOptions {
        inodes: InodeRule::Count(100_000),
        ..with(Features::empty())
    };
    let image = judge_writing(options);
    // A group has at most 32,768 inodes.
    assert_eq!(
        dumpe2fs(image.path(), "Inode count"),
        (4 * 25_008).to_string()
    );
    let rule = InodeRule::BytesPerInode(4096);
    let image = judge_writing(FormatOptions {
        inodes: rule,
        ..with(Features::empty())
    });
    assert_eq!(dumpe2fs(image.path(), "Inodes per group"), "32768");
    let options = FormatOptions {
        inodes: InodeRule::Count(1),
        ..with(Features::empty())
    };
    let (_, summary) = sample(options);
    assert!(summary.inodes - summary.free_inodes > 3000);
}

#[test]
fn identity_is_written() {
    let options = FormatOptions {
        uuid: uuid::Uuid::from_bytes(*b"fedcba9876543210"),
        hash_seed: Some(uuid::Uuid::from_bytes(*b"0123456789abcdef")),
        label: b"sixteen bytes ab".to_vec(),
        reserved: Reserved {
            basis_points: 500,
            uid: 7,
            gid: 8,
        },
        mount_options: MountOptions::ACL | MountOptions::DISCARD,
        time: TIME,
        ..with(Features::empty())
    };
    let image = judge_writing(options);
    let value = |key| dumpe2fs(image.path(), key);
    assert_eq!(
        value("Filesystem UUID"),
        "66656463-6261-3938-3736-353433323130"
    );
    assert_eq!(
        value("Directory Hash Seed"),
        "30313233-3435-3637-3839-616263646566"
    );
    assert_eq!(value("Filesystem volume name"), "sixteen bytes ab");
    assert_eq!(value("Reserved block count"), (3 * 32_768 / 20).to_string());
    assert!(value("Reserved blocks uid").starts_with("7 "));
    assert_eq!(value("Default mount options"), "acl discard");
    assert_eq!(value("Filesystem created"), "Tue Nov 14 22:13:20 2023");
}

#[test]
fn quotas_count_what_everybody_has() {
    for block_size in [BlockSize::B1024, BlockSize::B4096] {
        let mut image = Image::new(FormatOptions {
            block_size,
            ..with(Features::QUOTA | Features::PROJECT)
        });
        let root = image.root();
        for n in 0..3000_u32 {
            let kind = FileKind::File(image.content(&noise(u64::from(n), n as usize * 7)));
            let (uid, gid) = (n.wrapping_mul(0x0012_3457), n % 40);
            let metadata = Metadata { uid, gid, ..file() };
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
fn projects_need_their_feature() {
    let mut image = Image::new(with(Features::empty()));
    let root = image.root();
    image.tree.set_project(root, 5).unwrap();
    let Image { writer, tree, .. } = image;
    assert!(matches!(
        writer.finish(tree),
        Err(Error::Limit {
            value: 5,
            limit: 0,
            ..
        })
    ));
}

#[test]
fn large_values_need_ea_inode() {
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.large", &noise(1, 60_000)).unwrap();
    xattrs.insert(b"user.other", &noise(2, 3000)).unwrap();
    let metadata = Metadata { xattrs, ..file() };
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
    if let Some(mount) = mount::mount(image.path(), "loop,ro") {
        for name in ["f0", "f1499"] {
            let got = mount::attributes(&mount.path(name.as_bytes()));
            assert!(got[&b"user.large"[..]] == noise(1, 60_000));
        }
    }
}

#[test]
fn forbidden_combinations_are_refused() {
    let refused = |options: FormatOptions| {
        let device = MemoryDevice::new();
        match ImageWriter::new(&device, options) {
            Err(Error::Options(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let default = FormatOptions::default;
    let all = Features::all();
    for features in [
        Features::METADATA_CSUM_SEED,
        Features::LARGE_DIR,
        Features::RESIZE_INODE,
        Features::META_BG | Features::RESIZE_INODE | Features::SPARSE_SUPER,
        Features::SPARSE_SUPER | Features::SPARSE_SUPER2,
        all,
    ] {
        refused(FormatOptions {
            features,
            ..default()
        });
    }
    let inode_size = InodeSize::B128;
    refused(FormatOptions {
        inode_size,
        ..with(Features::INLINE_DATA)
    });
    assert_eq!(
        refused(FormatOptions {
            uuid: uuid::Uuid::nil(),
            ..default()
        }),
        OptionsError::NilUuid
    );
    refused(FormatOptions {
        label: vec![b'x'; 17],
        ..default()
    });
    refused(FormatOptions {
        journal: JournalRule::Bytes(1 << 20),
        ..default()
    });
    refused(FormatOptions {
        inodes: InodeRule::BytesPerInode(100),
        ..default()
    });
    refused(FormatOptions {
        directory_slack_percent: 51,
        ..default()
    });
    refused(FormatOptions {
        size: SizeRule::Exact(u64::MAX),
        ..default()
    });
}
