//! Every command, in the process and through the daemon: output, exit code and store must be the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::peer::{Daemon, banger};
use super::storekit::{RELEASE, good_kernel, module_directory, tree};
use super::support::sample;

/// Two homes with the same files beside them, one of them with a daemon.
struct Pair {
    here: tempfile::TempDir,
    daemon: Daemon,
}

/// What a command did.
#[derive(Debug, PartialEq)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Pair {
    fn new() -> Self {
        Self {
            here: tempfile::tempdir().unwrap(),
            daemon: Daemon::start(),
        }
    }

    fn folders(&self) -> [&Path; 2] {
        [self.here.path(), self.daemon.folder.path()]
    }

    /// Makes the same in both.
    fn prepare(&self, make: impl Fn(&Path)) {
        self.folders().into_iter().for_each(make);
    }

    /// Runs a command both ways, from within the folders, and compares; `@` stands for the folder.
    #[track_caller]
    fn run(&self, arguments: &str, code: i32) -> String {
        let [here, there] = self.folders().map(|folder| {
            let mut command = banger(folder);
            let words = arguments.split_whitespace();
            command.args(words.map(|word| word.replace('@', &folder.display().to_string())));
            command.current_dir(folder);
            (command, folder)
        });
        let here = outcome(here.0, here.1);
        let (mut command, folder) = there;
        command.arg("--daemon");
        let there = outcome(command, folder);
        assert_eq!(here, there, "banger {arguments}");
        assert_eq!(
            here.code,
            Some(code),
            "banger {arguments}\n{}{}",
            here.stdout,
            here.stderr
        );
        here.stdout
    }

    /// Both stores hold the same, byte for byte but for ids and times.
    #[track_caller]
    fn assert_same_stores(&self) {
        let [here, there] = self.folders().map(|folder| contents(&folder.join("home")));
        assert_eq!(here, there);
    }
}

fn outcome(mut command: Command, folder: &Path) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| normal(&String::from_utf8_lossy(bytes), folder);
    // The end of one layer and the beginning of the next are told by two threads.
    let mut told: Vec<String> = text(&output.stderr).lines().map(str::to_owned).collect();
    told.sort();
    Outcome {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: told.join("\n"),
    }
}

/// Every file below `home`, as its normal name and a hash of its normal content.
fn contents(home: &Path) -> BTreeSet<(String, String)> {
    let files = tree(home)
        .into_iter()
        .filter(|name| !name.contains("banger.sock"));
    let described = files.map(|name| {
        let path = home.join(name.split(" -> ").next().unwrap());
        let content = match path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            true => normal(&fs::read_to_string(&path).unwrap(), home.parent().unwrap()),
            false => match fs::read(&path) {
                Ok(bytes) => super::support::digest(&bytes),
                Err(_) => "a folder".into(),
            },
        };
        (normal(&name, home), content)
    });
    described.collect()
}

/// The text with the folder, ids of version 7 and times replaced by words.
fn normal(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "FOLDER");
    let mut normal = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if let Some((word, length)) = identifier(rest).or_else(|| time(rest)) {
            normal.push_str(word);
            rest = &rest[length..];
        } else {
            normal.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    normal
}

/// An id of version 7, or the short form that tables show.
fn identifier(text: &str) -> Option<(&'static str, usize)> {
    let full = text.get(..36)?;
    if uuid::Uuid::try_parse(full).is_ok_and(|id| id.get_version_num() == 7) {
        return Some(("ID", 36));
    }
    let short = text.get(..8)?;
    let ends = text[8..].starts_with(' ');
    (ends && short.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(("ID", 8))
}

fn time(text: &str) -> Option<(&'static str, usize)> {
    let pattern = "0000-00-00T00:00:00Z";
    let candidate = text.get(..pattern.len())?;
    let same = candidate
        .chars()
        .zip(pattern.chars())
        .all(|(found, wanted)| match wanted {
            '0' => found.is_ascii_digit(),
            _ => found == wanted,
        });
    same.then_some(("TIME", pattern.len()))
}

/// The kernels, disks and archives that commands are given.
fn prepare(folder: &Path) {
    fs::write(folder.join("vmlinux"), good_kernel()).unwrap();
    fs::write(folder.join("text"), "no kernel").unwrap();
    fs::write(folder.join("disk"), [0; 4096]).unwrap();
    fs::write(folder.join("seed"), "seed").unwrap();
    fs::write(folder.join("packages"), "a 1\n").unwrap();
    module_directory(folder, RELEASE, &["ext4"], &["fuse"]);
    let layout = PathBuf::from(
        sample()
            .strip_prefix("oci:")
            .unwrap()
            .strip_suffix(":latest")
            .unwrap(),
    );
    copy(&layout, &folder.join("layout"));
    // An OCI image layout is what the cache is.
    copy(&layout, &folder.join("home/cache/oci"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), &target).unwrap()),
        }
    }
}

#[test]
fn every_command_does_the_same_both_ways() {
    let pair = Pair::new();
    pair.prepare(prepare);
    kernels(&pair);
    images(&pair);
    pair.assert_same_stores();
    caches(&pair);
    pair.run("image remove one two", 0);
    pair.run("kernel rm cloud --format json", 0);
    pair.assert_same_stores();
    let described = pair.daemon.connect().call("rpc.discover", &json!({}));
    for method in described["methods"].as_array().unwrap() {
        let name = method["name"].as_str().unwrap();
        let own = ["system.", "op.", "rpc."]
            .iter()
            .any(|part| name.starts_with(part));
        if !own {
            pair.daemon.wait_for_log(&format!("begins {name}\n"));
        }
    }
}

fn kernels(pair: &Pair) {
    let import = format!("kernel import cloud --kernel vmlinux --modules @/{RELEASE}");
    pair.run(&import, 0);
    pair.run(&import, 4);
    pair.run("kernel import other --kernel text", 1);
    pair.run("kernel import other --kernel nowhere", 3);
    pair.run("kernel import other", 2);
    pair.run("kernel list", 0);
    pair.run("kernel list -q", 0);
    pair.run("kernel list --format json", 0);
    pair.run("kernel show cloud", 0);
    pair.run("kernel show cloud --format json", 0);
    pair.run("kernel show nobody", 3);
    pair.run("kernel show nobody --format json", 3);
    pair.run("kernel remove nobody", 3);
}

fn images(pair: &Pair) {
    const SAMPLE: &str = "oci:layout:latest --platform linux/amd64";
    pair.run(
        &format!("image pull {SAMPLE} --name one --kernel-ref cloud"),
        0,
    );
    pair.run(&format!("image pull {SAMPLE} --name one"), 4);
    pair.run(
        &format!("image pull {SAMPLE} --name two --kernel nowhere --packages nothing"),
        3,
    );
    pair.run(&format!("image pull {SAMPLE} --name two --size 64K"), 8);
    // How far the decoder is ahead by then is no matter.
    let bounded = format!("image pull {SAMPLE} --name two --max-size 1K -q");
    pair.run(&bounded, 7);
    pair.run(
        &format!("image pull {SAMPLE} --name x --kernel-ref cloud --kernel vmlinux"),
        2,
    );
    pair.run("image pull oci:nowhere --name two", 3);
    pair.run("image pull oci:layout:nothing --name two", 3);
    pair.run("image pull docker-archive:text --name two", 7);
    pair.run("image pull 127.0.0.1:1/a/b --name two -q", 6);
    pair.run("image pull 127.0.0.1:1/a/b --name two --offline", 3);
    let with_packages =
        format!("image pull {SAMPLE} --name two --packages packages --feature docker --nodev");
    pair.run(&format!("{with_packages} --progress json"), 0);
    let lower = format!("image pull {SAMPLE} --name lower --profile read-only --label lower");
    let uuid = "--uuid f9a5a7d4-9c0f-4b52-8e61-0c8f3d2b1a00";
    pair.run(
        &format!("{lower} {uuid} --verity --fs-feature metadata_csum_seed"),
        0,
    );
    pair.run(&format!("{lower} --fs-feature orphan_file"), 2);
    pair.run(&format!("image pull {SAMPLE} --name x --verity"), 2);
    pair.run("image show lower", 0);
    pair.run("image show lower --format json", 0);
    pair.run(
        "image register --name disk --rootfs disk --kernel @/vmlinux --work-seed seed",
        0,
    );
    pair.run("image register --name disk --rootfs disk", 4);
    pair.run("image register --name other --rootfs nowhere", 3);
    pair.run("image show disk", 0);
    pair.run("image promote disk", 0);
    pair.run("image promote disk", 4);
    pair.run("image list", 0);
    pair.run("image list -q", 0);
    pair.run("image list --format json", 0);
    pair.run("image show one", 0);
    pair.run("image show one -q", 0);
    pair.run("image show two --format json", 0);
    pair.run("image show nobody --format json", 3);
    looks_into(pair);
    pair.run("image rename disk renamed", 0);
    pair.run("image rename renamed one", 4);
    pair.run("image boot-config one --vmm qemu", 1);
    pair.run("image boot-config nobody --vmm firecracker", 3);
    pair.run("image remove renamed --format json", 0);
    pair.run("image remove renamed", 3);
}

/// Files, contents and copies out of an image.
fn looks_into(pair: &Pair) {
    let listed = pair.run("image files one /etc", 0);
    assert!(listed.contains("lrwxrwxrwx"), "{listed}");
    assert!(
        listed.contains("/etc/os-release -> ../usr/lib/os-release"),
        "{listed}"
    );
    let all = pair.run("image files one -R -q", 0);
    assert!(all.contains("/var/cache/apt/pkgcache.bin\n"), "{all}");
    assert!(!all.contains("password.draft"), "{all}");
    pair.run("image files one /bin --recursive --format json", 0);
    pair.run("image files one /nowhere", 3);
    pair.run("image files nobody", 3);
    pair.run("image files disk", 7);
    let motd = pair.run("image cat one /etc/motd", 0);
    assert!(motd.starts_with("This greeting is from layer"), "{motd}");
    pair.run("image cat one /etc/os-release", 0);
    pair.run("image cat one /etc", 2);
    pair.run("image cat one /etc/nothing", 3);
    pair.run("image cp one:/ copied", 0);
    pair.run("image cp one:/ copied", 4);
    pair.run("image cp one:/etc/motd copied", 0);
    pair.run("image cp one:/etc/motd copied", 4);
    pair.run("image cp one:/etc/motd nowhere/motd", 3);
    pair.run("image cp one copied", 2);
    let copies = pair.folders().map(|folder| {
        let copied = folder.join("copied");
        assert_eq!(fs::read_to_string(copied.join("motd")).unwrap(), motd);
        assert_eq!(
            fs::read_link(copied.join("etc/os-release")).unwrap(),
            Path::new("../usr/lib/os-release")
        );
        let mode = |name: &str| {
            let metadata = fs::metadata(copied.join(name)).unwrap();
            std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
        };
        assert_eq!((mode("bin/hello"), mode("tmp")), (0o755, 0o777));
        tree(&copied)
    });
    assert_eq!(copies[0], copies[1]);
    assert!(
        copies[0].iter().all(|name| !name.contains(".banger-cp")),
        "{copies:?}"
    );
}

fn caches(pair: &Pair) {
    pair.run("cache show", 0);
    pair.run("cache show --format json", 0);
    pair.run("cache verify", 0);
    pair.prepare(|folder| {
        let blobs = folder.join("home/cache/oci/blobs/sha256");
        let mut names: Vec<PathBuf> = fs::read_dir(blobs)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        fs::write(&names[0], "damaged").unwrap();
    });
    pair.run("cache verify --format json", 7);
    pair.run("cache prune --dry-run --unused-for 0s", 0);
    pair.run("cache prune --keep-size 0 --format json", 0);
    pair.run("cache show -q", 0);
    pair.run("inspect oci:layout:latest --platform linux/amd64", 0);
    pair.run(
        "inspect oci:layout:latest --platform linux/amd64 --format json",
        0,
    );
    pair.run("inspect oci:nowhere", 3);
    pair.run("config show", 0);
    pair.run("config show --format json", 0);
}

/// Standard input is the command's own, so the command works in its own process; the store is the same.
#[test]
fn an_image_from_standard_input_is_pulled_by_the_command_itself() {
    let daemon = Daemon::start();
    let tar = super::support::tar_of(&[("etc/hostname", b"one")]);
    let file = daemon.folder.path().join("root.tar");
    fs::write(&file, tar).unwrap();
    let mut pull = banger(daemon.folder.path());
    pull.args(["--daemon", "image", "pull", "tar:-", "--name", "piped"]);
    pull.stdin(fs::File::open(&file).unwrap());
    super::support::run(&mut pull, 0);
    // Under another name, and from a folder whose name ends source names.
    let folder = daemon.folder.path().join("with:colon");
    fs::create_dir(&folder).unwrap();
    fs::copy(&file, folder.join("root.tar")).unwrap();
    for (source, name) in [
        ("tar:/dev/stdin", "again"),
        ("docker-archive:root.tar", "wrong"),
    ] {
        let mut pull = banger(daemon.folder.path());
        pull.args(["--daemon", "image", "pull", source, "--name", name]);
        pull.stdin(fs::File::open(&file).unwrap())
            .current_dir(&folder);
        // No image is in the archive, which is to be read all the same.
        super::support::run(&mut pull, if name == "wrong" { 3 } else { 0 });
    }
    let listed = daemon.connect().call("image.list", &json!({}));
    assert_eq!(listed["images"][0]["name"], "piped");
    assert_eq!(listed["images"][1]["name"], "again");
    assert!(listed["images"][1]["sizes"]["content_bytes"].as_u64() > Some(0));
    let sizes = |index: usize| listed["images"][index]["sizes"].clone();
    assert_eq!(sizes(0), sizes(1));
    // The daemon does not take its own for that of its client.
    for reference in ["tar:/dev/stdin", "tar:/proc/self/fd/0", "tar:/dev/fd/3"] {
        let params = json!({"ref": reference, "name": "a"});
        assert_eq!(
            daemon.connect().fail("image.pull", &params)["code"],
            2,
            "{reference}"
        );
    }
}
