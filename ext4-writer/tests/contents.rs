//! Contents that cannot be misused, and trees that can be looked through and changed before they are written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;

use common::*;
use ext4_writer::{
    Content, Error, FileKind, FileTree, FormatOptions, ImageWriter, MemoryDevice, Metadata,
    SizeRule, TreeError, Xattrs, dump,
};

fn writer() -> ImageWriter<MemoryDevice> {
    ImageWriter::new(MemoryDevice::new(), FormatOptions::default()).unwrap()
}

#[test]
fn a_content_that_is_dropped_gives_its_blocks_back() {
    let marker = b"this was never finished";
    let mut image = Image::new(FormatOptions::default().size(SizeRule::Shrink));
    let mut content = image.writer.content(1 << 20);
    content.write_all(&marker.repeat(100_000)).unwrap();
    drop(content);
    let root = image.root();
    image.file(root, b"kept", &noise(1, 100_000));
    let (image, summary) = image.finish();
    check(image.path());
    assert!(summary.size_bytes < 12 << 20, "{summary:?}");
    let bytes = std::fs::read(image.path()).unwrap();
    assert!(!bytes.windows(marker.len()).any(|window| window == marker));
}

#[test]
fn contents_that_arrive_in_turns_are_kept_apart() {
    let mut image = Image::new(FormatOptions::default());
    let root = image.root();
    let mut open: Vec<_> = (0..5)
        .map(|_| Some(image.writer.content(0).suspend().unwrap()))
        .collect();
    for round in 0..40 {
        for (n, content) in open.iter_mut().enumerate() {
            let mut writer = image.writer.resume(content.take().unwrap()).unwrap();
            writer.append(&noise(n as u64, 1000 * n)).unwrap();
            if round % 7 == n {
                writer.hole(9000).unwrap();
            }
            *content = Some(writer.suspend().unwrap());
        }
    }
    for (n, content) in open.into_iter().enumerate() {
        let writer = image.writer.resume(content.unwrap()).unwrap();
        let kind = FileKind::File(writer.finish().unwrap());
        let name = format!("f{n}");
        image
            .tree
            .insert(root, name.as_bytes(), kind, file())
            .unwrap();
    }
    let (image, _) = image.finish();
    check(image.path());
    for n in 0..5 {
        let mut wanted = Vec::new();
        for round in 0..40 {
            wanted.extend(noise(n as u64, 1000 * n));
            if round % 7 == n {
                wanted.resize(wanted.len() + 9000, 0);
            }
        }
        let path = format!("/f{n}");
        assert!(
            view(image.path()).read(path.as_str()).unwrap() == wanted,
            "{path}"
        );
    }
}

#[test]
fn what_belongs_to_another_image_or_tree_is_refused() {
    let (mut one, mut other) = (writer(), writer());
    let foreign = || Error::ForeignContent.to_string();
    let content = |writer: &mut ImageWriter<MemoryDevice>| {
        let mut content = writer.content(0);
        content.append(b"bytes").unwrap();
        content.finish().unwrap()
    };
    let theirs = content(&mut other);
    assert_eq!(one.release(theirs).unwrap_err().to_string(), foreign());
    let suspended = other.content(0).suspend().unwrap();
    assert_eq!(one.resume(suspended).unwrap_err().to_string(), foreign());
    // Nobody's content is anybody's.
    one.release(Content::empty()).unwrap();
    let mut tree = FileTree::new(directory()).unwrap();
    let etc = tree
        .insert(tree.root(), b"etc", FileKind::Directory, directory())
        .unwrap();
    let kind = FileKind::File(content(&mut other));
    tree.insert(etc, b"passwd", kind, file()).unwrap();
    let error = one.finish(tree).unwrap_err();
    assert!(
        matches!(&error, Error::ForeignFile { path } if path == "etc/passwd"),
        "{error}"
    );

    let mut tree: FileTree<()> = FileTree::new(directory()).unwrap();
    let mut other: FileTree<()> = FileTree::new(directory()).unwrap();
    let theirs = other
        .insert(other.root(), b"d", FileKind::Directory, directory())
        .unwrap();
    let root = tree.root();
    let refused = [
        tree.insert(theirs, b"a", FileKind::Fifo, file()).map(drop),
        tree.link(root, b"a", theirs),
        tree.link(theirs, b"a", root),
        tree.remove(theirs, b"a").map(drop),
        tree.replace(theirs, b"a", FileKind::Fifo, file()).map(drop),
        tree.set_metadata(theirs, directory()),
        tree.set_project(theirs, 1),
        tree.set_content(theirs, ()),
        tree.rename(theirs, b"a", root, b"b"),
        tree.rename(root, b"a", theirs, b"b"),
    ];
    for (n, result) in refused.into_iter().enumerate() {
        assert_eq!(result, Err(TreeError::ForeignNode), "call {n}");
    }
    assert_eq!(tree.lookup(theirs, b"a"), None);
    assert_eq!((tree.kind(theirs), tree.metadata(theirs)), (None, None));
    assert_eq!(tree.children(theirs).count(), 0);
}

#[test]
fn a_tree_shows_what_was_put_into_it() {
    let mut tree = FileTree::new(directory()).unwrap();
    let root = tree.root();
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.note", b"kept").unwrap();
    let metadata = Metadata::new(0o4711, TIME)
        .uid(7)
        .gid(70_000)
        .xattrs(xattrs);
    let usr = tree
        .insert(root, b"usr", FileKind::Directory, directory())
        .unwrap();
    let kinds = [
        FileKind::File(5),
        FileKind::Symlink(b"target"[..].into()),
        FileKind::CharacterDevice {
            major: 4095,
            minor: 1_048_575,
        },
        FileKind::BlockDevice { major: 8, minor: 1 },
        FileKind::Fifo,
        FileKind::Socket,
    ];
    for (n, kind) in kinds.iter().enumerate() {
        let name = format!("f{n}");
        let id = tree
            .insert(usr, name.as_bytes(), kind.clone(), metadata.clone())
            .unwrap();
        let shown = match kind {
            FileKind::File(content) => FileKind::File(content),
            FileKind::Symlink(target) => FileKind::Symlink(target.clone()),
            FileKind::CharacterDevice { major, minor } => FileKind::CharacterDevice {
                major: *major,
                minor: *minor,
            },
            FileKind::BlockDevice { major, minor } => FileKind::BlockDevice {
                major: *major,
                minor: *minor,
            },
            FileKind::Fifo => FileKind::Fifo,
            _ => FileKind::Socket,
        };
        assert_eq!(tree.kind(id), Some(shown));
        assert_eq!(tree.metadata(id), Some(metadata.clone()));
        assert_eq!(tree.find(format!("/usr//./{name}").as_bytes()), Some(id));
    }
    let names: Vec<_> = tree
        .children(usr)
        .map(|child| child.name.to_vec())
        .collect();
    assert_eq!(names, ["f0", "f1", "f2", "f3", "f4", "f5"].map(Vec::from));
    assert_eq!((tree.parent(usr), tree.parent(root)), (Some(root), None));
    assert_eq!(
        (tree.kind(root), tree.kind(usr)),
        (Some(FileKind::Directory), Some(FileKind::Directory))
    );
    let file = tree.find(b"usr/f0").unwrap();
    tree.link(root, b"hard", file).unwrap();
    assert_eq!(tree.names(file), 2);
    assert_eq!(tree.set_content(file, 6), Ok(5));
    assert_eq!(tree.content(file), Some(&6));
    let error = tree.set_content(usr, 7).unwrap_err();
    assert!(matches!(error, TreeError::NotAFile { path } if path == "usr"));
    assert_eq!(
        (tree.find(b"usr/f0/x"), tree.find(b"usr/../usr")),
        (None, None)
    );
    tree.remove(root, b"usr").unwrap();
    assert_eq!(tree.set_project(usr, 1), Err(TreeError::Removed));
    assert_eq!(
        (tree.kind(usr), tree.metadata(usr), tree.names(usr)),
        (None, None, 0)
    );
    assert_eq!(tree.names(file), 1);
}

#[test]
fn renamed_files_and_directories_keep_what_they_are() {
    let mut image = Image::new(FormatOptions::default());
    let root = image.root();
    let (a, b) = (image.directory(root, b"a"), image.directory(root, b"b"));
    let inner = image.directory(a, b"inner");
    image.file(inner, b"file", b"content\n");
    let tree = &mut image.tree;
    tree.rename(root, b"a", b, b"moved").unwrap();
    tree.rename(inner, b"file", root, b"file").unwrap();
    tree.rename(root, b"file", root, b"file").unwrap();
    for (parent, name, to, new) in [(root, &b"b"[..], b, &b"b"[..]), (root, b"b", inner, b"b")] {
        let error = tree.rename(parent, name, to, new).unwrap_err();
        assert!(matches!(error, TreeError::IntoItself { .. }), "{error}");
    }
    let error = tree.rename(root, b"file", root, b"b").unwrap_err();
    assert!(matches!(error, TreeError::Exists { .. }), "{error}");
    let error = tree.rename(root, b"none", root, b"c").unwrap_err();
    assert!(matches!(error, TreeError::NotFound { .. }), "{error}");
    assert_eq!(tree.find(b"b/moved/inner"), Some(inner));
    assert_eq!(tree.parent(a), Some(b));
    let (image, _) = image.finish();
    check(image.path());
    assert_eq!(view(image.path()).read("/file").unwrap(), b"content\n");
}

/// `{:#}` of an error shows each cause once, and the kind of a device's error stays.
#[test]
fn causes_are_said_once() {
    let device = Error::Device {
        operation: "write",
        offset: 4096,
        length: 1,
        source: std::io::ErrorKind::StorageFull.into(),
    };
    assert_eq!(
        chain(&device),
        "write 1 bytes at offset 4096 of the image: no storage space"
    );
    let error = std::io::Error::from(device);
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let inner = error.into_inner().unwrap().downcast::<Error>().unwrap();
    assert!(inner.is_no_space());
    let source = Xattrs::new().insert(b"none", b"").unwrap_err();
    let path = "etc/listed".to_owned();
    assert_eq!(
        chain(&TreeError::Xattr { path, source }),
        "extended attribute cannot be stored: etc/listed: extended attribute has no namespace of ext4: none"
    );
    let error = dump(MemoryDevice::new()).unwrap_err();
    assert_eq!(chain(&error), "device holds no ext4 filesystem");
}
