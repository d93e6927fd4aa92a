//! The members of a gzip stream, one after the other ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)).
//!
//! The library inflates one member, with its header and its trailer, straight into the caller's buffer;
//! what comes between members and after the last one is told here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flate2::{Decompress, FlushDecompress, Status};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// Log₂ of deflate's window, in bytes: the format's largest.
const WINDOW_BITS: u8 = 15;

/// Decompresses every member. NUL padding may follow the last, as GNU gzip has it; any other byte is an error.
pub(crate) struct GzipDecoder<R> {
    reader: R,
    members: Members,
}

impl<R> GzipDecoder<R> {
    pub(crate) fn new(reader: R) -> Self {
        let members = Members {
            inflater: Decompress::new_gzip(WINDOW_BITS),
            place: Place::Between,
        };
        Self { reader, members }
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for GzipDecoder<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { reader, members } = self.get_mut();
        let before = out.filled().len();
        while out.remaining() > 0 && out.filled().len() == before && members.place != Place::End {
            // A pending or failed read leaves the members as they were.
            let input = ready!(Pin::new(&mut *reader).poll_fill_buf(cx))?;
            let taken = members.take(input, out)?;
            Pin::new(&mut *reader).consume(taken);
        }
        Poll::Ready(Ok(()))
    }
}

struct Members {
    inflater: Decompress,
    place: Place,
}

/// Where in the stream the next byte is.
#[derive(PartialEq)]
enum Place {
    /// Before a member, or at the end.
    Between,
    Within,
    Padding,
    End,
}

impl Members {
    /// Takes some of the input, which is empty at its end; how many bytes.
    fn take(&mut self, input: &[u8], out: &mut ReadBuf<'_>) -> io::Result<usize> {
        match (&self.place, input.first()) {
            (Place::Within, _) => return self.inflate(input, out),
            (Place::Between, Some(0x1f)) => {
                self.inflater.reset(true);
                self.place = Place::Within;
            }
            (Place::Between | Place::Padding, Some(0)) => {
                self.place = Place::Padding;
                return Ok(input.iter().take_while(|byte| **byte == 0).count());
            }
            (_, Some(byte)) => {
                let what = format!("trailing byte {byte:#04x} after the gzip data");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            (_, None) => self.place = Place::End,
        }
        Ok(0)
    }

    fn inflate(&mut self, input: &[u8], out: &mut ReadBuf<'_>) -> io::Result<usize> {
        let before = (self.inflater.total_in(), self.inflater.total_out());
        let status =
            self.inflater
                .decompress(input, out.initialize_unfilled(), FlushDecompress::None)?;
        let taken = (self.inflater.total_in() - before.0) as usize;
        let given = (self.inflater.total_out() - before.1) as usize;
        out.advance(given);
        if status == Status::StreamEnd {
            self.place = Place::Between;
        } else if taken == 0 && given == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use flate2::bufread::MultiGzDecoder;
    use flate2::{Compression, Crc, GzBuilder};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::{option, sample::Index};
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        GzipDecoder::new(bytes).read_to_end(&mut out).await?;
        Ok(out)
    }

    fn member(header: GzBuilder) -> Vec<u8> {
        let mut encoder = header.write(Vec::new(), Compression::default());
        encoder.write_all(b"data").unwrap();
        encoder.finish().unwrap()
    }

    /// Where FLG is, and how long a header without optional fields.
    const FLAGS: usize = 3;
    const FIXED: usize = 10;

    #[tokio::test]
    async fn passes_over_every_header_field() {
        let full = GzBuilder::new()
            .extra(*b"\0\x01\x02")
            .filename("layer.tar")
            .comment("a comment")
            .mtime(u32::MAX);
        assert_eq!(decoded(&member(full)).await.unwrap(), b"data");

        let mut checked = member(GzBuilder::new());
        checked[FLAGS] |= 1 << 1;
        let mut crc = Crc::new();
        crc.update(&checked[..FIXED]);
        let [low, high, ..] = crc.sum().to_le_bytes();
        checked.splice(FIXED..FIXED, [low, high]);
        assert_eq!(decoded(&checked).await.unwrap(), b"data");
        checked[FIXED] ^= 1;
        assert!(decoded(&checked).await.is_err(), "a wrong header checksum");
    }

    #[tokio::test]
    async fn notices_reserved_flags_another_method_and_every_wrong_trailer() {
        let good = member(GzBuilder::new());
        let trailer = good.len() - 8..good.len();
        for place in [1, 2].into_iter().chain(trailer) {
            let mut bad = good.clone();
            bad[place] ^= 0x10;
            assert!(decoded(&bad).await.is_err(), "byte {place}");
        }
        for bit in 5..8 {
            let mut bad = good.clone();
            bad[FLAGS] |= 1 << bit;
            assert!(decoded(&bad).await.is_err(), "flag {bit}");
        }
    }

    /// Gives what is in `bytes` in pieces of the sizes in `pieces`, again and again.
    struct Pieces<'a> {
        bytes: &'a [u8],
        pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
        shown: usize,
    }

    impl AsyncBufRead for Pieces<'_> {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let this = self.get_mut();
            if this.shown == 0 {
                this.shown = this.bytes.len().min(*this.pieces.next().unwrap_or(&1));
            }
            Poll::Ready(Ok(&this.bytes[..this.shown]))
        }

        fn consume(self: Pin<&mut Self>, amount: usize) {
            let this = self.get_mut();
            this.shown -= amount;
            this.bytes = &this.bytes[amount..];
        }
    }

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            crate::decode::poll_read_buffered(self, cx, out)
        }
    }

    proptest! {
        /// Whole or damaged, in whatever pieces it comes and into whatever room it goes.
        #[test]
        fn agrees_with_the_blocking_decoder(
            contents in vec((vec(0..4_u8, 0..3000), 0..=9_u32), 1..4),
            pieces in vec(1..700_usize, 1..9),
            room in 1..5000_usize,
            damage in option::of((any::<Index>(), 0..8)),
        ) {
            let mut bytes = Vec::new();
            for (content, level) in contents {
                let mut encoder = GzBuilder::new().write(bytes, Compression::new(level));
                encoder.write_all(&content).unwrap();
                bytes = encoder.finish().unwrap();
            }
            if let Some((place, bit)) = damage {
                let place = place.index(bytes.len());
                bytes[place] ^= 1_u8 << bit;
            }
            let mut theirs = Vec::new();
            let their_outcome = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut theirs);
            let pieces = Pieces { bytes: &bytes, pieces: pieces.iter().cycle(), shown: 0 };
            let mut decoder = GzipDecoder::new(pieces);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (ours, our_outcome) = runtime.block_on(async {
                let (mut ours, mut buffer) = (Vec::new(), vec![0; room]);
                loop {
                    match decoder.read(&mut buffer).await {
                        Ok(0) => return (ours, Ok(())),
                        Ok(count) => ours.extend_from_slice(&buffer[..count]),
                        Err(error) => return (ours, Err(error)),
                    }
                }
            });
            prop_assert_eq!(our_outcome.is_ok(), their_outcome.is_ok(), "{:?} {:?}", our_outcome, their_outcome);
            if our_outcome.is_ok() {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
