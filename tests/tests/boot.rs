//! What is pulled boots to its shell: with banger's initrd, with one of the user's own before it, and with the
//! kernel alone. None of it needs root or KVM.

#![allow(missing_docs, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger::image::{BootConfig, BootRequest, Machine, Vmm, boot_config};
use banger::initrd::Event;
use banger::kernel::KernelRequest;
use banger_tests::guest::cloud_kernel;
use banger_tests::machine::{
    QemuDisk, Running, check_clean, cloud_kernel_request, layer, own_disk, pulled, under_qemu,
    under_uml_without_initrd,
};
use banger_tests::{succeed, tool};
use oci_flatten::testkit::Entry;

/// What is typed at the shell's prompt. The tty echoes it, so the quotes keep the echo from being taken
/// for the answer.
const SCRIPT: &str = "echo shell''-answers pid $$; echo kept >/written; exit\n";

/// A root filesystem with a static busybox for everything.
fn busybox_tar(folder: &Path) -> PathBuf {
    let path = folder.join("busybox.tar");
    let busybox = fs::read("/bin/busybox").unwrap();
    let applets = ["sh", "sync", "mount", "poweroff"];
    let layer = layer(
        ["bin", "dev", "proc", "sys", "tmp"]
            .map(Entry::directory)
            .into_iter()
            .chain([Entry::file("bin/busybox", busybox).mode(0o755)])
            .chain(applets.map(|name| Entry::symlink(format!("bin/{name}"), "busybox"))),
    );
    fs::write(&path, layer.finish()).unwrap();
    path
}

/// The filesystem is clean after the guest has written to it, and has what it wrote.
fn check_written(disk: &Path) {
    check_clean(disk);
    let filesystem = ext4_view::Ext4::load_from_path(disk).unwrap();
    assert_eq!(filesystem.read("/written").unwrap(), b"kept\n");
}

/// Types the script at the shell's prompt, and waits for the answer and the end.
fn talk(mut running: Running, disk: &Path) {
    running.wait_for("# ");
    running.type_in(SCRIPT);
    running.wait_for("shell-answers pid ");
    let ended = running.ended();
    check_written(disk);
    let started = Event::Started {
        argv: vec!["/bin/sh".into()],
    };
    let exited = Event::Exited {
        code: Some(0),
        signal: None,
    };
    assert_eq!(ended.events, [started, exited], "{}", ended.console);
}

#[test]
fn an_image_that_says_nothing_boots_to_its_shell() {
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
    let source = format!("tar:{}", busybox_tar(folder.path()).display());
    let image = pulled(folder.path(), &source, cloud_kernel_request());
    let boot = image.record().boot.as_ref().unwrap();
    assert_eq!(boot.reason, "/bin/sh is started by banger's init");
    let disk = own_disk(&image, folder.path());
    talk(under_qemu(&image, &disk, QemuDisk::Virtio, |_| {}), &disk);
}

/// An initrd as distributions make them: modules, and an index of them.
fn distribution_initrd(folder: &Path, kernel: &Path) -> PathBuf {
    let modules = fs::read_dir(kernel.join("lib/modules")).unwrap();
    let modules = modules.map(|entry| entry.unwrap().path()).next().unwrap();
    let release = modules.file_name().unwrap();
    let target = folder.join("initrd/lib/modules").join(release);
    fs::create_dir_all(&target).unwrap();
    let script = "cd \"$1\" && find kernel \\( -path '*/drivers/virtio/*' -o -name 'virtio_blk.ko*' -o -name \
            'virtio_console.ko*' \\) -name '*.ko*' -exec cp {} \"$2\" \\;";
    succeed(
        Command::new("sh")
            .args(["-c", script, "sh"])
            .args([&modules, &target]),
    );
    let index = "virtio.ko: virtio_ring.ko\nvirtio_ring.ko:\nvirtio_pci_legacy_dev.ko:\nvirtio_pci_modern_dev.ko:\n\
        virtio_pci.ko: virtio_pci_legacy_dev.ko virtio_pci_modern_dev.ko virtio.ko virtio_ring.ko\n\
        virtio_blk.ko: virtio.ko virtio_ring.ko\nvirtio_console.ko: virtio.ko virtio_ring.ko\n";
    fs::write(target.join("modules.dep"), index).unwrap();
    let archive = folder.join("initrd.cpio");
    let script = "find . | cpio --quiet -o -H newc >\"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&archive);
    succeed(command.current_dir(folder.join("initrd")));
    archive
}

#[test]
fn an_initrd_of_the_users_own_brings_its_modules() {
    let tools = [
        "qemu-system-x86_64",
        "e2fsck",
        "busybox",
        "apt-get",
        "dpkg-deb",
        "cpio",
    ];
    if !tools.into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kernel = cloud_kernel();
    let unpacked = kernel.parent().and_then(Path::parent).unwrap();
    let source = format!("tar:{}", busybox_tar(folder.path()).display());
    let request = KernelRequest {
        initrd: Some(distribution_initrd(folder.path(), unpacked)),
        kernel: Some(kernel.clone()),
        ..KernelRequest::default()
    };
    let image = pulled(folder.path(), &source, request);
    assert!(image.record().initrd.as_ref().unwrap().own_bytes.is_some());
    // Nothing was told of the drivers, which boot-config says.
    let plain = BootRequest::new(Vmm::Qemu, Machine::default());
    let (BootConfig::Command(words), warnings) = boot_config(&image, &plain).unwrap() else {
        panic!("QEMU gets a command line")
    };
    assert!(
        words.contains(&"virtio-blk-pci,drive=rootfs".to_owned()),
        "{words:?}"
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let disk = own_disk(&image, folder.path());
    talk(under_qemu(&image, &disk, QemuDisk::Virtio, |_| {}), &disk);
}

#[test]
fn a_root_filesystem_boots_to_its_shell_with_the_kernel_alone() {
    if !["linux.uml", "e2fsck", "busybox"].into_iter().all(tool) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = format!("tar:{}", busybox_tar(folder.path()).display());
    let image = pulled(folder.path(), &source, KernelRequest::default());
    let disk = own_disk(&image, folder.path());
    let mut running = under_uml_without_initrd(&disk, "/bin/sh");
    running.wait_for("# ");
    running.type_in("echo kept >/written; sync; mount -o remount,ro /; poweroff -f\n");
    let ended = running.ended();
    check_written(&disk);
    assert_eq!(ended.events, Vec::<Event>::new());
}
