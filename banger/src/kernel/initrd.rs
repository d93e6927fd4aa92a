//! What is in an initial RAM disk: cpio archives one after the other, each compressed or not
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::path::Path;

use oci_flatten::compression::{
    Compression, DecompressError, DecompressOptions, Decompressor, MAGIC_BYTES, Trailing,
};

use super::facts::{DriverState, Drivers};
use super::modules::module_name;
use crate::artifact::{failed, open_regular};
use crate::error::{Error, ErrorKind};

/// Bytes that an initrd may expand to: all of it is in the guest's memory.
const EXPANDED_LIMIT: u64 = 2 << 30;
/// Files that an initrd may have.
const ENTRIES_LIMIT: u64 = 1_000_000;
/// The longest name of a file, with its NUL (`PATH_MAX`).
const NAME_LIMIT: usize = 4096;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of a header of the format `newc`: a magic number, then 13 fields of 8 hexadecimal digits.
const HEADER_BYTES: usize = 110;
/// The name that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is known of an initrd.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Initrd {
    /// Whether the kernel finds a program to start in it.
    pub(super) has_init: bool,
    /// Whether it is the image of a filesystem, as before Linux 2.6, into which this does not look.
    pub(super) is_filesystem: bool,
    /// The kernel modules in it, as the kernel writes their names.
    modules: BTreeSet<String>,
}

impl Initrd {
    /// The drivers that a kernel has together with this initrd: a module that is not in it is of no use.
    pub(super) fn reachable(&self, drivers: &Drivers) -> Drivers {
        let state = |state: DriverState, module: &str| match state {
            DriverState::Module if !self.modules.contains(module) => DriverState::Absent,
            state => state,
        };
        Drivers {
            ext4: state(drivers.ext4, "ext4"),
            virtio_blk: state(drivers.virtio_blk, "virtio_blk"),
            virtio_pci: state(drivers.virtio_pci, "virtio_pci"),
            virtio_mmio: state(drivers.virtio_mmio, "virtio_mmio"),
            nvme: state(drivers.nvme, "nvme"),
        }
    }
}

/// Looks through the initrd at `path`. `is_cancelled` is asked meanwhile.
///
/// # Errors
///
/// The file cannot be read, or is not an initrd; [`ErrorKind::Integrity`] where it is truncated or damaged or goes beyond the
/// bounds; [`ErrorKind::Interrupted`] when cancelled.
pub(super) fn inspect(path: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<Initrd, Error> {
    let (file, _) = open_regular(path)?;
    let mut look = Look {
        found: Initrd::default(),
        entries: 0,
        is_cancelled,
    };
    let told = |kind, problem: String| Error::new(kind, format!("{} {problem}", path.display()));
    match look.file(&mut Window::new(file)) {
        Ok(()) => Ok(look.found),
        Err(Fault::Read(error)) => Err(failed("read", path, error)),
        Err(Fault::Foreign) => Err(told(
            ErrorKind::Failure,
            "is not an initrd: it is neither a cpio archive nor a compressed one".into(),
        )),
        Err(Fault::Damaged(problem)) => Err(told(ErrorKind::Integrity, problem)),
        Err(Fault::Cancelled) => Err(Error::new(
            ErrorKind::Interrupted,
            format!("reading {} was interrupted", path.display()),
        )),
    }
}

enum Fault {
    Read(io::Error),
    /// It is something else.
    Foreign,
    /// What is wrong, as it follows the path.
    Damaged(String),
    Cancelled,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.downcast::<DecompressError>() {
            Ok(error) => error.into(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged("is truncated: it ends inside a cpio archive".into())
            }
            Err(error) => Self::Read(error),
        }
    }
}

impl From<DecompressError> for Fault {
    fn from(error: DecompressError) -> Self {
        Self::Damaged(format!("is damaged: {error}"))
    }
}

struct Look<'a> {
    found: Initrd,
    entries: u64,
    is_cancelled: &'a dyn Fn() -> bool,
}

impl Look<'_> {
    fn file(&mut self, window: &mut Window<impl Read>) -> Result<(), Fault> {
        let mut archives = 0_u64;
        while window.skip_padding()? {
            let head = window.at_least(MAGIC_BYTES)?;
            let compression = Compression::sniff(head);
            if is_cpio(head) {
                self.archive(window)?;
            } else if compression != Compression::None {
                self.compressed(window, compression)?;
            } else if archives > 0 {
                // Such as the kernel's boot configuration, which follows the last archive.
                return Ok(());
            } else {
                self.found.is_filesystem = is_filesystem(window.at_least(FILESYSTEM_BYTES)?);
                return match self.found.is_filesystem {
                    true => Ok(()),
                    false => Err(Fault::Foreign),
                };
            }
            archives += 1;
        }
        match archives {
            0 => Err(Fault::Foreign),
            _ => Ok(()),
        }
    }

    /// What is compressed is a row of archives, or the image of a filesystem.
    fn compressed(
        &mut self,
        window: &mut Window<impl Read>,
        compression: Compression,
    ) -> Result<(), Fault> {
        let options = DecompressOptions::new(EXPANDED_LIMIT).with_trailing(Trailing::Ignored);
        let mut inner = Window::new(Decompressor::new(window, compression, options)?);
        let mut archives = 0;
        while inner.skip_padding()? {
            if !is_cpio(inner.at_least(MAGIC_BYTES)?) {
                self.found.is_filesystem |= is_filesystem(inner.at_least(FILESYSTEM_BYTES)?);
                if archives == 0 && !self.found.is_filesystem {
                    return Err(Fault::Foreign);
                }
                break;
            }
            self.archive(&mut inner)?;
            archives += 1;
        }
        // To the end, where a decompressor notices what is damaged.
        while inner.pass(BUFFER_BYTES as u64)? > 0 {
            self.look()?;
        }
        Ok(())
    }

    /// One archive, up to and with its trailer.
    fn archive(&mut self, window: &mut Window<impl Read>) -> Result<(), Fault> {
        loop {
            self.look()?;
            self.entries += 1;
            if self.entries > ENTRIES_LIMIT {
                let problem = format!("has more than {ENTRIES_LIMIT} files");
                return Err(Fault::Damaged(problem));
            }
            let mut header = [0; HEADER_BYTES];
            window.read_exact(&mut header)?;
            let (size, name_length) = match (field(&header, 6), field(&header, 11)) {
                (Some(size), Some(length)) if is_cpio(&header) => {
                    (u64::from(size), length as usize)
                }
                _ => return Err(Fault::Damaged("is damaged: a malformed cpio header".into())),
            };
            if name_length == 0 || name_length > NAME_LIMIT {
                let problem =
                    format!("is damaged: a file name of {name_length} bytes (limit {NAME_LIMIT})");
                return Err(Fault::Damaged(problem));
            }
            let mut name = vec![0; (HEADER_BYTES + name_length).next_multiple_of(4) - HEADER_BYTES];
            window.read_exact(&mut name)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name == TRAILER {
                return Ok(());
            }
            self.note(name);
            let mut left = size.next_multiple_of(4);
            while left > 0 {
                self.look()?;
                match window.pass(left)? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                    passed => left -= passed,
                }
            }
        }
    }

    fn note(&mut self, name: &[u8]) {
        let Ok(name) = std::str::from_utf8(name) else {
            return;
        };
        let name = name.trim_start_matches("./").trim_start_matches('/');
        self.found.has_init |= name == "init";
        if name.contains(".ko") {
            self.found.modules.extend(module_name(name));
        }
    }

    fn look(&self) -> Result<(), Fault> {
        match (self.is_cancelled)() {
            true => Err(Fault::Cancelled),
            false => Ok(()),
        }
    }
}

/// `newc`, without or with checksums.
fn is_cpio(head: &[u8]) -> bool {
    head.starts_with(b"070701") || head.starts_with(b"070702")
}

/// The field of a header, counted from 0 behind the magic number.
fn field(header: &[u8], index: usize) -> Option<u32> {
    let digits = header.get(6 + 8 * index..14 + 8 * index)?;
    // "+1" is a number to the parser.
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    u32::from_str_radix(text, 16).ok()
}

/// Bytes that hold the magic number of each filesystem that the kernel takes for a RAM disk (init/do_mounts_rd.c).
const FILESYSTEM_BYTES: usize = 1082;

fn is_filesystem(head: &[u8]) -> bool {
    let starts = [&b"-rom1fs-"[..], b"hsqs", b"\x45\x3d\xcd\x28"];
    starts.iter().any(|magic| head.starts_with(magic)) || head.get(1080..) == Some(b"\x53\xef")
}

/// A reader whose next bytes can be looked at.
struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    position: usize,
}

impl<R: Read> Window<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            position: 0,
        }
    }

    /// The next `count` bytes, or as many as there are; they stay the next.
    fn at_least(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.position < count {
            self.buffer.drain(..self.position);
            self.position = 0;
            let missing = BUFFER_BYTES.max(count) - self.buffer.len();
            let mut more = (&mut self.reader).take(missing as u64);
            more.read_to_end(&mut self.buffer)?;
        }
        let rest = &self.buffer[self.position..];
        Ok(&rest[..rest.len().min(count)])
    }

    /// Passes over NULs; whether anything follows.
    fn skip_padding(&mut self) -> io::Result<bool> {
        loop {
            let next = self.fill_buf()?;
            let padding = next.iter().take_while(|byte| **byte == 0).count();
            let (end, all) = (next.is_empty(), padding == next.len());
            self.consume(padding);
            if end || !all {
                return Ok(!end);
            }
        }
    }

    /// Passes over some of the next `count` bytes; none at the end.
    fn pass(&mut self, count: u64) -> io::Result<u64> {
        let there = self.fill_buf()?.len() as u64;
        let passed = there.min(count);
        self.consume(passed as usize);
        Ok(passed)
    }
}

impl<R: Read> BufRead for Window<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.buffer.len() {
            self.at_least(1)?;
        }
        Ok(&self.buffer[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(bytes: &[u8]) -> Result<Initrd, &'static str> {
        let mut look = Look {
            found: Initrd::default(),
            entries: 0,
            is_cancelled: &|| false,
        };
        match look.file(&mut Window::new(bytes)) {
            Ok(()) => Ok(look.found),
            Err(Fault::Foreign) => Err("foreign"),
            Err(Fault::Damaged(_)) => Err("damaged"),
            Err(Fault::Read(_) | Fault::Cancelled) => Err("other"),
        }
    }

    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"070701".to_vec();
        let fields = [
            0,
            0o100_644,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        for field in fields {
            bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut bytes: Vec<u8> = names
            .iter()
            .flat_map(|name| entry(name, b"text!"))
            .collect();
        bytes.extend(entry("TRAILER!!!", b""));
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn archives_in_a_row_are_one_initrd() {
        let early = archive(&["kernel/x86/microcode/GenuineIntel.bin"]);
        let main = archive(&["init", "usr/lib/modules/6.1/kernel/fs/ext4/ext4.ko.xz"]);
        let padded = [&early[..], &[0; 512]].concat();
        assert!(!look(&early).unwrap().has_init);
        for bytes in [
            main.clone(),
            gzip(&main),
            [&padded[..], &main].concat(),
            [&padded[..], &gzip(&main), &[0; 4]].concat(),
            [&gzip(&early)[..], &gzip(&main)].concat(),
            gzip(&[&early[..], &main].concat()),
            [&gzip(&main)[..], b"#BOOTCONFIG\n"].concat(),
        ] {
            let found = look(&bytes).unwrap();
            assert!(found.has_init);
            assert!(found.modules.iter().eq(["ext4"]), "{found:?}");
        }
    }

    #[test]
    fn other_files_and_damaged_ones_are_told_apart() {
        let whole = archive(&["./init"]);
        assert!(look(&whole).unwrap().has_init);
        for bytes in [
            &b""[..],
            b"text",
            &[0; 4096],
            &gzip(b"text"),
            b"#!/bin/sh\n",
        ] {
            assert_eq!(look(bytes), Err("foreign"), "{bytes:?}");
        }
        for length in 6..whole.len() {
            assert_eq!(look(&whole[..length]), Err("damaged"), "{length}");
        }
        let packed = gzip(&whole);
        for length in 10..packed.len() {
            assert_eq!(look(&packed[..length]), Err("damaged"), "{length}");
        }
        let mut malformed = whole;
        malformed[60] = b'+';
        assert_eq!(look(&malformed), Err("damaged"));
        let mut disk = vec![1; 2048];
        disk[1080..1082].copy_from_slice(b"\x53\xef");
        assert!(look(&disk).unwrap().is_filesystem);
        assert!(look(&gzip(&disk)).unwrap().is_filesystem);
    }

    #[test]
    fn modules_that_are_not_there_cannot_be_loaded() {
        let found = look(&archive(&["init", "lib/virtio-blk.ko", "lib/ext4.ko"])).unwrap();
        let drivers = Drivers {
            ext4: DriverState::Module,
            virtio_blk: DriverState::Module,
            virtio_pci: DriverState::BuiltIn,
            virtio_mmio: DriverState::Module,
            nvme: DriverState::Unknown,
        };
        let expected = Drivers {
            virtio_mmio: DriverState::Absent,
            ..drivers
        };
        assert_eq!(found.reachable(&drivers), expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            names in prop::collection::vec("[a-z/.]{0,20}", 0..4),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
            packed: bool,
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut bytes = archive(&names);
            if packed {
                bytes = gzip(&bytes);
            }
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let _ = look(&bytes);
        }
    }
}
