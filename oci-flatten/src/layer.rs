//! The decoding half of a flattening: blobs in, buffers of tar out, one layer after the other.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::compression::Compression;
use crate::decode::{self, Decoded};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::image::Layer;
use crate::progress::{Event, Observer};
use crate::source::{Blob, Source};

/// How many buffers go round between the two halves: enough that neither waits for the other's
/// hiccups, little enough (1.5 MiB) not to matter.
pub(crate) const BUFFERS: usize = 6;

/// What the decoding half tells the applying half.
pub(crate) enum Step {
    /// A layer begins.
    Begin,
    /// Its next bytes.
    Bytes(Chunk),
    /// It has ended, and its blob is what it should be.
    End(Ended),
}

/// A buffer of tar.
pub(crate) struct Chunk {
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes of the blob that were read so far.
    pub(crate) read: u64,
}

impl Chunk {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; decode::BUFFER].into(),
            filled: 0,
            read: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

/// What is known when a blob has passed.
pub(crate) struct Ended {
    pub(crate) compression: Compression,
    /// Bytes of the blob.
    pub(crate) read: u64,
    /// The blob's digest, where the image does not have it.
    pub(crate) digest: Option<Digest>,
}

/// Decodes every layer of `source`, in buffers that come back through `pool`.
pub(crate) struct Decoder {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) steps: mpsc::Sender<Step>,
    pub(crate) pool: mpsc::Receiver<Chunk>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) cancellation: CancellationToken,
    /// What one layer may expand to; all of them together are held to it behind the decoder.
    pub(crate) expanded_bytes: u64,
    /// Set by the applying half when it stops because of what it read.
    pub(crate) suspect: Arc<AtomicBool>,
}

/// The applying half is gone, and has its own error.
struct Stopped;

impl Decoder {
    /// Runs to the last layer, or until the applying half stops.
    pub(crate) async fn run(mut self) -> Result<()> {
        let source = self.source.clone();
        let layers = &source.image().layers;
        for (index, layer) in layers.iter().enumerate() {
            let place = |error: Error| error.context(place(index, layers));
            let blob = source.open_layer(index).await.map_err(place)?;
            let mut tap = Tap::new(blob, layer);
            self.observer.observe(Event::LayerStarted { layer: index });
            let compression = match self.layer(&mut tap).await {
                Ok(Ok(compression)) => compression,
                Ok(Err(Stopped)) => {
                    // A tar that makes no sense may be a blob that was damaged: that is what to tell.
                    if self.suspect.load(Ordering::Acquire) {
                        self.drain(&mut tap).await.map_err(place)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(place(self.blame(error, &mut tap).await)),
            };
            let ended = Step::End(tap.ended(compression));
            if self.steps.send(ended).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn layer(&mut self, tap: &mut Tap) -> io::Result<Result<Compression, Stopped>> {
        let read = tap.read.clone();
        let Decoded {
            compression,
            mut stream,
        } = decode::decode(&mut *tap, self.expanded_bytes).await?;
        if self.steps.send(Step::Begin).await.is_err() {
            return Ok(Err(Stopped));
        }
        loop {
            self.check_cancelled()?;
            let Some(mut chunk) = self.pool.recv().await else {
                return Ok(Err(Stopped));
            };
            let end = fill(&mut stream, &mut chunk).await?;
            chunk.read = read.load(Ordering::Relaxed);
            if self.steps.send(Step::Bytes(chunk)).await.is_err() {
                return Ok(Err(Stopped));
            }
            if end {
                break;
            }
        }
        drop(stream);
        self.drain(tap).await?;
        Ok(Ok(compression))
    }

    /// Reads what the decoder left, so that the blob's own end is seen and judged.
    async fn drain(&self, tap: &mut Tap) -> Result<()> {
        while !tap.ended {
            self.check_cancelled()?;
            let rest = tap
                .fill_buf()
                .await
                .map_err(|error| Error::io("read blob", error))?;
            let length = rest.len();
            tap.consume(length);
        }
        Ok(())
    }

    /// The error to report when decoding failed: the blob's own before the decompressor's.
    async fn blame(&self, error: io::Error, tap: &mut Tap) -> Error {
        if tap.failed {
            return Error::io("read blob", error);
        }
        match decode::stream_error(error) {
            of_decoder if of_decoder.kind() == ErrorKind::Malformed => {
                self.drain(tap).await.err().unwrap_or(of_decoder)
            }
            other => other,
        }
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.cancellation.is_cancelled() {
            Err(Error::cancelled())
        } else {
            Ok(())
        }
    }
}

/// Fills the buffer, so that a hand-over is worth its while; whether the stream has ended.
async fn fill(
    stream: &mut Pin<Box<dyn AsyncRead + Send + '_>>,
    chunk: &mut Chunk,
) -> io::Result<bool> {
    chunk.filled = 0;
    while chunk.filled < chunk.buffer.len() {
        match stream.read(&mut chunk.buffer[chunk.filled..]).await? {
            0 => return Ok(true),
            read => chunk.filled += read,
        }
    }
    Ok(false)
}

/// `layer 2 of 5 (sha256:…)`.
pub(crate) fn place(index: usize, layers: &[Layer]) -> String {
    let (number, count) = (index + 1, layers.len());
    match layers
        .get(index)
        .and_then(|layer| layer.digest.as_ref().or(layer.diff_id.as_ref()))
    {
        Some(digest) => format!("layer {number} of {count} ({digest})"),
        None => format!("layer {number} of {count}"),
    }
}

/// A blob that the decoder reads, counted and held to the size that the image gives.
struct Tap {
    blob: Blob,
    size: Option<u64>,
    read: Arc<AtomicU64>,
    /// Bytes that are counted already and lie in the blob's buffer still.
    counted: usize,
    /// Where the image gives no digest.
    hasher: Option<Hasher>,
    ended: bool,
    failed: bool,
}

impl Tap {
    fn new(blob: Blob, layer: &Layer) -> Self {
        let hasher = layer
            .digest
            .is_none()
            .then(|| Hasher::new(Algorithm::Sha256));
        Self {
            blob,
            size: layer.size,
            read: Arc::default(),
            counted: 0,
            hasher,
            ended: false,
            failed: false,
        }
    }

    fn ended(self, compression: Compression) -> Ended {
        Ended {
            compression,
            read: self.read.load(Ordering::Relaxed),
            digest: self.hasher.map(Hasher::finish),
        }
    }
}

impl AsyncBufRead for Tap {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(Ok(&[]));
        }
        let buffer = match ready!(this.blob.as_mut().poll_fill_buf(cx)) {
            Ok(buffer) => buffer,
            Err(error) => {
                this.failed = true;
                return Poll::Ready(Err(error));
            }
        };
        let fresh = &buffer[this.counted..];
        this.counted = buffer.len();
        this.ended = buffer.is_empty();
        let length = fresh.len() as u64;
        let read = this.read.fetch_add(length, Ordering::Relaxed) + length;
        if let Some(hasher) = &mut this.hasher {
            hasher.update(fresh);
        }
        match this.size {
            Some(size) if read > size || (this.ended && read < size) => {
                this.failed = true;
                let what = format!("blob has {read} bytes (expected {size})");
                Poll::Ready(Err(Error::new(ErrorKind::Integrity, what).into()))
            }
            _ => Poll::Ready(Ok(buffer)),
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.counted -= amount;
        this.blob.as_mut().consume(amount);
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        decode::poll_read_buffered(self, cx, out)
    }
}
