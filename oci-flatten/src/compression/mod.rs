//! Decompression within bounds: gzip, zstd, xz, LZMA, bzip2 and LZ4, told apart by their first bytes.
//!
//! [`Decompressor`] reads from a blocking reader, [`decode`](crate::decode::decode) from an asynchronous one. Both drive the
//! same decoders, which know no I/O. Several gzip members, zstd frames (skippable ones included), xz streams, bzip2
//! streams or LZ4 frames in a row are one stream. What a stream expands to, the compressed bytes that it takes, and the
//! memory of its window are bounded; a stream that ends early is an error.
//!
//! ```text
//! codec      one member or frame: some input, some output        gzip  zstd  xz  lzma  bzip2  lz4
//!   └ members    one after the other; padding; the end           members.rs
//!     └ Decompressor: Read      decode: AsyncRead                 read.rs, ../decode.rs
//! ```

mod codec;
mod lz4;
mod members;
mod read;
mod step;

use std::fmt;
use std::io;

pub(crate) use members::Members;
pub use read::Decompressor;

/// How a stream of bytes is compressed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
    Gzip,
    /// Zstandard ([RFC 8878](https://www.rfc-editor.org/rfc/rfc8878)).
    Zstd,
    /// xz ([file format](https://tukaani.org/xz/xz-file-format.txt)).
    Xz,
    /// LZMA "alone", the format before xz ([file format](https://tukaani.org/xz/lzma-file-format.txt)).
    Lzma,
    /// bzip2.
    Bzip2,
    /// LZ4, as current or legacy frames ([frame format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md)).
    Lz4,
    /// LZO as lzop frames it; recognized only.
    Lzo,
}

/// Bytes that [`Compression::sniff`] looks at, at most.
pub const MAGIC_BYTES: usize = 10;

impl Compression {
    /// What the first bytes of a stream say; ten are enough. [`Compression::None`] when they are the start of no known format.
    #[must_use]
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame, or a skippable frame, which zstd:chunked may start with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The default properties, and a dictionary of at least 64 KiB. A tar whose first name is `]` has zeros there.
            [0x5d, 0, 0, low, high, ..] if low | high != 0 => Self::Lzma,
            // The last six are the magic number of a block, or of the end of an empty stream.
            [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x31,
                0x41,
                0x59,
                0x26,
                0x53,
                0x59,
                ..,
            ]
            | [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x17,
                0x72,
                0x45,
                0x38,
                0x50,
                0x90,
                ..,
            ] => Self::Bzip2,
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4,
            [0x89, b'L', b'Z', b'O', 0, ..] => Self::Lzo,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Lzo => "lzo",
        })
    }
}

/// Bounds of one stream, and what may follow it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct DecompressOptions {
    /// Bytes that the stream may expand to. Its compressed bytes may be a little more, for data that does not compress.
    pub expanded_bytes: u64,
    /// Bytes of the window or dictionary that a stream may ask for. LZ4 and bzip2 never need more than 16 MiB.
    pub window_bytes: u32,
    /// What may follow the first member or frame.
    pub trailing: Trailing,
}

/// What may follow the first member or frame of a stream.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailing {
    /// More members or frames, which continue the stream, and the NUL padding that gzip and xz allow. Anything else is an error.
    Members,
    /// The length of what the stream expands to, in four bytes: the build of Linux appends it to a compressed kernel. It is
    /// only needed, and only looked at, where nothing else says that a stream is whole: in legacy LZ4 frames.
    Length,
    /// Anything; it is not read. Legacy LZ4 frames end at a word that is no length of a block, or with the input.
    Ignored,
}

impl DecompressOptions {
    /// A stream of members that expands to `expanded_bytes` at most, with windows of up to 128 MiB: those of `zstd --ultra -22` and `xz -9`.
    #[must_use]
    pub fn new(expanded_bytes: u64) -> Self {
        Self {
            expanded_bytes,
            window_bytes: 128 << 20,
            trailing: Trailing::Members,
        }
    }

    /// The same with another bound on windows, in bytes.
    #[must_use]
    pub fn with_window(self, window_bytes: u32) -> Self {
        Self {
            window_bytes,
            ..self
        }
    }

    /// The same with another rule for what follows the first member or frame.
    #[must_use]
    pub fn with_trailing(self, trailing: Trailing) -> Self {
        Self { trailing, ..self }
    }

    /// Compressed bytes that may be taken: stored blocks add less than 1 %, headers a little.
    fn compressed_bytes(&self) -> u64 {
        let slack = self.expanded_bytes / 64 + (64 << 10);
        self.expanded_bytes.saturating_add(slack)
    }
}

/// Why a stream could not be decompressed; it travels as the inner error of an [`io::Error`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The bytes are not what the format says.
    #[error("malformed {compression} data: {problem}")]
    Malformed {
        /// The format.
        compression: Compression,
        /// What the decoder says.
        problem: String,
    },
    /// The stream ends before its end.
    #[error("truncated {0} data")]
    Truncated(Compression),
    /// The stream expands beyond its bound.
    #[error("{compression} data expands to more than {limit} bytes")]
    TooLarge {
        /// The format.
        compression: Compression,
        /// The bound.
        limit: u64,
    },
    /// The stream takes too many compressed bytes for what it may expand to.
    #[error("{compression} data has more than {limit} compressed bytes")]
    TooLong {
        /// The format.
        compression: Compression,
        /// The bound.
        limit: u64,
    },
    /// The stream asks for a window or dictionary beyond the bound.
    #[error("{compression} data needs a window of more than {limit} bytes")]
    Window {
        /// The format.
        compression: Compression,
        /// The bound.
        limit: u32,
    },
    /// There is no decoder for the format.
    #[error("{0} compression is not supported")]
    Unsupported(Compression),
}

impl From<DecompressError> for io::Error {
    fn from(error: DecompressError) -> Self {
        let kind = match &error {
            DecompressError::Malformed { .. } => io::ErrorKind::InvalidData,
            DecompressError::Truncated(_) => io::ErrorKind::UnexpectedEof,
            DecompressError::TooLarge { .. }
            | DecompressError::TooLong { .. }
            | DecompressError::Window { .. } => io::ErrorKind::FileTooLarge,
            DecompressError::Unsupported(_) => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}
