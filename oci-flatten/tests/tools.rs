//! Archives that other tools write: ours must read the very tree that they were made of.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

#[path = "support/tools.rs"]
mod tools;
#[path = "support/trees.rs"]
mod trees;

use trees::{Tree, assert_same, merged, of_host};

/// Everything that a format may hold at all: what it cannot is left out by `long` and `special`.
fn make_tree(root: &Path, long: bool, special: bool) {
    let at = |name: &str| root.join(name);
    fs::create_dir(at("directory")).expect("directory is made");
    fs::write(at("directory/file"), "a file").expect("file is written");
    fs::write(at("empty"), "").expect("file is written");
    fs::hard_link(at("directory/file"), at("hard")).expect("link is made");
    symlink("directory/file", at("symbolic")).expect("link is made");
    symlink("/nowhere/../at/all", at("directory/dangling")).expect("link is made");
    fs::set_permissions(at("empty"), fs::Permissions::from_mode(0o4711)).expect("mode is set");
    fs::set_permissions(at("directory"), fs::Permissions::from_mode(0o1750)).expect("mode is set");
    let sparse = File::create(at("sparse")).expect("file is made");
    for index in 0..30u64 {
        sparse
            .write_all_at(&[b'x'; 5000], index * (1 << 17) + 123)
            .expect("file is written");
    }
    sparse.set_len(5 << 20).expect("file is cut");
    File::create(at("hole"))
        .and_then(|file| file.set_len(1 << 20))
        .expect("file is made");
    if long {
        let deep = format!("directory/{}", format!("{}/", "d".repeat(90)).repeat(4));
        fs::create_dir_all(at(&deep)).expect("directory is made");
        let name = format!("{deep}{}", "n".repeat(255));
        fs::write(at(&name), "deep").expect("file is written");
        fs::hard_link(at(&name), at("link-to-long")).expect("link is made");
        symlink("t".repeat(300), at("long-target")).expect("link is made");
    }
    if special {
        let made = Command::new("mkfifo")
            .arg(at("pipe"))
            .status()
            .expect("mkfifo runs");
        assert!(made.success());
    }
}

/// Gives all files a time that the format can hold.
fn set_times(root: &Path, nanoseconds: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, nanoseconds);
    for name in ["directory/file", "empty", "sparse", "hole"] {
        let file = File::options()
            .write(true)
            .open(root.join(name))
            .expect("file opens");
        file.set_times(FileTimes::new().set_modified(time))
            .expect("time is set");
    }
}

/// Leaves out what the format cannot hold: fractions of seconds.
fn rounded(mut tree: Tree, nanoseconds: bool) -> Tree {
    if !nanoseconds {
        tree.values_mut().for_each(|facts| facts.mtime.1 = 0);
    }
    tree
}

struct Format {
    arguments: &'static [&'static str],
    long: bool,
    nanoseconds: bool,
    special: bool,
}

const fn format(arguments: &'static [&'static str], long: bool, nanoseconds: bool) -> Format {
    Format {
        arguments,
        long,
        nanoseconds,
        special: true,
    }
}

fn check(tool: &str, command: &[&str], format: &Format) {
    let scratch = tempfile::tempdir().expect("directory is made");
    let root = scratch.path().join("root");
    fs::create_dir(&root).expect("directory is made");
    make_tree(&root, format.long, format.special);
    set_times(&root, if format.nanoseconds { 123_456_789 } else { 0 });
    let archive = scratch.path().join("archive.tar");
    let output = Command::new(command[0])
        .args(&command[1..])
        .args(format.arguments)
        .arg(&archive)
        .args(["-C".as_ref(), root.as_os_str(), ".".as_ref()])
        .output()
        .expect("tool runs");
    assert!(
        output.status.success(),
        "{tool}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let layer = fs::read(&archive).expect("archive is readable");
    let ours = rounded(
        merged(&[layer]).expect("archive merges"),
        format.nanoseconds,
    );
    let theirs = rounded(of_host(&root), format.nanoseconds);
    assert_same(&ours, &theirs, &format!("{tool} {:?}", format.arguments));
}

#[test]
fn gnu_tar() {
    if !tools::is_there("tar") {
        return;
    }
    for format in [
        format(&["--format=v7", "-cf"], false, false),
        format(&["--format=ustar", "-cf"], false, false),
        format(&["--format=oldgnu", "-cf"], true, false),
        format(&["--format=gnu", "-cf"], true, false),
        format(&["--format=gnu", "--sparse", "-cf"], true, false),
        format(&["--format=oldgnu", "--sparse", "-cf"], true, false),
        format(&["--format=posix", "-cf"], true, true),
        format(
            &["--format=posix", "--sparse", "--sparse-version=0.0", "-cf"],
            true,
            true,
        ),
        format(
            &["--format=posix", "--sparse", "--sparse-version=0.1", "-cf"],
            true,
            true,
        ),
        format(
            &["--format=posix", "--sparse", "--sparse-version=1.0", "-cf"],
            true,
            true,
        ),
    ] {
        let special = !format.arguments[0].ends_with("v7");
        check("tar", &["tar"], &Format { special, ..format });
    }
}

#[test]
fn bsdtar() {
    if !tools::is_there("bsdtar") {
        return;
    }
    for format in [
        format(&["--format=ustar", "-cf"], false, false),
        format(&["--format=gnutar", "-cf"], true, false),
        format(&["--format=pax", "-cf"], true, true),
        format(&["--format=pax", "--no-read-sparse", "-cf"], true, true),
        format(&["--format=rpax", "-cf"], true, false),
    ] {
        check("bsdtar", &["bsdtar"], &format);
    }
}

#[test]
fn python() {
    if !tools::is_there("python3") {
        return;
    }
    // Called as the others are: FORMAT ARCHIVE -C ROOT .
    let script = "import sys, os, tarfile\n\
        form, archive, _, root, path = sys.argv[1:]\n\
        os.chdir(root)\n\
        with tarfile.open(archive, 'w', format=getattr(tarfile, form)) as out: out.add(path)";
    for format in [
        format(&["USTAR_FORMAT"], false, false),
        format(&["GNU_FORMAT"], true, false),
        format(&["PAX_FORMAT"], true, false),
    ] {
        check("python3", &["python3", "-c", script], &format);
    }
}
