//! Machines that boot pulled images: User-Mode Linux and QEMU, neither with root nor with KVM.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use banger::image::{
    BootConfig, BootRequest, Machine, Pipeline, PullRequest, Vmm, boot_config, pull,
};
use banger::initrd::Event;
use banger::kernel::{Catalog, KernelRequest};
use banger::places::Places;
use banger::source::SourceOptions;
use banger::store::{Image, Name, Store};
use banger::watch::Watch;
use oci_flatten::flatten::CancellationToken;
use oci_flatten::source::SourceName;
use oci_flatten::testkit::{Entry, Layer};
use sha2::{Digest, Sha256};

use crate::guest::cloud_kernel;
use crate::succeed;

/// Emulation on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(180);

/// A static program that tells how it was started; see `witness.c`.
///
/// # Panics
///
/// When it does not compile.
#[must_use]
pub fn witness() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("witness");
    succeed(
        Command::new("gcc")
            .args(["-static", "-Os", "-s", "-o"])
            .arg(&program)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/witness.c")),
    );
    fs::read(program).unwrap()
}

/// A layer of one entry after another.
pub fn layer(entries: impl IntoIterator<Item = Entry>) -> Layer {
    entries.into_iter().fold(Layer::new(), Layer::entry)
}

/// Writes an OCI layout with one plain layer and this `config` object to a folder.
///
/// # Panics
///
/// When the folder cannot be written.
pub fn write_layout(folder: &Path, layer: Layer, config: &serde_json::Value) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(blobs.join(&digest), bytes).unwrap();
        serde_json::json!({
            "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len(),
        })
    };
    let layer = put("application/vnd.oci.image.layer.v1.tar", &layer.finish());
    let document = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        document.to_string().as_bytes(),
    );
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = put(
        "application/vnd.oci.image.manifest.v1+json",
        manifest.to_string().as_bytes(),
    );
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
}

/// Pulls a source into a store of its own in `folder`, as an image called `machine`.
///
/// # Panics
///
/// When the pull fails.
#[must_use]
pub fn pulled(folder: &Path, source: &str, kernel: KernelRequest) -> Image {
    let places = Places::under(&folder.join("home"));
    let (store, catalog) = (Store::new(places.images), Catalog::new(places.kernels));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pipeline = Pipeline {
        runtime: runtime.handle().clone(),
        options: SourceOptions::default(),
        watch: Watch::silent(CancellationToken::new()),
    };
    let request = PullRequest {
        kernel,
        name: Some(Name::parse("machine").unwrap()),
        platform: "linux/amd64".parse().unwrap(),
        filesystem: banger::flatten::Options {
            size: Some(256 << 20),
            ..banger::flatten::Options::default()
        },
        ..PullRequest::new(SourceName::parse(source).unwrap())
    };
    pull(&store, &catalog, &request, &pipeline, &())
        .unwrap()
        .image
}

/// What a machine has said by its end.
#[derive(Debug)]
pub struct Ended {
    /// Its console.
    pub console: String,
    /// Its events, in their order.
    pub events: Vec<Event>,
}

impl Ended {
    /// What the witness told of `fact`, one line each.
    #[must_use]
    pub fn told(&self, fact: &str) -> Vec<String> {
        let prefix = format!("W {fact} ");
        let lines = self.console.lines();
        lines
            .filter_map(|line| line.trim_end_matches('\r').strip_prefix(&prefix))
            .map(str::to_owned)
            .collect()
    }

    /// The one line that the witness told of `fact`.
    ///
    /// # Panics
    ///
    /// When there is none or more than one.
    #[must_use]
    pub fn fact(&self, fact: &str) -> String {
        let told = self.told(fact);
        assert_eq!(told.len(), 1, "{fact} in {}", self.console);
        told.into_iter().next().unwrap_or_default()
    }
}

/// A machine that runs.
pub struct Running {
    child: Child,
    output: Receiver<Vec<u8>>,
    console: String,
    events: PathBuf,
}

impl Running {
    /// Starts a machine whose console is its standard output, and whose events go to the file `events`.
    fn start(command: &mut Command, events: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            output,
            console: String::new(),
            events,
        }
    }

    /// Reads on until the console has said `wanted`.
    ///
    /// # Panics
    ///
    /// When it never does.
    pub fn wait_for(&mut self, wanted: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.console.contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.console.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {wanted:?} in time:\n{}", self.console)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("no {wanted:?}:\n{}", self.console),
            }
        }
    }

    /// Types at the console.
    ///
    /// # Panics
    ///
    /// When the machine has ended.
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends the machine as a crash does.
    ///
    /// # Panics
    ///
    /// When it has ended already.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not come, or the kernel complains.
    #[must_use]
    pub fn ended(mut self) -> Ended {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.console.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end in time:\n{}", self.console),
            }
        }
        self.child.wait().unwrap();
        let complaints = [
            "EXT4-fs error",
            "EXT4-fs warning",
            "Kernel panic",
            "JBD2: Error",
        ];
        for complaint in complaints {
            assert!(!self.console.contains(complaint), "{}", self.console);
        }
        let events = fs::read_to_string(&self.events).unwrap_or_default();
        Ended {
            console: std::mem::take(&mut self.console),
            events: events.lines().filter_map(Event::from_line).collect(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Boots an image under User-Mode Linux, on `disk`, with further words of the kernel's command line.
///
/// # Panics
///
/// When it does not start.
#[must_use]
pub fn under_uml(image: &Image, disk: &Path, words: &[&str]) -> Running {
    let folder = disk.parent().unwrap();
    let events = folder.join("events");
    let mut command = Command::new("linux.uml");
    command
        .arg(format!("uml_dir={}", folder.join("uml").display()))
        .arg(format!("ubd0={}", disk.display()))
        .arg(format!(
            "initrd={}",
            image.artifacts().initrd.unwrap().display()
        ))
        .args(["mem=128M", "panic=-1", "con=null", "con0=fd:0,fd:1"])
        // Serial line 0 is the channel of events: its output is the standard error of this process.
        .args(["ssl=null", "ssl0=null,fd:2", "banger.events=ttyS0"])
        .args(words)
        .env("TMPDIR", folder)
        .stderr(fs::File::create(&events).unwrap());
    Running::start(&mut command, events)
}

/// Boots a filesystem under User-Mode Linux, with the kernel alone: it mounts `disk` and starts `init`.
///
/// # Panics
///
/// When it does not start.
#[must_use]
pub fn under_uml_without_initrd(disk: &Path, init: &str) -> Running {
    let folder = disk.parent().unwrap();
    let events = folder.join("events");
    let mut command = Command::new("linux.uml");
    command
        .arg(format!("uml_dir={}", folder.join("uml").display()))
        .arg(format!("ubd0={}", disk.display()))
        .args([
            "root=/dev/ubda",
            "rootfstype=ext4",
            "rw",
            "mem=128M",
            "panic=-1",
        ])
        .args(["con=null", "con0=fd:0,fd:1"])
        .arg(format!("init={init}"))
        .env("TMPDIR", folder)
        .stderr(fs::File::create(&events).unwrap());
    Running::start(&mut command, events)
}

/// The disk of a QEMU machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QemuDisk {
    /// The one that `boot-config` chooses: virtio, for a kernel that reaches it.
    Virtio,
    /// NVMe in its place.
    Nvme,
}

/// Boots an image under QEMU as `boot-config` says, on `disk`.
///
/// # Panics
///
/// When it does not start.
#[must_use]
pub fn under_qemu(
    image: &Image,
    disk: &Path,
    kind: QemuDisk,
    change: impl FnOnce(&mut BootRequest),
) -> Running {
    let events = disk.parent().unwrap().join("events");
    let mut request = BootRequest::new(Vmm::Qemu, Machine::default());
    request.rootfs = Some(disk.to_path_buf());
    request.events = Some(events.clone());
    change(&mut request);
    let (config, warnings) = boot_config(image, &request).unwrap();
    let unknown = |warning: &String| warning.contains("is unknown");
    assert!(warnings.iter().all(unknown), "{warnings:?}");
    let BootConfig::Command(mut words) = config else {
        panic!("QEMU gets a command line")
    };
    // Hardware that is shared with other guests may be slower than none.
    replace(&mut words, "kvm", "tcg");
    if kind == QemuDisk::Nvme {
        replace(
            &mut words,
            "virtio-blk-pci,drive=rootfs",
            "nvme,drive=rootfs,serial=rootfs",
        );
    }
    let mut command = Command::new(&words[0]);
    Running::start(command.args(&words[1..]).stderr(Stdio::inherit()), events)
}

fn replace(words: &mut [String], old: &str, new: &str) {
    let word = words.iter_mut().find(|word| *word == old).unwrap();
    new.clone_into(word);
}

/// The cloud kernel of Debian with its modules.
///
/// # Panics
///
/// When it cannot be fetched.
#[must_use]
pub fn cloud_kernel_request() -> KernelRequest {
    let kernel = cloud_kernel();
    let unpacked = kernel.parent().and_then(Path::parent).unwrap();
    KernelRequest {
        modules: Some(unpacked.to_path_buf()),
        kernel: Some(kernel.clone()),
        ..KernelRequest::default()
    }
}

/// A copy of an image's root filesystem for one machine, in `folder`.
///
/// # Panics
///
/// When it cannot be copied.
#[must_use]
pub fn own_disk(image: &Image, folder: &Path) -> PathBuf {
    let disk = folder.join("disk.ext4");
    succeed(
        Command::new("cp")
            .args(["--sparse=always", "--reflink=auto"])
            .arg(image.artifacts().rootfs)
            .arg(&disk),
    );
    disk
}

/// The SHA-256 of a file.
///
/// # Panics
///
/// When it cannot be read.
#[must_use]
pub fn hash(path: &Path) -> Vec<u8> {
    let mut file = fs::File::open(path).unwrap();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hasher.finalize().to_vec(),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Checks a filesystem that a machine has left.
///
/// # Panics
///
/// When it is not clean.
pub fn check_clean(disk: &Path) {
    succeed(Command::new("/sbin/e2fsck").arg("-fn").arg(disk));
}
