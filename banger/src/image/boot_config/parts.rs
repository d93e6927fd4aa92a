//! What a configuration is made from, looked up and checked.

use std::path::Path;

use banger_init::{EVENTS_PARAMETER, EXIT_PARAMETER, INIT_PARAMETER, InitMode, ROOT_PARAMETER};

use super::{BootRequest, NetworkDevice};
use crate::artifact::{failed, open_disk};
use crate::boot::{NVME_DISK, VIRTIO_DISK, command_line, console};
use crate::error::{Error, ErrorKind};
use crate::image::{Ext4Tree, Machine, Vmm};
use crate::initrd::InitrdContents;
use crate::kernel::{
    Architecture, Compression, Disk, DriverState, KernelFacts, KernelFormat, disk_state,
};
use crate::store::{Image, ImageRecord};

/// The virtio-serial port of events.
pub(super) const EVENTS_PORT: &str = "org.banger.events";
/// The port of the host's vsock to which the guest connects with its events.
const EVENTS_VSOCK_PORT: u32 = 1024;

/// What a configuration is made from, once all of it is known to be there.
pub(super) struct Parts {
    pub(super) vmm: Vmm,
    pub(super) rootfs: String,
    pub(super) disks: Vec<String>,
    pub(super) kernel: String,
    pub(super) initrd: Option<String>,
    pub(super) facts: KernelFacts,
    pub(super) machine: Machine,
    pub(super) network: NetworkDevice,
    pub(super) read_only: bool,
    pub(super) events: Option<String>,
    /// What the initrd holds, where banger has made it.
    contents: Option<InitrdContents>,
    start: Start,
    append: Option<String>,
}

/// Who starts the image.
enum Start {
    /// banger's initrd, told by these words of the command line.
    Initrd(Vec<String>),
    /// The kernel alone, or an initrd of the user's own: a program of the root filesystem.
    Program(String),
}

impl Parts {
    pub(super) fn collect(image: &Image, request: &BootRequest) -> Result<Self, Error> {
        let record = image.record();
        let paths = image.artifacts();
        let (Some(kernel), Some(facts)) = (&paths.kernel, &record.kernel) else {
            return Err(Error::new(
                ErrorKind::Failure,
                format!("image {} has no kernel", record.name),
            )
            .with_hint("`banger image pull --kernel-ref NAME` makes an image with a kernel"));
        };
        let parts = Self {
            vmm: request.vmm,
            rootfs: match &request.rootfs {
                Some(own) => disk(own)?,
                None => artifact(image, &paths.rootfs)?,
            },
            disks: request
                .disks
                .iter()
                .map(|path| disk(path))
                .collect::<Result<_, _>>()?,
            kernel: artifact(image, kernel)?,
            initrd: paths
                .initrd
                .as_ref()
                .map(|path| artifact(image, path))
                .transpose()?,
            facts: facts.clone(),
            machine: request.machine,
            network: network(request)?,
            read_only: request.read_only || record.read_only,
            events: request.events.as_deref().map(text).transpose()?,
            contents: record.initrd.clone(),
            start: start(record, request)?,
            append: request.append.clone(),
        };
        parts.check_format()?;
        Ok(parts)
    }

    /// The kernel's command line, for a root filesystem on `disk`. `own` are words of the VMM.
    pub(super) fn command_line(&self, disk: Disk, own: &[&str]) -> String {
        let architecture = match self.vmm {
            // Its serial port is ttyS0 on every architecture.
            Vmm::Firecracker => None,
            _ => Some(self.facts.architecture),
        };
        let mut line = match &self.start {
            Start::Initrd(words) => {
                let access = if self.read_only { " ro" } else { "" };
                let mut line = format!("console={}{access} panic=1", console(architecture));
                for word in words {
                    line.push(' ');
                    line.push_str(word);
                }
                line
            }
            Start::Program(program) => {
                let disk = match disk {
                    Disk::Nvme => NVME_DISK,
                    Disk::VirtioPci | Disk::VirtioMmio => VIRTIO_DISK,
                };
                command_line(architecture, disk, self.read_only, Some(program))
            }
        };
        for word in own.iter().copied().chain(self.append.as_deref()) {
            line.push(' ');
            line.push_str(word);
        }
        line
    }

    /// The disk of the VMM that the kernel's drivers reach, and a warning where that cannot be told.
    pub(super) fn choose_disk(&self) -> Result<(Disk, Vec<String>), Error> {
        let vmm = self.vmm;
        let offered: &[Disk] = match vmm {
            Vmm::Firecracker => &[Disk::VirtioMmio],
            Vmm::CloudHypervisor => &[Disk::VirtioPci],
            Vmm::Qemu => &[Disk::VirtioPci, Disk::Nvme],
        };
        let state = |disk: &Disk| disk_state(*disk, &self.facts.drivers);
        let reachable = |disk: &&Disk| {
            let drivers = disk.drivers(&self.facts.drivers);
            drivers.into_iter().all(|(driver, state)| match state {
                DriverState::BuiltIn => true,
                DriverState::Module => self.brings(driver),
                DriverState::Absent | DriverState::Unknown => false,
            })
        };
        if let Some(disk) = offered.iter().find(reachable) {
            return Ok((*disk, Vec::new()));
        }
        if let Some(disk) = offered
            .iter()
            .find(|disk| state(disk) == DriverState::Unknown)
        {
            let warning = format!(
                "whether the kernel has the drivers for {vmm}'s {disk} disk is unknown; importing it \
                 with --modules would tell"
            );
            return Ok((*disk, vec![warning]));
        }
        let disk = offered[0];
        let lacking: Vec<String> = disk
            .drivers(&self.facts.drivers)
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
            "give the image the kernel's modules (--modules) or an initrd with them (--initrd), or a kernel that has \
             them built in",
        ))
    }

    /// Whether the initrd has a module. What a user's own holds is the user's word.
    fn brings(&self, module: &str) -> bool {
        match &self.contents {
            Some(contents) => {
                contents.own_bytes.is_some() || contents.modules.iter().any(|name| name == module)
            }
            None => self.initrd.is_some(),
        }
    }

    fn check_format(&self) -> Result<(), Error> {
        let facts = &self.facts;
        let vmm = self.vmm;
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
                self.kernel, facts.format, facts.compression, facts.architecture
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
}

/// The words by which banger's initrd is told what the request wants; or the program of an image without one.
fn start(record: &ImageRecord, request: &BootRequest) -> Result<Start, Error> {
    let name = &record.name;
    let does_not_boot = |reason: &str| {
        Error::new(
            ErrorKind::Failure,
            format!("image {name} does not boot: {reason}"),
        )
    };
    let Some(boot) = &record.boot else {
        return Err(does_not_boot("its filesystem could not be read"));
    };
    if record.initrd.is_none() {
        if request.init.is_some() || request.events.is_some() {
            return Err(Error::new(
                ErrorKind::Failure,
                format!("image {name} has no initrd of banger's, which --init and --events take"),
            )
            .with_hint("pull or register it again with this banger"));
        }
        let program = boot
            .first_program()
            .ok_or_else(|| does_not_boot(&boot.reason))?;
        return Ok(Start::Program(program.to_owned()));
    }
    // Another init is the user's word; whether it is there shows in the guest.
    if !boot.bootable && request.init.is_none() {
        return Err(does_not_boot(&boot.reason));
    }
    let mut words = Vec::new();
    if let Some(init) = &request.init {
        words.push(format!("{INIT_PARAMETER}={}", quoted(init)?));
    }
    if let Some(rootfs) = &request.rootfs {
        let file = open_disk(rootfs)?;
        let uuid = Ext4Tree::ask(file, rootfs, &|| false, |tree| Ok(tree.uuid()))?;
        if record.filesystem_uuid.as_ref() != Some(&uuid) {
            words.push(format!("{ROOT_PARAMETER}={uuid}"));
        }
    }
    if request.events.is_some() {
        words.push(match request.vmm {
            Vmm::Qemu => format!("{EVENTS_PARAMETER}=port:{EVENTS_PORT}"),
            Vmm::Firecracker | Vmm::CloudHypervisor => {
                format!("{EVENTS_PARAMETER}=vsock:{EVENTS_VSOCK_PORT}")
            }
        });
    }
    if request.vmm == Vmm::Firecracker {
        // It has no power to turn off, and ends when its guest reboots.
        words.push(format!("{EXIT_PARAMETER}=reboot"));
    }
    Ok(Start::Initrd(words))
}

/// An init as a word of the kernel's command line.
fn quoted(init: &InitMode) -> Result<String, Error> {
    let text = init.to_string();
    if text.contains(['"', '\n']) {
        let message =
            format!("{text:?} has a quote or a line break, which a command line cannot hold");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    Ok(match text.contains(char::is_whitespace) {
        true => format!("\"{text}\""),
        false => text,
    })
}

fn network(request: &BootRequest) -> Result<NetworkDevice, Error> {
    match (&request.network, request.vmm) {
        (None, Vmm::Qemu) => Ok(NetworkDevice::User),
        (None, _) => Ok(NetworkDevice::None),
        (Some(NetworkDevice::User), vmm @ (Vmm::Firecracker | Vmm::CloudHypervisor)) => {
            let message = format!("{vmm} has no user-mode network");
            Err(Error::new(ErrorKind::Usage, message)
                .with_hint("give it a tap device: --net tap:NAME"))
        }
        (Some(network), _) => Ok(network.clone()),
    }
}

/// The path of an artifact that is there, as text.
fn artifact(image: &Image, path: &Path) -> Result<String, Error> {
    if !image.holds(path) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("{} is no longer there", path.display()),
        ));
    }
    text(path)
}

/// The path of a disk that the user named, as text.
fn disk(path: &Path) -> Result<String, Error> {
    open_disk(path)?;
    text(path)
}

/// The absolute path of a file that need not be there yet, as text.
fn text(path: &Path) -> Result<String, Error> {
    let path = std::path::absolute(path).map_err(|error| failed("read", path, error))?;
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(
            ErrorKind::Failure,
            format!("{} is not UTF-8, which configurations are", path.display()),
        )
    })
}
