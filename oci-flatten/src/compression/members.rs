//! Members, frames or streams one after the other, with what may come between and after them.

use super::codec::codec;
use super::step::{Codec, Step, malformed, trailing};
use super::{Compression, DecompressError, DecompressOptions, Trailing};

/// The bytes that xz's padding comes in.
const XZ_PADDING: u64 = 4;

/// A stream, decompressed without I/O: bytes in, bytes out.
pub(crate) struct Members {
    compression: Compression,
    options: DecompressOptions,
    codec: Box<dyn Codec>,
    place: Place,
    taken: u64,
    given: u64,
}

/// Where in the stream the next byte is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Before a member, or at the end.
    Between,
    Within,
    /// In NUL padding, of so many bytes until now.
    Padding(u64),
    End,
}

/// What moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    /// Bytes taken from the input.
    pub(crate) taken: usize,
    /// Bytes put into the output.
    pub(crate) given: usize,
}

impl Members {
    /// A decoder at the start of a stream.
    pub(crate) fn new(
        compression: Compression,
        options: DecompressOptions,
    ) -> Result<Self, DecompressError> {
        Ok(Self {
            compression,
            options,
            codec: codec(compression, &options)?,
            place: Place::Between,
            taken: 0,
            given: 0,
        })
    }

    /// Whether the stream is over.
    pub(crate) fn is_at_end(&self) -> bool {
        self.place == Place::End
    }

    /// Takes some of the input, which is empty at its end, and fills some of the output, which must not be empty. Bytes
    /// move unless the stream is over.
    pub(crate) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Moved, DecompressError> {
        let moved = match (self.place, input.first()) {
            (Place::End, _) => Moved::default(),
            (Place::Within, _) => self.within(input, output)?,
            (Place::Between | Place::Padding(_), Some(0)) if self.allows_padding() => {
                self.padding(input)
            }
            (Place::Between, Some(byte)) if self.codec.begins(*byte) => {
                self.begin(input, output)?
            }
            (Place::Padding(length), Some(byte))
                if self.compression == Compression::Xz
                    && length % XZ_PADDING == 0
                    && self.codec.begins(*byte) =>
            {
                self.begin(input, output)?
            }
            (_, Some(byte)) => return Err(trailing(self.compression, *byte)),
            (Place::Padding(length), None)
                if self.compression == Compression::Xz && length % XZ_PADDING != 0 =>
            {
                let problem = format!("{length} bytes of padding, not a multiple of {XZ_PADDING}");
                return Err(malformed(self.compression, problem));
            }
            (_, None) => {
                self.place = Place::End;
                Moved::default()
            }
        };
        self.count(moved)?;
        Ok(moved)
    }

    fn begin(&mut self, input: &[u8], output: &mut [u8]) -> Result<Moved, DecompressError> {
        self.codec.begin()?;
        self.place = Place::Within;
        self.within(input, output)
    }

    fn within(&mut self, input: &[u8], output: &mut [u8]) -> Result<Moved, DecompressError> {
        let Step {
            taken,
            given,
            ended,
        } = self.codec.step(input, output)?;
        if ended {
            self.place = match self.options.trailing {
                Trailing::Members => Place::Between,
                Trailing::Length | Trailing::Ignored => Place::End,
            };
        } else if taken == 0 && given == 0 {
            return Err(match input {
                [] => DecompressError::Truncated(self.compression),
                _ => malformed(self.compression, "the decoder makes no progress"),
            });
        }
        Ok(Moved { taken, given })
    }

    fn allows_padding(&self) -> bool {
        self.taken > 0 && matches!(self.compression, Compression::Gzip | Compression::Xz)
    }

    fn padding(&mut self, input: &[u8]) -> Moved {
        let taken = input.iter().take_while(|byte| **byte == 0).count();
        let before = match self.place {
            Place::Padding(length) => length,
            _ => 0,
        };
        self.place = Place::Padding(before + taken as u64);
        Moved { taken, given: 0 }
    }

    fn count(&mut self, moved: Moved) -> Result<(), DecompressError> {
        let compression = self.compression;
        self.taken = self.taken.saturating_add(moved.taken as u64);
        self.given = self.given.saturating_add(moved.given as u64);
        let limit = self.options.expanded_bytes;
        if self.given > limit {
            return Err(DecompressError::TooLarge { compression, limit });
        }
        let limit = self.options.compressed_bytes();
        if self.taken > limit {
            return Err(DecompressError::TooLong { compression, limit });
        }
        Ok(())
    }
}
