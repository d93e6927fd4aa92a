//! What to hand to a VMM so that it boots an image.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::machine::{Machine, Vmm};
use crate::boot::{NVME_DISK, VIRTIO_DISK, command_line};
use crate::error::{Error, ErrorKind};
use crate::kernel::{
    Architecture, Compression, Disk, DriverState, KernelFacts, KernelFormat, disk_state,
};
use crate::store::{Artifacts, Image};
use crate::text::{printable_json, shell_words};

/// A VMM's configuration or command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootConfig {
    /// A configuration file, as its format has it.
    File(serde_json::Value),
    /// A program and its arguments.
    Command(Vec<String>),
}

impl fmt::Display for BootConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(document) => formatter.write_str(&printable_json(&format!("{document:#}"))),
            Self::Command(words) => formatter.write_str(&shell_words(words)),
        }
    }
}

/// What a configuration is made from, once all of it is known to be there.
struct Parts {
    rootfs: String,
    kernel: String,
    initrd: Option<String>,
    facts: KernelFacts,
    program: String,
    /// Whether the filesystem is made to be mounted read-only.
    read_only: bool,
    machine: Machine,
}

/// Makes the configuration with which `vmm` boots `image`, and warnings about what cannot be told.
/// The disk is the image's own file, writable unless it is made to be mounted read-only: to start several VMs, give each a copy of it.
///
/// # Errors
///
/// The image has no kernel, does not boot, or has a kernel that `vmm` cannot start or whose drivers
/// do not reach a disk of it; an artifact is missing.
pub fn boot_config(
    image: &Image,
    vmm: Vmm,
    machine: Machine,
) -> Result<(BootConfig, Vec<String>), Error> {
    let parts = collect(image, machine)?;
    check_format(&parts, vmm)?;
    let (disk, warnings) = choose_disk(&parts, vmm)?;
    let config = match vmm {
        Vmm::Firecracker => firecracker(&parts),
        Vmm::CloudHypervisor => cloud_hypervisor(&parts)?,
        Vmm::Qemu => qemu(&parts, disk)?,
    };
    Ok((config, warnings))
}

fn collect(image: &Image, machine: Machine) -> Result<Parts, Error> {
    let record = image.record();
    let name = &record.name;
    let paths: Artifacts = image.artifacts();
    let (Some(kernel), Some(facts)) = (&paths.kernel, &record.kernel) else {
        return Err(
            Error::new(ErrorKind::Failure, format!("image {name} has no kernel"))
                .with_hint("`banger image pull SOURCE --kernel-ref NAME` pulls it with one"),
        );
    };
    let boot = record.boot.as_ref();
    let Some(program) = boot.and_then(|boot| boot.first_program()) else {
        let reason = boot.map_or("its filesystem could not be read", |boot| &boot.reason);
        return Err(Error::new(
            ErrorKind::Failure,
            format!("image {name} does not boot: {reason}"),
        ));
    };
    Ok(Parts {
        rootfs: text(image, &paths.rootfs)?,
        kernel: text(image, kernel)?,
        initrd: paths
            .initrd
            .as_ref()
            .map(|path| text(image, path))
            .transpose()?,
        facts: facts.clone(),
        program: program.to_owned(),
        read_only: record.read_only,
        machine,
    })
}

/// The path of an artifact that is there, as text.
fn text(image: &Image, path: &PathBuf) -> Result<String, Error> {
    if !image.holds(path) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("{} is no longer there", path.display()),
        ));
    }
    let path = std::path::absolute(path)
        .map_err(|error| crate::artifact::failed("read", Path::new(path), error))?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(
            ErrorKind::Failure,
            format!("{} is not UTF-8, which configurations are", path.display()),
        )
    })
}

fn check_format(parts: &Parts, vmm: Vmm) -> Result<(), Error> {
    let facts = &parts.facts;
    let plain = facts.compression == Compression::None;
    let bare_image = matches!(
        facts.format,
        KernelFormat::Arm64Image | KernelFormat::RiscvImage
    );
    let pvh_elf = facts.format == KernelFormat::Elf && plain && facts.pvh;
    let starts = match vmm {
        Vmm::Firecracker if facts.architecture == Architecture::Amd64 => {
            facts.format == KernelFormat::Elf && plain
        }
        Vmm::Firecracker => facts.format == KernelFormat::Arm64Image && plain,
        Vmm::CloudHypervisor => {
            pvh_elf || facts.format == KernelFormat::BzImage || (bare_image && plain)
        }
        Vmm::Qemu => {
            pvh_elf
                || matches!(facts.format, KernelFormat::BzImage | KernelFormat::EfiZboot)
                || (bare_image
                    && matches!(facts.compression, Compression::None | Compression::Gzip))
        }
    };
    if starts {
        return Ok(());
    }
    let pvh = match (facts.format, facts.pvh) {
        (KernelFormat::Elf, false) if vmm != Vmm::Firecracker => " without a PVH entry",
        _ => "",
    };
    Err(Error::new(
        ErrorKind::Failure,
        format!(
            "{vmm} does not start {} ({}, {}{pvh}, {})",
            parts.kernel, facts.format, facts.compression, facts.architecture
        ),
    )
    .with_hint(match vmm {
        Vmm::Firecracker => {
            "give it an uncompressed ELF vmlinux (the kernel's scripts/extract-vmlinux gets one out of \
             a bzImage), or on arm64 an uncompressed Image"
        }
        Vmm::CloudHypervisor | Vmm::Qemu => {
            "give it a bzImage, an ELF vmlinux built with CONFIG_PVH, or on arm64 an Image"
        }
    }))
}

/// The disk of `vmm` that the kernel's drivers reach, and a warning where that cannot be told.
fn choose_disk(parts: &Parts, vmm: Vmm) -> Result<(Disk, Vec<String>), Error> {
    let offered: &[Disk] = match vmm {
        Vmm::Firecracker => &[Disk::VirtioMmio],
        Vmm::CloudHypervisor => &[Disk::VirtioPci],
        Vmm::Qemu => &[Disk::VirtioPci, Disk::Nvme],
    };
    let state = |disk: &Disk| disk_state(*disk, &parts.facts.drivers);
    let reachable = |disk: &&Disk| match state(disk) {
        DriverState::BuiltIn => true,
        DriverState::Module => parts.initrd.is_some(),
        DriverState::Absent | DriverState::Unknown => false,
    };
    if let Some(disk) = offered.iter().find(reachable) {
        return Ok((*disk, Vec::new()));
    }
    if let Some(disk) = offered
        .iter()
        .find(|disk| state(disk) == DriverState::Unknown)
    {
        let warning = format!(
            "whether the kernel has the drivers for {vmm}'s {disk} disk is unknown; `banger kernel \
             import --modules DIR` finds out"
        );
        return Ok((*disk, vec![warning]));
    }
    let disk = offered[0];
    let lacking: Vec<String> = disk
        .drivers(&parts.facts.drivers)
        .into_iter()
        .filter(|(_, state)| *state != DriverState::BuiltIn)
        .map(|(driver, state)| format!("{driver}: {state}"))
        .collect();
    Err(Error::new(
        ErrorKind::Failure,
        format!(
            "the kernel cannot mount its root from {vmm}'s {disk} disk ({})",
            lacking.join(", ")
        ),
    )
    .with_hint(
        "`banger image pull --initrd FILE` adds an initrd with the modules; a kernel that has them built in needs none",
    ))
}

/// <https://github.com/firecracker-microvm/firecracker/blob/main/docs/getting-started.md>
fn firecracker(parts: &Parts) -> BootConfig {
    // Firecracker adds root=/dev/vda itself; its serial port is ttyS0 on every architecture.
    let line = format!(
        "console=ttyS0 reboot=k panic=1 rootfstype=ext4 {} init={}",
        if parts.read_only { "ro" } else { "rw" },
        parts.program
    );
    let mut source = json!({ "kernel_image_path": parts.kernel, "boot_args": line });
    if let Some(initrd) = &parts.initrd {
        source["initrd_path"] = json!(initrd);
    }
    BootConfig::File(json!({
        "boot-source": source,
        "drives": [{
            "drive_id": "rootfs",
            "path_on_host": parts.rootfs,
            "is_root_device": true,
            "is_read_only": parts.read_only,
        }],
        "machine-config": {
            "vcpu_count": parts.machine.cpus,
            "mem_size_mib": parts.machine.memory_mib,
        },
    }))
}

/// <https://github.com/cloud-hypervisor/cloud-hypervisor/blob/main/docs/device_model.md>
fn cloud_hypervisor(parts: &Parts) -> Result<BootConfig, Error> {
    if parts.rootfs.contains([',', '"']) {
        return Err(Error::new(
            ErrorKind::Failure,
            format!(
                "{} has a comma or quote, which Cloud Hypervisor takes apart",
                parts.rootfs
            ),
        ));
    }
    let line = command_line(
        Some(parts.facts.architecture),
        VIRTIO_DISK,
        parts.read_only,
        Some(&parts.program),
    );
    let mut words = vec![
        "cloud-hypervisor".to_owned(),
        "--kernel".into(),
        parts.kernel.clone(),
    ];
    if let Some(initrd) = &parts.initrd {
        words.extend(["--initramfs".into(), initrd.clone()]);
    }
    words.extend([
        "--disk".into(),
        format!(
            "path={}{}",
            parts.rootfs,
            if parts.read_only { ",readonly=on" } else { "" }
        ),
        "--cpus".into(),
        format!("boot={}", parts.machine.cpus),
        "--memory".into(),
        format!("size={}M", parts.machine.memory_mib),
        "--console".into(),
        "off".into(),
        "--serial".into(),
        "tty".into(),
        "--cmdline".into(),
        line,
    ]);
    Ok(BootConfig::Command(words))
}

/// <https://www.qemu.org/docs/master/system/invocation.html>
fn qemu(parts: &Parts, disk: Disk) -> Result<BootConfig, Error> {
    let (program, machine) = match parts.facts.architecture {
        Architecture::Amd64 => ("qemu-system-x86_64", "q35"),
        Architecture::I386 => ("qemu-system-i386", "q35"),
        Architecture::Arm64 => ("qemu-system-aarch64", "virt"),
        Architecture::Riscv64 => ("qemu-system-riscv64", "virt"),
    };
    let (device, name) = match disk {
        Disk::Nvme => ("nvme,drive=rootfs,serial=rootfs", NVME_DISK),
        Disk::VirtioPci | Disk::VirtioMmio => ("virtio-blk-pci,drive=rootfs", VIRTIO_DISK),
    };
    let line = command_line(
        Some(parts.facts.architecture),
        name,
        parts.read_only,
        Some(&parts.program),
    );
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
    words.extend([
        "-drive".into(),
        // A comma is doubled inside an option's value.
        format!(
            "file={},format=raw,if=none,id=rootfs{}",
            parts.rootfs.replace(',', ",,"),
            if parts.read_only { ",readonly=on" } else { "" }
        ),
        "-device".into(),
        device.into(),
        "-append".into(),
        line,
    ]);
    Ok(BootConfig::Command(words))
}
