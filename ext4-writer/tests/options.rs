//! Every option that is no feature, judged by e2fsck and dumpe2fs, and read back by the kernel where it can be.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::sample::*;
use common::*;
use ext4_writer::{
    BlockSize, Error, Features, FormatOptions, HashAlgorithm, ImageWriter, InodeRule, InodeSize,
    JournalRule, MemoryDevice, MountOptions, OptionsError, Reserved, SizeRule, Timestamp,
};

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
            let options = FormatOptions::default()
                .block_size(block_size)
                .inode_size(inode_size)
                .size(size);
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
        let image = judge_writing(with(Features::empty()).hash_algorithm(hash_algorithm));
        assert_eq!(dumpe2fs(image.path(), "Default directory hash"), name);
    }
}

#[test]
fn journals_of_any_size_pass() {
    for (journal, blocks) in [
        (JournalRule::None, None),
        (JournalRule::Bytes(4 << 20), Some("1024")),
        (JournalRule::Bytes(200 << 20), Some("51200")),
    ] {
        let image = judge_writing(with(Features::empty()).journal(journal));
        match blocks {
            Some(blocks) => assert_eq!(dumpe2fs(image.path(), "Total journal blocks"), blocks),
            None => assert!(!features_of(image.path()).contains(&"has_journal".to_owned())),
        }
    }
    // Backups cut a long journal of small blocks into more extents than its inode holds.
    let options = with(Features::empty())
        .block_size(BlockSize::B1024)
        .journal(JournalRule::Bytes(100 << 20));
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
        let options = FormatOptions::default().size(SizeRule::Exact(size));
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
    let options = with(Features::empty()).inodes(InodeRule::Count(100_000));
    let image = judge_writing(options);
    // A group has at most 32,768 inodes.
    assert_eq!(
        dumpe2fs(image.path(), "Inode count"),
        (4 * 25_008).to_string()
    );
    let rule = InodeRule::BytesPerInode(4096);
    let image = judge_writing(with(Features::empty()).inodes(rule));
    assert_eq!(dumpe2fs(image.path(), "Inodes per group"), "32768");
    let options = with(Features::empty()).inodes(InodeRule::Count(1));
    let (_, summary) = sample(options);
    assert!(summary.inodes - summary.free_inodes > 3000);
}

#[test]
fn identity_is_written() {
    let options = with(Features::empty())
        .uuid(uuid::Uuid::from_bytes(*b"fedcba9876543210"))
        .hash_seed(Some(uuid::Uuid::from_bytes(*b"0123456789abcdef")))
        .label(b"sixteen bytes ab".to_vec())
        .reserved(Reserved {
            basis_points: 500,
            uid: 7,
            gid: 8,
        })
        .mount_options(MountOptions::ACL | MountOptions::DISCARD)
        .time(TIME);
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
        refused(default().features(features));
    }
    let inode_size = InodeSize::B128;
    refused(with(Features::INLINE_DATA).inode_size(inode_size));
    assert_eq!(
        refused(default().uuid(uuid::Uuid::nil())),
        OptionsError::NilUuid
    );
    refused(default().label(vec![b'x'; 17]));
    refused(default().journal(JournalRule::Bytes(1 << 20)));
    refused(default().inodes(InodeRule::BytesPerInode(100)));
    // Tables of inodes that leave no block for anything else: no size would do.
    let refusal = refused(
        default()
            .block_size(BlockSize::B1024)
            .inode_size(InodeSize::B1024)
            .inodes(InodeRule::BytesPerInode(2047)),
    );
    let expected = "inode ratio is 2047 bytes (limits 2048 and 64 MiB)";
    assert_eq!(refusal.to_string(), expected);
    refused(
        default()
            .inode_size(InodeSize::B128)
            .time(Timestamp::new(1 << 32, 0)),
    );
    refused(default().directory_slack_percent(51));
    refused(default().size(SizeRule::Exact(u64::MAX)));
}
