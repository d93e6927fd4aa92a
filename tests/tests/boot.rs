//! What is pulled boots: to its shell, under QEMU by the very command line that banger prints, and under
//! User-Mode Linux. Neither needs root or KVM.

#![allow(missing_docs, reason = "a test")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use banger::image::{BootConfig, Machine, Pipeline, PullRequest, Vmm, boot_config, pull};
use banger::kernel::{Catalog, KernelRequest};
use banger::places::Places;
use banger::source::SourceOptions;
use banger::store::{Image, Store};
use banger::watch::Watch;
use banger_tests::guest::cloud_kernel;
use banger_tests::{succeed, tool};
use oci_flatten::flatten::CancellationToken;
use oci_flatten::source::SourceName;

/// Emulation on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(150);

/// What is typed at the shell's prompt. The tty echoes it, so the quotes keep the echo from being taken
/// for the answer.
const SCRIPT: &str = "echo shell''-answers pid $$; echo kept >/written; sync; \
    mount -o remount,ro /; poweroff -f\n";

/// A root filesystem with a static busybox for everything.
fn busybox_tar(folder: &Path) -> PathBuf {
    let path = folder.join("busybox.tar");
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    let header = |kind, mode| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(0);
        header
    };
    for directory in ["bin", "dev", "proc", "sys", "tmp"] {
        let mut header = header(tar::EntryType::Directory, 0o755);
        builder
            .append_data(&mut header, directory, std::io::empty())
            .unwrap();
    }
    let busybox = fs::read("/bin/busybox").unwrap();
    let mut program = header(tar::EntryType::Regular, 0o755);
    program.set_size(busybox.len() as u64);
    builder
        .append_data(&mut program, "bin/busybox", busybox.as_slice())
        .unwrap();
    for applet in ["sh", "sync", "mount", "poweroff"] {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        builder
            .append_link(&mut header, format!("bin/{applet}"), "busybox")
            .unwrap();
    }
    builder.finish().unwrap();
    path
}

fn pulled(folder: &Path, kernel: KernelRequest) -> Image {
    let places = Places::under(&folder.join("home"));
    let (store, catalog) = (Store::new(places.images), Catalog::new(places.kernels));
    let source = format!("tar:{}", busybox_tar(folder).display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pipeline = Pipeline {
        runtime: runtime.handle().clone(),
        options: SourceOptions::default(),
        watch: Watch::silent(CancellationToken::new()),
    };
    let request = PullRequest {
        kernel,
        platform: "linux/amd64".parse().unwrap(),
        ..PullRequest::new(SourceName::parse(&source).unwrap())
    };
    let made = pull(&store, &catalog, &request, &pipeline, &()).unwrap();
    let boot = made.image.record().boot.as_ref().unwrap();
    assert!(boot.bootable, "{}", boot.reason);
    assert_eq!(boot.first_program(), Some("/bin/sh"));
    made.image
}

/// A guest's console.
struct Console {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Console {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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
            seen: String::new(),
        }
    }

    /// Reads on until `wanted` has been seen after `after`.
    fn wait_for(&mut self, after: &str, wanted: &str) {
        let deadline = Instant::now() + LIMIT;
        let is_there = |seen: &str| {
            seen.split_once(after)
                .is_some_and(|(_, rest)| rest.contains(wanted))
        };
        while !is_there(&self.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => panic!("no {wanted:?} in time:\n{}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("no {wanted:?}:\n{}", self.seen),
            }
        }
    }

    /// Types the script at the shell's prompt, and waits for the answer and the end.
    fn talk(mut self) {
        self.wait_for("as init process", "# ");
        let mut stdin = self.child.stdin.take().unwrap();
        stdin.write_all(SCRIPT.as_bytes()).unwrap();
        stdin.flush().unwrap();
        self.wait_for("as init process", "shell-answers pid 1");
        self.child.wait().unwrap();
        while let Ok(bytes) = self.output.recv_timeout(LIMIT) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        for complaint in [
            "EXT4-fs error",
            "EXT4-fs warning",
            "Kernel panic",
            "JBD2: Error",
        ] {
            assert!(!self.seen.contains(complaint), "{}", self.seen);
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The filesystem is clean after the guest has written to it, and has what it wrote.
fn check_written(rootfs: &Path) {
    succeed(Command::new("/sbin/e2fsck").arg("-fn").arg(rootfs));
    let filesystem = ext4_view::Ext4::load_from_path(rootfs).unwrap();
    assert_eq!(filesystem.read("/written").unwrap(), b"kept\n");
}

/// Boots an image as `boot-config` says; returns the kernel's command line.
fn boot_under_qemu(image: &Image) -> String {
    let (config, warnings) = boot_config(image, Vmm::Qemu, Machine::default()).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let BootConfig::Command(mut words) = config else {
        panic!("QEMU gets a command line")
    };
    // The one change: hardware that is shared with other guests may be slower than none.
    let accelerator = words.iter().position(|word| word == "kvm").unwrap();
    words[accelerator] = "tcg".into();
    Console::start(Command::new(&words[0]).args(&words[1..])).talk();
    check_written(&image.artifacts().rootfs);
    words.pop().unwrap()
}

#[test]
fn a_pulled_image_boots_to_its_shell_under_qemu() {
    let tools = [
        "qemu-system-x86_64",
        "e2fsck",
        "busybox",
        "apt-get",
        "dpkg-deb",
    ];
    if !tools.into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kernel = cloud_kernel();
    let unpacked = kernel.parent().and_then(Path::parent).unwrap();
    let image = pulled(
        folder.path(),
        KernelRequest {
            modules: Some(unpacked.to_path_buf()),
            kernel: Some(kernel.clone()),
            ..KernelRequest::default()
        },
    );
    let line = boot_under_qemu(&image);
    assert!(line.contains("root=/dev/nvme0n1 "), "{line}");
}

/// What the initrd does: load the drivers, then go on as the kernel's command line says.
const INITRD_INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs d /dev
$b mount -t proc p /proc
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
    $b insmod /modules/$module.ko
done
for word in $($b cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; init=*) init=${word#init=} ;; esac
done
until [ -b "$root" ]; do $b sleep 0.1; done
$b mount -t ext4 "$root" /mnt
$b mount --move /dev /mnt/dev
exec $b switch_root /mnt "$init"
"#;

/// An initrd with a static busybox and the virtio modules of the kernel unpacked at `kernel`.
fn initrd(folder: &Path, kernel: &Path) -> PathBuf {
    let root = folder.join("initrd");
    for directory in ["bin", "dev", "proc", "mnt", "modules"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    fs::write(root.join("init"), INITRD_INIT).unwrap();
    let script = "chmod 755 init && \
        find \"$1\" \\( -path '*/drivers/virtio/*' -o -name 'virtio_blk.ko*' \\) -name '*.ko*' \
            -exec cp {} modules \\; && \
        if ls modules/*.xz >/dev/null 2>&1; then xz -d modules/*.xz; fi && \
        find . | cpio --quiet -o -H newc >\"$2\"";
    let archive = folder.join("initrd.cpio");
    succeed(
        Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(kernel.join("lib/modules"))
            .arg(&archive)
            .current_dir(&root),
    );
    archive
}

#[test]
fn an_initrd_brings_the_drivers_that_the_kernel_has_as_modules() {
    let tools = [
        "qemu-system-x86_64",
        "e2fsck",
        "busybox",
        "apt-get",
        "dpkg-deb",
        "cpio",
        "xz",
    ];
    if !tools.into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kernel = cloud_kernel();
    let unpacked = kernel.parent().and_then(Path::parent).unwrap();
    let image = pulled(
        folder.path(),
        KernelRequest {
            modules: Some(unpacked.to_path_buf()),
            initrd: Some(initrd(folder.path(), unpacked)),
            kernel: Some(kernel.clone()),
            ..KernelRequest::default()
        },
    );
    let line = boot_under_qemu(&image);
    assert!(line.contains("root=/dev/vda "), "{line}");
}

#[test]
fn a_pulled_image_boots_to_its_shell_under_user_mode_linux() {
    if !["linux.uml", "e2fsck", "busybox"].into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = pulled(folder.path(), KernelRequest::default());
    let rootfs = image.artifacts().rootfs;
    let mut command = Command::new("linux.uml");
    command
        .arg(format!("uml_dir={}", folder.path().join("uml").display()))
        .arg(format!("ubd0={}", rootfs.display()))
        .args([
            "mem=128M",
            "root=/dev/ubda",
            "rootfstype=ext4",
            "rw",
            "panic=-1",
        ])
        .args(["con=null", "con0=fd:0,fd:1", "init=/bin/sh"])
        .env("TMPDIR", folder.path());
    Console::start(&mut command).talk();
    check_written(&rootfs);
}
