//! The machine that an image boots on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// A virtual machine monitor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Vmm {
    /// Firecracker: a file for `--config-file`.
    Firecracker,
    /// Cloud Hypervisor: a command line.
    CloudHypervisor,
    /// QEMU: a command line.
    Qemu,
}

impl fmt::Display for Vmm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Firecracker => "Firecracker",
            Self::CloudHypervisor => "Cloud Hypervisor",
            Self::Qemu => "QEMU",
        })
    }
}

/// The machine to boot the image on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Machine {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Virtual processors.
    pub cpus: u32,
}

impl Machine {
    /// A machine that Linux runs on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] for less than 16 MiB of memory, and for no processor or more than 1,024.
    pub fn new(memory_mib: u64, cpus: u32) -> Result<Self, Error> {
        if memory_mib < 16 {
            let message =
                format!("memory of {memory_mib} MiB is below the 16 MiB that Linux needs");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        if !(1..=1024).contains(&cpus) {
            let message = format!("{cpus} processors are not between 1 and 1024");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(Self { memory_mib, cpus })
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            memory_mib: 512,
            cpus: 1,
        }
    }
}
