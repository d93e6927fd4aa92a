//! Every operation ends soon after it is told to, whatever it is doing, and leaves nothing half-made.
//!
//! Steps are stalled by the program itself, which debug builds do where `BANGER_STALL_AT` names one; locks,
//! pipes and registries are stalled from outside.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

mod storekit;
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use storekit::good_kernel;
use support::{Layout, banger, digest, names, run, sample, server, tar_of, tool};

/// A folder in which a command works.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(place.path("kernel"), good_kernel()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with arguments in which `@` is the folder.
    fn banger(&self, arguments: &str) -> Command {
        let mut command = banger();
        command
            .env("BANGER_HOME", self.path("home"))
            .args(self.words(arguments));
        command
    }

    fn words(&self, arguments: &str) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let words = arguments.split(' ');
        words.map(|word| word.replace('@', &folder)).collect()
    }

    /// Everything below the folder that a command may have made, but locks and what is in the cache.
    fn made(&self) -> Vec<String> {
        let mut made = Vec::new();
        for folder in ["", "home/images", "home/kernels"] {
            let path = self.path(folder);
            if path.is_dir() {
                made.extend(
                    names(&path)
                        .into_iter()
                        .map(|name| format!("{folder}/{name}")),
                );
            }
        }
        made.retain(|name| !name.ends_with("/.lock") && name != "/home");
        made
    }
}

/// A command that runs.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads what it says until it has said `text`.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let mut said = String::new();
        for line in &mut self.lines {
            let line = line.unwrap();
            if line.contains(text) {
                return;
            }
            said = said + &line + "\n";
        }
        panic!("{text:?} was not said:\n{said}");
    }

    /// Signals it, and sees it end as interrupted.
    #[track_caller]
    fn interrupt(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let said: Vec<String> = self.lines.map(Result::unwrap).collect();
        let code = self.child.wait().unwrap().code();
        assert_eq!(code, Some(130), "{said:#?}");
        let error = said.iter().find(|line| line.starts_with("error: "));
        assert!(
            error.is_some_and(|line| line.contains("interrupted")),
            "{said:#?}"
        );
    }
}

/// Each step that may take long, and commands that come to it.
const STEPS: [(&str, &str); 8] = [
    ("fetch", "flatten SAMPLE -o @/out"),
    ("finish", "flatten SAMPLE -o @/out"),
    ("publish", "flatten SAMPLE -o @/out"),
    (
        "seal",
        "flatten SAMPLE -o @/out --profile read-only --verity",
    ),
    ("fetch", "image pull SAMPLE --name x"),
    ("finish", "image pull SAMPLE --name x"),
    ("stage", "image pull SAMPLE --name x --kernel @/kernel"),
    ("stage", "kernel import x --kernel @/kernel"),
];

#[test]
#[cfg_attr(not(debug_assertions), ignore = "release builds cannot be stalled")]
fn every_step_ends_at_every_signal() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for (step, command) in STEPS {
            let place = Place::new();
            let before = place.made();
            let command =
                command.replace("SAMPLE", &format!("{} --platform linux/amd64", sample()));
            let mut command = place.banger(&format!("--progress json {command}"));
            command.env("BANGER_STALL_AT", step);
            let mut running = Running::start(&mut command);
            running.wait_for(&format!(r#""step":"{step}""#));
            running.wait_for("a test");
            running.interrupt(signal);
            assert_eq!(place.made(), before, "{signal:?} at {step}");
        }
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "release builds cannot be stalled")]
fn steps_over_what_is_there_leave_it_as_it_was() {
    let place = Place::new();
    fs::write(place.path("rootfs"), vec![0; 1 << 20]).unwrap();
    run(
        &mut place.banger("image register --name theirs --rootfs @/rootfs --kernel @/kernel"),
        0,
    );
    let layout = place.path("layout");
    let mut image = Layout::new(&layout);
    image.gzip_layer(&tar_of(&[("a", b"a")]));
    image.finish();
    let image = server::serve(&layout, None);
    run(
        &mut place.banger(&format!("flatten --no-fsync --plain-http {image} -o @/out")),
        0,
    );
    let before = place.made();
    for (step, command) in [
        ("stage", "image promote theirs"),
        ("verify", "cache verify"),
    ] {
        let mut command = place.banger(&format!("--progress json {command}"));
        let mut running = Running::start(command.env("BANGER_STALL_AT", step));
        running.wait_for("a test");
        running.interrupt(Signal::TERM);
        assert_eq!(place.made(), before, "{step}");
    }
}

/// Holds a lock until it is dropped.
fn hold(path: &Path) -> File {
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

#[test]
fn a_wait_for_a_lock_is_told_and_ends() {
    let place = Place::new();
    let layout = place.path("layout");
    let mut image = Layout::new(&layout);
    let layer = tar_of(&[("a", &[7; 1 << 20])]);
    image.plain_layer(&layer);
    let local = image.finish();
    let image = server::serve(&layout, None);
    run(
        &mut place.banger(&format!(
            "image pull {local} --name old --platform linux/amd64"
        )),
        0,
    );
    run(&mut place.banger("kernel import old --kernel @/kernel"), 0);
    run(
        &mut place.banger(&format!("flatten --no-fsync --plain-http {image} -o @/out")),
        0,
    );
    let hex = digest(&layer).replace("sha256:", "");
    let part = place.path(&format!("home/cache/oci/ingest/sha256-{hex}.part"));
    let blob = place.path(&format!("home/cache/oci/blobs/sha256/{hex}"));
    let before = place.made();
    let (images, kernels) = (
        place.path("home/images/.lock"),
        place.path("home/kernels/.lock"),
    );
    let cache = place.path("home/cache/oci");
    for (lock, command) in [
        (
            &images,
            format!("image pull {local} --name new --platform linux/amd64"),
        ),
        (&images, "image rename old new".into()),
        (&images, "image remove old".into()),
        (&kernels, "kernel import new --kernel @/kernel".into()),
        (&kernels, "kernel remove old".into()),
        (&cache, "cache prune".into()),
        (&cache, format!("flatten --plain-http {image} -o @/new")),
        (&part, format!("flatten --plain-http {image} -o @/new")),
    ] {
        if *lock == part {
            fs::remove_file(&blob).unwrap();
            fs::write(&part, b"").unwrap();
        }
        let held = hold(lock);
        let mut running = Running::start(&mut place.banger(&command));
        running.wait_for(&format!("which has locked {}", lock.display()));
        running.interrupt(Signal::TERM);
        drop(held);
        assert_eq!(place.made(), before, "{command}");
    }
}

#[test]
fn what_never_answers_is_not_waited_for() {
    if !tool("bash") {
        return;
    }
    let place = Place::new();
    let layout = place.path("layout");
    let mut image = Layout::new(&layout);
    let layer = tar_of(&[("a", &[7; 1 << 20])]);
    image.plain_layer(&layer);
    image.finish();
    let silent = server::serve(&layout, Some(&digest(&layer)));
    let open = server::serve(&layout, None);
    let before = place.made();
    // What each says before it falls silent, and the input that it is given.
    for (command, said) in [
        (
            format!("flatten --plain-http {silent} -o @/out"),
            "layer-started",
        ),
        (
            format!("image pull --plain-http {silent} --name x"),
            "layer-started",
        ),
        (
            "flatten tar:- -o @/out < <(exec sleep 20 2>/dev/null)".into(),
            "fetch",
        ),
        (
            "image pull tar:- --name x < <(exec sleep 20 2>/dev/null)".into(),
            "fetch",
        ),
        (
            "flatten docker-archive:- -o @/out < <(exec sleep 20 2>/dev/null)".into(),
            "fetch",
        ),
        (
            format!("flatten --plain-http {open} --authfile <(exec sleep 20 2>/dev/null) -o @/out"),
            "fetch",
        ),
        (
            format!(
                "image pull --plain-http {open} --authfile <(exec sleep 20 2>/dev/null) --name x"
            ),
            "fetch",
        ),
        (
            format!("flatten --plain-http {open} --ca-cert <(exec sleep 20 2>/dev/null) -o @/out"),
            "fetch",
        ),
        (
            "image pull tar:@/none --name x --packages <(exec sleep 20 2>/dev/null)".into(),
            "kernel",
        ),
    ] {
        let script = place.words(&command).join(" ");
        let program = env!("CARGO_BIN_EXE_banger");
        let script = format!("exec {program} --progress json {script}");
        let mut shell = Command::new("bash");
        shell
            .env("BANGER_HOME", place.path("home"))
            .arg("-c")
            .arg(script);
        let mut running = Running::start(&mut shell);
        running.wait_for(said);
        running.interrupt(Signal::INT);
        assert_eq!(place.made(), before, "{command}");
    }
}
