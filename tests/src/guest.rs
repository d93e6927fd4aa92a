//! A QEMU guest: Debian's cloud kernel, which has ext4 and NVMe built in, and an initramfs of host tools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::succeed;

/// Boots the guest under emulation (no KVM) with `disk` as `/dev/nvme0n1`, runs a shell script there as root and
/// powers off. `tools` are host programs that the script calls, beside those of busybox. Returns the console.
///
/// # Panics
///
/// When the script does not come to its end within `seconds`.
pub fn run_in_guest(disk: &Path, tools: &[&str], script: &str, seconds: u32) -> String {
    let work = tempfile::tempdir().unwrap();
    let initramfs = initramfs(work.path(), tools, script);
    let output = Command::new("timeout")
        .args(["--kill-after=5", &seconds.to_string(), "qemu-system-x86_64"])
        .args([
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "1024",
        ])
        .args([
            "-nographic",
            "-no-reboot",
            "-nodefaults",
            "-serial",
            "stdio",
        ])
        .arg("-kernel")
        .arg(cloud_kernel())
        .arg("-initrd")
        .arg(initramfs)
        .arg("-drive")
        .arg(format!("file={},if=none,id=d0,format=raw", disk.display()))
        .args(["-device", "nvme,drive=d0,serial=disk"])
        .args(["-append", "console=ttyS0 panic=-1 quiet"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        console.contains("GUEST-SCRIPT-DONE"),
        "{}\n{console}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    console
}

/// The kernel of Debian's `linux-image-cloud-amd64`, unpacked from its package and kept for later runs:
/// `boot/vmlinuz-…`, beside `lib/modules`.
///
/// # Panics
///
/// When it cannot be fetched or unpacked.
#[must_use]
pub fn cloud_kernel() -> PathBuf {
    let cache = std::env::temp_dir().join("banger-tests-kernel");
    let find = |folder: &Path| {
        let entries = fs::read_dir(folder.join("boot")).ok()?;
        entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
            })
    };
    if let Some(kernel) = find(&cache) {
        return kernel;
    }
    // Unpacked aside, so that tests that run side by side never see half of it.
    let aside = tempfile::tempdir().unwrap();
    let depends = succeed(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]));
    let package = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .expect("the cloud kernel's package");
    succeed(
        Command::new("apt-get")
            .args(["download", "-qq", package])
            .current_dir(aside.path()),
    );
    let archive = fs::read_dir(aside.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .expect("the downloaded package");
    succeed(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(archive)
            .arg(aside.path()),
    );
    // Another test may have been faster.
    if fs::rename(aside.path(), &cache).is_ok() {
        let _ = aside.keep();
    }
    find(&cache).expect("a kernel in the package")
}

fn initramfs(work: &Path, tools: &[&str], script: &str) -> PathBuf {
    let root = work.join("root");
    for folder in ["bin", "dev", "proc", "sys", "mnt", "etc"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("the package busybox-static");
    for tool in tools {
        copy(Path::new(tool), &root);
        for library in succeed(Command::new("ldd").arg(tool)).split_whitespace() {
            if library.starts_with('/') {
                copy(Path::new(library), &root);
            }
        }
    }
    let init = "#!/bin/busybox sh\n/bin/busybox --install -s /bin\n\
         export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n\
         mount -t devtmpfs d /dev\nmount -t proc p /proc\nmount -t sysfs s /sys\n\
         ln -s /proc/mounts /etc/mtab\n\
         sh -e /script && echo GUEST-SCRIPT-DONE\nsync\npoweroff -f\n";
    // A shell of its own, as "set -e" counts for nothing on the left of "&&".
    fs::write(root.join("script"), script).unwrap();
    fs::write(root.join("init"), init).unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let archive = work.join("initramfs.cpio");
    succeed(
        Command::new("sh")
            .args(["-c", "find . | cpio --quiet -o -H newc >\"$1\"", "sh"])
            .arg(&archive)
            .current_dir(&root),
    );
    archive
}

fn copy(file: &Path, root: &Path) {
    let target = root.join(file.strip_prefix("/").expect("an absolute path"));
    fs::create_dir_all(target.parent().expect("a folder")).unwrap();
    fs::copy(file, target).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
