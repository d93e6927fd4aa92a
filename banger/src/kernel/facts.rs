//! What is known of a kernel, as values that a record keeps.

use std::fmt;

use oci_flatten::compression::Compression as Format;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An instruction set that a kernel or program is made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Architecture {
    /// 32-bit x86; OCI calls it `386`.
    #[serde(rename = "386")]
    I386,
    /// 64-bit x86, also called `x86_64`.
    Amd64,
    /// 64-bit ARM, also called `aarch64`.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Architecture {
    /// The architecture that OCI calls `name`.
    #[must_use]
    pub fn from_oci(name: &str) -> Option<Self> {
        match name {
            "386" => Some(Self::I386),
            "amd64" => Some(Self::Amd64),
            "arm64" => Some(Self::Arm64),
            "riscv64" => Some(Self::Riscv64),
            _ => None,
        }
    }

    /// The architecture in an OCI platform `os/arch[/variant]`.
    #[must_use]
    pub fn from_platform(platform: &str) -> Option<Self> {
        Self::from_oci(platform.split('/').nth(1)?)
    }

    /// The architecture of a little-endian ELF file by its first 20 bytes (`e_machine`, ELF header).
    #[must_use]
    pub fn from_elf(head: &[u8]) -> Option<Self> {
        let machine = head.get(18..20)?;
        if !head.starts_with(b"\x7fELF") {
            return None;
        }
        match u16::from_le_bytes([machine[0], machine[1]]) {
            3 => Some(Self::I386),
            62 => Some(Self::Amd64),
            183 => Some(Self::Arm64),
            243 => Some(Self::Riscv64),
            _ => None,
        }
    }

    /// The name OCI has for it.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        match self {
            Self::I386 => "386",
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// Whether a kernel of this architecture runs programs of `program`.
    #[must_use]
    pub fn runs(self, program: Self) -> bool {
        self == program || (self == Self::Amd64 && program == Self::I386)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.oci_name())
    }
}

/// The shape of a kernel file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KernelFormat {
    /// An ELF file: `vmlinux`.
    Elf,
    /// x86's `bzImage`, with its setup header (Documentation/arch/x86/boot.rst).
    BzImage,
    /// arm64's flat `Image` (Documentation/arch/arm64/booting.rst).
    Arm64Image,
    /// RISC-V's flat `Image` (Documentation/arch/riscv/boot-image-header.rst).
    RiscvImage,
    /// An EFI program that unpacks itself: `vmlinuz.efi` (`CONFIG_EFI_ZBOOT`).
    EfiZboot,
}

impl fmt::Display for KernelFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Elf => "ELF vmlinux",
            Self::BzImage => "bzImage",
            Self::Arm64Image => "arm64 Image",
            Self::RiscvImage => "RISC-V Image",
            Self::EfiZboot => "EFI zboot image",
        })
    }
}

/// How the kernel's code is compressed, as a whole file or inside its wrapper.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
    /// LZMA.
    Lzma,
    /// LZ4.
    Lz4,
    /// bzip2.
    Bzip2,
    /// LZO; recognised, not read.
    Lzo,
    /// Something else.
    Unknown,
}

impl Compression {
    /// What the first bytes of a stream say. [`Compression::None`] when they are no known magic.
    #[must_use]
    pub fn sniff(head: &[u8]) -> Self {
        match Format::sniff(head) {
            Format::Gzip => Self::Gzip,
            Format::Zstd => Self::Zstd,
            Format::Xz => Self::Xz,
            Format::Lzma => Self::Lzma,
            Format::Lz4 => Self::Lz4,
            Format::Bzip2 => Self::Bzip2,
            Format::Lzo => Self::Lzo,
            _ => Self::None,
        }
    }

    /// The format as the decompressor names it.
    pub(super) fn format(self) -> Format {
        match self {
            Self::None | Self::Unknown => Format::None,
            Self::Gzip => Format::Gzip,
            Self::Zstd => Format::Zstd,
            Self::Xz => Format::Xz,
            Self::Lzma => Format::Lzma,
            Self::Lz4 => Format::Lz4,
            Self::Bzip2 => Format::Bzip2,
            Self::Lzo => Format::Lzo,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzo => "lzo",
            Self::Unknown => "unknown compression",
        })
    }
}

/// Where a driver is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriverState {
    /// In the kernel itself.
    BuiltIn,
    /// A module: to be loaded before it is of use.
    Module,
    /// Neither in the kernel nor among its modules.
    Absent,
    /// Nobody could tell: no embedded configuration and no module directory.
    #[default]
    Unknown,
}

impl fmt::Display for DriverState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BuiltIn => "built in",
            Self::Module => "module",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        })
    }
}

/// The drivers that mounting the root filesystem takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drivers {
    /// The filesystem.
    pub ext4: DriverState,
    /// Virtio disks, on any transport.
    pub virtio_blk: DriverState,
    /// Virtio over PCI: QEMU, Cloud Hypervisor.
    pub virtio_pci: DriverState,
    /// Virtio over memory-mapped registers: Firecracker, QEMU's microvm.
    pub virtio_mmio: DriverState,
    /// NVMe disks.
    pub nvme: DriverState,
}

/// What a kernel file, and the module directory next to it, tell.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelFacts {
    /// The shape of the file.
    pub format: KernelFormat,
    /// How its code is compressed.
    pub compression: Compression,
    /// The instruction set.
    pub architecture: Architecture,
    /// What `uname -r` prints; none when the file does not tell without a decompressor banger lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Whether the kernel has the PVH entry by which QEMU and Cloud Hypervisor start an ELF file.
    pub pvh: bool,
    /// Where the drivers of the root disk are.
    pub drivers: Drivers,
}
