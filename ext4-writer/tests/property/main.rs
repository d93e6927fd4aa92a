//! Random trees, contents and options: judged by e2fsck, read back whole by ext4-view, debugfs and the kernel, compared
//! with a naive model. `PROPTEST_CASES` asks for more than the few cases of a plain run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "asks the environment how much to do"
)]

#[path = "../common/mod.rs"]
mod common;
mod model;
mod readers;

use std::os::unix::fs::MetadataExt;

use common::*;
use ext4_writer::{Features, FileKind, HashAlgorithm, InodeSize, NodeId};
use model::{Attributes, Entries, Model, Piece, fit, metadata, model, name, options};
use proptest::prelude::*;
use proptest::sample::Index;
use readers::{compare, compare_dumped, compare_mounted};

/// A file that is no directory.
struct Known {
    id: NodeId,
    path: Vec<u8>,
    entry: (Model, Attributes),
}

/// Adds entries to the image, and what is no directory to `files`.
fn fill(image: &mut Image, parent: (NodeId, &[u8]), entries: &Entries, files: &mut Vec<Known>) {
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
                let mut content = image.writer.content(0);
                for piece in pieces {
                    match piece {
                        Piece::Data { seed, length } => {
                            content.append(&noise(*seed, *length)).unwrap();
                        }
                        Piece::Zeros(length) => {
                            content.append(&vec![0; *length]).unwrap();
                        }
                        Piece::Hole(length) => content.hole(*length).unwrap(),
                    }
                }
                FileKind::File(content.finish().unwrap())
            }
        };
        let id = image
            .tree
            .insert(parent.0, name, kind, metadata(attributes))
            .unwrap();
        let path = [parent.1, b"/", name].concat();
        match model {
            Model::Directory(entries) => fill(image, (id, &path), entries, files),
            _ => files.push(Known {
                id,
                path,
                entry: (model.clone(), attributes.clone()),
            }),
        }
    }
}

/// Gives files more names in the root, in the image and in the model; returns each with the path of its first one.
fn link(
    image: &mut Image,
    entries: &mut Entries,
    links: &[(Vec<u8>, Index)],
    files: &[Known],
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let root = image.root();
    let mut made = Vec::new();
    for (name, which) in links {
        let new = image.tree.lookup(root, name).is_none() && name != b"lost+found";
        if files.is_empty() || !new {
            continue;
        }
        let file = which.get(files);
        image.tree.link(root, name, file.id).unwrap();
        entries.insert(name.clone(), file.entry.clone());
        made.push((name.clone(), file.path.clone()));
    }
    made
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = std::env::var_os("PROPTEST_CASES").map_or(12, |_| default.cases);
    ProptestConfig {
        cases,
        max_shrink_iters: default.max_shrink_iters.min(200),
        ..default
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_trees_are_read_back(
        (highest, mut entries, links) in prop_oneof![Just(0x7f_u8), Just(0xff)].prop_flat_map(|highest| {
            let links = prop::collection::vec((name(highest), any::<Index>()), 0..6);
            (Just(highest), model(highest), links)
        }),
        options in options(),
    ) {
        // ext4-view refuses some features and small inodes, and looks names up by the signed hash and no legacy one.
        let readable = highest < 0x80
            && options.inode_size != InodeSize::B128
            && options.hash_algorithm != HashAlgorithm::Legacy
            && !options.features.intersects(
                Features::META_BG | Features::EA_INODE | Features::INLINE_DATA | Features::LARGE_DIR,
            );
        fit(&mut entries, &options);
        let projects = options.features.contains(Features::PROJECT);
        let mut image = Image::new(options);
        let root = image.root();
        let mut files = Vec::new();
        fill(&mut image, (root, b""), &entries, &mut files);
        for (n, file) in files.iter().enumerate().filter(|_| projects) {
            image.tree.set_project(file.id, n as u32 % 3).unwrap();
        }
        let links = link(&mut image, &mut entries, &links, &files);
        let (image, _) = image.finish();
        check_primary(image.path());
        if have("debugfs") {
            compare_dumped(image.path(), &entries);
        }
        if readable {
            compare(&view(image.path()), b"", &entries, true);
        }
        if let Some(mount) = mount::mount(image.path(), "ro,nodiscard") {
            compare_mounted(&mount.path(b""), &entries, true);
            for (name, path) in &links {
                let first = mount.path(&path[1..]).symlink_metadata().unwrap();
                let other = mount.path(name).symlink_metadata().unwrap();
                let names = 1 + links.iter().filter(|(_, of)| of == path).count();
                assert_eq!((first.ino(), first.nlink()), (other.ino(), names as u64));
            }
        }
    }
}
