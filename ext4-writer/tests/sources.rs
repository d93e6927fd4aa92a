//! Trees taken from host directories and tar streams.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use common::*;
use ext4_writer::{
    Content, Device, DirectoryOptions, FileDevice, FileTree, FileType, FormatOptions, ImageWriter,
    JournalRule, MemoryDevice, SizeRule, SourceError, read_directory, read_tar,
};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

fn plant(top: &Path) {
    fs::create_dir(top.join("etc")).unwrap();
    fs::write(top.join("etc/hostname"), "vm\n").unwrap();
    fs::set_permissions(top.join("etc/hostname"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(top.join("etc/hostname"), top.join("hard")).unwrap();
    symlink("etc/../nowhere", top.join("dangling")).unwrap();
    symlink("t".repeat(700), top.join("long-link")).unwrap();
    let sparse = File::create(top.join("sparse")).unwrap();
    sparse.set_len(50 << 20).unwrap();
    sparse.write_all_at(b"island", 20 << 20).unwrap();
    fs::write(top.join("body"), noise(1, 3_000_001)).unwrap();
    let fifo = rustix::fs::CWD;
    rustix::fs::mknodat(
        fifo,
        top.join("pipe"),
        rustix::fs::FileType::Fifo,
        Mode::from_bits_truncate(0o620),
        0,
    )
    .unwrap();
    for name in ["etc/hostname", "body", "dangling", "pipe", "etc"] {
        let time = Timespec {
            tv_sec: 1_234_567_890,
            tv_nsec: 987_654_321,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(fifo, top.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(top.join("body"), "user.note", b"text\n12 size=99\n", flags).is_err() {
        fs::write(top.join("no-xattrs-here"), "").unwrap();
    }
}

/// Every file below both places: kind, mode, owner, size, time, links, content, attributes.
fn compare(theirs: &Path, ours: &Path, extra: &str) {
    let list = |place: &Path| {
        let mut names: Vec<_> = fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.retain(|name| name != extra);
        names.sort();
        names
    };
    assert_eq!(list(theirs), list(ours));
    for name in list(theirs) {
        let (theirs, ours) = (theirs.join(&name), ours.join(&name));
        let (a, b) = (
            theirs.symlink_metadata().unwrap(),
            ours.symlink_metadata().unwrap(),
        );
        let facts = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        assert_eq!(facts(&a), facts(&b), "{}", theirs.display());
        assert_eq!(
            mount::attributes(&theirs),
            mount::attributes(&ours),
            "{}",
            theirs.display()
        );
        if a.is_dir() {
            compare(&theirs, &ours, "");
            continue;
        }
        assert_eq!(
            (a.nlink(), a.size()),
            (b.nlink(), b.size()),
            "{}",
            theirs.display()
        );
        if a.is_symlink() {
            assert_eq!(
                fs::read_link(&theirs).unwrap(),
                fs::read_link(&ours).unwrap()
            );
        } else if a.is_file() {
            assert!(
                fs::read(&theirs).unwrap() == fs::read(&ours).unwrap(),
                "{}",
                theirs.display()
            );
        }
    }
}

fn options() -> FormatOptions {
    FormatOptions::default().size(SizeRule::AtLeast(64 << 20))
}

#[test]
fn a_host_directory_is_taken_exactly() {
    let host = tempfile::tempdir().unwrap();
    plant(host.path());
    let image = tempfile::NamedTempFile::new().unwrap();
    let device = FileDevice::unsynced(image.reopen().unwrap());
    let mut writer = ImageWriter::new(device, options()).unwrap();
    let tree = read_directory(&mut writer, host.path(), &DirectoryOptions::default()).unwrap();
    let summary = writer.finish(tree).unwrap();
    assert!(
        summary.content_bytes < 8 << 20,
        "holes are holes: {summary:?}"
    );
    check(image.path());
    let Some(mount) = mount::mount(image.path(), "ro") else {
        return;
    };
    compare(host.path(), &mount.path(b""), "lost+found");
}

#[test]
fn an_owner_replaces_the_host_s() {
    let host = tempfile::tempdir().unwrap();
    plant(host.path());
    let device = MemoryDevice::new();
    let mut writer = ImageWriter::new(&device, options()).unwrap();
    let owner = DirectoryOptions::default()
        .owner(Some((12, 70_000)))
        .xattrs(false);
    let tree = read_directory(&mut writer, host.path(), &owner).unwrap();
    writer.finish(tree).unwrap();
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), device.to_vec()).unwrap();
    check(image.path());
    let seen = view(image.path());
    for path in ["/", "/etc/hostname", "/pipe", "/dangling"] {
        let metadata = seen.symlink_metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (12, 70_000), "{path}");
    }
}

/// Does something to the host once so many bytes have been written: the moment is the same in every run.
struct Meddling<'a> {
    inner: MemoryDevice,
    written: Cell<u64>,
    after: u64,
    deed: Cell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Device for Meddling<'_> {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.written.set(self.written.get() + bytes.len() as u64);
        if self.written.get() > self.after
            && let Some(deed) = self.deed.take()
        {
            deed();
        }
        self.inner.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, bytes)
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.inner.discard(range)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[test]
fn what_changes_while_it_is_read_is_an_error() {
    type Deed = fn(&Path);
    let deeds: [(&str, Deed, &str); 6] = [
        ("grown", |top| append(&top.join("d/a"), b"more"), "d/a"),
        (
            "cut",
            |top| {
                let file = File::options().write(true).open(top.join("d/a")).unwrap();
                file.set_len(3 << 20).unwrap();
            },
            "d/a",
        ),
        (
            "another file of the same name",
            |top| {
                fs::write(top.join("d/new"), noise(2, 4 << 20)).unwrap();
                fs::rename(top.join("d/new"), top.join("d/a")).unwrap();
            },
            "d/a",
        ),
        (
            "a name more",
            |top| fs::write(top.join("d/later"), "").unwrap(),
            "d",
        ),
        (
            "a name less",
            |top| fs::remove_file(top.join("d/b")).unwrap(),
            "d/b",
        ),
        (
            "the directory elsewhere",
            |top| fs::rename(top.join("d"), top.join("e/d")).unwrap(),
            "d",
        ),
    ];
    for (what, deed, path) in deeds {
        let host = tempfile::tempdir().unwrap();
        let top = host.path();
        fs::create_dir(top.join("d")).unwrap();
        fs::create_dir(top.join("e")).unwrap();
        fs::write(top.join("d/a"), noise(1, 4 << 20)).unwrap();
        fs::write(top.join("d/b"), "b").unwrap();
        let device = Meddling {
            inner: MemoryDevice::new(),
            written: Cell::new(0),
            after: 2 << 20,
            deed: Cell::new(Some(Box::new(move || deed(top)))),
        };
        let mut writer = ImageWriter::new(&device, options()).unwrap();
        let error = read_directory(&mut writer, top, &DirectoryOptions::default()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(path), "{what}: {said}");
        let gone = matches!(error, SourceError::Io { ref source, .. }
            if source.kind() == io::ErrorKind::NotFound);
        let changed = matches!(error, SourceError::Changed { .. });
        assert!(changed || gone, "{what}: {said}");
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn links_are_never_followed() {
    let host = tempfile::tempdir().unwrap();
    let top = host.path();
    fs::create_dir(top.join("outside")).unwrap();
    fs::write(top.join("outside/secret"), "secret").unwrap();
    fs::create_dir(top.join("tree")).unwrap();
    symlink("../outside", top.join("tree/directory")).unwrap();
    symlink("../outside/secret", top.join("tree/file")).unwrap();
    symlink("loop", top.join("tree/loop")).unwrap();
    let device = MemoryDevice::new();
    let mut writer = ImageWriter::new(&device, options()).unwrap();
    let options = DirectoryOptions::default();
    let tree = read_directory(&mut writer, &top.join("tree"), &options).unwrap();
    for name in ["directory", "file", "loop"] {
        let id = tree.lookup(tree.root(), name.as_bytes()).unwrap();
        assert_eq!(tree.file_type(id), Some(FileType::Symlink), "{name}");
    }
}

#[test]
fn host_times_that_do_not_fit_are_an_error() {
    // Files in memory have times of 64 bits.
    let host = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = host.path().join("f");
    fs::write(&path, "").unwrap();
    let late = Timespec {
        tv_sec: 0x3_8000_0000,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: late,
        last_modification: late,
    };
    rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
    // Hosts that cannot hold the time store the nearest one that they can.
    if path.metadata().unwrap().mtime() != late.tv_sec {
        return;
    }
    let device = MemoryDevice::new();
    let mut writer = ImageWriter::new(&device, options()).unwrap();
    let error = read_directory(&mut writer, host.path(), &DirectoryOptions::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("15032385536"), "{error}");
}

#[test]
fn depth_needs_no_descriptors() {
    let host = tempfile::tempdir().unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = rustix::fs::open(host.path(), flags, Mode::empty()).unwrap();
    for _ in 0..4000 {
        rustix::fs::mkdirat(&at, "deeper", Mode::from_bits_truncate(0o755)).unwrap();
        at = rustix::fs::openat(&at, "deeper", flags, Mode::empty()).unwrap();
    }
    let image = tempfile::NamedTempFile::new().unwrap();
    let device = FileDevice::unsynced(image.reopen().unwrap());
    let mut writer = ImageWriter::new(device, options()).unwrap();
    let tree = read_directory(&mut writer, host.path(), &DirectoryOptions::default()).unwrap();
    let summary = writer.finish(tree).unwrap();
    assert_eq!(summary.inodes - summary.free_inodes, 4000 + 11);
    check(image.path());
    // Too deep for the standard library's own removal.
    run(
        "rm",
        &[std::ffi::OsStr::new("-rf"), host.path().as_os_str()],
    );
}

#[test]
fn a_tar_of_gnu_tar_is_taken_exactly() {
    if !have("tar") {
        return;
    }
    let host = tempfile::tempdir().unwrap();
    plant(host.path());
    for format in ["--format=gnu", "--format=pax"] {
        let mut archive = tempfile::NamedTempFile::new().unwrap();
        let top = host.path().to_str().unwrap();
        let arguments = [
            format,
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "-C",
            top,
            "-c",
            ".",
        ];
        let output = run("tar", &arguments);
        assert!(output.status.success(), "{}", text(&output));
        archive.write_all(&output.stdout).unwrap();
        let image = tempfile::NamedTempFile::new().unwrap();
        let device = FileDevice::unsynced(image.reopen().unwrap());
        let mut writer = ImageWriter::new(device, options()).unwrap();
        let tree = read_tar(&mut writer, archive.reopen().unwrap()).unwrap();
        writer.finish(tree).unwrap();
        check(image.path());
        if format == "--format=pax"
            && let Some(mount) = mount::mount(image.path(), "ro")
        {
            compare(host.path(), &mount.path(b""), "lost+found");
        }
        let body = view(image.path()).read("/body").unwrap();
        assert!(body == noise(1, 3_000_001));
    }
}

/// Numbers without names, so that GNU tar has them in its text.
#[test]
fn access_lists_in_text_are_those_of_the_host() {
    if !(have("tar") && have("bsdtar") && have("setfacl") && have("getfacl")) {
        return;
    }
    let host = tempfile::tempdir().unwrap();
    let top = host.path().to_str().unwrap();
    for name in ["listed", "plain"] {
        fs::write(host.path().join(name), "").unwrap();
    }
    for name in ["both", "inherits"] {
        fs::create_dir(host.path().join(name)).unwrap();
    }
    for (list, name) in [
        ("u:70001:rw,u:70002:-,g:70003:rwx", "listed"),
        ("u:70001:x,d:u:70001:rx,d:g:70004:w", "both"),
        ("d:u::rwx,d:g::rx,d:o::-", "inherits"),
    ] {
        let path = host.path().join(name);
        let arguments = ["-m", list, path.to_str().unwrap()];
        if !run("setfacl", &arguments).status.success() {
            // The host's filesystem has no lists.
            return;
        }
    }
    for program in ["tar", "bsdtar"] {
        let arguments = ["--acls", "--format=pax", "-C", top, "-cf", "-", "."];
        let output = run(program, &arguments);
        assert!(output.status.success(), "{}", text(&output));
        let image = tempfile::NamedTempFile::new().unwrap();
        let device = FileDevice::unsynced(image.reopen().unwrap());
        let mut writer = ImageWriter::new(device, options()).unwrap();
        let tree = read_tar(&mut writer, output.stdout.as_slice()).unwrap();
        writer.finish(tree).unwrap();
        check(image.path());
        let Some(mount) = mount::mount(image.path(), "ro") else {
            return;
        };
        for name in ["listed", "plain", "both", "inherits"] {
            let shown = |path: &Path| {
                let output = run("getfacl", &["-ncpE".as_ref(), path.as_os_str()]);
                assert!(output.status.success(), "{}", text(&output));
                text(&output)
            };
            let (ours, theirs) = (mount.path(name.as_bytes()), host.path().join(name));
            assert_eq!(shown(&ours), shown(&theirs), "{program}: {name}");
        }
    }
}

#[test]
fn every_sparse_format_gives_the_image_of_the_plain_archive() {
    let host = tempfile::tempdir().unwrap();
    for (name, size, islands) in [
        ("all-hole", 5 << 20, &[][..]),
        (
            "ends-in-data",
            (3 << 20) + 7,
            &[(1 << 20, 4096), ((3 << 20) - 3, 10)],
        ),
        (
            "ends-in-hole",
            40 << 20,
            &[(0, 1), (8 << 20, 70_000), (20 << 20, 5)],
        ),
    ] {
        let file = File::create(host.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        for &(offset, length) in islands {
            file.write_all_at(&noise(offset, length), offset).unwrap();
        }
    }
    let many = File::create(host.path().join("many-pieces")).unwrap();
    for piece in 0..300 {
        many.write_all_at(b"piece", piece * 65_536).unwrap();
    }
    let image = |program: &str, arguments: &[&str]| {
        let top = host.path().to_str().unwrap();
        let common = ["--format=pax", "-C", top, "-cf", "-"];
        let names = ["all-hole", "ends-in-data", "ends-in-hole", "many-pieces"];
        let output = run(program, &[&common, arguments, &names].concat());
        assert!(output.status.success(), "{}", text(&output));
        let device = MemoryDevice::new();
        // The plain archive has zeros where the others have holes.
        let options = options().zeros_to_holes(true);
        let mut writer = ImageWriter::new(&device, options).unwrap();
        let tree = read_tar(&mut writer, output.stdout.as_slice()).unwrap();
        writer.finish(tree).unwrap();
        (device.to_vec(), output.stdout.len())
    };
    let (plain, whole) = image("tar", &[]);
    for version in ["0.0", "0.1", "1.0"] {
        let option = format!("--sparse-version={version}");
        let (sparse, length) = image("tar", &["--sparse", &option]);
        assert!(length < whole / 10, "the archive is sparse");
        assert!(plain == sparse, "version {version}");
    }
    if have("bsdtar") {
        let (sparse, length) = image("bsdtar", &[]);
        assert!(length < whole / 10, "the archive is sparse");
        assert!(plain == sparse, "bsdtar");
    }
}

#[test]
fn sparse_maps_that_make_no_sense_are_refused() {
    let taken = |records: &[(&str, &str)], data: &[u8]| {
        take(|tar| {
            let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
            tar.append_pax_extensions(records).unwrap();
            let entry = header(tar::EntryType::Regular, b"file", data.len() as u64);
            tar.append(&entry, data).unwrap();
        })
    };
    let sized = ("GNU.sparse.size", "10");
    let pieces = |count| ("GNU.sparse.numblocks", count);
    let map = |text| ("GNU.sparse.map", text);
    taken(&[sized, pieces("3"), map("0,3,6,0,6,1")], b"abcd").unwrap();
    taken(&[sized], b"").unwrap();
    let (offset, length) = ("GNU.sparse.offset", "GNU.sparse.numbytes");
    for (bad, expected) in [
        (&[pieces("1"), map("0,5")][..], "sparse map is malformed"),
        (&[sized, map("0,4")], "sparse map is malformed"),
        (&[sized, pieces("2"), map("0,4")], "sparse map is malformed"),
        (&[sized, pieces("1"), map("0,3")], "more data than its map"),
        (&[sized, pieces("1"), map("0,5")], "less data than its map"),
        (
            &[sized, pieces("2"), map("0,3,6")],
            "sparse map is malformed",
        ),
        (
            &[sized, pieces("2"), map("3,1,0,3")],
            "sparse map is malformed",
        ),
        (
            &[sized, pieces("2"), map("0,2,1,2")],
            "sparse map is malformed",
        ),
        (&[sized, pieces("1"), map("7,4")], "sparse map is malformed"),
        (&[sized, pieces("1"), map("0,x")], "sparse map is malformed"),
        (
            &[sized, pieces("1"), map("18446744073709551615,4")],
            "sparse map is malformed",
        ),
        (
            &[
                ("GNU.sparse.size", "18446744073709551616"),
                pieces("1"),
                map("0,4"),
            ],
            "sparse size is not a number",
        ),
        (
            &[sized, (length, "4"), (offset, "0")],
            "pax record is malformed",
        ),
        (
            &[sized, (offset, "0"), (offset, "4")],
            "pax record is malformed",
        ),
    ] {
        let error = taken(bad, b"abcd").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}: {bad:?}");
    }
    // Version 1.0: a block of lines, then the data.
    let one = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", "10"),
    ];
    let block = |lines: &str| [lines.as_bytes(), &vec![0; 512 - lines.len()], b"abcd"].concat();
    taken(&one, &block("2\n0\n3\n9\n1\n")).unwrap();
    for (bad, expected) in [
        ("1\n0\n3\n", "more data than its map"),
        ("2\n0\n4\n", "sparse map is malformed"),
        ("x\n", "sparse map is malformed"),
        ("\n", "sparse map is malformed"),
        ("99999999999999999999999\n", "sparse map is malformed"),
    ] {
        let error = taken(&one, &block(bad)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}: {bad:?}");
    }
    // A file beyond what ext4 can hold is an error of the image.
    let vast = [
        ("GNU.sparse.size", "9223372036854775807"),
        pieces("1"),
        map("0,4"),
    ];
    let error = taken(&vast, b"abcd").unwrap_err();
    assert!(matches!(error, SourceError::Image(_)), "{error}");
}

fn take(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Result<(), SourceError> {
    let mut builder = tar::Builder::new(Vec::new());
    build(&mut builder);
    let archive = builder.into_inner().unwrap();
    let device = MemoryDevice::new();
    let options = options().journal(JournalRule::None);
    let mut writer = ImageWriter::new(&device, options).unwrap();
    let tree = read_tar(&mut writer, archive.as_slice())?;
    writer.finish(tree).map_err(SourceError::from)?;
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), device.to_vec()).unwrap();
    check(image.path());
    Ok(())
}

fn header(kind: tar::EntryType, path: &[u8], size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// A tree from the blocks of an archive, and the end marker.
fn tree_of(archive: &[u8]) -> Result<FileTree<Content>, SourceError> {
    let device = MemoryDevice::new();
    let mut writer = ImageWriter::new(&device, options()).unwrap();
    read_tar(&mut writer, archive.chain(&[0; 1024][..]))
}

/// A header with a right checksum after `change`, and a body.
fn member(
    kind: tar::EntryType,
    name: &str,
    body: &[u8],
    change: impl FnOnce(&mut tar::Header),
) -> Vec<u8> {
    let mut header = header(kind, name.as_bytes(), body.len() as u64);
    change(&mut header);
    header.set_cksum();
    let padding = body.len().next_multiple_of(512) - body.len();
    [header.as_bytes(), body, &vec![0; padding]].concat()
}

fn as_it_is(_: &mut tar::Header) {}

#[test]
fn odd_archives_are_read_as_others_read_them() {
    use tar::EntryType::{Directory, GNULongName, Regular, Symlink, XGlobalHeader, XHeader};
    let file = member(Regular, "file", b"abc", as_it_is);
    let pax = |records: &[u8]| member(XHeader, "x", records, as_it_is);
    let long = |name: &[u8]| member(GNULongName, "././@LongLink", name, as_it_is);
    let no_size = |header: &mut tar::Header| header.set_size(0);
    let no_numbers = |header: &mut tar::Header| {
        let fields = header.as_old_mut();
        fields.size = [0; 12];
        fields.mode = [b' '; 8];
        fields.uid = [0; 8];
        fields.mtime = [0; 12];
    };
    let link = |header: &mut tar::Header| {
        header.set_size(1);
        header.as_old_mut().linkname[0] = b'd';
    };
    let directory = |header: &mut tar::Header| header.set_size(5000);
    for (what, blocks, name, size) in [
        (
            "rubbish behind the end",
            vec![file.clone(), vec![0; 1024], b"x".to_vec()],
            "file",
            3,
        ),
        (
            "a directory and a link with sizes",
            vec![
                member(Directory, "d/", b"", directory),
                member(Symlink, "l", b"", link),
                file.clone(),
            ],
            "file",
            3,
        ),
        (
            "two extensions, the later name counts",
            vec![pax(b"12 path=one\n"), pax(b"12 path=two\n"), file.clone()],
            "two",
            3,
        ),
        (
            "a long name and a record",
            vec![long(b"long\0"), pax(b"12 path=pax\n"), file.clone()],
            "long",
            3,
        ),
        (
            "a long name",
            vec![long(b"long\0x"), file.clone()],
            "long",
            3,
        ),
        (
            "an empty record",
            vec![pax(b"8 path=\n"), file.clone()],
            "file",
            3,
        ),
        (
            "a size in a record alone",
            vec![pax(b"9 size=3\n"), member(Regular, "file", b"", no_size), {
                let mut body = b"abc".to_vec();
                body.resize(512, 0);
                body
            }],
            "file",
            3,
        ),
        (
            "a record for all",
            vec![
                member(XGlobalHeader, "g", b"12 path=all\n", as_it_is),
                file.clone(),
            ],
            "file",
            3,
        ),
        (
            "the label of a volume",
            vec![
                pax(b"14 path=label\n"),
                member(tar::EntryType::new(b'V'), "label", b"", as_it_is),
                file.clone(),
            ],
            "file",
            3,
        ),
        (
            "numbers left out",
            vec![member(Regular, "file", b"", no_numbers)],
            "file",
            0,
        ),
    ] {
        let tree = tree_of(&blocks.concat()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let node = tree.lookup(tree.root(), name.as_bytes());
        let node = node.unwrap_or_else(|| panic!("{what}: no {name}"));
        assert_eq!(tree.content(node).unwrap().size(), size, "{what}");
    }
    // A version that knew no directories, and summed bytes up with a sign.
    let mut old = member(Regular, "\u{e9}/", b"", as_it_is);
    old[156] = 0;
    old[148..156].fill(b' ');
    let sum: i64 = old.iter().map(|byte| i64::from(byte.cast_signed())).sum();
    old[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let tree = tree_of(&old).unwrap();
    let node = tree.lookup(tree.root(), "\u{e9}".as_bytes()).unwrap();
    assert_eq!(tree.file_type(node), Some(FileType::Directory));
}

/// Old versions of Go wrote a prefix into headers of GNU's format, which has none.
#[test]
fn a_prefix_in_a_header_of_gnu_is_part_of_the_name() {
    let change = |header: &mut tar::Header| {
        let bytes = header.as_mut_bytes();
        bytes[257..265].copy_from_slice(b"ustar  \0");
        bytes[345..358].copy_from_slice(b"a/long/prefix");
    };
    let tree = tree_of(&member(tar::EntryType::Regular, "name", b"abc", change)).unwrap();
    let mut node = tree.root();
    for part in ["a", "long", "prefix", "name"] {
        node = tree
            .lookup(node, part.as_bytes())
            .unwrap_or_else(|| panic!("no {part}"));
    }
    assert_eq!(tree.content(node).unwrap().size(), 3);
}

#[test]
fn attributes_of_other_writers_are_taken() {
    let records = [
        ("LIBARCHIVE.xattr.user.a%3db", &b"dmFs"[..]),
        ("RHT.security.selinux", b"system_u:object_r:bin_t:s0"),
    ];
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions(records).unwrap();
    let file = header(tar::EntryType::Regular, b"file", 0);
    builder.append(&file, &b""[..]).unwrap();
    let image = tempfile::NamedTempFile::new().unwrap();
    let device = FileDevice::unsynced(image.reopen().unwrap());
    let mut writer = ImageWriter::new(device, options()).unwrap();
    let archive = builder.into_inner().unwrap();
    let tree = read_tar(&mut writer, archive.as_slice()).unwrap();
    writer.finish(tree).unwrap();
    check(image.path());
    let listed = debugfs(image.path(), "ea_list /file");
    assert!(listed.contains("user.a=b (3) = \"val\""), "{listed}");
    assert!(
        listed.contains("security.selinux (27) = \"system_u:object_r:bin_t:s0\\000\""),
        "{listed}"
    );
}

#[test]
fn broken_archives_are_refused() {
    use tar::EntryType::{GNUSparse, Regular, XHeader};
    let file = member(Regular, "file", b"abc", as_it_is);
    let extended =
        |records: &[u8]| [member(XHeader, "x", records, as_it_is), file.clone()].concat();
    let sized = |field: &[u8; 12]| {
        let change = |header: &mut tar::Header| header.as_old_mut().size = *field;
        member(Regular, "file", b"", change)
    };
    let mut wrong_sum = file.clone();
    wrong_sum[3] = b'x';
    let mut vast = [0xff; 12];
    vast[0] = 0xbf;
    for (archive, expected) in [
        (wrong_sum, "checksum"),
        ([&[0; 512][..], &file].concat(), "single zero block"),
        (extended(b"7 a=b\n"), "pax record is malformed"),
        (extended(b"9 size=x\n"), "size is not a number"),
        (extended(b"9 uid=-1\n"), "owned by user -1"),
        (extended(&[b'1'; 2000]), "pax record is malformed"),
        (extended(&vec![0; (1 << 20) + 1]), "limit 1048576"),
        (sized(b"+0000000001\0"), "size is not a number"),
        (sized(b"00000000009\0"), "size is not a number"),
        (sized(&[0xff; 12]), "size is negative"),
        (sized(&vast), "size is not a number"),
        (
            member(GNUSparse, "file", b"", as_it_is),
            "sparse map is malformed",
        ),
        (
            member(Regular, ".", b"abc", as_it_is),
            "the root, and no directory",
        ),
        (
            extended(b"33 LIBARCHIVE.xattr.user.a%=dmFs\n"),
            "read attribute of",
        ),
        (
            member(tar::EntryType::new(b'N'), "odd", b"", as_it_is),
            "of type 'N'",
        ),
    ] {
        let error = chain(&tree_of(&archive).unwrap_err());
        assert!(error.contains(expected), "{error}: {expected}");
    }
}

/// A stream that was cut off anywhere gives no tree, and neither does one of no bytes.
#[test]
fn a_stream_without_its_end_is_refused() {
    let file = member(tar::EntryType::Regular, "file", b"abc", as_it_is);
    let whole = [file.clone(), file, vec![0; 512]].concat();
    let taken = |bytes: &[u8]| {
        let device = MemoryDevice::new();
        let mut writer = ImageWriter::new(&device, options()).unwrap();
        read_tar(&mut writer, bytes).map(drop)
    };
    for length in 0..whole.len() {
        assert!(taken(&whole[..length]).is_err(), "{length} bytes");
    }
    for bytes in [0, 1024, 2048] {
        let error = taken(&whole[..bytes]).unwrap_err();
        assert!(
            matches!(error, SourceError::NoEndMarker { bytes: seen } if seen == bytes as u64),
            "{error}"
        );
    }
    taken(&whole).unwrap();
    taken(&[whole, vec![0; 512]].concat()).unwrap();
    taken(b"no tar at all").unwrap_err();
}

#[test]
fn hostile_archives_are_refused() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let refused = |build: fn(&mut tar::Builder<Vec<u8>>)| take(build).unwrap_err();
    let error = refused(|tar| {
        tar.append(&header(Regular, b"a/../../b", 0), &b""[..])
            .unwrap()
    });
    assert!(matches!(error, SourceError::ParentPath { .. }));
    let error = refused(|tar| {
        let mut link = header(Link, b"a", 0);
        link.as_old_mut().linkname[..4].copy_from_slice(b"gone");
        link.set_cksum();
        tar.append(&link, &b""[..]).unwrap();
    });
    assert!(matches!(error, SourceError::LinkTarget { .. }));
    let error = refused(|tar| {
        let mut link = header(Symlink, b"etc", 0);
        link.as_old_mut().linkname[..4].copy_from_slice(b"/usr");
        link.set_cksum();
        tar.append(&link, &b""[..]).unwrap();
        tar.append(&header(Regular, b"etc/passwd", 0), &b""[..])
            .unwrap();
    });
    assert!(matches!(error, SourceError::Tree(_)), "{error}");
    let error = refused(|tar| {
        tar.append(&header(Regular, b"short", 5000), &b"abc"[..])
            .unwrap()
    });
    assert!(matches!(error, SourceError::Archive(_)), "{error}");
    let error = refused(|tar| {
        let list = &b"user::rw-,user:daemon:r--,group::r--,mask::r--,other::---"[..];
        tar.append_pax_extensions([("SCHILY.acl.access", list)])
            .unwrap();
        tar.append(&header(Regular, b"listed", 0), &b""[..])
            .unwrap();
    });
    let expected = "file is given an access control list that has no number for user daemon, which is not supported: listed";
    assert_eq!(error.to_string(), expected);
    // Replacement, repetition and odd spellings are not refused.
    take(|tar| {
        tar.append(&header(Directory, b"./", 0), &b""[..]).unwrap();
        tar.append(&header(Regular, b"//a//b", 3), &b"abc"[..])
            .unwrap();
        tar.append(&header(Directory, b"a/", 0), &b""[..]).unwrap();
        tar.append(&header(Regular, b"a/b", 4), &b"abcd"[..])
            .unwrap();
        tar.append(&header(Regular, b"a", 4), &b"abcd"[..]).unwrap();
        tar.append(&header(Directory, b"a", 0), &b""[..]).unwrap();
    })
    .unwrap();
}
