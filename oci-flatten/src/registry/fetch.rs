//! Fetching with patience: tries again, goes on where it stopped, turns from mirrors to the registry.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::repository::{BlobBody, Repository};
use super::retry::{Backoff, Failure, Remedy};
use super::settings::RegistrySettings;
use super::transport::Transport;
use crate::cache::{CachedBlob, CorruptBlob, Ingest};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Document};
use crate::progress::{Event, Observer};

/// Progress that makes a download worth going on with, in bytes; less does not reset the count of tries.
const WORTHWHILE: u64 = 1 << 20;
/// Bytes between two progress events.
const EVENT_STEP: u64 = 256 << 10;

/// An image's repository, at every place it may be fetched from.
pub(super) struct Fetcher {
    /// Mirrors first, the registry itself last.
    pub(super) repositories: Vec<Arc<Repository>>,
    pub(super) settings: Arc<RegistrySettings>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) transport: Arc<Transport>,
}

/// Hears how far a blob has come.
pub(super) trait Arrival: Send {
    /// `ingest` has got further.
    fn arrived(&mut self, ingest: &Ingest);

    /// What has arrived so far was wrong; all of it comes once more.
    fn restarted(&mut self);
}

impl Fetcher {
    /// What `tag` stands for now, where the first place that is to be asked says so.
    pub(super) async fn manifest_digest(&self, tag: &str) -> Option<Digest> {
        let place = self.next_place(0);
        self.repositories[place].manifest_digest(tag).await
    }

    /// The manifest or index of `digest`, or else the one that `tag` stands for.
    pub(super) async fn manifest(
        &self,
        tag: &str,
        digest: Option<&Digest>,
        limit: u64,
    ) -> Result<Document> {
        self.each(|repository| async move { repository.manifest(tag, digest, limit).await })
            .await
    }

    /// A manifest, index or config.
    pub(super) async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.each(|repository| async move { repository.document(descriptor).await })
            .await
    }

    /// Fetches what `ingest` still lacks, and makes a complete blob of it.
    pub(super) async fn blob(
        &self,
        mut ingest: Ingest,
        arrival: &mut dyn Arrival,
    ) -> Result<CachedBlob> {
        let digest = ingest.digest().clone();
        let mut kept = ingest.written();
        let mut progress = Progress {
            fetcher: self,
            arrival,
            told: None,
        };
        progress.tell(&ingest);
        let mut backoff = Backoff::new(self.settings.retries);
        let mut place = self.next_place(0);
        let mut ranges = true;
        let mut mark = kept;
        // Where the bytes come from that are there.
        let mut givers = BTreeSet::new();
        loop {
            let before = ingest.written();
            let failure = if before < ingest.size() {
                let (written, outcome) =
                    self.transfer(place, ingest, ranges, &mut progress).await?;
                ingest = written;
                if ingest.written() > before {
                    givers.insert(place);
                }
                let Err(failure) = outcome else { continue };
                // Going on where it stopped is a shortcut. Where it is refused, or comes out wrong, the whole is asked for
                // and its start passed over.
                let is_final = failure.remedy == Remedy::None;
                let is_wrong = failure.error.kind() == ErrorKind::Integrity;
                if ranges && before > 0 && (is_final || is_wrong) {
                    ranges = false;
                    if is_final {
                        continue;
                    }
                }
                failure
            } else if kept == 0 && self.has_mirror(&givers) && !ingest.is_right() {
                let message = format!("{} gave other bytes than {digest}", self.place_name(place));
                Failure::fatal(Error::new(ErrorKind::Integrity, message))
            } else {
                break;
            };
            if ingest.written() >= mark.saturating_add(WORTHWHILE) {
                mark = ingest.written();
                backoff.reset();
            }
            let is_wrong =
                failure.remedy == Remedy::None && failure.error.kind() == ErrorKind::Integrity;
            if is_wrong {
                givers.insert(place);
            }
            if is_wrong && self.has_mirror(&givers) {
                ingest = self.start_over(ingest, &mut givers, &mut progress).await?;
                (ranges, mark, kept) = (true, 0, 0);
                self.turn_away(place, &failure);
                place = self.next_place(place);
                continue;
            }
            if place < self.last() {
                self.turn_away(place, &failure);
                place = self.next_place(place + 1);
                continue;
            }
            self.pause(&mut backoff, failure, Some(&digest)).await?;
        }
        let source = self.place_name(place);
        let commit = spawn_blocking(move || ingest.commit())
            .await
            .map_err(|error| broken(&error))?;
        commit.map_err(|error| match error.kind() {
            // What an earlier run has left was not right: a second try starts from nothing.
            ErrorKind::Integrity if kept > 0 => CorruptBlob {
                expected: digest,
                found: format!("{kept} bytes of an earlier run that do not fit"),
            }
            .into_error(),
            // Which of several places has given the wrong bytes is what the user must know.
            ErrorKind::Integrity => error.context(&source),
            _ => error,
        })
    }

    /// Drops what has arrived, because it is wrong; the mirrors that have given any of it are not asked again.
    async fn start_over(
        &self,
        mut ingest: Ingest,
        givers: &mut BTreeSet<usize>,
        progress: &mut Progress<'_>,
    ) -> Result<Ingest> {
        for giver in std::mem::take(givers) {
            if giver < self.last() {
                self.settings.distrusted.insert(self.place_name(giver));
            }
        }
        progress.arrival.restarted();
        progress.told = None;
        spawn_blocking(move || ingest.restart().map(|()| ingest))
            .await
            .map_err(|error| broken(&error))?
    }

    /// One request for a blob: writes what arrives, until the end or the first failure.
    async fn transfer(
        &self,
        place: usize,
        mut ingest: Ingest,
        ranges: bool,
        progress: &mut Progress<'_>,
    ) -> Result<(Ingest, Result<(), Failure>)> {
        let repository = &self.repositories[place];
        let (size, offset) = (ingest.size(), ingest.written());
        let opened = repository.blob(ingest.digest(), size, offset, ranges).await;
        let BlobBody { mut body, start } = match opened {
            Ok(body) => body,
            Err(failure) => return Ok((ingest, Err(failure))),
        };
        let mut known = offset - start;
        while let Some(chunk) = body.next().await {
            let mut chunk = match chunk {
                Ok(chunk) => chunk,
                Err(failure) => return Ok((ingest, Err(failure))),
            };
            let passed = known.min(chunk.len() as u64);
            known -= passed;
            let passed = usize::try_from(passed).expect("no more than the chunk's length");
            let fresh = chunk.split_off(passed);
            if fresh.is_empty() {
                continue;
            }
            if fresh.len() as u64 > size - ingest.written() {
                let message = format!(
                    "blob {} of {} is longer than its descriptor says ({size} bytes)",
                    ingest.digest(),
                    repository.name()
                );
                let failure = Failure::fatal(Error::new(ErrorKind::Integrity, message));
                return Ok((ingest, Err(failure)));
            }
            let write = move || ingest.write(&fresh).map(|()| ingest);
            ingest = spawn_blocking(write)
                .await
                .map_err(|error| broken(&error))??;
            progress.tell(&ingest);
        }
        if ingest.written() < size {
            let message = format!(
                "read blob {} of {}: it ends after {} bytes of {size}",
                ingest.digest(),
                repository.name(),
                ingest.written()
            );
            let failure = Failure::transient(Error::new(ErrorKind::Network, message));
            return Ok((ingest, Err(failure)));
        }
        Ok((ingest, Ok(())))
    }

    /// Asks each place in turn; the last one with patience.
    async fn each<T, F: Future<Output = Result<T, Failure>> + Send>(
        &self,
        ask: impl Fn(Arc<Repository>) -> F,
    ) -> Result<T> {
        let last = self.last();
        let mut place = self.next_place(0);
        while place < last {
            match ask(Arc::clone(&self.repositories[place])).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.turn_away(place, &failure),
            }
            place = self.next_place(place + 1);
        }
        let mut backoff = Backoff::new(self.settings.retries);
        loop {
            match ask(Arc::clone(&self.repositories[last])).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause(&mut backoff, failure, None).await?,
            }
        }
    }

    /// Waits before the next try, or gives up.
    async fn pause(
        &self,
        backoff: &mut Backoff,
        failure: Failure,
        digest: Option<&Digest>,
    ) -> Result<()> {
        let (attempt, wait, error) = backoff.next(failure)?;
        self.tell_of_retry(digest, attempt, wait, &error);
        sleep(wait).await;
        Ok(())
    }

    /// The registry itself.
    fn last(&self) -> usize {
        self.repositories.len().saturating_sub(1)
    }

    /// Whether there is a mirror among places.
    fn has_mirror(&self, places: &BTreeSet<usize>) -> bool {
        places.first().is_some_and(|place| *place < self.last())
    }

    /// The first place from `place` on that is to be asked.
    fn next_place(&self, place: usize) -> usize {
        let is_trusted =
            |place: &usize| !self.settings.distrusted.contains(&self.place_name(*place));
        (place..self.last()).find(is_trusted).unwrap_or(self.last())
    }

    fn place_name(&self, place: usize) -> String {
        self.repositories[place].name()
    }

    fn turn_away(&self, place: usize, failure: &Failure) {
        tracing::debug!(mirror = self.place_name(place), error = %failure.error, "mirror failed");
    }

    fn tell_of_retry(&self, digest: Option<&Digest>, attempt: u32, wait: Duration, error: &Error) {
        self.observer.observe(Event::Retrying {
            digest: digest.cloned(),
            attempt,
            wait,
            reason: error.to_string(),
        });
    }
}

/// Tells readers of every byte, and the observer of some.
struct Progress<'a> {
    fetcher: &'a Fetcher,
    arrival: &'a mut dyn Arrival,
    told: Option<u64>,
}

impl Progress<'_> {
    fn tell(&mut self, ingest: &Ingest) {
        self.arrival.arrived(ingest);
        let (received, size) = (ingest.written(), ingest.size());
        if self
            .told
            .is_some_and(|told| received < size && received - told < EVENT_STEP)
        {
            return;
        }
        self.told = Some(received);
        self.fetcher.observer.observe(Event::Downloading {
            digest: ingest.digest().clone(),
            received,
            size,
        });
    }
}

fn broken(error: &tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Io, format!("write to cache: {error}"))
}
