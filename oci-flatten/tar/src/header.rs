//! The 512-byte header block: numbers, strings, checksum and dialect.

use crate::block::{Block, c_string};
use crate::error::TarProblem;

/// Who wrote a header, which decides what lies behind byte 257.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    V7,
    Ustar,
    Star,
    Gnu,
}

/// The numbers of a header; strings stay in the block until they are needed.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) type_flag: u8,
    pub(crate) dialect: Dialect,
    pub(crate) size: i64,
    pub(crate) mode: i64,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    pub(crate) mtime: i64,
    pub(crate) device_major: i64,
    pub(crate) device_minor: i64,
}

impl Header {
    pub(crate) fn parse(block: &Block) -> Result<Self, TarProblem> {
        verify_checksum(block)?;
        let dialect = dialect(block);
        let number =
            |range, name| parse_number(field(block, range)).ok_or(TarProblem::Number(name));
        let (device_major, device_minor) = match dialect {
            Dialect::V7 => (0, 0),
            _ => (
                number((329, 8), "device major")?,
                number((337, 8), "device minor")?,
            ),
        };
        if dialect == Dialect::Star {
            number((476, 12), "access time")?;
            number((488, 12), "change time")?;
        }
        Ok(Self {
            type_flag: block[156],
            dialect,
            mode: number((100, 8), "mode")?,
            uid: number((108, 8), "user id")?,
            gid: number((116, 8), "group id")?,
            size: number((124, 12), "size")?,
            mtime: number((136, 12), "modification time")?,
            device_major,
            device_minor,
        })
    }

    /// Writes the entry's name, with its prefix where the dialect has one, over `name`.
    pub(crate) fn copy_name(&self, block: &Block, name: &mut Vec<u8>) {
        name.clear();
        let prefix = match self.dialect {
            Dialect::V7 => &[],
            Dialect::Ustar => c_string(field(block, (345, 155))),
            Dialect::Star => c_string(field(block, (345, 131))),
            Dialect::Gnu => stray_prefix(block),
        };
        if !prefix.is_empty() {
            name.extend_from_slice(prefix);
            name.push(b'/');
        }
        name.extend_from_slice(c_string(field(block, (0, 100))));
    }
}

/// The link's target as the header has it.
pub(crate) fn link_name(block: &Block) -> &[u8] {
    c_string(field(block, (157, 100)))
}

/// The logical size of an old GNU sparse file.
pub(crate) fn gnu_real_size(block: &Block) -> Option<i64> {
    parse_number(field(block, (483, 12)))
}

/// The sparse map inside an old GNU header: four entries and whether more blocks follow.
pub(crate) fn gnu_sparse_map(block: &Block) -> (&[u8], bool) {
    (field(block, (386, 96)), block[482] != 0)
}

/// The sparse map inside a continuation block: 21 entries and whether more blocks follow.
pub(crate) fn gnu_sparse_continuation(block: &Block) -> (&[u8], bool) {
    (field(block, (0, 504)), block[504] != 0)
}

fn field(block: &Block, (start, length): (usize, usize)) -> &[u8] {
    &block[start..start + length]
}

/// Old versions of Go wrote a ustar prefix into GNU headers, where access and change times belong. If those
/// fields hold no numbers and the area is ASCII, it is such a prefix.
fn stray_prefix(block: &Block) -> &[u8] {
    let is_time = |range| {
        let bytes = field(block, range);
        bytes[0] == 0 || parse_number(bytes).is_some()
    };
    if is_time((345, 12)) && is_time((357, 12)) {
        return &[];
    }
    let prefix = c_string(field(block, (345, 155)));
    if prefix.is_ascii() { prefix } else { &[] }
}

fn dialect(block: &Block) -> Dialect {
    match &block[257..265] {
        [b'u', b's', b't', b'a', b'r', 0, ..] if &block[508..] == b"tar\0" => Dialect::Star,
        [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
        b"ustar  \0" => Dialect::Gnu,
        _ => Dialect::V7,
    }
}

/// Some early tars summed signed chars; both sums are in use.
fn verify_checksum(block: &Block) -> Result<(), TarProblem> {
    let stored = parse_octal(field(block, (148, 8))).ok_or(TarProblem::Checksum)?;
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let unsigned = sum(block) - sum(field(block, (148, 8))) + 8 * u32::from(b' ');
    if stored == u64::from(unsigned) {
        return Ok(());
    }
    let negative = block
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte >= 128 && !(148..156).contains(at));
    let signed = i64::from(unsigned) - 256 * negative.count() as i64;
    if u64::try_from(signed) == Ok(stored) {
        Ok(())
    } else {
        Err(TarProblem::Checksum)
    }
}

/// A number in octal or, marked by the first bit, in big-endian two's complement ("base-256").
pub(crate) fn parse_number(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [first, ..] if first & 0x80 != 0 => parse_binary(bytes),
        _ => parse_octal(bytes)?.try_into().ok(),
    }
}

fn parse_binary(bytes: &[u8]) -> Option<i64> {
    // The second bit is the sign; with the marker bit replaced by it the rest is plain two's complement.
    let negative = bytes[0] & 0x40 != 0;
    let invert = if negative { 0xff } else { 0 };
    let mut magnitude: u64 = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let byte = (byte ^ invert) & if index == 0 { 0x7f } else { 0xff };
        if magnitude >> 56 != 0 {
            return None;
        }
        magnitude = magnitude << 8 | u64::from(byte);
    }
    let magnitude = i64::try_from(magnitude).ok()?;
    Some(if negative { !magnitude } else { magnitude })
}

/// Octal digits, padded on both sides by any number of spaces and NULs; nothing at all is zero.
fn parse_octal(bytes: &[u8]) -> Option<u64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = bytes.iter().position(|byte| !is_padding(byte)) else {
        return Some(0);
    };
    let end = bytes
        .iter()
        .rposition(|byte| !is_padding(byte))
        .unwrap_or(start)
        + 1;
    let mut value: u64 = 0;
    for byte in c_string(&bytes[start..end]) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 7 || value >> 61 != 0 {
            return None;
        }
        value = value << 3 | u64::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_octal_as_go_does() {
        for (bytes, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b" 644 \0", Some(0o644)),
            (b"644", Some(0o644)),
            (b"\0\0 7\0", Some(7)),
            (b"", Some(0)),
            (b"\0\0\0", Some(0)),
            (b"7\0x", Some(7)),
            (b"8", None),
            (b"-1", None),
            (b"1 2", None),
            (b"777777777777", Some((1 << 36) - 1)),
        ] {
            assert_eq!(parse_number(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn reads_base_256_as_go_does() {
        for (bytes, expected) in [
            (&b"\x80\0\0\x05"[..], Some(5)),
            (b"\xff\xff\xff\xf6", Some(-10)),
            (b"\xbf", Some(63)),
            (b"\xc0", Some(-64)),
            (
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                Some(i64::MAX),
            ),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Some(i64::MIN)),
            (b"\xff\xff\xff\xff\x7f\0\0\0\0\0\0\0", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(parse_number(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
