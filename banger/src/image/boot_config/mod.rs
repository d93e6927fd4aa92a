//! What to hand to a VMM so that it boots an image.

mod cloud_hypervisor;
mod firecracker;
mod parts;
mod qemu;

use std::fmt;
use std::path::PathBuf;

use banger_init::InitMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine::{Machine, Vmm};
use crate::error::Error;
use crate::store::Image;
use crate::text::{printable_json, shell_words};
use parts::Parts;

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

/// The network device of a machine.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkDevice {
    /// None.
    None,
    /// QEMU's user-mode network, which takes no privilege.
    User,
    /// A tap device of the host, by its name.
    Tap(String),
}

/// The machine that is to boot an image, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BootRequest {
    /// The virtual machine monitor.
    pub vmm: Vmm,
    /// Memory and processors.
    pub machine: Machine,
    /// The machine's own copy of the root filesystem, in place of the image's.
    pub rootfs: Option<PathBuf>,
    /// Further disks: raw files or block devices.
    pub disks: Vec<PathBuf>,
    /// The network device; where none is named, what the VMM can have without further preparation.
    pub network: Option<NetworkDevice>,
    /// What becomes PID 1, in place of what is on record.
    pub init: Option<InitMode>,
    /// Whether the root filesystem is mounted read-only.
    pub read_only: bool,
    /// Where the guest's events go: a file for QEMU, the path of a vsock socket for the others.
    pub events: Option<PathBuf>,
    /// Words at the end of the kernel's command line.
    pub append: Option<String>,
}

impl BootRequest {
    /// A machine with everything else as it comes.
    #[must_use]
    pub fn new(vmm: Vmm, machine: Machine) -> Self {
        Self {
            vmm,
            machine,
            rootfs: None,
            disks: Vec::new(),
            network: None,
            init: None,
            read_only: false,
            events: None,
            append: None,
        }
    }
}

/// Makes the configuration with which a VMM boots `image`, and warnings about what cannot be told.
/// Without a disk of the machine's own, the disk is the image's file, writable: to start several VMs, give
/// each a copy of it.
///
/// # Errors
///
/// The image has no kernel, does not boot, or has a kernel that the VMM cannot start or whose drivers
/// do not reach a disk of it; a file is missing, or has a path that the VMM does not take; the VMM has no such
/// network device.
pub fn boot_config(
    image: &Image,
    request: &BootRequest,
) -> Result<(BootConfig, Vec<String>), Error> {
    let parts = Parts::collect(image, request)?;
    let (disk, warnings) = parts.choose_disk()?;
    let config = match request.vmm {
        Vmm::Firecracker => firecracker::config(&parts, disk)?,
        Vmm::CloudHypervisor => cloud_hypervisor::config(&parts, disk)?,
        Vmm::Qemu => qemu::config(&parts, disk)?,
    };
    Ok((config, warnings))
}
