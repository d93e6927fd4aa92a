//! Images of every kind on every machine: what runs, as whom, what comes back, and what is left on the disk.
//!
//! `cargo test -p banger-tests --test slow_boot`

#![allow(missing_docs, reason = "a test")]

use std::path::Path;
use std::process::Command;

use banger::initrd::Event;
use banger::kernel::KernelRequest;
use banger::store::Image;
use banger_tests::machine::{
    Ended, QemuDisk, Running, check_clean, cloud_kernel_request, hash, layer, own_disk, pulled,
    under_qemu, under_uml, witness, write_layout,
};
use banger_tests::{root, shared_images, succeed, tool};
use oci_flatten::testkit::{Entry, Layer};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Machine {
    Uml,
    Qemu(QemuDisk),
}

const MACHINES: [Machine; 3] = [
    Machine::Uml,
    Machine::Qemu(QemuDisk::Virtio),
    Machine::Qemu(QemuDisk::Nvme),
];

fn tools() -> bool {
    let tools = [
        "linux.uml",
        "qemu-system-x86_64",
        "e2fsck",
        "gcc",
        "busybox",
        "apt-get",
        "dpkg-deb",
    ];
    tools.into_iter().all(tool)
}

/// A pulled image and the disk of one machine.
struct Trial {
    folder: tempfile::TempDir,
    image: Image,
    before: Vec<u8>,
    machine: Machine,
}

impl Trial {
    fn new(layer: Layer, config: &Value, machine: Machine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_layout(&folder.path().join("image"), layer, config);
        let source = format!("oci:{}", folder.path().join("image").display());
        Self::pulled(folder, &source, machine)
    }

    fn pulled(folder: tempfile::TempDir, source: &str, machine: Machine) -> Self {
        let kernel = match machine {
            Machine::Uml => KernelRequest::default(),
            Machine::Qemu(_) => cloud_kernel_request(),
        };
        let image = pulled(folder.path(), source, kernel);
        let before = hash(&image.artifacts().rootfs);
        own_disk(&image, folder.path());
        Self {
            folder,
            image,
            before,
            machine,
        }
    }

    fn disk(&self) -> std::path::PathBuf {
        self.folder.path().join("disk.ext4")
    }

    fn start(&self, read_only: bool) -> Running {
        match self.machine {
            Machine::Uml if read_only => under_uml(&self.image, &self.disk(), &["ro"]),
            Machine::Uml => under_uml(&self.image, &self.disk(), &[]),
            Machine::Qemu(kind) => under_qemu(&self.image, &self.disk(), kind, |request| {
                request.read_only = read_only;
            }),
        }
    }

    /// Runs it to its end; the disk is clean then, and the store as it was.
    fn run(&self) -> Ended {
        let ended = self.start(false).ended();
        check_clean(&self.disk());
        self.check_store();
        ended
    }

    fn check_store(&self) {
        assert_eq!(hash(&self.image.artifacts().rootfs), self.before);
    }
}

fn exited(ended: &Ended) -> (Option<u8>, Option<i32>) {
    match ended.events.as_slice() {
        [Event::Started { .. }, Event::Exited { code, signal }] => (*code, *signal),
        other => panic!("{other:?}\n{}", ended.console),
    }
}

fn scratch() -> Layer {
    layer([Entry::file("witness", witness()).mode(0o755)])
}

fn busybox() -> Layer {
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let directories = [
        "bin", "dev", "proc", "sys", "tmp", "run", "etc", "root", "sbin",
    ];
    let applets = ["sh", "id", "env", "poweroff", "sleep", "ls", "cat", "mount"];
    layer(
        directories
            .map(Entry::directory)
            .into_iter()
            .chain([Entry::file("bin/busybox", busybox).mode(0o755)])
            .chain(applets.map(|name| Entry::symlink(format!("bin/{name}"), "busybox"))),
    )
}

#[test]
fn a_static_program_from_scratch_ends_in_every_way() {
    if !tools() {
        return;
    }
    for machine in MACHINES {
        for (action, expected) in [
            ("exit=0", (Some(0), None)),
            ("exit=1", (Some(1), None)),
            ("exit=42", (Some(42), None)),
            ("signal=9", (None, Some(9))),
            ("signal=11", (None, Some(11))),
        ] {
            let config = json!({ "Entrypoint": ["/witness"], "Cmd": [action] });
            let ended = Trial::new(scratch(), &config, machine).run();
            assert_eq!(exited(&ended), expected, "{machine:?} {action}");
            assert_eq!(ended.fact("uid"), "0 0 gid 0 0");
            assert_eq!(ended.fact("root"), "writable");
            // Root keeps all capabilities.
            let status = ended.told("status").join("\n");
            let line = |name: &str| {
                let found = status.lines().find(|line| line.starts_with(name));
                found.unwrap().split_whitespace().nth(1).unwrap().to_owned()
            };
            assert_eq!(line("CapEff:"), line("CapBnd:"), "{status}");
            assert_ne!(line("CapEff:"), "0000000000000000");
        }
    }
}

#[test]
fn a_distroless_image_runs_as_its_user_with_a_hundred_variables() {
    if !tools() {
        return;
    }
    let variables: Vec<String> = (0..100)
        .map(|n| format!("VARIABLE_{n}=value {n}"))
        .collect();
    for machine in MACHINES {
        let layer = layer([
            Entry::directory("proc"),
            Entry::directory("home/nonroot").owner(65532, 65532),
            Entry::file("app/server", witness()).mode(0o755),
            Entry::file(
                "etc/passwd",
                "nonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n",
            ),
            Entry::file("etc/group", "nonroot:x:65532:\n"),
        ]);
        let config = json!({
            "Entrypoint": ["/app/server"], "User": "65532", "WorkingDir": "/home/nonroot", "Env": variables,
        });
        let ended = Trial::new(layer, &config, machine).run();
        assert_eq!(exited(&ended), (Some(0), None));
        let env = ended.told("env");
        for variable in &variables {
            assert!(env.contains(variable), "{variable} in {env:?}");
        }
        assert!(env.contains(&"HOME=/home/nonroot".to_owned()), "{env:?}");
        assert_eq!(ended.fact("uid"), "65532 65532 gid 65532 65532");
        assert_eq!(ended.fact("cwd"), "/home/nonroot");
        assert_eq!(ended.fact("root"), "read-only", "not root's to write");
    }
}

#[test]
fn a_shell_script_and_an_init_of_the_image_run() {
    if !tools() {
        return;
    }
    for machine in MACHINES {
        let config = json!({ "Cmd": ["sh", "-c", "echo W shell $(id -u) $PWD; exit 42"] });
        let ended = Trial::new(busybox(), &config, machine).run();
        assert_eq!(exited(&ended), (Some(42), None));
        assert_eq!(ended.fact("shell"), "0 /");

        let init = "#!/bin/sh\necho W init $$ $(ls /proc/1/exe)\n\
            mount -o remount,ro /\nexec poweroff -f\n";
        let image = busybox().entry(Entry::file("sbin/init", init).mode(0o755));
        let ended = Trial::new(image, &json!({}), machine).run();
        assert_eq!(ended.fact("init"), "1 /proc/1/exe");
        let started = Event::Started {
            argv: vec!["/sbin/init".into()],
        };
        assert_eq!(ended.events, [started], "{}", ended.console);
    }
}

#[test]
fn a_shell_on_the_console_has_job_control_and_ends_the_machine() {
    if !tools() {
        return;
    }
    for machine in MACHINES {
        let trial = Trial::new(busybox(), &json!({ "Cmd": ["sh"] }), machine);
        let mut running = trial.start(false);
        running.wait_for("/ # ");
        running.type_in("echo an''swer\n");
        running.wait_for("answer");
        running.type_in("exit 3\n");
        let ended = running.ended();
        assert_eq!(exited(&ended), (Some(3), None));
        assert!(
            !ended.console.contains("job control turned off"),
            "{}",
            ended.console
        );
        check_clean(&trial.disk());
    }
}

#[test]
fn images_of_other_builders_run_their_shell() {
    if !tools() {
        return;
    }
    for layout in shared_images() {
        if !layout.ends_with("debian-min") {
            continue;
        }
        for machine in MACHINES {
            let folder = tempfile::tempdir().unwrap();
            let source = format!("oci:{}", layout.display());
            let trial = Trial::pulled(folder, &source, machine);
            let mut running = trial.start(false);
            running.wait_for("# ");
            running.type_in("exit 5\n");
            assert_eq!(exited(&running.ended()), (Some(5), None));
            check_clean(&trial.disk());
            trial.check_store();
        }
    }
}

#[test]
fn a_read_only_root_stays_as_it_was() {
    if !tools() {
        return;
    }
    // User-Mode Linux has no overlay filesystem built in, and scratch lacks the mount points.
    for kind in [QemuDisk::Virtio, QemuDisk::Nvme] {
        let config = json!({ "Entrypoint": ["/witness"], "WorkingDir": "/made" });
        let trial = Trial::new(scratch(), &config, Machine::Qemu(kind));
        let ended = trial.start(true).ended();
        assert_eq!(exited(&ended), (Some(0), None));
        assert_eq!(ended.fact("root"), "read-only");
        assert_eq!(ended.fact("cwd"), "/made");
        assert_eq!(ended.fact("file /etc/hostname"), "machine");
        assert_eq!(hash(&trial.disk()), trial.before);
    }
}

#[test]
fn what_cannot_start_is_told_with_the_code_of_container_tools() {
    if !tools() {
        return;
    }
    let images = || {
        layer([
            Entry::file("witness", witness()).mode(0o755),
            Entry::file("data", "no program").mode(0o644),
            Entry::file("text", "no shebang").mode(0o755),
            Entry::directory("folder"),
        ])
    };
    for (program, expected) in [
        ("none", Some(127)),
        ("/none", Some(127)),
        ("/data", Some(126)),
        ("/text", Some(126)),
        ("/folder", Some(126)),
    ] {
        // Known before the machine starts, so only User-Mode Linux is asked, without boot-config.
        let trial = Trial::new(images(), &json!({ "Cmd": [program] }), Machine::Uml);
        assert!(!trial.image.record().boot.as_ref().unwrap().bootable);
        let ended = trial.run();
        let [Event::Failed { step, code, .. }] = ended.events.as_slice() else {
            panic!("{:?}\n{}", ended.events, ended.console)
        };
        assert_eq!((step.as_str(), *code), ("program", expected), "{program}");
    }
}

#[test]
fn a_missing_disk_is_told_with_what_there_is() {
    if !tools() {
        return;
    }
    let trial = Trial::new(scratch(), &json!({ "Cmd": ["/witness"] }), Machine::Uml);
    let other = "banger.root=00000000-0000-0000-0000-000000000000";
    let ended = under_uml(&trial.image, &trial.disk(), &[other]).ended();
    let uuid = trial.image.record().filesystem_uuid.clone().unwrap();
    let [Event::Failed { step, error, .. }] = ended.events.as_slice() else {
        panic!("{:?}\n{}", ended.events, ended.console)
    };
    assert_eq!(step, "root");
    assert!(
        error.contains(&format!("/dev/ubda with ext4 {uuid}")),
        "{error}"
    );
}

#[test]
fn a_power_button_stops_the_program_with_its_own_signal() {
    if !tools() {
        return;
    }
    let config = json!({ "Cmd": ["/witness", "wait"], "StopSignal": "SIGQUIT" });
    let trial = Trial::new(scratch(), &config, Machine::Qemu(QemuDisk::Virtio));
    let mut running = trial.start(false);
    running.wait_for("W waiting");
    // QEMU's monitor shares the console.
    running.type_in("\u{1}csystem_powerdown\n");
    let ended = running.ended();
    assert_eq!(exited(&ended), (Some(7), None));
    assert_eq!(ended.fact("caught"), "03");
    check_clean(&trial.disk());
}

#[test]
fn a_full_disk_and_a_killed_machine_leave_filesystems_in_order() {
    if !tools() {
        return;
    }
    for machine in MACHINES {
        let fill = json!({ "Cmd": ["/witness", "fill"] });
        let ended = Trial::new(scratch(), &fill, machine).run();
        assert_eq!(exited(&ended), (Some(28), None));

        let churn = json!({ "Cmd": ["/witness", "churn"] });
        let trial = Trial::new(scratch(), &churn, machine);
        let mut running = trial.start(false);
        running.wait_for("W churning");
        running.kill();
        replay(&trial.disk());
        check_clean(&trial.disk());
        trial.check_store();
    }
}

/// Replays the journal, as the next mount would; nothing else may be left to mend.
fn replay(disk: &Path) {
    let output = Command::new("/sbin/e2fsck")
        .arg("-p")
        .arg(disk)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("recovering journal"), "{said}");
    succeed(Command::new("/sbin/e2fsck").arg("-fn").arg(disk));
}

/// What the witness tells under runc, of the bundle that umoci makes of an image.
fn under_runc(folder: &Path) -> Ended {
    let bundle = folder.join("bundle");
    let image = format!("{}:latest", folder.join("image").display());
    succeed(
        Command::new("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle),
    );
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = Value::Bool(false);
    config["hostname"] = "machine".into();
    std::fs::write(&path, config.to_string()).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "runc", "--root"])
        .arg(folder.join("runc"))
        .args(["run", "--bundle"])
        .arg(&bundle)
        .arg(format!("banger-{}", std::process::id()))
        .output()
        .unwrap();
    let code = output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ended {
        console: String::from_utf8(output.stdout).unwrap(),
        events: vec![Event::Exited { code, signal: None }],
    }
}

#[test]
fn a_process_is_the_one_that_runc_would_start() {
    if !(tools() && root() && tool("runc") && tool("umoci") && tool("unshare")) {
        return;
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv/web:/bin/false\n\
        1000:x:1234:5::/home/digits:\napp:x:1000:1000::/home/app:/bin/sh\nweb:x:99:99:::\n";
    let group = "root:x:0:\nwww:x:34:web\naudio:x:63:app,web\nvideo:x:44:web,app\napp:x:1000:\n";
    let cases = [
        ("", "", &[][..]),
        ("web", "/srv", &["A=1"]),
        ("33", "/", &["HOME=/elsewhere"]),
        ("1000", "/made/of/parts", &["A=first", "A=last"]),
        ("4711", "", &["PATH=/app", "EMPTY="]),
        ("4711:4712", "", &[]),
        ("web:app", "", &["TERM=dumb"]),
        ("web:63", "/app", &["SPACES=a  b", "EQUALS=a=b=c"]),
        ("app", "", &["UNICODE=äöü"]),
    ];
    for (user, working_dir, env) in cases {
        let layer = layer([
            Entry::file("app/witness", witness()).mode(0o755),
            Entry::file("etc/passwd", passwd).mode(0o644),
            Entry::file("etc/group", group).mode(0o644),
        ]);
        let config = json!({
            "Entrypoint": ["/app/witness", "a  b", "$HOME"], "Cmd": ["", "exit=3"],
            "User": user, "WorkingDir": working_dir, "Env": env,
        });
        let trial = Trial::new(layer, &config, Machine::Uml);
        let machine = trial.run();
        let engine = under_runc(trial.folder.path());
        for fact in [
            "argv", "uid", "groups", "cwd", "umask", "fd", "stdout", "hostname",
        ] {
            assert_eq!(machine.told(fact), engine.told(fact), "{fact} of {user:?}");
        }
        let signals = |ended: &Ended| -> Vec<String> {
            let lines = ended.told("status").into_iter();
            lines
                .filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"))
                .collect()
        };
        assert_eq!(signals(&machine), signals(&engine));
        // What banger adds, and umoci leaves to an engine.
        let variables = |ended: &Ended| {
            let mut variables = ended.told("env");
            variables.retain(|variable| !variable.starts_with("HOSTNAME="));
            variables.sort();
            variables
        };
        assert_eq!(variables(&machine), variables(&engine), "{user:?}");
        assert_eq!(exited(&machine), (Some(3), None));
        assert!(matches!(
            engine.events[0],
            Event::Exited { code: Some(3), .. }
        ));
    }
}
