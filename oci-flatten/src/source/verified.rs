//! A stream that proves its size and digest by its end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind};

/// Passes a blob through, and fails in place of its end when size or digest is not as promised.
///
/// The error is an [`Error`] of kind [`ErrorKind::Integrity`] inside the `io::Error`. No byte beyond
/// the promised size is passed on.
#[derive(Debug)]
pub struct Verified<R> {
    reader: R,
    expected: Digest,
    size: u64,
    read: u64,
    /// `None` once the end was judged.
    hasher: Option<Hasher>,
}

impl<R> Verified<R> {
    /// Checks that `reader` gives `size` bytes whose digest is `expected`.
    pub fn new(reader: R, expected: Digest, size: u64) -> Self {
        let hasher = Some(expected.hasher());
        Self {
            reader,
            expected,
            size,
            read: 0,
            hasher,
        }
    }

    fn at_end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        if self.read != self.size {
            let (found, expected) = (self.read, self.size);
            return Err(self.wrong(format!("ends after {found} bytes (expected {expected})")));
        }
        let found = hasher.finish();
        if found != self.expected {
            return Err(self.wrong(format!("has digest {found}")));
        }
        Ok(())
    }

    fn wrong(&self, how: impl std::fmt::Display) -> io::Error {
        Error::new(
            ErrorKind::Integrity,
            format!("blob {} {how}", self.expected),
        )
        .into()
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Verified<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.reader).poll_read(cx, buffer))?;
        let fresh = &buffer.filled()[before..];
        let length = fresh.len() as u64;
        if length == 0 {
            return Poll::Ready(this.at_end());
        }
        if this.size - this.read < length {
            buffer.set_filled(before);
            this.hasher = None;
            let size = this.size;
            return Poll::Ready(Err(this.wrong(format!("has more than {size} bytes"))));
        }
        if let Some(hasher) = &mut this.hasher {
            hasher.update(fresh);
        }
        this.read += length;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn read(bytes: &[u8], expected: &[u8], size: u64) -> Result<Vec<u8>, Error> {
        let mut passed = Vec::new();
        let digest = Digest::sha256(expected);
        let mut reader = Verified::new(bytes, digest, size);
        reader
            .read_to_end(&mut passed)
            .await
            .map_err(|error| Error::io("layer 1 of 1", error))?;
        assert_eq!(
            reader.read(&mut [0; 8]).await.unwrap(),
            0,
            "the end stays the end"
        );
        Ok(passed)
    }

    #[tokio::test]
    async fn passes_what_is_right_and_names_what_is_wrong() {
        assert_eq!(read(b"abc", b"abc", 3).await.unwrap(), b"abc");
        assert_eq!(read(b"", b"", 0).await.unwrap(), b"");
        for (bytes, expected, size, why) in [
            (
                &b"ab"[..],
                &b"abc"[..],
                3,
                "ends after 2 bytes (expected 3)",
            ),
            (b"abcd", b"abc", 3, "has more than 3 bytes"),
            (b"", b"abc", 3, "ends after 0 bytes"),
            (b"x", b"", 0, "has more than 0 bytes"),
            (b"abd", b"abc", 3, "has digest sha256:"),
        ] {
            let error = read(bytes, expected, size).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity);
            assert!(
                error.message().starts_with("layer 1 of 1: blob sha256:"),
                "{error}"
            );
            assert!(error.message().contains(why), "{error}");
        }
    }
}
