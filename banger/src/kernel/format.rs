//! From a file to [`KernelFacts`]: the wrapper first, then one pass over the code inside.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use oci_flatten::compression::{DecompressError, DecompressOptions, Decompressor, Trailing};

use super::extent;
use super::facts::{Architecture, Compression, KernelFacts, KernelFormat};
use super::scan::{Scan, ScanError, release_at, scan};
use crate::artifact::{failed, open_regular};
use crate::error::{Error, ErrorKind};

/// Bytes that hold every header looked at: the last field of the x86 setup header ends at 0x268.
const HEAD_BYTES: usize = 1024;

/// Bytes of code that are read. The largest kernels, with all their debugging information, have about 1 GiB.
const CODE_LIMIT: u64 = 2 << 30;

/// Reads a kernel file. The drivers are those of its embedded configuration; see
/// [`resolve`](super::resolve()) for what a module directory adds. `is_cancelled` is asked many times a second.
///
/// # Errors
///
/// The file cannot be read, or is not a kernel that banger knows; [`ErrorKind::Integrity`] where it is truncated, damaged or expands
/// beyond 2 GiB; [`ErrorKind::Interrupted`] when cancelled.
pub fn inspect(path: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<KernelFacts, Error> {
    let (file, metadata) = open_regular(path)?;
    let kernel = KernelFile {
        file: &file,
        length: metadata.len(),
        code_limit: CODE_LIMIT,
        is_cancelled,
    };
    kernel.inspect().map_err(|fault| match fault {
        Fault::Read(error) => failed("read", path, error),
        Fault::Refused(kind, problem) => Error::new(kind, format!("{} {problem}", path.display())),
        Fault::Cancelled => Error::new(
            ErrorKind::Interrupted,
            format!("reading {} was interrupted", path.display()),
        ),
    })
}

/// Why a file's facts are not known.
enum Fault {
    /// The file cannot be read.
    Read(io::Error),
    /// What is wrong with the file, as it follows its path.
    Refused(ErrorKind, String),
    Cancelled,
}

impl Fault {
    fn not_a_kernel(problem: impl Into<String>) -> Self {
        Self::Refused(ErrorKind::Failure, problem.into())
    }

    fn truncated(length: u64, needed: u64) -> Self {
        let problem =
            format!("is truncated: it has {length} bytes, its headers say at least {needed}");
        Self::Refused(ErrorKind::Integrity, problem)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<DecompressError>() {
            Ok(error) => error.into(),
            Err(error) => Self::Read(error),
        }
    }
}

impl From<DecompressError> for Fault {
    fn from(error: DecompressError) -> Self {
        let (kind, problem) = match &error {
            DecompressError::Unsupported(compression) => (
                ErrorKind::Failure,
                format!(
                    "is compressed with {compression}, which banger cannot read; decompress it first"
                ),
            ),
            DecompressError::TooLarge { .. }
            | DecompressError::TooLong { .. }
            | DecompressError::Window { .. } => {
                (ErrorKind::Integrity, format!("is not a kernel: {error}"))
            }
            _ => (ErrorKind::Integrity, format!("is damaged: {error}")),
        };
        Self::Refused(kind, problem)
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Read(error) => error.into(),
            ScanError::Cancelled => Self::Cancelled,
        }
    }
}

/// A file that may be a kernel.
struct KernelFile<'a> {
    file: &'a File,
    length: u64,
    /// Bytes of code that are read.
    code_limit: u64,
    is_cancelled: &'a dyn Fn() -> bool,
}

impl KernelFile<'_> {
    fn inspect(&self) -> Result<KernelFacts, Fault> {
        let head = self.head(0)?;
        if let Some(header) = SetupHeader::parse(&head) {
            self.check_length(header.length())?;
            return self.wrapped(&header.wrapper());
        }
        if let Some(wrapper) = zboot_wrapper(&head) {
            self.check_length(extent::of_pe(&head).unwrap_or(0))?;
            return self.wrapped(&wrapper);
        }
        let compression = Compression::sniff(&head);
        let code = self.decompressed(0, self.length, compression, Trailing::Members)?;
        self.plain(code, compression)
    }

    fn head(&self, offset: u64) -> io::Result<Vec<u8>> {
        read_head(Section::new(self.file, offset, self.length))
    }

    fn check_length(&self, needed: u64) -> Result<(), Fault> {
        match needed > self.length {
            true => Err(Fault::truncated(self.length, needed)),
            false => Ok(()),
        }
    }

    fn decompressed(
        &self,
        offset: u64,
        length: u64,
        compression: Compression,
        trailing: Trailing,
    ) -> Result<Decompressor<impl io::BufRead + use<'_>>, Fault> {
        let section = BufReader::new(Section::new(self.file, offset, length));
        let options = DecompressOptions::new(self.code_limit).with_trailing(trailing);
        Ok(Decompressor::new(section, compression.format(), options)?)
    }

    /// A kernel that is its own code: an ELF file or a flat image.
    fn plain(&self, mut code: impl Read, compression: Compression) -> Result<KernelFacts, Fault> {
        let head = read_head(&mut code)?;
        let magic = head.get(56..60);
        let (format, architecture, extent) = if head.starts_with(b"\x7fELF") {
            match Architecture::from_elf(&head) {
                Some(architecture) => (KernelFormat::Elf, architecture, extent::of_elf(&head)),
                None => {
                    let problem = "is an ELF file of an unknown architecture";
                    return Err(Fault::not_a_kernel(problem));
                }
            }
        } else if magic == Some(b"ARM\x64") {
            let extent = extent::of_pe(&head);
            (KernelFormat::Arm64Image, Architecture::Arm64, extent)
        } else if magic == Some(b"RSC\x05") {
            let extent = extent::of_pe(&head);
            (KernelFormat::RiscvImage, Architecture::Riscv64, extent)
        } else {
            return Err(Fault::not_a_kernel(
                "is not a kernel (known: ELF vmlinux, bzImage, arm64 and RISC-V Image, EFI zboot; \
                 also compressed with gzip, zstd, xz, lzma, lz4 or bzip2)",
            ));
        };
        let found = scan(Cursor::new(head).chain(code), self.is_cancelled)?;
        if let Some(needed) = extent.filter(|needed| *needed > found.length) {
            return Err(Fault::truncated(found.length, needed));
        }
        if format == KernelFormat::Elf && found.release.is_none() {
            return Err(Fault::not_a_kernel("is an ELF file, but no Linux kernel"));
        }
        Ok(facts(format, compression, architecture, found))
    }

    /// What can be told of a wrapped kernel without its code is told even where the code is
    /// compressed with something banger cannot read: the wrapper is what a VMM starts.
    fn wrapped(&self, wrapper: &Wrapper) -> Result<KernelFacts, Fault> {
        let (offset, length) = (wrapper.payload_offset, wrapper.payload_length);
        self.check_length(offset.saturating_add(length))?;
        let head = read_head(Section::new(self.file, offset, length))?;
        let compression = match Compression::sniff(&head) {
            Compression::None if !head.starts_with(b"\x7fELF") => Compression::Unknown,
            known => known,
        };
        let mut found = match compression {
            Compression::Unknown | Compression::Lzo => Scan::default(),
            known => {
                let code = self.decompressed(offset, length, known, Trailing::Length)?;
                scan(code, self.is_cancelled)?
            }
        };
        if let Some(offset) = wrapper.release_offset {
            found.release = release_at(&self.head(offset)?).or(found.release);
        }
        Ok(facts(
            wrapper.format,
            compression,
            wrapper.architecture,
            found,
        ))
    }
}

/// A part of a file, or as much of it as is there.
struct Section<'a> {
    file: &'a File,
    position: u64,
    left: u64,
}

impl<'a> Section<'a> {
    fn new(file: &'a File, offset: u64, length: u64) -> Self {
        Self {
            file,
            position: offset,
            left: length,
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn read_head(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    reader.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn facts(
    format: KernelFormat,
    compression: Compression,
    architecture: Architecture,
    found: Scan,
) -> KernelFacts {
    KernelFacts {
        format,
        compression,
        architecture,
        release: found.release,
        pvh: found.pvh,
        drivers: found.drivers.unwrap_or_default(),
    }
}

/// A compressed kernel behind a program that unpacks it.
struct Wrapper {
    format: KernelFormat,
    architecture: Architecture,
    /// The release, where the header gives it in the clear: its offset in the file.
    release_offset: Option<u64>,
    payload_offset: u64,
    payload_length: u64,
}

/// The fields of the x86 setup header that are looked at (Documentation/arch/x86/boot.rst). Offsets
/// count from the start of the file.
struct SetupHeader {
    setup_sectors: u8,
    version: u16,
    release_pointer: u16,
    extended_flags: u16,
    /// Length of the code behind the setup sectors, in units of 16 bytes (`syssize`).
    code_paragraphs: u32,
    payload_offset: u32,
    payload_length: u32,
}

impl SetupHeader {
    /// The first protocol with a payload, and the first that says whether it is 64-bit.
    const PAYLOAD_VERSION: u16 = 0x0208;
    const EXTENDED_FLAGS_VERSION: u16 = 0x020c;
    /// `XLF_KERNEL_64`.
    const KERNEL_64: u16 = 1;

    fn parse(head: &[u8]) -> Option<Self> {
        if head.get(0x1fe..0x200)? != [0x55, 0xaa] || head.get(0x202..0x206)? != b"HdrS" {
            return None;
        }
        let word = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            setup_sectors: head[0x1f1],
            version: word(0x206)?,
            release_pointer: word(0x20e)?,
            extended_flags: word(0x236)?,
            code_paragraphs: long(0x1f4)?,
            payload_offset: long(0x248)?,
            payload_length: long(0x24c)?,
        })
    }

    /// Bytes of the boot sector and the setup sectors. Zero sectors mean 4, for the sake of old boot loaders.
    fn setup_bytes(&self) -> u64 {
        match self.setup_sectors {
            0 => 5 * 512,
            count => (u64::from(count) + 1) * 512,
        }
    }

    /// Bytes that a whole image has at least. The last unit of 16 bytes may be filled in part.
    fn length(&self) -> u64 {
        let code = (u64::from(self.code_paragraphs) * 16).saturating_sub(15);
        self.setup_bytes() + code
    }

    fn wrapper(&self) -> Wrapper {
        let is_64_bit = self.version >= Self::EXTENDED_FLAGS_VERSION
            && self.extended_flags & Self::KERNEL_64 != 0;
        let has_payload = self.version >= Self::PAYLOAD_VERSION;
        Wrapper {
            format: KernelFormat::BzImage,
            architecture: if is_64_bit {
                Architecture::Amd64
            } else {
                Architecture::I386
            },
            release_offset: (self.release_pointer != 0)
                .then(|| u64::from(self.release_pointer) + 0x200),
            payload_offset: self.setup_bytes() + u64::from(self.payload_offset),
            payload_length: if has_payload {
                u64::from(self.payload_length)
            } else {
                0
            },
        }
    }
}

/// The header of a self-unpacking EFI image: `MZ`, `zimg` at 4, the payload's offset at 8 and length
/// at 12 (drivers/firmware/efi/libstub/zboot-header.S), the PE machine type behind the offset at 0x3c.
fn zboot_wrapper(head: &[u8]) -> Option<Wrapper> {
    if !head.starts_with(b"MZ") || head.get(4..8)? != b"zimg" {
        return None;
    }
    let long = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let pe = usize::try_from(long(0x3c)?).ok()?;
    let machine = head.get(pe.checked_add(4)?..pe.checked_add(6)?)?;
    let architecture = match u16::from_le_bytes([machine[0], machine[1]]) {
        0x8664 => Architecture::Amd64,
        0xaa64 => Architecture::Arm64,
        0x5064 => Architecture::Riscv64,
        _ => return None,
    };
    Some(Wrapper {
        format: KernelFormat::EfiZboot,
        architecture,
        release_offset: None,
        payload_offset: u64::from(long(8)?),
        payload_length: u64::from(long(12)?),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn code_may_not_expand_without_end() {
        let mut code = vec![0; 1 << 20];
        code[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        code[18] = 62;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&code).unwrap();
        let bomb = encoder.finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bomb).unwrap();
        let kernel = KernelFile {
            file: &file,
            length: bomb.len() as u64,
            code_limit: (1 << 20) - 1,
            is_cancelled: &|| false,
        };
        match kernel.inspect() {
            Err(Fault::Refused(ErrorKind::Integrity, problem)) => {
                assert!(problem.contains("more than 1048575 bytes"), "{problem}");
            }
            _ => panic!("it is refused"),
        }
    }
}
