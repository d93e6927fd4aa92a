//! Paths that are given for a source without the prefix that says what they hold.

#![cfg_attr(
    not(test),
    expect(
        clippy::disallowed_methods,
        reason = "the user names these paths, and they may lead through links"
    )
)]

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// Transports of skopeo that are not read here, and what brings their images here.
const OTHER_TRANSPORTS: [(&str, &str); 6] = [
    (
        "containers-storage",
        "copy it with `skopeo copy containers-storage:IMAGE oci:DIR`, and take oci:DIR",
    ),
    (
        "docker-daemon",
        "use `docker save IMAGE | banger flatten docker-archive:- …`",
    ),
    (
        "ostree",
        "copy it with `skopeo copy ostree:IMAGE oci:DIR`, and take oci:DIR",
    ),
    (
        "sif",
        "copy it with `skopeo copy sif:FILE oci:DIR`, and take oci:DIR",
    ),
    (
        "dir",
        "copy it with `skopeo copy dir:DIR oci:OTHER`, and take oci:OTHER",
    ),
    (
        "file",
        "put the prefix for what it holds before the path: `oci:`, `oci-archive:`, `docker-archive:` or `tar:`",
    ),
];

/// Prefixes of sources that are read.
const PREFIXES: [&str; 5] = ["oci", "oci-archive", "docker-archive", "tar", "docker"];

/// Refuses a path on this machine that stands without a prefix: as it is, it would be looked for in a registry.
///
/// A name that may also be an image of a registry (`debian`) is one, unless an archive or an image layout of that name
/// is there.
///
/// # Errors
///
/// [`ErrorKind::Usage`], with what to write in its place.
pub fn refuse_bare_path(source: &str) -> Result<(), Error> {
    let usage =
        |message: String, hint: String| Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
    let (word, rest) = source.split_once(':').unwrap_or_default();
    if PREFIXES.contains(&word) {
        return Ok(());
    }
    if let Some((name, hint)) = OTHER_TRANSPORTS.iter().find(|(name, _)| *name == word) {
        // These two might be repositories of a registry.
        let is_repository =
            matches!(*name, "dir" | "file") && !rest.starts_with('/') && !Path::new(rest).exists();
        return match is_repository {
            true => Ok(()),
            false => usage(format!("{name}: is not read"), (*hint).to_owned()),
        };
    }
    let is_path = matches!(source, "." | "..")
        || source.ends_with('/')
        || ["/", "./", "../", "~"]
            .iter()
            .any(|start| source.starts_with(start));
    let (before_tag, _) = source.split_once([':', '@']).unwrap_or((source, ""));
    for path in [source, before_tag] {
        if let Some((what, prefix)) = found_at(Path::new(path), is_path) {
            let message =
                format!("{path} is {what} on this machine, and no prefix says how to read it");
            return usage(message, advice(source, prefix, is_path));
        }
    }
    if is_path {
        let hint = "`oci:` or `tar:` goes before a path; an image of a registry has a name such as debian:bookworm";
        return usage(
            format!("{source} is a path, and nothing is there"),
            hint.to_owned(),
        );
    }
    Ok(())
}

/// What is at `path`, with the prefix for it. What might be a name, too, must be a layout, or a file that is an archive or
/// is called like a file.
fn found_at(path: &Path, is_path: bool) -> Option<(&'static str, &'static str)> {
    if path.is_dir() {
        return match is_layout(path) {
            true => Some(("an OCI image layout", "oci:")),
            false => is_path.then_some(("a directory", "oci:")),
        };
    }
    let is_called_so = path.extension().is_some() || path.components().count() > 1;
    let is_meant = path.is_file() && (is_path || is_called_so || is_archive(path));
    is_meant.then_some(("a file", "tar:"))
}

/// What to write in place of `source`.
fn advice(source: &str, prefix: &str, is_path: bool) -> String {
    let others = match prefix {
        "tar:" => ", or `oci-archive:` or `docker-archive:` where it holds an image",
        _ => "",
    };
    let registry = match is_path {
        true => String::new(),
        false => format!("; an image of that name in a registry is docker://{source}"),
    };
    format!("`{prefix}` goes before the path: {prefix}{source}{others}{registry}")
}

/// Whether a directory is an OCI image layout.
fn is_layout(directory: &Path) -> bool {
    ["oci-layout", "index.json"]
        .iter()
        .any(|name| directory.join(name).is_file())
}

/// Whether a file begins as a tar does, or as a compressed one.
fn is_archive(file: &Path) -> bool {
    const COMPRESSED: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        &[0x28, 0xb5, 0x2f, 0xfd],
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
        b"BZh",
    ];
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(512).read_to_end(&mut start));
    read.is_ok()
        && (COMPRESSED.iter().any(|magic| start.starts_with(magic))
            || start.get(257..262) == Some(b"ustar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_prefix_is_told_from_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut header = vec![0; 512];
        header[257..262].copy_from_slice(b"ustar");
        std::fs::write(path("rootfs.tar"), &header).unwrap();
        std::fs::write(path("rootfs.tar.gz"), [0x1f, 0x8b, 8]).unwrap();
        std::fs::write(path("text"), "text").unwrap();
        std::fs::create_dir_all(path("layout")).unwrap();
        std::fs::write(path("layout/oci-layout"), "{}").unwrap();
        std::fs::create_dir_all(path("debian")).unwrap();
        let at = |name: &str| path(name).display().to_string();
        for (source, hint) in [
            (at("rootfs.tar"), "tar:/"),
            (at("rootfs.tar.gz"), "tar:/"),
            (at("text"), "tar:/"),
            (at("layout"), "oci:/"),
            (at("layout") + ":v1", "oci:/"),
            (at("layout") + "@sha256:abc", "oci:/"),
            (at("debian"), "oci:/"),
            (at("nothing"), "goes before a path"),
            ("./nothing".to_owned(), "goes before a path"),
            ("..".to_owned(), "oci:.."),
            ("src/".to_owned(), "oci:src/"),
            // Files of this package, where tests run.
            ("Cargo.toml".to_owned(), "docker://Cargo.toml"),
            ("src/lib.rs".to_owned(), "docker://src/lib.rs"),
            ("~/x".to_owned(), "goes before a path"),
            ("dir:".to_owned() + &at("debian"), "skopeo copy dir:"),
            ("file:".to_owned() + &at("text"), "before the path"),
            (
                "containers-storage:x".to_owned(),
                "skopeo copy containers-storage:",
            ),
            ("docker-daemon:x:y".to_owned(), "docker save"),
        ] {
            let error = refuse_bare_path(&source).expect_err(&source);
            assert_eq!(error.kind(), ErrorKind::Usage, "{source}");
            assert!(
                error.hint().unwrap().contains(hint),
                "{source}: {:?}",
                error.hint()
            );
        }
        for source in [
            "debian",
            "debian:bookworm",
            "src",
            "dir:latest",
            "file:latest",
            "r.example:5000/a/b@sha256:abc",
            "oci:./x",
            "tar:-",
            "docker://rootfs.tar",
        ] {
            assert!(refuse_bare_path(source).is_ok(), "{source}");
        }
    }
}
