//! Few threads, few open files, small files: a command does its work, or says which limit is in its way.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use support::{Layout, names, root, tar_of, tool};

/// A user that has no processes.
const NOBODY_ELSE: &str = "54321";

/// How long a command may take before it counts as hanging.
const SECONDS: &str = "60";

/// A folder that anybody may write, with the program and an image of three layers in it.
fn place() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let everybody = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    everybody(folder.path());
    fs::copy(env!("CARGO_BIN_EXE_banger"), folder.path().join("banger")).unwrap();
    let layout = folder.path().join("layout");
    let mut image = Layout::new(&layout);
    for name in ["a", "b", "c"] {
        image.gzip_layer(&tar_of(&[(name, &vec![7; 1 << 20])]));
    }
    let image = image.finish();
    for path in ["", "index.json", "oci-layout", "blobs", "blobs/sha256"] {
        everybody(&layout.join(path));
    }
    for name in names(&layout.join("blobs/sha256")) {
        everybody(&layout.join("blobs/sha256").join(name));
    }
    (folder, image)
}

/// Runs a command under limits. It must end by itself, as documented, and leave nothing half-made.
fn scarce(folder: &Path, wrapper: &[&str], arguments: &[&str]) -> (i32, String) {
    let output = folder.join("out");
    let mut command = Command::new("timeout");
    command.args([SECONDS, "prlimit"]).args(wrapper);
    command.arg(folder.join("banger")).args(arguments);
    command.env("BANGER_HOME", folder.join("home"));
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let code = ended.status.code().expect("no signal ends it");
    assert!(
        [0, 1, 8].contains(&code),
        "{wrapper:?} {arguments:?}: {code}: {said}"
    );
    assert!(
        !said.contains("panicked"),
        "{wrapper:?} {arguments:?}: {said}"
    );
    let _ = fs::remove_file(&output);
    (code, said)
}

#[test]
fn few_open_files_are_enough_or_named() {
    if !tool("prlimit") {
        return;
    }
    let (folder, image) = place();
    let out = folder.path().join("out").display().to_string();
    let flatten = ["flatten", "--no-fsync", &image, "-o", &out];
    for count in [4, 5, 6, 8, 12, 16, 20, 24, 28, 31, 32, 48, 64] {
        let limit = format!("--nofile={count}:{count}");
        for arguments in [&flatten[..], &["image", "list"]] {
            let (code, said) = scarce(folder.path(), &[&limit], arguments);
            // The loader itself needs a file.
            let named = said.contains("ulimit -n") || said.contains("open shared object");
            assert!(code == 0 || named, "{count}: {said}");
            assert!(code == 0 || count < 32, "{count}: {said}");
        }
    }
}

#[test]
fn few_threads_are_enough_or_named() {
    if !(tool("prlimit") && tool("setpriv") && root()) {
        return;
    }
    let (folder, image) = place();
    let out = folder.path().join("out").display().to_string();
    let flatten = ["flatten", "--no-fsync", &image, "-o", &out];
    for count in [1, 2, 3, 4, 5, 6, 7, 8, 12, 16] {
        let limit = format!("--nproc={count}:{count}");
        let wrapper = [&limit, "setpriv", "--reuid", NOBODY_ELSE, "--clear-groups"];
        for arguments in [&flatten[..], &["image", "list"]] {
            let (code, said) = scarce(folder.path(), &wrapper, arguments);
            assert!(code == 0 || said.contains("ulimit -u"), "{count}: {said}");
            assert!(code == 0 || count < 8, "{count}: {said}");
        }
    }
}

#[test]
fn a_file_that_may_not_grow_does_not_fit() {
    if !tool("prlimit") {
        return;
    }
    let (folder, image) = place();
    let out = folder.path().join("out").display().to_string();
    for limit in [4096, 1 << 20, 64 << 20] {
        let bytes = format!("--fsize={limit}:{limit}");
        for arguments in [
            &["flatten", "--no-fsync", &image, "-o", &out][..],
            &[
                "image",
                "pull",
                &image,
                "--name",
                "x",
                "--platform",
                "linux/amd64",
            ],
        ] {
            let (code, said) = scarce(folder.path(), &[&bytes], arguments);
            assert_eq!(code, 8, "{limit}: {said}");
            assert!(said.contains("ulimit -f"), "{limit}: {said}");
        }
    }
    let left: Vec<String> = names(&folder.path().join("home/images"));
    assert_eq!(left, [".lock"]);
}
