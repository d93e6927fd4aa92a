//! One pass over a kernel's code for what it says of itself.

use std::io::{self, Read};

use memchr::memmem;
use oci_flatten::compression::{Compression, DecompressOptions, Decompressor, Trailing};

use super::facts::{DriverState, Drivers};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes kept from one chunk to the next: longer than every banner that is searched for.
const OVERLAP_BYTES: usize = 256;
/// The longest release string: `struct new_utsname` has 65 bytes for it.
const RELEASE_LIMIT: usize = 64;
/// Bytes of compressed configuration that are read; real ones have about 40 KiB.
const CONFIG_LIMIT: usize = 1 << 20;
/// Bytes of configuration text that are read; real ones have about 200 KiB.
const CONFIG_TEXT_LIMIT: u64 = 8 << 20;

/// Why a pass has found nothing.
#[derive(Debug)]
pub(super) enum ScanError {
    /// The code cannot be read or decompressed.
    Read(io::Error),
    Cancelled,
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What a pass has found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Bytes of code.
    pub(super) length: u64,
    /// The release in the kernel's banner.
    pub(super) release: Option<String>,
    /// Whether the note of the PVH entry is there.
    pub(super) pvh: bool,
    /// The drivers by the configuration that `CONFIG_IKCONFIG` embeds.
    pub(super) drivers: Option<Drivers>,
}

/// Reads `code` to its end. Memory does not depend on its length.
pub(super) fn scan(
    mut code: impl Read,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Scan, ScanError> {
    let mut scan = Scan::default();
    let mut config: Option<Vec<u8>> = None;
    let mut window = Vec::with_capacity(CHUNK_BYTES + OVERLAP_BYTES);
    loop {
        if is_cancelled() {
            return Err(ScanError::Cancelled);
        }
        let kept = window.len();
        let count = (&mut code)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut window)?;
        let last = count < CHUNK_BYTES;
        scan.length += count as u64;
        if let Some(collected) = &mut config {
            let room = CONFIG_LIMIT.saturating_sub(collected.len());
            let fresh = &window[kept..];
            collected.extend_from_slice(&fresh[..fresh.len().min(room)]);
        } else if let Some(start) = memmem::find(&window, b"IKCFG_ST\x1f\x8b") {
            config = Some(window[start + 8..].to_vec());
        }
        scan.pvh |= has_pvh_note(&window);
        if scan.release.is_none() {
            scan.release = find_release(&window, last);
        }
        if last {
            scan.drivers = config.as_deref().and_then(drivers_of_config);
            return Ok(scan);
        }
        window.drain(..window.len() - OVERLAP_BYTES);
    }
}

/// The ELF note of the PVH entry: name `Xen`, type 18 (`XEN_ELFNOTE_PHYS32_ENTRY`,
/// include/xen/interface/elfnote.h), a 4 or 8 byte address.
fn has_pvh_note(window: &[u8]) -> bool {
    [4_u8, 8].iter().any(|size| {
        let note = [4, 0, 0, 0, *size, 0, 0, 0, 18, 0, 0, 0, b'X', b'e', b'n', 0];
        memmem::find(window, &note).is_some()
    })
}

/// The release in `Linux version RELEASE (…`, the kernel's banner.
fn find_release(window: &[u8], last: bool) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    memmem::find_iter(window, BANNER).find_map(|start| {
        let text = &window[start + BANNER.len()..];
        // A banner cut by the end of the chunk is whole in the next one.
        if text.len() <= RELEASE_LIMIT && !last {
            return None;
        }
        release_at(text)
    })
}

/// The release at the start of `text`, when there is one: a digit first, ended by a space or NUL.
pub(super) fn release_at(text: &[u8]) -> Option<String> {
    let end = text
        .iter()
        .take(RELEASE_LIMIT + 1)
        .position(|byte| matches!(byte, b' ' | b'\n' | 0))?;
    let release = std::str::from_utf8(&text[..end]).ok()?;
    let plain = release
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_+~".contains(&byte));
    (plain && release.starts_with(|c: char| c.is_ascii_digit())).then(|| release.to_owned())
}

fn drivers_of_config(compressed: &[u8]) -> Option<Drivers> {
    let mut text = String::new();
    let options = DecompressOptions::new(CONFIG_TEXT_LIMIT).with_trailing(Trailing::Ignored);
    Decompressor::new(compressed, Compression::Gzip, options)
        .ok()?
        .read_to_string(&mut text)
        .ok()?;
    let state = |option: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
        match value {
            Some("y") => DriverState::BuiltIn,
            Some("m") => DriverState::Module,
            _ => DriverState::Absent,
        }
    };
    Some(Drivers {
        ext4: state("CONFIG_EXT4_FS"),
        virtio_blk: state("CONFIG_VIRTIO_BLK"),
        virtio_pci: state("CONFIG_VIRTIO_PCI"),
        virtio_mmio: state("CONFIG_VIRTIO_MMIO"),
        nvme: state("CONFIG_BLK_DEV_NVME"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const BANNER: &[u8] = b"Linux version 6.1.0-49-cloud-amd64 (debian-kernel@lists) ";

    #[test]
    fn a_banner_is_found_across_every_chunk_boundary() {
        for shift in 0..BANNER.len() + 2 {
            let mut code = vec![0; CHUNK_BYTES - shift];
            code.extend_from_slice(BANNER);
            code.extend_from_slice(&[0; 500]);
            let found = scan(code.as_slice(), &|| false).unwrap();
            assert_eq!(
                found.release.as_deref(),
                Some("6.1.0-49-cloud-amd64"),
                "{shift}"
            );
        }
    }

    #[test]
    fn a_format_string_is_no_banner() {
        let code = b"Linux version %s (%s)\0Linux version 6.1\0";
        assert_eq!(
            scan(&code[..], &|| false).unwrap().release.as_deref(),
            Some("6.1")
        );
        assert_eq!(scan(&code[..20], &|| false).unwrap().release, None);
    }

    #[test]
    fn an_embedded_configuration_tells_the_drivers() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder
            .write_all(
                b"CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\n# CONFIG_VIRTIO_PCI is not set\n\
                  CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\nCONFIG_BLK_DEV_NVME=y\n",
            )
            .unwrap();
        let mut code = vec![7; CHUNK_BYTES - 20];
        code.extend_from_slice(b"IKCFG_ST");
        code.extend_from_slice(&encoder.finish().unwrap());
        code.extend_from_slice(b"IKCFG_ED");
        code.extend_from_slice(&vec![7; 2 * CHUNK_BYTES]);
        let drivers = scan(code.as_slice(), &|| false).unwrap().drivers.unwrap();
        assert_eq!(drivers.ext4, DriverState::BuiltIn);
        assert_eq!(drivers.virtio_blk, DriverState::Module);
        assert_eq!(drivers.virtio_pci, DriverState::Absent);
        assert_eq!(drivers.virtio_mmio, DriverState::Absent);
        assert_eq!(drivers.nvme, DriverState::BuiltIn);
    }
}
