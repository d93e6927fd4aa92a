//! One member, frame or stream of each format, decoded without I/O.

use flate2::{Decompress, FlushDecompress, Status};
use lzma_rust2::{Action, LzmaStream, XzStream};
use zstd::stream::raw::{DParameter, Decoder as ZstdStream, Operation};

use super::lz4::Lz4;
use super::step::{Codec, Step, malformed, trailing};
use super::{Compression, DecompressError, DecompressOptions, Trailing};

/// Log₂ of deflate's window, in bytes: the format's largest.
const DEFLATE_WINDOW_LOG: u8 = 15;
/// What lzma-rust2 adds to the dictionary when it compares a stream's memory with the limit, in KiB; at the most.
const LZMA_OVERHEAD_KIB: u32 = 256;

/// The decoder for a format.
pub(super) fn codec(
    compression: Compression,
    options: &DecompressOptions,
) -> Result<Box<dyn Codec>, DecompressError> {
    Ok(match compression {
        Compression::Gzip => Box::new(Gzip(Decompress::new_gzip(DEFLATE_WINDOW_LOG))),
        Compression::Zstd => Box::new(Zstd::new(options.window_bytes)?),
        Compression::Xz => Box::new(Xz::new(options.window_bytes)),
        Compression::Lzma => Box::new(Lzma::new(*options)),
        Compression::Bzip2 => Box::new(Bzip2(bzip2::Decompress::new(false))),
        Compression::Lz4 => Box::new(Lz4::new(options.trailing)),
        Compression::None | Compression::Lzo => {
            return Err(DecompressError::Unsupported(compression));
        }
    })
}

struct Gzip(Decompress);

impl Codec for Gzip {
    fn begins(&self, byte: u8) -> bool {
        byte == 0x1f
    }

    fn begin(&mut self) -> Result<(), DecompressError> {
        self.0.reset(true);
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError> {
        let before = (self.0.total_in(), self.0.total_out());
        let status = self
            .0
            .decompress(input, output, FlushDecompress::None)
            .map_err(|error| malformed(Compression::Gzip, error))?;
        Ok(Step {
            taken: (self.0.total_in() - before.0) as usize,
            given: (self.0.total_out() - before.1) as usize,
            ended: status == Status::StreamEnd,
        })
    }
}

struct Zstd {
    stream: ZstdStream<'static>,
    window_bytes: u32,
}

impl Zstd {
    fn new(window_bytes: u32) -> Result<Self, DecompressError> {
        let set_up = || {
            let mut stream = ZstdStream::new()?;
            stream.set_parameter(DParameter::WindowLogMax(window_bytes.max(1 << 10).ilog2()))?;
            Ok::<_, std::io::Error>(stream)
        };
        let stream = set_up().map_err(|error| malformed(Compression::Zstd, error))?;
        Ok(Self {
            stream,
            window_bytes,
        })
    }
}

impl Codec for Zstd {
    fn begins(&self, byte: u8) -> bool {
        matches!(byte, 0x28 | 0x50..=0x5f)
    }

    /// The library begins the next frame by itself.
    fn begin(&mut self) -> Result<(), DecompressError> {
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError> {
        let status = self.stream.run_on_buffers(input, output).map_err(|error| {
            // The library has no other way to tell this error from the rest than its text.
            match error.to_string().contains("too much memory") {
                true => DecompressError::Window {
                    compression: Compression::Zstd,
                    limit: self.window_bytes,
                },
                false => malformed(Compression::Zstd, error),
            }
        })?;
        Ok(Step {
            taken: status.bytes_read,
            given: status.bytes_written,
            ended: status.remaining == 0,
        })
    }
}

struct Xz {
    stream: XzStream,
    window_bytes: u32,
}

impl Xz {
    fn new(window_bytes: u32) -> Self {
        Self {
            stream: XzStream::new_mem_limit(false, limit_kib(window_bytes)),
            window_bytes,
        }
    }
}

impl Codec for Xz {
    fn begins(&self, byte: u8) -> bool {
        byte == 0xfd
    }

    fn begin(&mut self) -> Result<(), DecompressError> {
        *self = Self::new(self.window_bytes);
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError> {
        let result = self.stream.process(input, output, Action::Run);
        lzma_step(result, Compression::Xz, self.window_bytes)
    }
}

struct Lzma {
    stream: LzmaStream,
    options: DecompressOptions,
}

impl Lzma {
    fn new(options: DecompressOptions) -> Self {
        Self {
            stream: LzmaStream::new_mem_limit(limit_kib(options.window_bytes), None),
            options,
        }
    }
}

impl Codec for Lzma {
    fn begins(&self, byte: u8) -> bool {
        byte == 0x5d
    }

    fn begin(&mut self) -> Result<(), DecompressError> {
        *self = Self::new(self.options);
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError> {
        // This decoder takes bytes ahead of what it decodes, and needs to know when no more come.
        let action = match input {
            [] => Action::Finish,
            _ => Action::Run,
        };
        let result = self.stream.process(input, output, action);
        let step = lzma_step(result, Compression::Lzma, self.options.window_bytes)?;
        // Those that it took too many have not been seen by anybody else.
        match self.stream.unused_input().first() {
            Some(byte) if self.options.trailing == Trailing::Members => {
                Err(trailing(Compression::Lzma, *byte))
            }
            _ => Ok(step),
        }
    }
}

fn limit_kib(window_bytes: u32) -> u32 {
    window_bytes / 1024 + LZMA_OVERHEAD_KIB
}

fn lzma_step(
    result: lzma_rust2::Result<lzma_rust2::StreamResult>,
    compression: Compression,
    limit: u32,
) -> Result<Step, DecompressError> {
    match result {
        Ok(result) => Ok(Step {
            taken: result.bytes_consumed,
            given: result.bytes_produced,
            ended: result.status == lzma_rust2::Status::StreamEnd,
        }),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::OutOfMemory => DecompressError::Window { compression, limit },
            std::io::ErrorKind::UnexpectedEof => DecompressError::Truncated(compression),
            _ => malformed(compression, error),
        }),
    }
}

struct Bzip2(bzip2::Decompress);

impl Codec for Bzip2 {
    fn begins(&self, byte: u8) -> bool {
        byte == b'B'
    }

    fn begin(&mut self) -> Result<(), DecompressError> {
        self.0 = bzip2::Decompress::new(false);
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError> {
        let before = (self.0.total_in(), self.0.total_out());
        let status = self
            .0
            .decompress(input, output)
            .map_err(|error| malformed(Compression::Bzip2, error))?;
        if status == bzip2::Status::MemNeeded {
            return Err(malformed(Compression::Bzip2, "out of memory"));
        }
        Ok(Step {
            taken: (self.0.total_in() - before.0) as usize,
            given: (self.0.total_out() - before.1) as usize,
            ended: status == bzip2::Status::StreamEnd,
        })
    }
}
