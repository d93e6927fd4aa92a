//! From a file to [`KernelFacts`]: the wrapper first, then one pass over the code inside.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use super::facts::{Architecture, Compression, KernelFacts, KernelFormat};
use super::scan::{Scan, release_at, scan};
use crate::artifact::{failed, open_regular};
use crate::error::{Error, ErrorKind};

/// Bytes that hold every header looked at: the last field of the x86 setup header ends at 0x268.
const HEAD_BYTES: usize = 1024;

/// Reads a kernel file. The drivers are those of its embedded configuration; see
/// [`resolve`](super::resolve()) for what a module directory adds.
///
/// # Errors
///
/// The file cannot be read, or is no kernel that banger knows.
pub fn inspect(path: &Path) -> Result<KernelFacts, Error> {
    let (mut file, _) = open_regular(path)?;
    inspect_file(&mut file)
        .map_err(|error| failed("read", path, error))?
        .map_err(|problem| Error::new(ErrorKind::Failure, format!("{} {problem}", path.display())))
}

fn inspect_file(file: &mut File) -> io::Result<Result<KernelFacts, String>> {
    let head = read_head(&mut *file)?;
    if let Some(header) = SetupHeader::parse(&head) {
        return inspect_wrapped(file, &header.wrapper()).map(Ok);
    }
    if let Some(wrapper) = zboot_wrapper(&head) {
        return inspect_wrapped(file, &wrapper).map(Ok);
    }
    file.seek(SeekFrom::Start(0))?;
    let compression = Compression::sniff(&head);
    match decoder(compression, &mut *file)? {
        Some(code) => inspect_plain(code, compression),
        None => Ok(Err(format!(
            "is compressed with {compression}, which banger cannot read; decompress it first"
        ))),
    }
}

fn read_head(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    reader.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The code that `reader` gives when decompressed, or none when banger has no decoder for it.
fn decoder<'a>(
    compression: Compression,
    reader: impl Read + 'a,
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(match compression {
        Compression::None => Some(Box::new(reader)),
        Compression::Gzip => Some(Box::new(flate2::read::GzDecoder::new(reader))),
        // A wrapper puts the length behind the frame, so nothing may be read after it.
        Compression::Zstd => Some(Box::new(zstd::Decoder::new(reader)?.single_frame())),
        _ => None,
    })
}

/// A kernel that is its own code: an ELF file or a flat image.
fn inspect_plain(
    mut code: impl Read,
    compression: Compression,
) -> io::Result<Result<KernelFacts, String>> {
    let head = match read_head(&mut code) {
        Ok(head) => head,
        Err(error) if compression != Compression::None => {
            return Ok(Err(format!("is damaged: {error}")));
        }
        Err(error) => return Err(error),
    };
    let magic = head.get(56..60);
    let (format, architecture) = if head.starts_with(b"\x7fELF") {
        match Architecture::from_elf(&head) {
            Some(architecture) => (KernelFormat::Elf, architecture),
            None => return Ok(Err("is an ELF file of an unknown architecture".into())),
        }
    } else if magic == Some(b"ARM\x64") {
        (KernelFormat::Arm64Image, Architecture::Arm64)
    } else if magic == Some(b"RSC\x05") {
        (KernelFormat::RiscvImage, Architecture::Riscv64)
    } else {
        return Ok(Err(
            "is not a kernel (known: ELF vmlinux, bzImage, arm64 and RISC-V Image, EFI zboot; \
             also compressed with gzip or zstd)"
                .into(),
        ));
    };
    let found = match scan(Cursor::new(head).chain(code)) {
        Ok(found) => found,
        Err(error) if compression != Compression::None => {
            return Ok(Err(format!("is damaged: {error}")));
        }
        Err(error) => return Err(error),
    };
    if format == KernelFormat::Elf && found.release.is_none() {
        return Ok(Err("is an ELF file, but no Linux kernel".into()));
    }
    Ok(Ok(facts(format, compression, architecture, found)))
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

/// What can be told of a wrapped kernel without its code is told even where the code is damaged or
/// compressed with something banger cannot read: the wrapper is what a VMM starts.
fn inspect_wrapped(file: &mut File, wrapper: &Wrapper) -> io::Result<KernelFacts> {
    file.seek(SeekFrom::Start(wrapper.payload_offset))?;
    let head = read_head((&mut *file).take(wrapper.payload_length))?;
    let compression = match Compression::sniff(&head) {
        Compression::None if !head.starts_with(b"\x7fELF") => Compression::Unknown,
        known => known,
    };
    file.seek(SeekFrom::Start(wrapper.payload_offset))?;
    let payload = (&mut *file).take(wrapper.payload_length);
    let mut found = match decoder(compression, payload)? {
        Some(code) => scan(code).unwrap_or_default(),
        None => Scan::default(),
    };
    if let Some(offset) = wrapper.release_offset {
        file.seek(SeekFrom::Start(offset))?;
        found.release = release_at(&read_head(&mut *file)?).or(found.release);
    }
    Ok(facts(
        wrapper.format,
        compression,
        wrapper.architecture,
        found,
    ))
}

/// The fields of the x86 setup header that are looked at (Documentation/arch/x86/boot.rst). Offsets
/// count from the start of the file.
struct SetupHeader {
    setup_sectors: u8,
    version: u16,
    release_pointer: u16,
    extended_flags: u16,
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
            payload_offset: long(0x248)?,
            payload_length: long(0x24c)?,
        })
    }

    fn wrapper(&self) -> Wrapper {
        // Zero means 4, for the sake of old boot loaders.
        let sectors = match self.setup_sectors {
            0 => 4,
            count => u64::from(count),
        };
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
            payload_offset: (sectors + 1) * 512 + u64::from(self.payload_offset),
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
