//! A decompressed stream from a blocking reader.

use std::fmt;
use std::io::{self, BufRead, Read};

use super::{Compression, DecompressError, DecompressOptions, Members};

/// Reads what a compressed stream expands to, within bounds.
///
/// [`Compression::None`] gives the bytes as they are, within the bound on expanded bytes. Errors that are not the reader's own have a
/// [`DecompressError`] inside.
///
/// ```
/// use std::io::Read;
/// use oci_flatten::compression::{Compression, DecompressOptions, Decompressor};
///
/// let blob: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcd,.N\xccM\xe5\x02\0\x2c\xf8\x73\x08\x08\0\0\0";
/// let mut text = Vec::new();
/// let mut stream = Decompressor::new(blob, Compression::sniff(blob), DecompressOptions::new(1000))?;
/// # let _ =
/// stream.read_to_end(&mut text);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Decompressor<R> {
    reader: R,
    stream: Stream,
}

enum Stream {
    Plain { left: u64, limit: u64 },
    Members(Box<Members>),
}

impl<R: BufRead> Decompressor<R> {
    /// A stream compressed as `compression` says.
    ///
    /// # Errors
    ///
    /// [`DecompressError::Unsupported`] for [`Compression::Lzo`].
    pub fn new(
        reader: R,
        compression: Compression,
        options: DecompressOptions,
    ) -> Result<Self, DecompressError> {
        let limit = options.expanded_bytes;
        let stream = match compression {
            Compression::None => Stream::Plain { left: limit, limit },
            _ => Stream::Members(Box::new(Members::new(compression, options)?)),
        };
        Ok(Self { reader, stream })
    }

    /// The reader, with the bytes that were not used.
    pub fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: BufRead> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match &mut self.stream {
            Stream::Plain { left, limit } => {
                let count = self.reader.read(buffer)?;
                *left = left.checked_sub(count as u64).ok_or({
                    DecompressError::TooLarge {
                        compression: Compression::None,
                        limit: *limit,
                    }
                })?;
                Ok(count)
            }
            Stream::Members(members) => {
                while !members.is_at_end() {
                    let moved = members.step(self.reader.fill_buf()?, buffer)?;
                    self.reader.consume(moved.taken);
                    if moved.given > 0 {
                        return Ok(moved.given);
                    }
                }
                Ok(0)
            }
        }
    }
}

impl<R> fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}
