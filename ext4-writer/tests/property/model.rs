//! Random trees and options, and what a reader must find.

use std::collections::BTreeMap;

use ext4_writer::{
    BlockSize, Features, FormatOptions, HashAlgorithm, InodeRule, InodeSize, JournalRule, Metadata,
    Reserved, SizeRule, Timestamp, Xattrs,
};
use proptest::prelude::*;

use crate::common::noise;

/// What the model knows of a file: enough to compare everything that a reader shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Model {
    Directory(Entries),
    File(Vec<Piece>),
    Symlink(Vec<u8>),
    Other(u16),
}

pub(crate) type Entries = BTreeMap<Vec<u8>, (Model, Attributes)>;

/// Part of a file: bytes, zeros, or a hole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Data { seed: u64, length: usize },
    Zeros(usize),
    Hole(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attributes {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
    xattrs: Vec<(u8, usize)>,
}

impl Attributes {
    /// What inodes of 128 bytes keep of it: whole seconds to 2038.
    fn shorten(&mut self) {
        self.seconds &= 0x7fff_ffff;
        self.nanoseconds = 0;
    }
}

/// Changes the model to what the options can hold.
pub(crate) fn fit(entries: &mut Entries, options: &FormatOptions) {
    let longest = options.block_size.bytes() as usize - 1;
    for (model, attributes) in entries.values_mut() {
        if options.inode_size == InodeSize::B128 {
            attributes.shorten();
        }
        match model {
            Model::Directory(entries) => fit(entries, options),
            Model::Symlink(target) => target.truncate(longest),
            Model::File(_) | Model::Other(_) => {}
        }
    }
}

pub(crate) fn name(highest: u8) -> impl Strategy<Value = Vec<u8>> {
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

pub(crate) fn attributes() -> impl Strategy<Value = Attributes> {
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

pub(crate) fn pieces() -> impl Strategy<Value = Vec<Piece>> {
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
        3 => (any::<u64>(), length.clone()).prop_map(|(seed, length)| Piece::Data { seed, length }),
        1 => length.prop_map(Piece::Zeros),
        1 => hole.prop_map(Piece::Hole),
    ];
    prop::collection::vec(piece, 0..12)
}

/// ext4-view takes only targets whose parts could be names.
pub(crate) fn target_of(seed: u64, length: usize) -> Vec<u8> {
    let mut target = noise(seed, length);
    target
        .iter_mut()
        .skip(150)
        .step_by(151)
        .for_each(|byte| *byte = b'/');
    target
}

pub(crate) fn model(highest: u8) -> impl Strategy<Value = Entries> {
    let target = prop_oneof![
        Just(1_usize),
        Just(59),
        Just(60),
        Just(1023),
        Just(2047),
        Just(4095),
        1..1000_usize
    ];
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

/// Features that need no other, nor exclude any but where [`features`] says so.
const OPTIONAL: Features = Features::METADATA_CSUM_SEED
    .union(Features::LARGE_DIR)
    .union(Features::VERITY)
    .union(Features::EA_INODE)
    .union(Features::INLINE_DATA)
    .union(Features::ORPHAN_FILE)
    .union(Features::QUOTA)
    .union(Features::PROJECT);

/// A permitted set of features for some random bits.
fn features(bits: u32, inode_size: InodeSize, journal: bool) -> Features {
    let bit = |at: u32| bits & (1 << at) != 0;
    let mut features = Features::default() | (Features::from_bits_truncate(bits) & OPTIONAL);
    if bit(20) {
        features.remove(Features::RESIZE_INODE);
        features.set(Features::META_BG, bit(21));
    }
    if bit(22) {
        features.remove(Features::SPARSE_SUPER);
        features.set(
            Features::SPARSE_SUPER2,
            bit(26) || features.contains(Features::RESIZE_INODE),
        );
    }
    if bit(23) {
        features.remove(Features::METADATA_CSUM | Features::METADATA_CSUM_SEED);
    }
    if bit(24) {
        features.remove(Features::BIT64);
    }
    if bit(25) {
        features.remove(Features::DIR_INDEX | Features::LARGE_DIR);
    }
    if !journal {
        features.remove(Features::ORPHAN_FILE);
    }
    if inode_size == InodeSize::B128 {
        features.remove(Features::INLINE_DATA | Features::PROJECT);
    }
    features
}

pub(crate) fn options() -> impl Strategy<Value = FormatOptions> {
    let block_size =
        prop::sample::select(vec![BlockSize::B1024, BlockSize::B2048, BlockSize::B4096]);
    let inode_size = prop::sample::select(vec![
        InodeSize::B128,
        InodeSize::B256,
        InodeSize::B256,
        InodeSize::B512,
        InodeSize::B1024,
    ]);
    let hash_algorithm = prop::sample::select(vec![
        HashAlgorithm::Legacy,
        HashAlgorithm::HalfMd4,
        HashAlgorithm::Tea,
    ]);
    let size = prop::sample::select(vec![
        SizeRule::Shrink,
        SizeRule::AtLeast(0),
        SizeRule::AtLeast(200 << 20),
        SizeRule::FactorWithFloor {
            percent: 150,
            floor: 0,
        },
    ]);
    let inodes = prop::sample::select(vec![
        InodeRule::default(),
        InodeRule::Count(0),
        InodeRule::BytesPerInode(4096),
    ]);
    let rest = (any::<u32>(), any::<bool>(), 0..=50_u8, 0..=1000_u16);
    (block_size, inode_size, hash_algorithm, size, inodes, rest).prop_map(
        |(block_size, inode_size, hash_algorithm, size, inodes, rest)| {
            let (bits, journal, directory_slack_percent, basis_points) = rest;
            FormatOptions::default()
                .block_size(block_size)
                .inode_size(inode_size)
                .hash_algorithm(hash_algorithm)
                .size(size)
                .inodes(inodes)
                .features(features(bits, inode_size, journal))
                .journal(if journal {
                    JournalRule::Default
                } else {
                    JournalRule::None
                })
                .directory_slack_percent(directory_slack_percent)
                .zeros_to_holes(bits & (1 << 27) != 0)
                .reserved(Reserved {
                    basis_points,
                    ..Reserved::default()
                })
        },
    )
}

pub(crate) fn xattrs_of(attributes: &Attributes) -> BTreeMap<Vec<u8>, Vec<u8>> {
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

pub(crate) fn metadata(attributes: &Attributes) -> Metadata {
    let time = Timestamp::new(attributes.seconds, attributes.nanoseconds);
    let mut xattrs = Xattrs::new();
    for (name, value) in xattrs_of(attributes) {
        xattrs.insert(&name, &value).unwrap();
    }
    Metadata::new(attributes.mode, time)
        .uid(attributes.uid)
        .gid(attributes.gid)
        .xattrs(xattrs)
}

pub(crate) fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Data { seed, length } => bytes.extend(noise(*seed, *length)),
            Piece::Zeros(length) => bytes.resize(bytes.len() + length, 0),
            Piece::Hole(length) => bytes.resize(bytes.len() + *length as usize, 0),
        }
    }
    bytes
}
