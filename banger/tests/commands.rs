//! `banger image` and `banger kernel` as a user runs them: results, formats, exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests may"
)]

mod storekit;
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use storekit::{RELEASE, good_kernel, module_directory, tree, vmlinux};
use support::{Layout, run, sample, tar_of};

/// A home of its own.
struct User {
    folder: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.folder.path().join(name), bytes).unwrap();
        self.path(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = support::banger();
        command
            .args(arguments)
            .env("BANGER_HOME", self.folder.path().join("home"));
        command
    }

    /// Runs banger, which must exit with `code`; returns standard output and standard error.
    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32) -> (String, String) {
        run(&mut self.command(arguments), code)
    }

    /// The result as JSON.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let (stdout, _) = self.run(&[&["--format", "json"], arguments].concat(), 0);
        serde_json::from_str(&stdout).unwrap()
    }

    /// A pull of the repository's sample.
    #[track_caller]
    fn pull(&self, name: &str) -> String {
        let source = sample();
        let pull = [
            "image",
            "pull",
            &source,
            "--platform",
            "linux/amd64",
            "--name",
            name,
            "-q",
        ];
        self.run(&pull, 0).0.trim_end().to_owned()
    }

    fn left_in_store(&self) -> Vec<String> {
        tree(&self.folder.path().join("home/images"))
    }
}

#[test]
fn a_pulled_image_is_listed_shown_renamed_and_removed() {
    let user = User::new();
    let id = user.pull("first");
    let (listed, _) = user.run(&["image", "list"], 0);
    assert!(listed.starts_with("NAME "), "{listed}");
    assert!(
        listed.contains("first") && listed.contains(&format!(" {} ", &id[..8])),
        "{listed}"
    );
    assert_eq!(user.run(&["image", "ls", "-q"], 0).0, format!("{id}\n"));
    let document = user.json(&["image", "list"]);
    assert_eq!(document["images"][0]["id"], id.as_str());
    assert_eq!(document["images"][0]["schema"], 2);
    let shown = user.json(&["image", "show", &id[..20]]);
    assert_eq!(shown["name"], "first");
    assert_eq!(shown["managed"], true);
    assert_eq!(shown["missing"], Value::Array(Vec::new()));
    let rootfs = shown["paths"]["rootfs"].as_str().unwrap();
    assert_eq!(
        fs::metadata(rootfs).unwrap().len(),
        shown["sizes"]["rootfs_bytes"]
    );
    let (text, _) = user.run(&["image", "show", "first"], 0);
    for part in ["name ", "digest ", "sha256:", "managed ", "boots "] {
        assert!(text.contains(part), "{text}");
    }
    user.run(&["image", "rename", "first", "second"], 0);
    user.run(&["image", "show", "first"], 3);
    assert_eq!(user.run(&["image", "rm", "second"], 0).0, format!("{id}\n"));
    assert_eq!(user.run(&["image", "list"], 0).0, "");
    assert_eq!(user.left_in_store(), [".lock"]);
}

#[test]
fn manifest_and_config_are_kept_byte_for_byte() {
    let user = User::new();
    user.pull("sample");
    let shown = user.json(&["image", "show", "sample"]);
    let directory = Path::new(shown["directory"].as_str().unwrap());
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sample/blobs");
    let digest = shown["digest"].as_str().unwrap().replace(':', "/");
    let manifest = fs::read(directory.join("manifest.json")).unwrap();
    assert_eq!(manifest, fs::read(layout.join(digest)).unwrap());
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let config = manifest["config"]["digest"]
        .as_str()
        .unwrap()
        .replace(':', "/");
    assert_eq!(
        fs::read(directory.join("config.json")).unwrap(),
        fs::read(layout.join(config)).unwrap()
    );
}

#[test]
fn an_image_gets_its_kernel_from_the_catalog_or_by_its_files() {
    let user = User::new();
    let kernel = user.file("vmlinux", &good_kernel());
    let modules = module_directory(user.folder.path(), RELEASE, &["ext4"], &["fuse"]);
    let modules = modules.display().to_string();
    user.run(
        &[
            "kernel",
            "import",
            "cloud",
            "--kernel",
            &kernel,
            "--modules",
            &modules,
        ],
        0,
    );
    let (listed, _) = user.run(&["kernel", "list"], 0);
    assert!(
        listed.contains(RELEASE) && listed.contains("ELF vmlinux"),
        "{listed}"
    );
    let (shown, _) = user.run(&["kernel", "show", "cloud"], 0);
    assert!(shown.contains("virtio_blk built in"), "{shown}");
    assert!(
        shown.contains("boots from") && shown.contains("virtio (PCI)"),
        "{shown}"
    );
    assert_eq!(
        user.json(&["kernel", "show", "cloud"])["facts"]["release"],
        RELEASE
    );
    assert_eq!(
        user.json(&["kernel", "list"])["kernels"][0]["name"],
        "cloud"
    );
    let source = sample();
    let pull = [
        "image",
        "pull",
        &source,
        "--platform",
        "linux/amd64",
        "--kernel-ref",
        "cloud",
    ];
    user.run(&pull, 0);
    let shown = user.json(&["image", "show", "sample"]);
    assert_eq!(shown["kernel"]["release"], RELEASE);
    assert!(Path::new(shown["paths"]["initrd"].as_str().unwrap()).is_file());
    assert_eq!(shown["paths"]["modules"], Value::Null);
    let both = [&pull[..], &["--name", "b", "--kernel", &kernel]].concat();
    let (_, stderr) = user.run(&both, 2);
    assert!(stderr.contains("excludes --kernel"), "{stderr}");
    assert_eq!(user.run(&["kernel", "rm", "cloud"], 0).0, "cloud\n");
    assert_eq!(user.run(&["kernel", "ls"], 0).0, "");
}

#[test]
fn a_registered_image_keeps_its_paths_until_it_is_promoted() {
    let user = User::new();
    let rootfs = user.file("disk", &[0; 4096]);
    let kernel = user.file("vmlinux", &good_kernel());
    let seed = user.file("seed", b"seed");
    let register = [
        "image",
        "register",
        "--name",
        "theirs",
        "--rootfs",
        &rootfs,
        "--kernel",
        &kernel,
        "--work-seed",
        &seed,
    ];
    let (_, stderr) = user.run(&register, 0);
    assert!(
        stderr.contains("warning: boot facts are unknown"),
        "{stderr}"
    );
    let shown = user.json(&["image", "show", "theirs"]);
    assert_eq!(shown["managed"], false);
    assert_eq!(shown["paths"]["rootfs"], rootfs);
    user.run(&["image", "promote", "theirs"], 0);
    let shown = user.json(&["image", "show", "theirs"]);
    assert_eq!(shown["managed"], true);
    assert!(
        shown["paths"]["work_seed"]
            .as_str()
            .unwrap()
            .contains("/images/")
    );
    assert!(Path::new(&rootfs).exists());
}

#[test]
fn exit_1_is_a_file_that_is_no_kernel() {
    let user = User::new();
    let text = user.file("text", b"no kernel");
    let (_, stderr) = user.run(&["kernel", "import", "k", "--kernel", &text], 1);
    assert!(
        stderr.contains("--kernel: ") && stderr.contains("is not a kernel"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: "), "{stderr}");
}

#[test]
fn exit_2_is_a_usage_error() {
    let user = User::new();
    for arguments in [
        &["image", "pull"][..],
        &["image", "pull", "oci:", "--name", "a"],
        &["image", "pull", "debian", "--name", "Not Allowed"],
        &["image", "pull", "tar:-"],
        &["image", "register", "--name", "a"],
        &["image", "remove"],
        &["image", "boot-config", "a", "--vmm", "none"],
        &[
            "image",
            "boot-config",
            "a",
            "--vmm",
            "qemu",
            "--memory",
            "1K",
        ],
        &["image", "rename", "a", "B"],
        &["kernel", "import", "k"],
        &["kernel", "import", "k.staging", "--kernel", "/k"],
        &["completion", "none"],
    ] {
        user.run(arguments, 2);
    }
    assert!(!user.folder.path().join("home").exists());
}

#[test]
fn exit_2_is_a_path_that_no_record_can_hold() {
    let user = User::new();
    let odd = user.folder.path().join(OsStr::from_bytes(b"odd-\xff"));
    fs::write(&odd, good_kernel()).unwrap();
    let plain = user.file("rootfs", b"no filesystem");
    for (flag, rootfs) in [
        ("--rootfs", None),
        ("--work-seed", Some(&plain)),
        ("--kernel", Some(&plain)),
    ] {
        let mut command = user.command(&["image", "register", "--name", "a"]);
        command.args(rootfs.iter().flat_map(|path| ["--rootfs", path]));
        let (_, stderr) = run(command.arg(flag).arg(&odd), 2);
        assert!(stderr.contains("is not UTF-8"), "{stderr}");
        assert!(stderr.contains("odd-"), "{stderr}");
    }
    assert!(!user.folder.path().join("home/images").exists());
}

#[test]
fn exit_3_is_what_is_not_there() {
    let user = User::new();
    for arguments in [
        &["image", "show", "nobody"][..],
        &["image", "remove", "nobody"],
        &["image", "rename", "nobody", "a"],
        &["image", "promote", "nobody"],
        &["image", "boot-config", "nobody", "--vmm", "qemu"],
        &["image", "pull", "oci:/nonexistent/layout"],
        &["image", "pull", "debian", "--kernel-ref", "none"],
        &[
            "image",
            "pull",
            "debian",
            "--kernel",
            "/nonexistent/vmlinuz",
        ],
        &[
            "image",
            "register",
            "--name",
            "a",
            "--rootfs",
            "/nonexistent/rootfs",
        ],
        &["kernel", "show", "nobody"],
        &["kernel", "remove", "nobody"],
        &["kernel", "import", "k", "--kernel", "/nonexistent/vmlinuz"],
    ] {
        let (stdout, stderr) = user.run(arguments, 3);
        assert_eq!(stdout, "");
        assert!(stderr.contains("error: "), "{stderr}");
    }
    let (_, stderr) = user.run(&["--format", "json", "image", "show", "nobody"], 3);
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["error"]["code"], "not-found");
    assert!(
        error["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("image list")
    );
}

#[test]
fn exit_3_tells_everything_that_is_missing() {
    let user = User::new();
    let pull = [
        "image",
        "pull",
        "debian",
        "--kernel",
        "/no/k",
        "--initrd",
        "/no/i",
        "--modules",
        "/no/m",
    ];
    let (_, stderr) = user.run(&pull, 3);
    for flag in ["--kernel: ", "--initrd: ", "--modules: ", "hint: "] {
        assert!(stderr.contains(flag), "{stderr}");
    }
}

#[test]
fn exit_4_is_a_name_that_is_taken_or_in_use() {
    let user = User::new();
    user.pull("taken");
    user.pull("other");
    let source = sample();
    let (_, stderr) = user.run(&["image", "pull", &source, "--name", "taken"], 4);
    assert!(stderr.contains("hint: choose another name"), "{stderr}");
    user.run(&["image", "rename", "other", "taken"], 4);
    user.run(&["image", "promote", "taken"], 4);
    let kernel = user.file("vmlinux", &good_kernel());
    user.run(&["kernel", "import", "k", "--kernel", &kernel], 0);
    user.run(&["kernel", "import", "k", "--kernel", &kernel], 4);
    let rootfs = user.file("disk", b"disk");
    let register = [
        "image",
        "register",
        "--name",
        "user",
        "--rootfs",
        &rootfs,
        "--kernel-ref",
        "k",
    ];
    user.run(&register, 0);
    let (_, stderr) = user.run(&["kernel", "remove", "k"], 4);
    assert!(stderr.contains("in use by user"), "{stderr}");
}

#[test]
fn exit_5_is_a_registry_that_refuses() {
    let user = User::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("{}/a/b:tag", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let (_, stderr) = user.run(&["image", "pull", &source], 5);
    assert!(stderr.contains("error: "), "{stderr}");
    assert!(
        stderr.contains("hint: log in with `podman login 127.0.0.1:"),
        "{stderr}"
    );
    assert_eq!(user.left_in_store(), [".lock"]);
}

#[test]
fn exit_6_is_a_network_that_fails() {
    let user = User::new();
    // A port that was free a moment ago: nobody answers there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("{}/a/b:tag", listener.local_addr().unwrap());
    drop(listener);
    user.run(&["image", "pull", &source], 6);
    assert_eq!(user.left_in_store(), [".lock"]);
    user.run(&["image", "pull", &source, "--kernel-ref", "none"], 3);
}

#[test]
fn exit_7_is_a_layer_that_is_not_what_its_digest_says() {
    let user = User::new();
    let mut layout = Layout::new(&user.folder.path().join("layout"));
    let tar = tar_of(&[("etc/hostname", b"one")]);
    layout.layer(
        "application/vnd.oci.image.layer.v1.tar",
        &tar,
        &format!("sha256:{}", "0".repeat(64)),
    );
    let source = layout.finish();
    let pull = ["image", "pull", &source, "--platform", "linux/amd64"];
    user.run(&pull, 7);
    assert_eq!(user.left_in_store(), [".lock"]);
}

#[test]
fn exit_8_is_a_size_that_is_too_small() {
    let user = User::new();
    let source = sample();
    let pull = [
        "image",
        "pull",
        &source,
        "--platform",
        "linux/amd64",
        "--size",
        "64K",
    ];
    let (_, stderr) = user.run(&pull, 8);
    assert!(stderr.contains("--size"), "{stderr}");
    assert_eq!(user.left_in_store(), [".lock"]);
}

#[test]
fn exit_130_is_an_interrupted_pull_and_nothing_is_left() {
    let user = User::new();
    // A pipe that nobody ever writes to.
    let pipe = user.path("pipe.tar");
    run(Command::new("mkfifo").arg(&pipe), 0);
    let holder = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let source = format!("tar:{pipe}");
    let mut child = user
        .command(&["image", "pull", &source, "--name", "never"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_staged = || {
        user.left_in_store()
            .iter()
            .any(|entry| entry.ends_with("/rootfs.ext4"))
    };
    while !is_staged() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(user.left_in_store(), [".lock"]);
    drop(holder);
}

#[test]
fn an_image_that_cannot_boot_is_told_with_what_would_help() {
    let user = User::new();
    user.pull("sample");
    let (_, stderr) = user.run(
        &["image", "boot-config", "sample", "--vmm", "firecracker"],
        1,
    );
    assert!(
        stderr.contains("has no kernel") && stderr.contains("--kernel-ref"),
        "{stderr}"
    );
    let kernel = user.file("arm", &vmlinux(183, RELEASE, false, None));
    let source = sample();
    let pull = [
        "image",
        "pull",
        &source,
        "--platform",
        "linux/amd64",
        "--name",
        "b",
        "--kernel",
        &kernel,
    ];
    let (_, stderr) = user.run(&pull, 1);
    assert!(
        stderr.contains("for arm64, the image is for amd64"),
        "{stderr}"
    );
}

#[test]
fn every_command_has_help_completion_and_a_man_page() {
    let user = User::new();
    for arguments in [
        &["image"][..],
        &["image", "pull"],
        &["image", "register"],
        &["image", "promote"],
        &["image", "list"],
        &["image", "show"],
        &["image", "rename"],
        &["image", "remove"],
        &["image", "boot-config"],
        &["kernel", "import"],
        &["kernel", "list"],
        &["kernel", "show"],
        &["kernel", "remove"],
        &["cache", "show"],
        &["cache", "verify"],
        &["cache", "prune"],
        &["daemon"],
        &["completion"],
    ] {
        let (help, _) = user.run(&[arguments, &["--help"]].concat(), 0);
        let usage = format!("Usage: banger {}", arguments.join(" "));
        assert!(help.contains(&usage), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, _) = user.run(&["completion", shell], 0);
        assert!(script.contains("COMPLETE"), "{shell}");
    }
    let pages = user.path("man");
    user.run(&["man", &pages], 0);
    let page = fs::read_to_string(format!("{pages}/banger-image-pull.1")).unwrap();
    assert!(page.contains("kernel\\-ref"), "{page}");
    assert!(Path::new(&pages).join("banger.1").exists());
}

#[test]
fn what_is_done_is_logged_where_it_is_asked_for() {
    let user = User::new();
    let source = sample();
    let pull = |name| {
        [
            "image",
            "pull",
            &source,
            "--platform",
            "linux/amd64",
            "-q",
            "--name",
            name,
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let run = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        user.run(&arguments, 0).1
    };
    assert!(!run(pull("a")).contains("DEBUG"));
    let told = run([pull("b"), vec!["-v".into()]].concat());
    assert!(
        told.contains("DEBUG banger::watch") && told.contains("Publish"),
        "{told}"
    );
}
