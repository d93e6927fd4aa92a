//! Images as text, compared with the text in `golden/`. To accept a change, run with `UPDATE_GOLDEN` set and read
//! the difference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "a person asks for an update by the environment"
)]

mod common;

use std::path::Path;

use common::*;
use ext4_writer::{
    BlockSize, Content, FileDevice, FileKind, FormatOptions, SizeRule, Xattrs, dump,
};

fn golden(name: &str, options: FormatOptions) {
    let mut image = Image::new(options);
    let root = image.root();
    let etc = image.directory(root, b"etc");
    let id = image.file(etc, b"hostname", b"vm\n");
    image.tree.link(root, b"hard", id).unwrap();
    image.file(root, b"body", &noise(1, 300_000));
    let mut content = image.writer.content(0);
    for n in 0..6 {
        content.append(&noise(n, 4096)).unwrap();
        content.hole(4096).unwrap();
    }
    let content = content.finish().unwrap();
    image
        .tree
        .insert(root, b"holes", FileKind::File(content), file())
        .unwrap();
    image.file(root, b"zeros", &[0; 20_000]);
    let target = vec![b't'; 100].into_boxed_slice();
    image
        .tree
        .insert(root, b"link", FileKind::Symlink(target), file())
        .unwrap();
    let many = image.directory(root, b"many");
    for n in 0..200 {
        let name = format!("a name that is long enough for two blocks {n}");
        image.tree.link(many, name.as_bytes(), id).unwrap();
    }
    let mut xattrs = Xattrs::new();
    xattrs.insert(b"user.long", &noise(2, 500)).unwrap();
    let metadata = file().xattrs(xattrs).uid(70_000);
    for n in 0..2 {
        let kind = FileKind::File(Content::empty());
        image
            .tree
            .insert(root, format!("x{n}").as_bytes(), kind, metadata.clone())
            .unwrap();
    }
    let (image, _) = image.finish();
    check_primary(image.path());
    let text = dump(FileDevice::new(image.reopen().unwrap())).unwrap();
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&place, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&place).unwrap();
    assert!(
        text == wanted,
        "{name} differs from what is recorded:\n{text}"
    );
}

#[test]
fn the_default_layout_is_as_recorded() {
    golden("default.txt", FormatOptions::default());
}

#[test]
fn the_read_only_layout_is_as_recorded() {
    golden("read_only.txt", FormatOptions::read_only());
}

#[test]
fn the_layout_of_small_blocks_is_as_recorded() {
    let (block_size, size) = (BlockSize::B1024, SizeRule::Exact(20 << 20));
    golden(
        "small_blocks.txt",
        FormatOptions::default().block_size(block_size).size(size),
    );
}
