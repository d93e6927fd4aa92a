//! The Debian package, installed, used and purged in a fresh Debian root.
//!
//! `cargo test -p banger-tests --test slow_debian_package` (as root: for the root directory; with cargo-deb,
//! debootstrap and a Debian mirror)

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_tests::{repository, root, sample_image, succeed, tool};

/// The release whose libraries the program is built with, and where it is fetched from.
const RELEASE: &str = "bookworm";

#[test]
fn the_package_is_installed_used_and_purged() {
    if !(root() && tool("debootstrap") && tool("cargo-deb")) {
        return;
    }
    let package = built_package();
    let folder = tempfile::tempdir().unwrap();
    // Ordinary users of the root must be able to enter it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let debian = folder.path().join("debian");
    succeed(
        Command::new("debootstrap")
            .args(["--variant=minbase", RELEASE])
            .arg(&debian),
    );
    fs::copy(&package, debian.join("banger.deb")).unwrap();
    succeed(
        Command::new("cp")
            .arg("-r")
            .arg(sample_image())
            .arg(debian.join("sample")),
    );
    let before = files(&debian);

    inside(&debian, &["dpkg", "--install", "/banger.deb"]);
    let listed = inside(&debian, &["dpkg", "--listfiles", "banger"]);
    for file in [
        "/usr/bin/banger",
        "/usr/share/man/man1/banger.1.gz",
        "/usr/share/man/man1/banger-image-pull.1.gz",
        "/usr/share/man/man5/banger-config.5.gz",
        "/usr/share/bash-completion/completions/banger",
        "/usr/share/zsh/vendor-completions/_banger",
        "/usr/share/fish/vendor_completions.d/banger.fish",
        "/usr/share/doc/banger/copyright",
    ] {
        assert!(listed.lines().any(|line| line == file), "{file}\n{listed}");
    }
    assert!(listed.contains("systemd/system/banger.socket"), "{listed}");
    assert_eq!(inside(&debian, &["dpkg", "--verify", "banger"]), "");

    let version = inside(&debian, &["banger", "--version"]);
    assert!(version.starts_with("banger "), "{version}");
    let source = ["oci:/sample:latest", "--platform", "linux/amd64"];
    inside(
        &debian,
        &[
            &["banger", "image", "pull"][..],
            &source,
            &["--name", "sample"],
        ]
        .concat(),
    );
    let images = inside(&debian, &["banger", "image", "list", "--quiet"]);
    assert!(
        debian
            .join("var/lib/banger/images")
            .join(images.trim_end())
            .is_dir()
    );
    let of_user = ["chroot", "--userspec=65534:65534"];
    succeed(
        Command::new(of_user[0])
            .arg(of_user[1])
            .arg(&debian)
            .args([
                "env",
                "-i",
                "PATH=/usr/bin",
                "HOME=/tmp",
                "banger",
                "flatten",
            ])
            .args(source)
            .args(["--output", "/tmp/rootfs.ext4"]),
    );
    fs::remove_file(debian.join("tmp/rootfs.ext4")).unwrap();

    // Removed, it leaves what it keeps; purged, nothing.
    inside(&debian, &["dpkg", "--remove", "banger"]);
    assert!(debian.join("var/lib/banger/images").is_dir());
    inside(&debian, &["dpkg", "--purge", "banger"]);
    let left: Vec<PathBuf> = files(&debian).difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The package of a release build.
fn built_package() -> PathBuf {
    let output = repository().join("target/debian/banger.deb");
    fs::create_dir_all(output.parent().unwrap()).unwrap();
    succeed(
        Command::new(repository().join("banger/debian/build"))
            .arg("--output")
            .arg(&output)
            .current_dir(repository()),
    );
    output
}

/// Runs a command in the root; returns what it says.
fn inside(debian: &Path, words: &[&str]) -> String {
    succeed(
        Command::new("chroot")
            .arg(debian)
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root"),
    )
}

/// Every file of the root but those in which dpkg notes what it does, relative to it.
fn files(debian: &Path) -> BTreeSet<PathBuf> {
    let own = ["var/lib/dpkg", "var/log", "proc", "sys", "dev"];
    let mut found = BTreeSet::new();
    let mut waiting = vec![debian.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(debian).unwrap().to_owned();
            if own.iter().any(|own| relative.starts_with(own)) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path.clone());
            }
            found.insert(relative);
        }
    }
    found
}
