//! The decoding half of a flattening: blobs in, buffers of tar out, one layer after the other.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::decode::{self, Decoded};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::image::Layer;
use crate::media_type::Compression;
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
            let tap = Tap::new(blob, layer);
            self.observer.observe(Event::LayerStarted { layer: index });
            match self.layer(&tap).await {
                Ok(Ok(())) => {}
                Ok(Err(Stopped)) => {
                    // A tar that makes no sense may be a blob that was damaged: that is what to tell.
                    if self.suspect.load(Ordering::Acquire) {
                        self.drain(&tap).await.map_err(place)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(place(self.blame(error, &tap).await)),
            }
        }
        Ok(())
    }

    async fn layer(&mut self, tap: &Tap) -> io::Result<Result<(), Stopped>> {
        let Decoded {
            compression,
            mut stream,
        } = decode::decode(tap.clone()).await?;
        if self.steps.send(Step::Begin).await.is_err() {
            return Ok(Err(Stopped));
        }
        loop {
            self.check_cancelled()?;
            let Some(mut chunk) = self.pool.recv().await else {
                return Ok(Err(Stopped));
            };
            let end = fill(&mut stream, &mut chunk).await?;
            chunk.read = tap.state().read;
            if self.steps.send(Step::Bytes(chunk)).await.is_err() {
                return Ok(Err(Stopped));
            }
            if end {
                break;
            }
        }
        self.drain(tap).await?;
        let ended = tap.state().ended(compression);
        Ok(self.steps.send(Step::End(ended)).await.map_err(|_| Stopped))
    }

    /// Reads what the decoder left, so that the blob's own end is seen and judged.
    async fn drain(&self, tap: &Tap) -> Result<()> {
        let (mut rest, mut scratch) = (tap.clone(), vec![0; decode::BUFFER]);
        while !tap.state().ended {
            self.check_cancelled()?;
            rest.read(&mut scratch)
                .await
                .map_err(|error| Error::io("read blob", error))?;
        }
        Ok(())
    }

    /// The error to report when decoding failed: the blob's own before the decompressor's.
    async fn blame(&self, error: io::Error, tap: &Tap) -> Error {
        if tap.state().failed {
            return Error::io("read blob", error);
        }
        match decode::stream_error(error) {
            of_decoder if of_decoder.kind() == ErrorKind::Integrity => {
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
async fn fill(stream: &mut Pin<Box<dyn AsyncRead + Send>>, chunk: &mut Chunk) -> io::Result<bool> {
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

/// A blob that the decoder reads and that can still be read when the decoder is gone.
#[derive(Clone)]
struct Tap(Arc<Mutex<TapState>>);

struct TapState {
    blob: Blob,
    /// The size that the image gives.
    size: Option<u64>,
    read: u64,
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
        let size = layer.size;
        let state = TapState {
            blob,
            size,
            read: 0,
            hasher,
            ended: false,
            failed: false,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, TapState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TapState {
    fn ended(&mut self, compression: Compression) -> Ended {
        let digest = self.hasher.take().map(Hasher::finish);
        Ended {
            compression,
            read: self.read,
            digest,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ended || out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(self.blob.as_mut().poll_read(cx, out))?;
        let fresh = &out.filled()[before..];
        self.read += fresh.len() as u64;
        self.ended = fresh.is_empty();
        if let Some(hasher) = &mut self.hasher {
            hasher.update(fresh);
        }
        match self.size {
            Some(size) if self.read > size || (self.ended && self.read < size) => {
                let what = format!("blob has {} bytes (expected {size})", self.read);
                Poll::Ready(Err(Error::new(ErrorKind::Integrity, what).into()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let outcome = ready!(state.poll(cx, out));
        state.failed |= outcome.is_err();
        Poll::Ready(outcome)
    }
}
