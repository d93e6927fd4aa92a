//! Streams that prove their size and digest by their end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind};

/// What a blob promised, and what was seen of it.
#[derive(Debug)]
pub(super) struct Check {
    expected: Digest,
    size: u64,
    read: u64,
    /// `None` once the blob was judged.
    hasher: Option<Hasher>,
}

impl Check {
    pub(super) fn new(expected: Digest, size: u64) -> Self {
        let hasher = Some(expected.hasher());
        Self {
            expected,
            size,
            read: 0,
            hasher,
        }
    }

    /// Takes in the blob's next bytes, or its end when there are none.
    pub(super) fn take(&mut self, fresh: &[u8]) -> io::Result<()> {
        let Some(mut hasher) = self.hasher.take() else {
            return Ok(());
        };
        let length = fresh.len() as u64;
        if length == 0 {
            return self.judge(hasher);
        }
        if self.size - self.read < length {
            return Err(self.wrong(format!("has more than {} bytes", self.size)));
        }
        hasher.update(fresh);
        self.hasher = Some(hasher);
        self.read += length;
        Ok(())
    }

    fn judge(&self, hasher: Hasher) -> io::Result<()> {
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

/// Passes a blob through, and fails in place of its end when size or digest is not as promised.
///
/// The error is an [`Error`] of kind [`ErrorKind::Integrity`] inside the `io::Error`. No byte beyond
/// the promised size is passed on. The hashing takes a tenth of the time that inflating the bytes
/// takes; for a file, [`verified_file`](super::verified_file) does it on another thread.
#[derive(Debug)]
pub struct Verified<R> {
    reader: R,
    check: Check,
}

impl<R> Verified<R> {
    /// Checks that `reader` gives `size` bytes whose digest is `expected`.
    pub fn new(reader: R, expected: Digest, size: u64) -> Self {
        Self {
            reader,
            check: Check::new(expected, size),
        }
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
        let outcome = this.check.take(&buffer.filled()[before..]);
        if outcome.is_err() {
            buffer.set_filled(before);
        }
        Poll::Ready(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::source::verified_file;
    use tokio::io::AsyncReadExt;

    async fn read(mut reader: impl AsyncRead + Unpin) -> Result<Vec<u8>, Error> {
        let mut passed = Vec::new();
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

    async fn both(bytes: &[u8], expected: &[u8], size: u64) -> Result<Vec<u8>, Error> {
        let digest = Digest::sha256(expected);
        let streamed = read(Verified::new(bytes, digest.clone(), size)).await;
        let mut file: File = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let from_file = read(verified_file(file, digest, size)).await;
        assert_eq!(format!("{streamed:?}"), format!("{from_file:?}"));
        streamed
    }

    #[tokio::test]
    async fn passes_what_is_right_and_names_what_is_wrong() {
        assert_eq!(both(b"abc", b"abc", 3).await.unwrap(), b"abc");
        assert_eq!(both(b"", b"", 0).await.unwrap(), b"");
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
            let error = both(bytes, expected, size).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity);
            assert!(
                error.message().starts_with("layer 1 of 1: blob sha256:"),
                "{error}"
            );
            assert!(error.message().contains(why), "{error}");
        }
    }
}
