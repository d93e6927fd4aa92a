//! <https://www.qemu.org/docs/master/system/invocation.html>

use super::parts::{EVENTS_PORT, Parts};
use super::{BootConfig, NetworkDevice};
use crate::error::Error;
use crate::kernel::{Architecture, Disk};

pub(super) fn config(parts: &Parts, disk: Disk) -> Result<BootConfig, Error> {
    let (program, machine) = match parts.facts.architecture {
        Architecture::Amd64 => ("qemu-system-x86_64", "q35"),
        Architecture::I386 => ("qemu-system-i386", "q35"),
        Architecture::Arm64 => ("qemu-system-aarch64", "virt"),
        Architecture::Riscv64 => ("qemu-system-riscv64", "virt"),
    };
    let mut words: Vec<String> = [
        program,
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-serial",
        "mon:stdio",
        "-machine",
        machine,
        // The second is taken where the first cannot be had.
        "-accel",
        "kvm",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-smp",
    ]
    .map(str::to_owned)
    .to_vec();
    words.extend([
        parts.machine.cpus.to_string(),
        "-m".into(),
        format!("{}M", parts.machine.memory_mib),
        "-kernel".into(),
        parts.kernel.clone(),
    ]);
    if let Some(initrd) = &parts.initrd {
        words.extend(["-initrd".into(), initrd.clone()]);
    }
    let read_only = if parts.read_only { ",readonly=on" } else { "" };
    drive(&mut words, "rootfs", &parts.rootfs, disk, read_only);
    for (index, path) in parts.disks.iter().enumerate() {
        drive(&mut words, &format!("disk{}", index + 1), path, disk, "");
    }
    let backend = match &parts.network {
        NetworkDevice::None => None,
        NetworkDevice::User => Some("user,id=net0".to_owned()),
        NetworkDevice::Tap(name) => Some(format!(
            "tap,id=net0,ifname={},script=no,downscript=no",
            value(name)
        )),
    };
    let mut device = |name: &str| words.extend(["-device".into(), name.to_owned()]);
    device("virtio-rng-pci");
    if let Some(backend) = backend {
        device("virtio-net-pci,netdev=net0");
        words.extend(["-netdev".into(), backend]);
    }
    if let Some(path) = &parts.events {
        words.extend([
            "-chardev".into(),
            format!("file,id=events,path={}", value(path)),
            "-device".into(),
            "virtio-serial-pci".into(),
            "-device".into(),
            format!("virtserialport,chardev=events,name={EVENTS_PORT}"),
        ]);
    }
    words.extend(["-append".into(), parts.command_line(disk, &[])]);
    Ok(BootConfig::Command(words))
}

fn drive(words: &mut Vec<String>, id: &str, path: &str, disk: Disk, more: &str) {
    let device = match disk {
        Disk::Nvme => format!("nvme,drive={id},serial={id}"),
        Disk::VirtioPci | Disk::VirtioMmio => format!("virtio-blk-pci,drive={id}"),
    };
    words.extend([
        "-drive".into(),
        format!("file={},format=raw,if=none,id={id}{more}", value(path)),
        "-device".into(),
        device,
    ]);
}

/// A comma is doubled inside an option's value.
fn value(text: &str) -> String {
    text.replace(',', ",,")
}
