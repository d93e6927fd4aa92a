//! Every format that is read, made by the tool of its name, whole, damaged, cut, padded and beyond its bounds.

#![expect(clippy::print_stdout, reason = "what is skipped is told")]

use std::io::{self, BufRead, Read, Write};
use std::process::{Command, Stdio};

use flate2::bufread::MultiGzDecoder;
use flate2::{Crc, GzBuilder};
use oci_flatten::compression::{
    Compression, DecompressError, DecompressOptions, Decompressor, Trailing,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::{option, sample::Index};

#[path = "support/tools.rs"]
mod tools;

/// A tool with its arguments, what it makes, and whether each stream says where it ends.
const WRITERS: [(&str, &[&str], Compression, bool); 13] = [
    ("gzip", &["-c"], Compression::Gzip, true),
    ("zstd", &["-c", "-q"], Compression::Zstd, true),
    (
        "zstd",
        &["-c", "-q", "--ultra", "-22"],
        Compression::Zstd,
        true,
    ),
    ("xz", &["-c"], Compression::Xz, true),
    (
        "xz",
        &["-c", "--check=crc32", "--x86", "--lzma2=dict=32MiB"],
        Compression::Xz,
        true,
    ),
    (
        "xz",
        &["-c", "--block-size=4096", "--check=sha256"],
        Compression::Xz,
        true,
    ),
    ("lzma", &["-c"], Compression::Lzma, true),
    ("bzip2", &["-c"], Compression::Bzip2, true),
    ("lz4", &["-c", "-q"], Compression::Lz4, true),
    (
        "lz4",
        &["-c", "-q", "-BD", "-B4", "-BX", "--content-size"],
        Compression::Lz4,
        true,
    ),
    (
        "lz4",
        &["-c", "-q", "--no-frame-crc"],
        Compression::Lz4,
        true,
    ),
    ("lz4", &["-c", "-q", "-9", "-l"], Compression::Lz4, false),
    ("lz4", &["-c", "-q", "-l"], Compression::Lz4, false),
];

fn written(tool: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tool runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).expect("the tool reads"));
        child.wait_with_output().expect("the tool ends")
    });
    assert!(output.status.success(), "{tool} {arguments:?}");
    output.stdout
}

/// Bytes that compress, not too well, and refer far back.
fn sample(length: usize) -> Vec<u8> {
    let (mut state, mut bytes) = (1_u32, Vec::with_capacity(length + 40));
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 30 {
            0 => bytes.extend_from_slice(&state.to_le_bytes()),
            1 => bytes.extend_from_slice(b"usr/share/doc/"),
            2 => bytes.extend_from_slice(&[0; 33]),
            _ => {
                let from = (state as usize >> 3) % bytes.len().max(1);
                let piece: Vec<u8> = bytes.iter().skip(from).take(37).copied().collect();
                bytes.extend_from_slice(&piece);
            }
        }
    }
    bytes.truncate(length);
    bytes
}

/// Gives what is in `bytes` in pieces of the sizes in `pieces`, again and again.
struct Pieces<'a> {
    bytes: &'a [u8],
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    shown: usize,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], pieces: &'a [usize]) -> Self {
        Self {
            bytes,
            pieces: pieces.iter().cycle(),
            shown: 0,
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.shown == 0 {
            self.shown = self.bytes.len().min(*self.pieces.next().unwrap_or(&1));
        }
        Ok(&self.bytes[..self.shown])
    }

    fn consume(&mut self, amount: usize) {
        self.shown -= amount;
        self.bytes = &self.bytes[amount..];
    }
}

fn read(
    reader: impl BufRead,
    compression: Compression,
    options: DecompressOptions,
    room: usize,
) -> io::Result<Vec<u8>> {
    let mut stream = Decompressor::new(reader, compression, options)?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; room]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn expanded(bytes: &[u8], options: DecompressOptions) -> io::Result<Vec<u8>> {
    read(bytes, Compression::sniff(bytes), options, 64 << 10)
}

fn failure(outcome: io::Result<Vec<u8>>) -> DecompressError {
    outcome
        .expect_err("is refused")
        .downcast()
        .expect("the error of a decompressor")
}

/// Runs `check` over what each tool makes of `content`.
fn each(content: &[u8], check: impl Fn(&str, &[u8], Compression, bool)) {
    for (tool, arguments, compression, ends) in WRITERS {
        if tools::is_there(tool) {
            let name = format!("{tool} {}", arguments.join(" "));
            check(&name, &written(tool, arguments, content), compression, ends);
        }
    }
}

const ROOMY: u64 = 1 << 30;

#[test]
fn what_the_tools_write_is_read_whole_and_in_pieces() {
    for length in [0, 1, 70_000, 1 << 20] {
        let content = sample(length);
        each(&content, |name, bytes, compression, _| {
            assert_eq!(Compression::sniff(bytes), compression, "{name}");
            let whole = expanded(bytes, DecompressOptions::new(ROOMY));
            assert!(whole.expect(name) == content, "{name}: {length} bytes");
            if length < 1 << 17 {
                let pieces = [1, 2, 3, 1, 4000, 7];
                let reader = Pieces::new(bytes, &pieces);
                let pieced = read(reader, compression, DecompressOptions::new(ROOMY), 5);
                assert!(
                    pieced.expect(name) == content,
                    "{name}: {length} bytes in pieces"
                );
            }
        });
    }
}

#[test]
fn streams_in_a_row_are_one() {
    let content = sample(3000);
    each(&content, |name, bytes, compression, _| {
        let both = expanded(&[bytes, bytes].concat(), DecompressOptions::new(ROOMY));
        // The old format of LZMA has no such thing.
        if compression != Compression::Lzma {
            assert!(
                both.expect(name) == [&content[..], &content].concat(),
                "{name}"
            );
        }
    });
}

#[test]
fn every_cut_is_noticed() {
    let content = sample(3000);
    each(&content, |name, bytes, compression, ends| {
        for length in 10..bytes.len() {
            let error = match expanded(&bytes[..length], DecompressOptions::new(ROOMY)) {
                // Nothing says where a legacy frame ends, but a block is whole or not; this one has one block.
                Ok(_) if !ends => panic!("{name}: {length} of {}", bytes.len()),
                outcome => failure(outcome),
            };
            let truncated = DecompressError::Truncated(compression);
            assert_eq!(error, truncated, "{name}: {length} of {}", bytes.len());
        }
    });
}

#[test]
fn padding_and_trailing_bytes_are_told_apart() {
    let content = sample(3000);
    each(&content, |name, bytes, compression, ends| {
        for (tail, padding) in [
            (&[0; 4][..], true),
            (&[0; 1000], true),
            (b"x", false),
            (&[0, 0, 0, 1], false),
            (&[1, 2, 3, 4, 5, 6, 7, 8], false),
        ] {
            let bytes = [bytes, tail].concat();
            let accepted = padding && matches!(compression, Compression::Gzip | Compression::Xz);
            let outcome = expanded(&bytes, DecompressOptions::new(ROOMY));
            assert_eq!(outcome.is_ok(), accepted, "{name}: {tail:?}: {outcome:?}");
            if ends {
                let options = DecompressOptions::new(ROOMY).with_trailing(Trailing::Ignored);
                let single = expanded(&bytes, options);
                assert!(single.expect(name) == content, "{name}: {tail:?}");
            }
        }
        let uneven = expanded(&[bytes, &[0; 3]].concat(), DecompressOptions::new(ROOMY));
        assert_eq!(uneven.is_ok(), compression == Compression::Gzip, "{name}");
    });
}

#[test]
fn a_legacy_frame_of_a_kernel_ends_with_its_length() {
    if !tools::is_there("lz4") {
        return;
    }
    for length in [3000, 9 << 20] {
        let content = sample(length);
        let frame = written("lz4", &["-c", "-q", "-l"], &content);
        let with_length = [&frame[..], &(length as u32).to_le_bytes()].concat();
        let options = DecompressOptions::new(ROOMY).with_trailing(Trailing::Length);
        assert!(expanded(&with_length, options).expect("a kernel's payload") == content);
        for cut in [
            &frame[..],
            &with_length[..with_length.len() - 1],
            &frame[..frame.len() - 9],
        ] {
            let error = failure(expanded(cut, options));
            assert_eq!(
                error,
                DecompressError::Truncated(Compression::Lz4),
                "{} bytes",
                cut.len()
            );
        }
        let wrong = [&frame[..], &(length as u32 + 1).to_le_bytes()].concat();
        assert!(expanded(&wrong, options).is_err(), "a wrong length");
    }
}

#[test]
fn bounds_hold_to_the_byte() {
    let content = vec![0; 300_000];
    each(&content, |name, bytes, compression, _| {
        let exact = expanded(bytes, DecompressOptions::new(300_000));
        assert!(exact.expect(name) == content, "{name}");
        let error = failure(expanded(bytes, DecompressOptions::new(299_999)));
        let limit = 299_999;
        assert_eq!(
            error,
            DecompressError::TooLarge { compression, limit },
            "{name}"
        );
    });
}

/// Members of nothing, without an end.
struct Endless<'a> {
    member: &'a [u8],
    position: usize,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Endless<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.member[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position = (self.position + amount) % self.member.len();
    }
}

#[test]
fn a_stream_of_nothing_ends_too() {
    each(b"", |name, member, compression, _| {
        if compression == Compression::Lzma {
            return;
        }
        let reader = Endless {
            member,
            position: 0,
        };
        let error = failure(read(reader, compression, DecompressOptions::new(1000), 10));
        assert!(
            matches!(error, DecompressError::TooLong { .. }),
            "{name}: {error}"
        );
    });
}

#[test]
fn windows_beyond_the_bound_are_refused() {
    let content = sample(100_000);
    for (tool, arguments) in [
        ("zstd", &["-c", "-q", "--long=27"][..]),
        ("xz", &["-c", "--lzma2=dict=128MiB"]),
        ("lzma", &["-c", "--lzma1=dict=128MiB"]),
    ] {
        if !tools::is_there(tool) {
            continue;
        }
        let bytes = written(tool, arguments, &content);
        let options = DecompressOptions::new(ROOMY);
        assert!(expanded(&bytes, options).expect(tool) == content, "{tool}");
        let error = failure(expanded(&bytes, options.with_window(64 << 20)));
        assert!(
            matches!(error, DecompressError::Window { .. }),
            "{tool}: {error}"
        );
    }
}

#[test]
fn what_has_no_decoder_is_refused_by_name() {
    let lzop = b"\x89LZO\0\r\n\x1a\n and so on";
    let error = failure(expanded(lzop, DecompressOptions::new(ROOMY)));
    assert_eq!(error.to_string(), "lzo compression is not supported");
}

fn member(header: GzBuilder) -> Vec<u8> {
    let mut encoder = header.write(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"data").expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Where FLG of a gzip header is, and how long a header without optional fields.
const FLAGS: usize = 3;
const FIXED: usize = 10;

#[test]
fn gzip_header_fields_are_passed_over() {
    let read = |bytes: &[u8]| expanded(bytes, DecompressOptions::new(ROOMY));
    let full = GzBuilder::new()
        .extra(*b"\0\x01\x02")
        .filename("layer.tar")
        .comment("a comment")
        .mtime(u32::MAX);
    assert_eq!(read(&member(full)).expect("a whole header"), b"data");

    let mut checked = member(GzBuilder::new());
    checked[FLAGS] |= 1 << 1;
    let mut crc = Crc::new();
    crc.update(&checked[..FIXED]);
    let [low, high, ..] = crc.sum().to_le_bytes();
    checked.splice(FIXED..FIXED, [low, high]);
    assert_eq!(read(&checked).expect("a right checksum"), b"data");
    checked[FIXED] ^= 1;
    assert!(read(&checked).is_err(), "a wrong header checksum");
}

#[test]
fn wrong_gzip_headers_and_trailers_are_noticed() {
    let good = member(GzBuilder::new());
    let read = |bytes: &[u8]| read(bytes, Compression::Gzip, DecompressOptions::new(ROOMY), 100);
    let trailer = good.len() - 8..good.len();
    for place in [1, 2].into_iter().chain(trailer) {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        assert!(read(&bad).is_err(), "byte {place}");
    }
    for bit in 5..8 {
        let mut bad = good.clone();
        bad[FLAGS] |= 1 << bit;
        assert!(read(&bad).is_err(), "flag {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whole or damaged, in whatever pieces it comes and into whatever room it goes.
    #[test]
    fn gzip_agrees_with_flate2(
        contents in vec((vec(0..4_u8, 0..3000), 0..=9_u32), 1..4),
        pieces in vec(1..700_usize, 1..9),
        room in 1..5000_usize,
        damage in option::of((any::<Index>(), 0..8)),
    ) {
        let mut bytes = Vec::new();
        for (content, level) in contents {
            let mut encoder = GzBuilder::new().write(bytes, flate2::Compression::new(level));
            encoder.write_all(&content).expect("memory takes it");
            bytes = encoder.finish().expect("memory takes it");
        }
        if let Some((place, bit)) = damage {
            let place = place.index(bytes.len());
            bytes[place] ^= 1_u8 << bit;
        }
        let mut theirs = Vec::new();
        let their_outcome = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut theirs);
        let ours = read(Pieces::new(&bytes, &pieces), Compression::Gzip, DecompressOptions::new(ROOMY), room);
        prop_assert_eq!(ours.is_ok(), their_outcome.is_ok(), "{:?} {:?}", ours, their_outcome);
        if let Ok(ours) = ours {
            prop_assert_eq!(ours, theirs);
        }
    }

    /// No bytes make a decoder panic, or loop without an end.
    #[test]
    fn damage_is_an_error_or_other_bytes(
        index in 0..WRITERS.len(),
        length in 0..5000_usize,
        damage in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let (tool, arguments, compression, _) = WRITERS[index];
        if tools::is_there(tool) {
            let mut bytes = written(tool, arguments, &sample(length));
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let pieces = [100, 1, 1000];
            let outcome = read(Pieces::new(&bytes, &pieces), compression, DecompressOptions::new(1 << 20), 700);
            prop_assert!(outcome.map_or(0, |bytes| bytes.len()) <= 1 << 20);
        }
    }
}
