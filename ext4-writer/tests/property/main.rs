//! Random trees, contents and options: judged by e2fsck, read back whole by ext4-view, compared with a naive model.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;

use common::*;
use ext4_writer::{
    BlockSize, Features, FileKind, FormatOptions, HashAlgorithm, InodeSize, JournalRule, Metadata,
    NodeId, SizeRule, Timestamp, Xattrs,
};
use proptest::prelude::*;

/// What the model knows of a file: enough to compare everything that a reader shows.
#[derive(Clone, Debug, PartialEq)]
enum Model {
    Directory(Entries),
    File(Vec<Piece>),
    Symlink(Vec<u8>),
    Other(u16),
}

type Entries = BTreeMap<Vec<u8>, (Model, Attributes)>;

/// Part of a file: bytes, or a hole.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Data { seed: u64, length: usize },
    Hole(u64),
}

#[derive(Clone, Debug, PartialEq)]
struct Attributes {
    mode: u16,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanoseconds: u32,
    xattrs: Vec<(u8, usize)>,
}

fn name(highest: u8) -> impl Strategy<Value = Vec<u8>> {
    let byte = (1..=highest).prop_filter("no name has it", |byte| *byte != b'/');
    prop_oneof![
        4 => prop::collection::vec(byte.clone(), 1..12),
        1 => prop::collection::vec(byte.clone(), 200..=255),
        1 => prop::collection::vec(byte, 255..=255),
        1 => Just(b"lost+found".to_vec()),
        2 => prop::sample::select(vec![&b"-rf"[..], b"a\nb", b"a\\b", b"...", b" ", b"\t"])
            .prop_map(<[u8]>::to_vec),
    ]
    .prop_filter("no name is it", |name| {
        !matches!(name.as_slice(), b"." | b"..")
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    // ext4-view refuses times whose lower 32 bits are negative; the mounted test has those.
    let seconds = (
        0..=3_i64,
        prop_oneof![Just(0), Just(0x7fff_ffff), 0..0x8000_0000_i64],
    )
        .prop_map(|(epoch, base)| (epoch << 32) | base);
    let xattrs = prop::collection::vec(
        (
            any::<u8>(),
            prop_oneof![Just(0_usize), 1..100_usize, 300..700_usize],
        ),
        0..4,
    );
    let ids = prop_oneof![Just(0), Just(65_535), Just(65_536), any::<u32>()];
    (
        0_u16..=0o7777,
        ids.clone(),
        ids,
        seconds,
        0..1_000_000_000_u32,
        xattrs,
    )
        .prop_map(
            |(mode, uid, gid, seconds, nanoseconds, xattrs)| Attributes {
                mode,
                uid,
                gid,
                seconds,
                nanoseconds,
                xattrs,
            },
        )
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let length = prop_oneof![
        Just(0_usize),
        Just(1),
        Just(59),
        Just(60),
        Just(61),
        Just(1023),
        Just(1024),
        Just(4095),
        Just(4096),
        Just(4097),
        0..100_000_usize,
    ];
    let hole = prop_oneof![
        Just(1_u64),
        Just(4095),
        Just(4096),
        1..300_000_u64,
        Just(5_000_000)
    ];
    let piece = prop_oneof![
        2 => (any::<u64>(), length).prop_map(|(seed, length)| Piece::Data { seed, length }),
        1 => hole.prop_map(Piece::Hole),
    ];
    prop::collection::vec(piece, 0..12)
}

/// ext4-view takes only targets whose parts could be names.
fn target_of(seed: u64, length: usize) -> Vec<u8> {
    let mut target = noise(seed, length);
    target
        .iter_mut()
        .skip(150)
        .step_by(151)
        .for_each(|byte| *byte = b'/');
    target
}

fn model(highest: u8) -> impl Strategy<Value = Entries> {
    let target = prop_oneof![Just(1_usize), Just(59), Just(60), Just(1023), 1..1000_usize];
    let leaf = prop_oneof![
        4 => pieces().prop_map(Model::File),
        2 => (any::<u64>(), target).prop_map(|(seed, length)| Model::Symlink(target_of(seed, length))),
        1 => (0_u16..4).prop_map(Model::Other),
        1 => Just(Model::Directory(BTreeMap::new())),
    ];
    let tree = leaf.prop_recursive(5, 80, 30, move |inner| {
        prop::collection::btree_map(name(highest), (inner, attributes()), 0..30)
            .prop_map(Model::Directory)
    });
    prop::collection::btree_map(name(highest), (tree, attributes()), 0..30)
}

fn options() -> impl Strategy<Value = FormatOptions> {
    let optional = Features::METADATA_CSUM_SEED
        | Features::LARGE_DIR
        | Features::VERITY
        | Features::EA_INODE
        | Features::INLINE_DATA;
    (
        prop_oneof![
            Just(BlockSize::B1024),
            Just(BlockSize::B2048),
            Just(BlockSize::B4096)
        ],
        prop_oneof![
            Just(InodeSize::B256),
            Just(InodeSize::B512),
            Just(InodeSize::B1024)
        ],
        prop_oneof![
            Just(HashAlgorithm::Legacy),
            Just(HashAlgorithm::HalfMd4),
            Just(HashAlgorithm::Tea)
        ],
        prop_oneof![
            Just(SizeRule::Shrink),
            Just(SizeRule::AtLeast(0)),
            Just(SizeRule::AtLeast(200 << 20))
        ],
        any::<u32>(),
        any::<bool>(),
        0..=50_u8,
    )
        .prop_map(
            move |(block_size, inode_size, hash_algorithm, size, bits, journal, slack)| {
                let mut features =
                    Features::default() | (Features::from_bits_truncate(bits) & optional);
                if bits & (1 << 20) != 0 {
                    features.remove(Features::RESIZE_INODE);
                    if bits & (1 << 21) != 0 {
                        features.insert(Features::META_BG);
                    }
                }
                if bits & (1 << 22) != 0 {
                    features.remove(Features::SPARSE_SUPER);
                    features.insert(Features::SPARSE_SUPER2);
                }
                if bits & (1 << 23) != 0 {
                    features.remove(Features::METADATA_CSUM | Features::METADATA_CSUM_SEED);
                }
                if bits & (1 << 24) != 0 {
                    features.remove(Features::BIT64);
                }
                FormatOptions {
                    block_size,
                    inode_size,
                    hash_algorithm,
                    size,
                    features,
                    journal: if journal {
                        JournalRule::Default
                    } else {
                        JournalRule::None
                    },
                    directory_slack_percent: slack,
                    ..FormatOptions::default()
                }
            },
        )
}

fn xattrs_of(attributes: &Attributes) -> BTreeMap<Vec<u8>, Vec<u8>> {
    // Together they must fit the smallest block.
    let limit = if attributes.xattrs.len() > 1 {
        200
    } else {
        600
    };
    let one = |(seed, length): &(u8, usize)| {
        let seed = u64::from(*seed);
        let name = [&b"user."[..], &noise(seed, 1 + seed as usize % 20)].concat();
        (name, noise(seed, (*length).min(limit)))
    };
    attributes.xattrs.iter().map(one).collect()
}

fn metadata(attributes: &Attributes) -> Metadata {
    let time = Timestamp::new(attributes.seconds, attributes.nanoseconds);
    let mut xattrs = Xattrs::new();
    for (name, value) in xattrs_of(attributes) {
        xattrs.insert(&name, &value).unwrap();
    }
    Metadata {
        uid: attributes.uid,
        gid: attributes.gid,
        xattrs,
        ..Metadata::new(attributes.mode, time)
    }
}

fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Data { seed, length } => bytes.extend(noise(*seed, *length)),
            Piece::Hole(length) => bytes.resize(bytes.len() + *length as usize, 0),
        }
    }
    bytes
}

fn fill(image: &mut Image, parent: NodeId, entries: &Entries) {
    for (name, (model, attributes)) in entries {
        let kind = match model {
            Model::Directory(_) => FileKind::Directory,
            Model::Symlink(target) => FileKind::Symlink(target.clone().into()),
            Model::Other(0) => FileKind::Fifo,
            Model::Other(1) => FileKind::Socket,
            Model::Other(2) => FileKind::CharacterDevice {
                major: 1,
                minor: 300,
            },
            Model::Other(_) => FileKind::BlockDevice { major: 8, minor: 1 },
            Model::File(pieces) => {
                image.writer.begin_content(0).unwrap();
                for piece in pieces {
                    match piece {
                        Piece::Data { seed, length } => {
                            image.writer.write_content(&noise(*seed, *length)).unwrap();
                        }
                        Piece::Hole(length) => image.writer.skip_content(*length).unwrap(),
                    }
                }
                FileKind::File(image.writer.end_content().unwrap())
            }
        };
        let id = image
            .tree
            .insert(parent, name, kind, metadata(attributes))
            .unwrap();
        if let Model::Directory(entries) = model {
            fill(image, id, entries);
        }
    }
}

fn compare(view: &ext4_view::Ext4, path: &[u8], entries: &Entries, top: bool) {
    let mut names: Vec<Vec<u8>> = view
        .read_dir(ext4_view::Path::new(if top { &b"/"[..] } else { path }))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().as_ref().to_vec())
        .filter(|name| name != b"." && name != b"..")
        .filter(|name| !top || name != b"lost+found" || entries.contains_key(name))
        .collect();
    names.sort();
    let wanted: Vec<Vec<u8>> = entries.keys().cloned().collect();
    assert_eq!(names, wanted, "{}", path.escape_ascii());
    for (name, (model, attributes)) in entries {
        let path = [path, b"/", name].concat();
        let at = ext4_view::Path::new(&path);
        let seen = view.symlink_metadata(at).unwrap();
        assert_eq!(
            (seen.modified().seconds(), seen.modified().nanoseconds()),
            (attributes.seconds, attributes.nanoseconds)
        );
        assert_eq!(
            (seen.mode(), seen.uid(), seen.gid()),
            (attributes.mode, attributes.uid, attributes.gid)
        );
        match model {
            Model::Directory(entries) => {
                assert!(seen.is_dir());
                compare(view, &path, entries, false);
            }
            Model::Symlink(target) => {
                assert!(view.read_link(at).unwrap().as_ref() == target.as_slice());
            }
            Model::File(pieces) => {
                assert!(
                    view.read(at).unwrap() == bytes_of(pieces),
                    "{}",
                    path.escape_ascii()
                );
            }
            Model::Other(_) => assert!(!seen.is_dir() && !seen.is_symlink()),
        }
    }
}

/// The same comparison by the kernel, which shows attributes and device numbers, too.
fn compare_mounted(path: &std::path::Path, entries: &Entries, top: bool) {
    let mut names: Vec<Vec<u8>> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_vec())
        .filter(|name| !top || name != b"lost+found" || entries.contains_key(name))
        .collect();
    names.sort();
    assert!(names.iter().eq(entries.keys()), "{}", path.display());
    for (name, (model, attributes)) in entries {
        let path = path.join(OsStr::from_bytes(name));
        let seen = path.symlink_metadata().unwrap();
        let shown = (seen.mode() as u16 & 0o7777, seen.uid(), seen.gid());
        assert_eq!(shown, (attributes.mode, attributes.uid, attributes.gid));
        let time = (seen.mtime(), seen.mtime_nsec() as u32);
        assert_eq!(time, (attributes.seconds, attributes.nanoseconds));
        if matches!(model, Model::Directory(_) | Model::File(_)) {
            let wanted = xattrs_of(attributes);
            assert!(mount::attributes(&path) == wanted, "{}", path.display());
        }
        match model {
            Model::Directory(entries) => compare_mounted(&path, entries, false),
            Model::Symlink(target) => {
                assert!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes() == target);
            }
            Model::File(pieces) => assert!(std::fs::read(&path).unwrap() == bytes_of(pieces)),
            Model::Other(kind) => {
                let number = (
                    rustix::fs::major(seen.rdev()),
                    rustix::fs::minor(seen.rdev()),
                );
                assert_eq!(
                    number,
                    [(0, 0), (0, 0), (1, 300), (8, 1)][usize::from(*kind)]
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_are_read_back(
        (highest, entries) in prop_oneof![Just(0x7f_u8), Just(0xff)]
            .prop_flat_map(|highest| (Just(highest), model(highest))),
        options in options(),
    ) {
        // ext4-view refuses some features, and looks names up by the signed hash and no legacy one.
        let readable = highest < 0x80
            && options.hash_algorithm != HashAlgorithm::Legacy
            && !options.features.intersects(
                Features::META_BG | Features::EA_INODE | Features::INLINE_DATA | Features::LARGE_DIR,
            );
        let mut image = Image::new(options);
        let root = image.root();
        fill(&mut image, root, &entries);
        let (image, _) = image.finish();
        check_primary(image.path());
        if readable {
            compare(&view(image.path()), b"", &entries, true);
        }
        if let Some(mount) = mount::mount(image.path(), "loop,ro,nodiscard") {
            compare_mounted(&mount.path(b""), &entries, true);
        }
    }
}
