//! From a blob to a tar, whatever it is compressed with, told by the first bytes.
//!
//! The media type is not asked; tools have always gone by the bytes. What is read is what
//! [`compression`](crate::compression) reads.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt, Chain, ReadBuf};

use crate::compression::{Compression, DecompressError, DecompressOptions, MAGIC_BYTES, Members};
use crate::error::{Error, ErrorKind};

/// The bytes that move at once; below 128 KiB the hand-over costs as much as the inflating.
pub(crate) const BUFFER: usize = 256 * 1024;

/// The largest window a zstd frame may ask for: containerd's bound (libzstd's own is 128 MiB).
const WINDOW_BYTES: u32 = 512 << 20;

/// A decompressed stream, and what it was.
pub struct Decoded<'a> {
    /// What the first bytes showed.
    pub compression: Compression,
    /// The tar.
    pub stream: Pin<Box<dyn AsyncRead + Send + 'a>>,
}

/// Decompresses a blob to `expanded_bytes` at most.
///
/// An empty blob is an empty tar, that is an empty layer.
///
/// # Errors
/// What reading the first bytes gives. Malformed data, and data beyond the bound, show as errors of the stream, with a
/// [`DecompressError`] inside.
pub async fn decode<'a, R>(reader: R, expanded_bytes: u64) -> io::Result<Decoded<'a>>
where
    R: AsyncBufRead + Send + Unpin + 'a,
{
    let (compression, reader) = sniff(reader).await?;
    let stream: Pin<Box<dyn AsyncRead + Send + 'a>> = match compression {
        Compression::None => Box::pin(reader),
        _ => {
            let options = DecompressOptions::new(expanded_bytes).with_window(WINDOW_BYTES);
            let members = Members::new(compression, options)?;
            Box::pin(Expanded { reader, members })
        }
    };
    Ok(Decoded {
        compression,
        stream,
    })
}

/// What a compressed reader expands to.
struct Expanded<R> {
    reader: R,
    members: Members,
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Expanded<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { reader, members } = self.get_mut();
        while out.remaining() > 0 && !members.is_at_end() {
            // A pending or failed read leaves the members as they were.
            let input = ready!(Pin::new(&mut *reader).poll_fill_buf(cx))?;
            let moved = members.step(input, out.initialize_unfilled())?;
            Pin::new(&mut *reader).consume(moved.taken);
            out.advance(moved.given);
            if moved.given > 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// `poll_read` of a reader that has a buffer.
pub(crate) fn poll_read_buffered<R: AsyncBufRead>(
    mut reader: Pin<&mut R>,
    cx: &mut Context<'_>,
    out: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let fresh = ready!(reader.as_mut().poll_fill_buf(cx))?;
    let taken = fresh.len().min(out.remaining());
    out.put_slice(&fresh[..taken]);
    reader.consume(taken);
    Poll::Ready(Ok(()))
}

/// An error of a decoded stream: the reader's own, or the decompressor's.
pub(crate) fn stream_error(error: io::Error) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return error,
        Err(error) => error,
    };
    match error.downcast::<DecompressError>() {
        Ok(error) => {
            let kind = match error {
                DecompressError::Unsupported(_) => ErrorKind::Unsupported,
                DecompressError::TooLarge { .. }
                | DecompressError::TooLong { .. }
                | DecompressError::Window { .. } => ErrorKind::LimitExceeded,
                _ => ErrorKind::Malformed,
            };
            Error::new(kind, error.to_string())
        }
        Err(error) => Error::io("read", error),
    }
}

/// Tells the compression, and gives the whole stream back.
pub(crate) async fn sniff<R: AsyncRead + Unpin>(
    mut reader: R,
) -> io::Result<(Compression, Chain<Cursor<Vec<u8>>, R>)> {
    let mut head = Vec::with_capacity(MAGIC_BYTES);
    (&mut reader)
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut head)
        .await?;
    Ok((Compression::sniff(&head), Cursor::new(head).chain(reader)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
    use tokio::io::{AsyncWriteExt, BufReader};

    async fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    async fn zstd(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZstdEncoder::new(Vec::new());
        encoder.write_all(bytes).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    /// A skippable frame of zstd: magic, little-endian length, that many bytes.
    fn skippable(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&[0x5e, 0x2a, 0x4d, 0x18][..], &length, bytes].concat()
    }

    /// Gives one byte at a time, so that every state is met at every byte.
    struct Drip(Cursor<Vec<u8>>);

    impl AsyncRead for Drip {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
            out.put_slice(one.filled());
            Poll::Ready(Ok(()))
        }
    }

    async fn decoded(bytes: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let mut whole = Vec::new();
        let Decoded {
            compression,
            mut stream,
        } = decode(Cursor::new(bytes.to_vec()), 1 << 20).await?;
        let outcome = stream.read_to_end(&mut whole).await;
        let mut dripped = Vec::new();
        let drip = BufReader::new(Drip(Cursor::new(bytes.to_vec())));
        let mut drip = decode(drip, 1 << 20).await?.stream;
        let drip_outcome = drip.read_to_end(&mut dripped).await;
        assert_eq!(
            outcome.is_ok(),
            drip_outcome.is_ok(),
            "{outcome:?} {drip_outcome:?}"
        );
        outcome?;
        assert_eq!(whole, dripped);
        Ok((compression, whole))
    }

    #[tokio::test]
    async fn goes_by_the_bytes() {
        let tar = b"not a real tar".as_slice();
        for (bytes, compression) in [
            (tar.to_vec(), Compression::None),
            (gzip(tar).await, Compression::Gzip),
            (zstd(tar).await, Compression::Zstd),
        ] {
            assert_eq!(decoded(&bytes).await.unwrap(), (compression, tar.to_vec()));
        }
        for short in [&b""[..], b"\x1f", b"\x1f\x8b", b"\x28\xb5\x2f", b"BZh9"] {
            assert_eq!(
                decoded(short).await.unwrap(),
                (Compression::None, short.to_vec())
            );
        }
    }

    #[tokio::test]
    async fn reads_through_members_and_frames() {
        let members = [gzip(b"one ").await, gzip(b"").await, gzip(b"two").await].concat();
        assert_eq!(decoded(&members).await.unwrap().1, b"one two");
        let frames = [
            skippable(b"first"),
            zstd(b"one ").await,
            skippable(b""),
            zstd(b"").await,
            zstd(b"two").await,
            skippable(b"a manifest, as zstd:chunked has it"),
        ];
        assert_eq!(decoded(&frames.concat()).await.unwrap().1, b"one two");
    }

    #[tokio::test]
    async fn accepts_nul_padding_after_gzip_and_nothing_else() {
        let member = gzip(b"data").await;
        for (tail, good) in [
            (&[0][..], true),
            (&[0; 1000], true),
            (b"x", false),
            (&[0, 0, 0, 1], false),
            (&[0, 0x1f, 0x8b, 0x08], false),
            (&[0x1f, 0x8b], false),
        ] {
            let outcome = decoded(&[&member, tail].concat()).await;
            assert_eq!(outcome.is_ok(), good, "{tail:?}: {outcome:?}");
        }
        let frame = zstd(b"data").await;
        for tail in [&[0, 0, 0, 0][..], b"x", &[0x28, 0xb5]] {
            assert!(decoded(&[&frame, tail].concat()).await.is_err(), "{tail:?}");
        }
    }

    /// A frame of one raw block whose header asks for a window of 2^(10 + `exponent`) × (8 + `mantissa`) / 8.
    fn frame_with_window(exponent: u8, mantissa: u8) -> Vec<u8> {
        let block = 1 | 4 << 3;
        let header = [
            0x28,
            0xb5,
            0x2f,
            0xfd,
            0,
            exponent << 3 | mantissa,
            block,
            0,
            0,
        ];
        [&header[..], b"data"].concat()
    }

    #[tokio::test]
    async fn takes_zstd_windows_up_to_512_mib() {
        for (exponent, mantissa, good) in [
            (0, 0, true),
            (17, 1, true),
            (18, 0, true),
            (19, 0, true),
            (19, 1, false),
            (20, 0, false),
        ] {
            let outcome = decoded(&frame_with_window(exponent, mantissa)).await;
            assert_eq!(outcome.is_ok(), good, "{exponent} {mantissa}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn notices_every_truncation() {
        let tar: Vec<u8> = (0..2000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&tar).await, zstd(&tar).await] {
            for length in (MAGIC_BYTES..whole.len())
                .step_by(7)
                .chain([whole.len() - 1])
            {
                assert!(
                    decoded(&whole[..length]).await.is_err(),
                    "{length} of {}",
                    whole.len()
                );
            }
        }
    }
}
