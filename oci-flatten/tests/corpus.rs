//! Archives from other projects' test suites, where they are at hand: `shared/corpus` beside the repository or above.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::MultiGzDecoder;
use oci_flatten::limits::Limits;
use oci_flatten::path::EntryPath;
use oci_flatten::tar::{Event, TarReader};

#[path = "support/tools.rs"]
mod tools;

/// What is refused, and why. Go's `archive/tar` refuses each of them, if not always as early.
const REFUSED: &[(&str, &str)] = &[
    (
        "go/gnu-sparse-many-zeros",
        "sparse map is 10000001 pieces (limit 262144)",
    ),
    ("go/issue10968", "header checksum does not match"),
    ("go/issue11169", "pax record is malformed"),
    ("go/issue12435", "size is not a number"),
    ("go/neg-size", "size is not a number"),
    ("go/pax-bad-hdr-file", "pax record is malformed"),
    (
        "go/pax-bad-hdr-large",
        "extension header is 1048577 bytes (limit 1048576)",
    ),
    ("go/pax-bad-mtime-file", "modification time is not a number"),
    ("go/pax-nul-path", "pax record is malformed"),
    ("go/pax-nul-xattrs", "pax record is malformed"),
    ("go/writer-big", "archive is cut short"),
    ("go/writer-big-long", "archive is cut short"),
    // Whoever made the copy left a newline in the second block of zeros.
    (
        "la/test_compat_plexus_archiver_tar",
        "single zero block between entries",
    ),
    (
        "la/test_read_format_gtar_sparse_1_17_posix10_modified",
        "sparse map is malformed",
    ),
    (
        "la/test_read_format_gtar_sparse_skip_entry",
        "sparse file has more data than its map",
    ),
    (
        "la/test_read_format_tar_V_negative_size",
        "group id is not a number",
    ),
    (
        "la/test_read_format_tar_acl_oob_read",
        "pax record is malformed",
    ),
    (
        "la/test_read_format_tar_invalid_pax_size",
        "pax record is malformed",
    ),
    (
        "la/test_read_format_tar_pax_g_large",
        "extension header is 4294967296 bytes (limit 1048576)",
    ),
    (
        "la/test_read_format_tar_pax_large_attr",
        "extension header is 8000000 bytes (limit 1048576)",
    ),
    (
        "la/test_read_format_tar_pax_timestamps",
        "modification time is not a number",
    ),
    (
        "la/test_read_pax_empty_val_no_nl",
        "pax record is malformed",
    ),
    ("tokio/diff-014-unterminated-pax", "pax record is malformed"),
    (
        "tokio/diff-039-truncated-entry-body",
        "archive is cut short",
    ),
];

/// What is read, but otherwise than by Python's `tarfile`, and why.
const UNLIKE_PYTHON: &[(&str, &str)] = &[
    (
        "go/gnu-incremental",
        "takes GNU's access and change times for a prefix",
    ),
    (
        "go/gnu-multi-hdrs",
        "takes the first of repeated long names; Go and GNU tar take the last",
    ),
    ("go/pax-global-records", "applies global headers"),
    (
        "go/pax-multi-hdrs",
        "takes the first of repeated PAX headers; Go takes the last",
    ),
    (
        "go/pax-nil-sparse-data",
        "tells the size in the archive, map included",
    ),
    (
        "go/pax-nil-sparse-hole",
        "tells the size in the archive, map included",
    ),
    (
        "go/pax-path-hdr",
        "refuses an extension header without an entry",
    ),
    (
        "go/pax-sparse-big",
        "tells the size in the archive, map included",
    ),
    (
        "la/test_compat_solaris_tar_acl",
        "knows no size of unknown types",
    ),
    (
        "la/test_read_format_gtar_redundant_L",
        "takes the first of repeated long names; Go and GNU tar take the last",
    ),
    (
        "la/test_read_format_tar_empty_pax",
        "refuses an extension header without an entry",
    ),
    (
        "la/test_read_format_tar_timestamp_overflow",
        "takes a size field that begins with NULs for empty",
    ),
    (
        "tokio/diff-024-pending-pax-boundary",
        "refuses an extension header without an entry",
    ),
];

fn corpus() -> Option<Vec<(String, PathBuf)>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(tars) = manifest
        .ancestors()
        .map(|up| up.join("shared/corpus/tars"))
        .find(|dir| dir.is_dir())
    else {
        println!("skipped: no shared/corpus");
        return None;
    };
    let mut files = Vec::new();
    for project in ["go", "la", "tokio"] {
        for file in fs::read_dir(tars.join(project)).expect("corpus is readable") {
            let path = file.expect("corpus is readable").path();
            let name = path
                .file_name()
                .expect("file has a name")
                .to_string_lossy()
                .into_owned();
            files.push((
                format!("{project}/{}", name.trim_end_matches(".tar.gz")),
                path,
            ));
        }
    }
    files.sort();
    Some(files)
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).expect("archive opens");
    MultiGzDecoder::new(file)
        .read_to_end(&mut bytes)
        .expect("archive decompresses");
    bytes
}

/// Cleaned names, sizes of contents, and what went wrong.
fn read(bytes: &[u8]) -> (Vec<String>, Option<String>) {
    let mut reader = TarReader::new(&Limits::default().tar());
    let mut names = Vec::new();
    let mut rest = bytes;
    loop {
        match reader.next_event(&mut rest) {
            Ok(Some(Event::Entry(entry))) => {
                let path = EntryPath::parse(entry.path).map(|path| path.as_bytes().to_vec());
                let path = path.unwrap_or_else(|_| entry.path.to_vec());
                names.push(format!("{} {}", path.escape_ascii(), entry.size));
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return (names, Some(error.problem.to_string())),
        }
    }
    (
        names,
        reader.finish().err().map(|error| error.problem.to_string()),
    )
}

#[test]
fn every_archive_is_read_or_refused_as_by_go() {
    for (name, path) in corpus().unwrap_or_default() {
        let expected = REFUSED
            .iter()
            .find(|(refused, _)| *refused == name)
            .map(|(_, why)| (*why).to_owned());
        assert_eq!(read(&unpacked(&path)).1, expected, "{name}");
    }
}

#[test]
fn names_and_sizes_are_those_that_python_reads() {
    let Some(files) = corpus() else { return };
    if !tools::is_there("python3") {
        return;
    }
    let files: Vec<_> = files
        .into_iter()
        .map(|(name, path)| (name, read(&unpacked(&path)), path))
        .filter(|(_, (_, error), _)| error.is_none())
        .collect();
    let python = python(files.iter().map(|(.., path)| path));
    assert_eq!(files.len(), python.len());
    for ((name, (ours, _), _), python) in files.iter().zip(python) {
        let is_known = UNLIKE_PYTHON.iter().any(|(known, _)| known == name);
        assert!(
            (python.as_ref() == Some(ours)) != is_known,
            "{name}: we read {ours:?}"
        );
    }
}

/// What Python reads of each file, or that it refuses it.
fn python<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<Option<Vec<String>>> {
    let script = r#"
import os, sys, tarfile
def show(name):
    raw = os.fsencode(os.path.normpath("/" + name).lstrip("/"))
    return "".join(chr(b) if 32 <= b < 127 and b not in b"\\'\"" else "\\x%02x" % b for b in raw)
for path in sys.argv[1:]:
    try:
        with tarfile.open(path) as archive:
            lines = ["%s %d" % (show(m.name), m.size if m.isreg() else 0) for m in archive]
        print("read", len(lines), *lines, sep="\n")
    except tarfile.TarError:
        print("refused")
"#;
    let output = Command::new("python3")
        .args(["-c", script])
        .args(paths)
        .output()
        .expect("python3 runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("output is ASCII");
    let mut lines = text.lines().map(str::to_owned);
    let mut archives = Vec::new();
    while let Some(outcome) = lines.next() {
        archives.push((outcome == "read").then(|| {
            let count = lines
                .next()
                .and_then(|count| count.parse().ok())
                .expect("count is a number");
            lines.by_ref().take(count).collect()
        }));
    }
    archives
}
