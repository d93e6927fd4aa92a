//! A tree that uses most of the format, and what must hold for it whatever the options.

use ext4_writer::{Features, FileKind, FormatOptions, SizeRule, Xattrs};

use super::*;

/// A tree that uses most of the format, large enough for several groups of 1 KiB blocks.
pub(crate) fn sample(options: FormatOptions) -> (tempfile::NamedTempFile, ext4_writer::Summary) {
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
    let metadata = file().xattrs(xattrs);
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
pub(crate) fn compare(image: &std::path::Path) {
    let Some(mount) = mount::mount(image, "ro") else {
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

pub(crate) fn judge(options: FormatOptions) -> tempfile::NamedTempFile {
    let (image, _) = sample(options);
    check_primary(image.path());
    compare(image.path());
    image
}

/// As [`judge`], and has the kernel write.
pub(crate) fn judge_writing(options: FormatOptions) -> tempfile::NamedTempFile {
    let image = judge(options);
    if mount::writes(image.path(), &["file-1", "file-2"]) {
        check_primary(image.path());
    }
    image
}

pub(crate) fn features_of(image: &std::path::Path) -> Vec<String> {
    let list = dumpe2fs(image, "Filesystem features");
    list.split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn with(features: Features) -> FormatOptions {
    let size = SizeRule::AtLeast(300 << 20);
    FormatOptions::default()
        .features(Features::default() | features)
        .size(size)
}

pub(crate) fn without(features: Features) -> FormatOptions {
    let size = SizeRule::AtLeast(300 << 20);
    FormatOptions::default()
        .features(Features::default().difference(features))
        .size(size)
}
