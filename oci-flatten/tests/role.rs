//! What a tar is read as: a layer need not be whole, since its digest says so; a root filesystem must, and has a root.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

#[path = "support/tools.rs"]
mod tools;

use std::fs;
use std::path::Path;
use std::process::Command;

use oci_flatten::apply::{ApplyError, LayerApplier, LayerReport, RoleProblem, TarRole};
use oci_flatten::entry::{Metadata, Timestamp};
use oci_flatten::limits::Limits;
use oci_flatten::rootfs::Rootfs;
use oci_flatten::tar::TarProblem;
use oci_flatten::testkit::{Entry, Layer, MemorySink, MisusedContent};
use oci_flatten::warning::Warning;

const WHOLE: TarRole = TarRole::RootFilesystem {
    allow_truncated: false,
};
const TRUNCATED: TarRole = TarRole::RootFilesystem {
    allow_truncated: true,
};

/// The root's metadata and the report.
fn apply(tar: &[u8], role: TarRole) -> Result<(Metadata, LayerReport), ApplyError<MisusedContent>> {
    let mut rootfs = Rootfs::new(&Limits::default(), Timestamp::default());
    let mut sink = MemorySink::default();
    let mut applier = LayerApplier::new(&mut rootfs, &mut sink)?.role(role);
    applier.push(tar)?;
    let report = applier.finish()?;
    Ok((rootfs.node(rootfs.root()).metadata.clone(), report))
}

fn archive(entries: impl IntoIterator<Item = Entry>) -> Layer {
    entries.into_iter().fold(Layer::new(), Layer::entry)
}

#[test]
fn a_root_filesystem_that_is_cut_off_anywhere_is_an_error() {
    let two = || archive([Entry::directory("etc"), Entry::file("etc/f", [b'x'; 700])]);
    let bytes = two().cut();
    for length in 0..=bytes.len() {
        let outcome = apply(&bytes[..length], WHOLE);
        assert!(outcome.is_err(), "the first {length} bytes pass");
        // What is no boundary of an entry is an error in any role.
        let between = apply(&bytes[..length], TarRole::Layer).is_ok();
        let accepted = apply(&bytes[..length], TRUNCATED).is_ok();
        assert_eq!(accepted, between && length > 0, "the first {length} bytes");
    }
    let problem = |tar: &[u8], role| match apply(tar, role) {
        Err(ApplyError::Role(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        problem(&bytes, WHOLE),
        RoleProblem::NoEndMarker(bytes.len() as u64)
    );
    for role in [WHOLE, TRUNCATED] {
        assert_eq!(problem(b"", role), RoleProblem::Empty);
    }
    assert!(apply(b"", TarRole::Layer).is_ok());
    assert!(matches!(
        apply(&bytes[..600], TRUNCATED),
        Err(ApplyError::Tar(error)) if error.problem == TarProblem::Truncated
    ));
    // One block of zeros marks the end, and so does an archive of nothing else.
    for whole in [
        two().finish(),
        two().raw(&[0; 512]).cut(),
        Layer::new().finish(),
    ] {
        assert!(apply(&whole, WHOLE).is_ok());
    }
    // An extension header without its entry is no end.
    let pending = archive([Entry::of_type(b'x', "x").body("12 path=long\n")]);
    assert!(apply(&pending.cut(), WHOLE).is_err());
}

#[test]
fn the_root_entry_counts_in_a_root_filesystem_only() {
    for name in ["./", "/", ".", "a/.."] {
        let root = Entry::directory(name)
            .mode(0o40_700)
            .owner(3, 4)
            .mtime(9)
            .xattr("user.note", "x");
        let tar = archive([Entry::file("f", ""), root]).finish();
        let (metadata, report) = apply(&tar, WHOLE).expect("root filesystem applies");
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (0o700, 3, 4));
        assert_eq!(metadata.mtime.seconds, 9);
        assert_eq!(metadata.xattrs.value(b"user.note"), Some(&b"x"[..]));
        assert_eq!(report.warnings.total(), 0);

        let (metadata, report) = apply(&tar, TarRole::Layer).expect("layer applies");
        assert_eq!(metadata, Metadata::implied_directory(Timestamp::default()));
        let warnings: Vec<_> = report.warnings.iter().cloned().collect();
        let expected = Warning::RootEntry {
            mode: 0o700,
            xattrs: 1,
        };
        assert_eq!(warnings, [expected], "{name}");
    }
    let usual = archive([Entry::directory("./").owner(3, 4).mtime(9)]).finish();
    let (_, report) = apply(&usual, TarRole::Layer).expect("layer applies");
    assert_eq!(report.warnings.total(), 0);
    let bad = archive([Entry::directory("./").owner(-1, 0)]).finish();
    assert!(apply(&bad, WHOLE).is_err());
}

/// The names that each writer of images gives the parts of one.
#[test]
fn images_are_told_from_root_filesystems() {
    let digest = "0123456789abcdef".repeat(4);
    let blob = format!("blobs/sha256/{digest}");
    let docker: [(&str, &[String]); 6] = [
        (
            "docker up to 24",
            &[
                format!("{digest}/layer.tar"),
                format!("{digest}.json"),
                "repositories".into(),
            ],
        ),
        (
            "docker from 25 on",
            &["oci-layout".into(), "index.json".into(), blob.clone()],
        ),
        ("skopeo and podman", &[format!("{digest}.tar")]),
        ("ko, crane and kaniko", &[format!("sha256:{digest}")]),
        ("jib", &["config.json".into(), format!("{digest}.tar.gz")]),
        ("one without tags", &[format!("./{digest}/layer.tar")]),
    ];
    let outcome = |names: &[&str], role| {
        let tar = archive(names.iter().map(|name| Entry::file(name, ""))).finish();
        apply(&tar, role).map(|_| ())
    };
    for (writer, names) in docker {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let names = [&["./manifest.json"], names.as_slice()].concat();
        let error = outcome(&names, WHOLE).expect_err(writer);
        assert!(
            matches!(error, ApplyError::Role(RoleProblem::DockerArchive)),
            "{writer}: {error}"
        );
        assert!(outcome(&names, TarRole::Layer).is_ok(), "{writer}");
    }
    let error = outcome(&["index.json", "oci-layout", &blob], WHOLE).expect_err("layout");
    assert!(matches!(error, ApplyError::Role(RoleProblem::OciArchive)));
    // Files of such names are nothing odd by themselves, nor anywhere else than at the top.
    for names in [
        &["manifest.json", "index.json", "etc/passwd"][..],
        &["oci-layout", "repositories"],
        &["var/lib/image/oci-layout", "var/lib/image/index.json"],
        &[&blob, "etc/passwd"],
    ] {
        assert!(outcome(names, WHOLE).is_ok(), "{names:?}");
    }
}

/// What a program writes of a directory.
fn written_by(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .args(["-cf", "-", "-C"])
        .arg(directory)
        .arg(".")
        .output()
        .expect("tool runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    output.stdout
}

fn warnings(tar: &[u8], role: TarRole) -> Vec<String> {
    let (_, report) = apply(tar, role).expect("tar applies");
    report.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_left_out_of_an_incremental_backup_is_reported() {
    if !tools::is_there("tar") {
        return;
    }
    let host = tempfile::tempdir().expect("directory is made");
    fs::create_dir(host.path().join("etc")).expect("directory is made");
    fs::write(host.path().join("etc/f"), "x").expect("file is written");
    for format in ["gnu", "posix"] {
        let snapshot = tempfile::NamedTempFile::new().expect("file is made");
        let snapshot = format!("--listed-incremental={}", snapshot.path().display());
        let format = format!("--format={format}");
        let tar = written_by("tar", &[&format, &snapshot], host.path());
        let reported = warnings(&tar, WHOLE);
        for path in ["/", "etc"] {
            let found = reported.iter().filter(|line| {
                line.contains("incremental") && line.ends_with(&format!(": {path}"))
            });
            assert_eq!(found.count(), 1, "{format}: {path}: {reported:?}");
        }
    }
}

#[test]
fn access_lists_in_text_are_reported() {
    let there = ["tar", "bsdtar", "setfacl"].map(tools::is_there);
    if there.contains(&false) {
        return;
    }
    let host = tempfile::tempdir().expect("directory is made");
    let listed = host.path().join("listed");
    fs::write(&listed, "x").expect("file is written");
    fs::write(host.path().join("plain"), "x").expect("file is written");
    let set = Command::new("setfacl")
        .args(["-m", "u:70001:rw"])
        .arg(&listed)
        .status()
        .expect("setfacl runs");
    if !set.success() {
        println!("no access control lists here: skipped");
        return;
    }
    for program in ["bsdtar", "tar"] {
        let tar = written_by(program, &["--acls", "--format=pax"], host.path());
        let expected = "PAX record SCHILY.acl.access left out: listed";
        assert_eq!(warnings(&tar, WHOLE), [expected], "{program}");
        assert_eq!(warnings(&tar, TarRole::Layer), [expected], "{program}");
    }
}

/// Each key that says something about a file, alone and beside the record that is taken.
#[test]
fn metadata_in_forms_that_are_not_read_is_reported() {
    let file = || Entry::file("f", "x");
    let left_out = |entry: Entry| warnings(&archive([entry]).finish(), WHOLE);
    for (key, value) in [
        ("SCHILY.acl.access", "user::rw-,group::r--,other::r--"),
        ("SCHILY.acl.default", "user::rw-,group::r--,other::r--"),
        ("SCHILY.acl.ace", "owner@:rw-p--aARWcCos:-------:allow"),
        ("SCHILY.fflags", "immutable"),
        ("RHT.security.selinux", "system_u:object_r:bin_t:s0"),
        ("LIBARCHIVE.xattr.user.a%3db", "dmFs"),
        ("LIBARCHIVE.xattr.user.bad%", "dmFs"),
    ] {
        let expected = format!("PAX record {key} left out: f");
        assert_eq!(left_out(file().pax(key, value)), [expected]);
    }
    for entry in [
        file()
            .xattr("user.a%b", "val")
            .pax("LIBARCHIVE.xattr.user.a%25b", "dmFs"),
        file()
            .xattr("security.selinux", "x")
            .pax("RHT.security.selinux", "x"),
        file()
            .pax("SCHILY.acl.access", "")
            .pax("comment", "x")
            .pax("uname", "daemon")
            .pax("LIBARCHIVE.creationtime", "1")
            .pax("SCHILY.nlink", "1"),
    ] {
        assert_eq!(left_out(entry), [""; 0]);
    }
}
