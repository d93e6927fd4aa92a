//! Death and company: kill -9 at every step, runs side by side, and a store that resists.
//!
//! Each run is a process of its own: this test binary, started again for its test `child` alone.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod storekit;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use banger::image::{
    FlattenRequest, Flattened, Flattener, PullRequest, RegisterRequest, promote, pull, register,
};
use banger::initrd::InitMode;
use banger::kernel::{Catalog, KernelRequest};
use banger::places::Places;
use banger::store::{Name, Store};
use banger::watch::{Observer, Step};
use banger::{Error, ErrorKind};
use oci_flatten::source::SourceName;
use storekit::*;

const STEPS: [Step; 12] = [
    Step::Parse,
    Step::Name,
    Step::NameCheck,
    Step::Kernel,
    Step::Reserve,
    Step::Fetch,
    Step::Size,
    Step::Finish,
    Step::Stage,
    Step::Inspect,
    Step::Publish,
    Step::Done,
];

/// What a child does, given in its environment.
#[derive(Clone, Default)]
struct Task {
    /// `pull`, `churn` or `promote`, and the name of the image.
    action: &'static str,
    name: String,
    /// The step at which it kills itself.
    kill_at: Option<usize>,
    /// In the flattener: make this file, then wait for the other.
    meet: Option<(PathBuf, PathBuf)>,
    /// Bytes the flattener writes.
    bytes: Option<u64>,
}

impl Task {
    fn pull(name: &str) -> Self {
        Self {
            action: "pull",
            name: name.into(),
            ..Self::default()
        }
    }

    /// The child, with its home and the program that starts it (`env` when nothing else is asked).
    fn command(&self, home: &Path, wrapper: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.args(wrapper).arg(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "child",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("TASK_HOME", home)
            .env("TASK_ACTION", self.action)
            .env("TASK_NAME", &self.name)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        if let Some(step) = self.kill_at {
            command.env("TASK_KILL_AT", step.to_string());
        }
        if let Some((mine, theirs)) = &self.meet {
            command.env("TASK_MINE", mine).env("TASK_THEIRS", theirs);
        }
        if let Some(bytes) = self.bytes {
            command.env("TASK_BYTES", bytes.to_string());
        }
        command
    }

    fn start(&self, home: &Path) -> Child {
        self.command(home, &[]).spawn().unwrap()
    }

    fn run(&self, home: &Path) -> ExitStatus {
        self.start(home).wait().unwrap()
    }
}

/// Dies at a step, as if by `kill -9`.
struct DieAt(Option<usize>);

impl Observer for DieAt {
    fn step(&self, step: Step) {
        if self.0.is_some_and(|index| STEPS[index] == step) {
            die();
        }
    }
}

fn die() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
    sleep(Duration::from_secs(60));
}

/// Writes a file of zeros in small pieces, telling its steps on the way.
struct Writer;

impl Flattener for Writer {
    fn flatten(
        &self,
        request: &FlattenRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Flattened, Error> {
        use std::io::Write;
        if let (Some(mine), Some(theirs)) = (path("TASK_MINE"), path("TASK_THEIRS")) {
            fs::write(mine, b"").unwrap();
            while !theirs.exists() {
                sleep(Duration::from_millis(2));
            }
        }
        let bytes = number("TASK_BYTES").unwrap_or(64 << 10);
        let mut file = request.output;
        for index in 0..bytes.div_ceil(4096) {
            if index == bytes / 8192 {
                observer.step(Step::Size);
            }
            file.write_all(&[b'x'; 4096])
                .map_err(|error| Error::io("write the filesystem", error))?;
        }
        observer.step(Step::Finish);
        Ok(Flattened::default())
    }
}

fn path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Does its task and ends with the exit code of its failure.
#[test]
#[ignore = "is started by the other tests as a process of its own"]
fn child() {
    let home = path("TASK_HOME").unwrap();
    let name = std::env::var("TASK_NAME").unwrap();
    let kill_at = number("TASK_KILL_AT").map(|index| usize::try_from(index).unwrap());
    let result = match std::env::var("TASK_ACTION").unwrap().as_str() {
        "pull" => pull_named(&home, &name, &DieAt(kill_at)),
        "churn" => churn(&home, &name),
        "promote" => promote(&store(&home), &name, &DieAt(kill_at)).map(drop),
        "read" => read(&home, &name),
        "write" => write_all_ways(&home, &name),
        other => panic!("unknown action {other}"),
    };
    let code = result.map_or_else(|error| i32::from(error.kind().exit_code()), |()| 0);
    #[expect(clippy::exit, reason = "the parent looks at the exit code")]
    std::process::exit(code);
}

fn store(home: &Path) -> Store {
    Store::new(Places::under(home).images)
}

fn catalog(home: &Path) -> Catalog {
    Catalog::new(Places::under(home).kernels)
}

fn pull_named(home: &Path, name: &str, observer: &dyn Observer) -> Result<(), Error> {
    let kernel = home.join("vmlinux");
    let request = PullRequest {
        name: Some(Name::parse(name).unwrap()),
        platform: "linux/amd64".parse().unwrap(),
        kernel: KernelRequest {
            kernel: kernel.exists().then_some(kernel),
            ..KernelRequest::default()
        },
        ..PullRequest::new(SourceName::parse("debian:bookworm").unwrap())
    };
    pull(&store(home), &catalog(home), &request, &Writer, observer).map(drop)
}

fn register_named(home: &Path, name: &str) -> Result<(), Error> {
    let request = RegisterRequest {
        name: Name::parse(name).unwrap(),
        rootfs: home.join("vmlinux"),
        work_seed: None,
        kernel: KernelRequest::default(),
        init: InitMode::Auto,
    };
    register(&store(home), &catalog(home), &request, &|| false).map(drop)
}

/// Pulls, renames, and removes without end.
fn churn(home: &Path, name: &str) -> Result<(), Error> {
    let other = Name::parse(&format!("{name}-renamed")).unwrap();
    loop {
        pull_named(home, name, &())?;
        store(home).rename(name, &other)?;
        pull_named(home, name, &())?;
        store(home).remove(other.as_str())?;
        store(home).remove(name)?;
    }
}

/// The names listed. Every record must be readable, every image whole, every name unique.
fn listed(home: &Path) -> Vec<String> {
    let listing = store(home).list().unwrap();
    assert!(listing.unreadable.is_empty(), "{:?}", listing.unreadable);
    let mut names: Vec<String> = Vec::new();
    for image in &listing.images {
        let artifacts = image.artifacts();
        for path in [Some(&artifacts.rootfs), artifacts.kernel.as_ref()]
            .into_iter()
            .flatten()
        {
            assert!(path.exists(), "{} is missing", path.display());
        }
        if image.record().managed {
            assert!(artifacts.rootfs.starts_with(image.directory()));
        }
        assert!(!image.directory().join(".name").exists());
        names.push(image.record().name.to_string());
    }
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name is there twice");
    names
}

/// The top level of the store but for its lock.
fn entries(home: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(Places::under(home).images)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

/// A folder for a home, with a kernel in it.
fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vmlinux"), good_kernel()).unwrap();
    folder
}

fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

#[test]
fn killed_at_any_step_the_store_has_what_was_published_and_goes_on() {
    let folder = home();
    let home = folder.path();
    let mut published = Vec::new();
    for round in 0..3 {
        for (index, step) in STEPS.into_iter().enumerate() {
            let name = format!("image-{round}-{index}");
            let task = Task {
                kill_at: Some(index),
                ..Task::pull(&name)
            };
            assert!(was_killed(task.run(home)), "{name}");
            let is_published = step == Step::Done;
            if is_published {
                published.push(name.clone());
            }
            published.sort();
            assert_eq!(listed(home), published, "killed at {step:?}");
            let code = Task::pull(&name).run(home).code();
            assert_eq!(code, Some(if is_published { 4 } else { 0 }), "{name}");
            if !is_published {
                published.push(name);
            }
        }
    }
    store(home).sweep().unwrap();
    published.sort();
    assert_eq!(listed(home), published);
    assert_eq!(entries(home).len(), published.len());
}

#[test]
fn killed_at_any_moment_the_store_stays_whole() {
    let folder = home();
    let home = folder.path();
    // Delays that are spread without a pattern and are the same in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..40 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let task = Task {
            action: "churn",
            name: "busy".into(),
            ..Task::default()
        };
        let mut child = task.start(home);
        sleep(Duration::from_millis(5 + state % 60));
        child.kill().unwrap();
        assert!(was_killed(child.wait().unwrap()), "round {round}");
        if !Places::under(home).images.exists() {
            continue;
        }
        let names = listed(home);
        store(home).sweep().unwrap();
        assert_eq!(listed(home), names, "round {round}");
        assert_eq!(entries(home).len(), names.len(), "round {round}");
        for name in names {
            store(home).remove(&name).unwrap();
        }
    }
    pull_named(home, "after", &()).unwrap();
    assert_eq!(listed(home), ["after"]);
}

#[test]
fn a_killed_promotion_leaves_the_image_as_it_was_or_promoted() {
    let folder = home();
    let home = folder.path();
    for (index, managed) in [(8, false), (10, false), (11, true)] {
        let name = format!("image-{index}");
        register_named(home, &name).unwrap();
        let task = Task {
            action: "promote",
            name: name.clone(),
            kill_at: Some(index),
            ..Task::default()
        };
        assert!(was_killed(task.run(home)), "{name}");
        listed(home);
        assert_eq!(
            store(home).find(&name).unwrap().record().managed,
            managed,
            "{name}"
        );
        let again = Task {
            action: "promote",
            name: name.clone(),
            ..Task::default()
        };
        assert_eq!(again.run(home).code(), Some(if managed { 4 } else { 0 }));
    }
    store(home).sweep().unwrap();
    assert_eq!(entries(home).len(), 3);
}

#[test]
fn of_many_pulls_of_one_name_exactly_one_wins() {
    let folder = home();
    let home = folder.path();
    for round in 0..5 {
        let name = format!("wanted-{round}");
        let children: Vec<Child> = (0..6).map(|_| Task::pull(&name).start(home)).collect();
        let mut codes: Vec<Option<i32>> = children
            .into_iter()
            .map(|mut child| child.wait().unwrap().code())
            .collect();
        codes.sort();
        assert_eq!(
            codes,
            [Some(0), Some(4), Some(4), Some(4), Some(4), Some(4)]
        );
    }
    assert_eq!(listed(home).len(), 5);
}

#[test]
fn a_name_in_the_making_is_taken_until_its_maker_dies() {
    let folder = home();
    let home = folder.path();
    let (ready, never) = (home.join("ready"), home.join("never"));
    let task = Task {
        meet: Some((ready.clone(), never)),
        ..Task::pull("wanted")
    };
    let mut maker = task.start(home);
    while !ready.exists() {
        sleep(Duration::from_millis(2));
    }
    let second = Task::pull("wanted").run(home);
    let rename = register_named(home, "other")
        .and_then(|()| store(home).rename("other", &Name::parse("wanted").unwrap()));
    store(home).sweep().unwrap();
    let alive = entries(home)
        .iter()
        .any(|entry| entry.ends_with(".staging"));
    maker.kill().unwrap();
    maker.wait().unwrap();
    assert_eq!(second.code(), Some(4));
    assert_eq!(rename.unwrap_err().kind(), ErrorKind::Exists);
    assert!(alive, "a sweep removed what a living run was making");
    assert_eq!(Task::pull("wanted").run(home).code(), Some(0));
    assert_eq!(listed(home), ["other", "wanted"]);
}

#[test]
fn pulls_of_different_names_run_side_by_side() {
    let folder = home();
    let home = folder.path();
    let (a, b) = (home.join("a-is-there"), home.join("b-is-there"));
    // Each waits in its flattener for the other to be in its own.
    let mut first = Task {
        meet: Some((a.clone(), b.clone())),
        ..Task::pull("a")
    }
    .start(home);
    let mut second = Task {
        meet: Some((b, a)),
        ..Task::pull("b")
    }
    .start(home);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert_eq!(listed(home), ["a", "b"]);
}

/// Lists and finds, as one may in a store that cannot be written.
fn read(home: &Path, name: &str) -> Result<(), Error> {
    store(home).list()?;
    store(home).find(name).map(drop)
}

/// Tries everything that writes; each must fail with a hint, and the failure of the pull is returned.
fn write_all_ways(home: &Path, name: &str) -> Result<(), Error> {
    let other = Name::parse("other").unwrap();
    for error in [
        register_named(home, "new").unwrap_err(),
        store(home).rename(name, &other).unwrap_err(),
        store(home).remove(name).unwrap_err(),
        promote(&store(home), "theirs", &()).unwrap_err(),
    ] {
        assert!(error.hint().is_some(), "{error}");
    }
    let error = pull_named(home, "new", &()).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    Err(error)
}

/// Runs a task in a mount namespace of its own, after a shell script that gets the home as `$1`.
fn run_mounted(script: &str, task: &Task, home: &Path) -> Option<ExitStatus> {
    if !has_tool("unshare") || !has_tool("mount") {
        return None;
    }
    let probe = Command::new("unshare")
        .args(["-rm", "true"])
        .status()
        .unwrap();
    assert!(
        probe.success() || std::env::var_os("CI").is_none(),
        "no user namespaces, and CI is set"
    );
    if !probe.success() {
        println!("skipped: user namespaces are not allowed here");
        return None;
    }
    let script = format!("set -e; {script}; shift; exec \"$@\"");
    let home_text = home.to_str().unwrap();
    let wrapper = ["unshare", "-rm", "sh", "-c", &script, "sh", home_text];
    Some(task.command(home, &wrapper).status().unwrap())
}

#[test]
fn a_full_disk_is_exit_8_and_leaves_nothing_half_made() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let listing = folder.path().join("listing");
    // The listing is written outside of the small filesystem, by the shell that outlives the child.
    let after = "find \"$1/images\" -mindepth 1 -maxdepth 1 ! -name .lock | wc -l";
    for (size, bytes) in [
        ("1m", 4 << 20),
        ("1m", (1 << 20) - 8192),
        ("400k", 300 << 10),
    ] {
        let task = Task {
            bytes: Some(bytes),
            ..Task::pull("big")
        };
        let mounted = folder.path().join("small");
        fs::create_dir_all(&mounted).unwrap();
        fs::write(home.join("vmlinux"), good_kernel()).unwrap();
        let script = format!(
            "k=\"$1/../vmlinux\"; mount -t tmpfs -o size={size} none \"$1\"; \
             ln -s \"$k\" \"$1/vmlinux\"; l=\"{}\"; h=\"$1\"; shift; set +e; \"$@\"; c=$?; \
             set -- \"$h\"; {after} >\"$l\"; exit $c",
            listing.display()
        );
        let Some(status) = run_mounted(&script, &task, &mounted) else {
            return;
        };
        assert_eq!(status.code(), Some(8), "size {size}, {bytes} bytes");
        assert_eq!(
            fs::read_to_string(&listing).unwrap().trim(),
            "0",
            "size {size}"
        );
    }
}

#[test]
fn a_read_only_store_can_be_read_and_says_why_it_cannot_be_written() {
    let folder = home();
    let home = folder.path();
    pull_named(home, "kept", &()).unwrap();
    register_named(home, "theirs").unwrap();
    let script = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"; cd \"$1\"";
    let task = |action| Task {
        action,
        name: "kept".into(),
        ..Task::default()
    };
    let Some(status) = run_mounted(script, &task("read"), home) else {
        return;
    };
    assert_eq!(status.code(), Some(0));
    let status = run_mounted(script, &task("write"), home).unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(listed(home), ["kept", "theirs"]);
    assert_eq!(entries(home).len(), 2);
}

#[test]
fn missing_permissions_are_told_and_lose_nothing() {
    let folder = home();
    let home = folder.path();
    pull_named(home, "kept", &()).unwrap();
    register_named(home, "theirs").unwrap();
    let images = Places::under(home).images;
    // Readable for everyone, writable for none.
    for path in [home, &images, &images.join(&entries(home)[0])] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
    for path in [
        images.join(".lock"),
        images.join(&entries(home)[0]).join("image.json"),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root && !has_tool("setpriv") {
        return;
    }
    let nobody: &[&str] = &[
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let wrapper = if is_root { nobody } else { &[] };
    let task = |action| Task {
        action,
        name: "kept".into(),
        ..Task::default()
    };
    let read = task("read").command(home, wrapper).status().unwrap();
    let write = task("write").command(home, wrapper).status().unwrap();
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&images, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(read.code(), Some(0));
    assert_eq!(write.code(), Some(1));
    assert_eq!(listed(home), ["kept", "theirs"]);
    assert_eq!(entries(home).len(), 2);
}
