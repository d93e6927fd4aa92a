//! Layers on their way: downloads run ahead, readers follow.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, spawn, spawn_blocking};
use tokio_util::io::StreamReader;

use super::fetch::{Arrival, Fetcher};
use crate::cache::{Cache, CachedBlob, Claim, CorruptBlob, Ingest};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, Observer};
use crate::source::Blob;

/// Bytes that are read from a file at a time.
const READ_SIZE: usize = 256 << 10;

/// How far a blob is.
///
/// ```text
/// Waiting ──► Arriving ──► Ready
///    │           └───────► Failed
///    └──────► Ready             it was in the cache, or another process has put it there
/// ```
#[derive(Clone, Debug)]
enum State {
    Waiting,
    /// The first `length` bytes of the file may be read.
    Arriving {
        file: Arc<File>,
        length: u64,
        start: Start,
    },
    /// Complete and verified.
    Ready(Arc<CachedBlob>, Start),
    Failed(Arc<Error>),
}

/// Which of its beginnings a blob is at: it starts over when a mirror has given wrong bytes, and who has read those must
/// not go on with others.
type Start = u32;

/// The downloads of one image, bottom layer first. Dropping it stops them; what has arrived stays for a later run.
#[derive(Debug)]
pub(super) struct Downloads {
    states: HashMap<Digest, watch::Receiver<State>>,
    task: AbortHandle,
}

impl Downloads {
    /// Starts fetching `blobs` (digest and size), as many at a time as the settings say.
    ///
    /// Without a fetcher only the cache is asked.
    pub(super) fn start(
        cache: Cache,
        blobs: Vec<(Digest, u64)>,
        fetcher: Option<Arc<Fetcher>>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let mut states = HashMap::new();
        let mut queue = Vec::new();
        for (digest, size) in blobs {
            if states.contains_key(&digest) {
                continue;
            }
            let (sender, receiver) = watch::channel(State::Waiting);
            states.insert(digest.clone(), receiver);
            queue.push(Job {
                cache: cache.clone(),
                digest,
                size,
                sender,
                observer: Arc::clone(&observer),
                start: 0,
            });
        }
        let task = spawn(run(queue, fetcher)).abort_handle();
        Self { states, task }
    }

    /// The bytes of a blob, as they arrive or from the cache; the end comes only when they are verified.
    pub(super) fn open(&self, digest: &Digest) -> Result<Blob> {
        let state = self.states.get(digest).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("image has no blob {digest}"))
        })?;
        let follower = Follower {
            digest: digest.clone(),
            state: state.clone(),
            position: 0,
            start: 0,
        };
        let chunks: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> = Box::pin(
            stream::try_unfold(Reader::Following(follower), Reader::next),
        );
        Ok(Box::pin(StreamReader::new(chunks)))
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One blob to get.
struct Job {
    cache: Cache,
    digest: Digest,
    size: u64,
    sender: watch::Sender<State>,
    observer: Arc<dyn Observer>,
    start: Start,
}

async fn run(queue: Vec<Job>, fetcher: Option<Arc<Fetcher>>) {
    let parallel = fetcher
        .as_ref()
        .map_or(1, |fetcher| fetcher.settings.parallel.get());
    let slots = Arc::new(Semaphore::new(parallel));
    // Aborted together with this task.
    let mut running = tokio::task::JoinSet::new();
    for job in queue {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let fetcher = fetcher.clone();
        running.spawn(async move {
            job.run(fetcher.as_deref()).await;
            drop(slot);
        });
    }
    while running.join_next().await.is_some() {}
}

impl Job {
    async fn run(mut self, fetcher: Option<&Fetcher>) {
        let state = match self.get(fetcher).await {
            Ok(blob) => State::Ready(Arc::new(blob), self.start),
            Err(error) => State::Failed(Arc::new(error)),
        };
        self.sender.send_replace(state);
    }

    async fn get(&mut self, fetcher: Option<&Fetcher>) -> Result<CachedBlob> {
        let Some(fetcher) = fetcher else {
            let found = self.cache.blob(&self.digest, Some(self.size))?;
            let blob = found.ok_or_else(|| {
                let message = format!(
                    "blob {} is not in the cache, and the network is not to be used",
                    self.digest
                );
                Error::new(ErrorKind::NotFound, message)
            })?;
            self.observer.observe(Event::Cached {
                digest: self.digest.clone(),
            });
            return Ok(blob);
        };
        match self.cache.claim(&self.digest, self.size).await? {
            Claim::Cached(blob) => {
                self.observer.observe(Event::Cached {
                    digest: self.digest.clone(),
                });
                Ok(blob)
            }
            Claim::Missing(ingest) => {
                let blob = fetcher.blob(ingest, self).await?;
                self.observer.observe(Event::Downloaded {
                    digest: self.digest.clone(),
                });
                Ok(blob)
            }
        }
    }
}

impl Arrival for Job {
    fn arrived(&mut self, ingest: &Ingest) {
        self.sender.send_replace(State::Arriving {
            file: ingest.file(),
            length: ingest.written(),
            start: self.start,
        });
    }

    fn restarted(&mut self) {
        self.start += 1;
    }
}

/// Where a reader is.
enum Reader {
    /// It reads behind a download, or waits for one.
    Following(Follower),
    /// It reads from the cache, verifying.
    Cached(Box<CachedBlob>),
}

struct Follower {
    digest: Digest,
    state: watch::Receiver<State>,
    position: u64,
    /// Where the bytes before `position` came from.
    start: Start,
}

impl Reader {
    async fn next(self) -> io::Result<Option<(Bytes, Self)>> {
        match self {
            Self::Following(follower) => follower.next().await,
            Self::Cached(blob) => read_cached(blob).await,
        }
    }
}

impl Follower {
    async fn next(mut self) -> io::Result<Option<(Bytes, Reader)>> {
        let (position, own) = (self.position, self.start);
        // Whoever has read what was wrong waits until what is right is in the cache, and tells that all begins anew.
        let further = |state: &State| match state {
            State::Waiting => false,
            State::Arriving { length, start, .. } => {
                *length > position && (position == 0 || *start == own)
            }
            State::Ready(..) | State::Failed(_) => true,
        };
        let state = match self.state.wait_for(further).await {
            Ok(state) => state.clone(),
            Err(_) => return Err(Error::cancelled().into()),
        };
        match state {
            State::Ready(blob, _) if position == 0 => read_cached(Box::new(blob.rewound())).await,
            State::Ready(_, start) if start != own => Err(self.replaced()),
            // Its bytes were hashed as they were written, and the digest was right.
            State::Ready(blob, _) if position == blob.size() => Ok(None),
            State::Ready(blob, start) => self.read(blob.file(), blob.size(), start).await,
            State::Arriving {
                file,
                length,
                start,
            } => self.read(file, length, start).await,
            State::Failed(error) => Err(copy_of(&error).into()),
            State::Waiting => Err(Error::cancelled().into()),
        }
    }

    async fn read(
        mut self,
        file: Arc<File>,
        length: u64,
        start: Start,
    ) -> io::Result<Option<(Bytes, Reader)>> {
        let position = self.position;
        let count = usize::try_from(length - position)
            .unwrap_or(usize::MAX)
            .min(READ_SIZE);
        let read = move || {
            let mut buffer = vec![0; count];
            file.read_exact_at(&mut buffer, position)
                .map(|()| Bytes::from(buffer))
        };
        let bytes = match spawn_blocking(read).await.map_err(io::Error::other)? {
            // The blob started over meanwhile, and the file was cut.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.replaced());
            }
            outcome => outcome?,
        };
        self.position += bytes.len() as u64;
        self.start = start;
        Ok(Some((bytes, Reader::Following(self))))
    }

    /// The error that makes the caller begin anew.
    fn replaced(&self) -> io::Error {
        let found = "what a mirror gave, which was not the blob".to_owned();
        let expected = self.digest.clone();
        CorruptBlob { expected, found }.into_error().into()
    }
}

async fn read_cached(mut blob: Box<CachedBlob>) -> io::Result<Option<(Bytes, Reader)>> {
    let read = move || {
        let mut buffer = vec![0; READ_SIZE];
        let count = io::Read::read(&mut *blob, &mut buffer)?;
        buffer.truncate(count);
        Ok::<_, io::Error>((Bytes::from(buffer), blob))
    };
    let (bytes, blob) = spawn_blocking(read).await.map_err(io::Error::other)??;
    Ok((!bytes.is_empty()).then_some((bytes, Reader::Cached(blob))))
}

/// The same error once more: several readers of one download may meet it.
fn copy_of(error: &Arc<Error>) -> Error {
    let copy = Error::new(error.kind(), error.message());
    match (CorruptBlob::find_in(&**error), error.source()) {
        (Some(corrupt), _) => copy.with_source(corrupt.clone()),
        (None, Some(_)) => copy.with_source(SharedCause(Arc::clone(error))),
        (None, None) => copy,
    }
}

/// The cause of a shared error, in the place of that cause.
#[derive(Debug)]
struct SharedCause(Arc<Error>);

impl SharedCause {
    fn cause(&self) -> &(dyn StdError + 'static) {
        self.0.source().unwrap_or(&*self.0)
    }
}

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.cause(), f)
    }
}

impl StdError for SharedCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause().source()
    }
}
