//! Whether a kernel can reach its root filesystem, by the drivers it has.

use std::fmt;

use super::facts::{DriverState, Drivers};

/// A kind of disk that a VMM offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disk {
    /// Virtio over PCI: QEMU, Cloud Hypervisor.
    VirtioPci,
    /// Virtio over memory-mapped registers: Firecracker.
    VirtioMmio,
    /// NVMe: QEMU.
    Nvme,
}

impl Disk {
    const ALL: [Self; 3] = [Self::VirtioPci, Self::VirtioMmio, Self::Nvme];

    /// The drivers that mounting an ext4 root filesystem from such a disk takes.
    pub(crate) fn drivers(self, drivers: &Drivers) -> Vec<(&'static str, DriverState)> {
        let mut needed = vec![("ext4", drivers.ext4)];
        match self {
            Self::VirtioPci => {
                needed.push(("virtio_blk", drivers.virtio_blk));
                needed.push(("virtio_pci", drivers.virtio_pci));
            }
            Self::VirtioMmio => {
                needed.push(("virtio_blk", drivers.virtio_blk));
                needed.push(("virtio_mmio", drivers.virtio_mmio));
            }
            Self::Nvme => needed.push(("nvme", drivers.nvme)),
        }
        needed
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::VirtioPci => "virtio (PCI)",
            Self::VirtioMmio => "virtio (MMIO)",
            Self::Nvme => "NVMe",
        })
    }
}

/// The weakest state among the drivers that a root filesystem on `disk` takes.
#[must_use]
pub fn disk_state(disk: Disk, drivers: &Drivers) -> DriverState {
    let states: Vec<DriverState> = disk
        .drivers(drivers)
        .iter()
        .map(|(_, state)| *state)
        .collect();
    [
        DriverState::Absent,
        DriverState::Module,
        DriverState::Unknown,
    ]
    .into_iter()
    .find(|weak| states.contains(weak))
    .unwrap_or(DriverState::BuiltIn)
}

/// The disks from which the kernel is known to mount its root: without an initrd only those whose
/// drivers are all built in, with one also those whose drivers are modules.
#[must_use]
pub fn usable_disks(drivers: &Drivers, initrd: bool) -> Vec<Disk> {
    Disk::ALL
        .into_iter()
        .filter(|disk| match disk_state(*disk, drivers) {
            DriverState::BuiltIn => true,
            DriverState::Module => initrd,
            DriverState::Absent | DriverState::Unknown => false,
        })
        .collect()
}

/// What the drivers mean for a kernel with or without an initrd.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Virtio disks work.
    Ready,
    /// It may work; the sentence says what speaks against it and what would help.
    Doubtful(String),
    /// It needs an initrd, for the reason given.
    NeedsInitrd(String),
    /// It cannot work, for the reason given.
    Hopeless(String),
}

/// Judges the drivers.
pub(super) fn judge(drivers: &Drivers, initrd: bool) -> Verdict {
    let usable = usable_disks(drivers, initrd);
    if usable.iter().any(|disk| *disk != Disk::Nvme) {
        return Verdict::Ready;
    }
    let lacking = lacking(drivers);
    if usable == [Disk::Nvme] {
        return Verdict::Doubtful(format!(
            "the kernel mounts its root from NVMe disks only ({lacking}), which QEMU has and \
             Firecracker and Cloud Hypervisor have not"
        ));
    }
    let states = Disk::ALL.map(|disk| disk_state(disk, drivers));
    if states.contains(&DriverState::Unknown) {
        Verdict::Doubtful(
            "whether the kernel has ext4 and virtio_blk cannot be told: it has no embedded \
             configuration, and no module directory was given (--modules)"
                .into(),
        )
    } else if states.contains(&DriverState::Module) {
        Verdict::NeedsInitrd(lacking)
    } else {
        Verdict::Hopeless(lacking)
    }
}

/// What keeps the kernel from virtio disks: `virtio_blk is a module, virtio_mmio is absent`.
fn lacking(drivers: &Drivers) -> String {
    let all = [
        ("ext4", drivers.ext4),
        ("virtio_blk", drivers.virtio_blk),
        ("virtio_pci", drivers.virtio_pci),
    ];
    let parts: Vec<String> = all
        .into_iter()
        .filter_map(|(name, state)| match state {
            DriverState::BuiltIn => None,
            DriverState::Module => Some(format!("{name} is a module")),
            DriverState::Absent => Some(format!("{name} is absent")),
            DriverState::Unknown => Some(format!("{name} is unknown")),
        })
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use DriverState::{Absent, BuiltIn, Module};

    fn drivers(ext4: DriverState, virtio_blk: DriverState, nvme: DriverState) -> Drivers {
        Drivers {
            ext4,
            virtio_blk,
            virtio_pci: virtio_blk,
            virtio_mmio: virtio_blk,
            nvme,
        }
    }

    #[test]
    fn every_mix_has_its_verdict() {
        let needs = |text: &str| Verdict::NeedsInitrd(text.into());
        let cases = [
            (drivers(BuiltIn, BuiltIn, Absent), false, Verdict::Ready),
            (drivers(BuiltIn, Module, Absent), true, Verdict::Ready),
            (drivers(Module, Module, Module), true, Verdict::Ready),
            (
                drivers(BuiltIn, Module, Absent),
                false,
                needs("virtio_blk is a module, virtio_pci is a module"),
            ),
            (
                drivers(Module, BuiltIn, BuiltIn),
                false,
                needs("ext4 is a module"),
            ),
            (
                drivers(Absent, BuiltIn, BuiltIn),
                true,
                Verdict::Hopeless("ext4 is absent".into()),
            ),
        ];
        for (drivers, initrd, verdict) in cases {
            assert_eq!(judge(&drivers, initrd), verdict, "{drivers:?}");
        }
        for doubtful in [drivers(BuiltIn, Module, BuiltIn), Drivers::default()] {
            assert!(
                matches!(judge(&doubtful, false), Verdict::Doubtful(_)),
                "{doubtful:?}"
            );
        }
    }

    #[test]
    fn nvme_alone_is_usable_without_an_initrd() {
        let cloud = drivers(BuiltIn, Module, BuiltIn);
        assert_eq!(usable_disks(&cloud, false), [Disk::Nvme]);
        assert_eq!(usable_disks(&cloud, true).len(), 3);
    }
}
