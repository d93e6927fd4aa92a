//! The machine: virtualisation, and the programs that use it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::Check;

const KVM: &str = "/dev/kvm";

/// Whether virtual machines run at full speed.
#[expect(clippy::disallowed_methods, reason = "the device is the kernel's")]
pub(super) fn kvm() -> Check {
    const NAME: &str = "KVM";
    match File::options().read(true).write(true).open(KVM) {
        Ok(_) => Check::ok(NAME, format!("{KVM} can be used")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Check::missing(
            NAME,
            format!("{KVM} may not be opened"),
            "add yourself to its group, `sudo usermod -aG kvm $USER`, and log in again",
        ),
        Err(error) => Check::missing(
            NAME,
            format!("{KVM}: {error}"),
            "turn on virtualisation in the firmware, or nested virtualisation where this is a virtual machine, and \
             load kvm_intel or kvm_amd; until then only QEMU works, and slowly",
        ),
    }
}

#[expect(clippy::disallowed_methods, reason = "the search path is the user's")]
/// The virtual machine monitors that boot configurations can be made for.
pub(super) fn monitors(search_path: Option<OsString>) -> Vec<Check> {
    let search_path = search_path.unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&search_path).collect();
    let qemu = format!("qemu-system-{}", std::env::consts::ARCH);
    let monitors = [
        (
            "Firecracker",
            "firecracker",
            "https://github.com/firecracker-microvm/firecracker/releases has a static program",
        ),
        (
            "Cloud Hypervisor",
            "cloud-hypervisor",
            "https://github.com/cloud-hypervisor/cloud-hypervisor/releases has a static program",
        ),
        (
            "QEMU",
            qemu.as_str(),
            "install the package qemu-system-x86 or qemu-system-arm",
        ),
    ];
    let found = |program: &str| {
        let mut paths = folders.iter().map(|folder| folder.join(program));
        paths.find(|path| path.is_file())
    };
    let checks = monitors.map(|(name, program, advice)| match found(program) {
        Some(path) => Check::ok(name, path.display().to_string()),
        None => Check::missing(name, format!("{program} is not in the search path"), advice),
    });
    checks.into()
}
