//! Blobs on their way in.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blob::is_foreign;
use super::{Cache, CachedBlob, part_name};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::lock;

/// How often a waiting process looks whether the blob has arrived.
const POLL: Duration = Duration::from_millis(50);
/// Read size for hashing what an earlier run has left.
const REHASH_BUFFER: usize = 256 << 10;

/// The answer to a wish for a blob.
#[derive(Debug)]
pub enum Claim {
    /// It is there.
    Cached(CachedBlob),
    /// It is not, and it is on the caller to write it; all others wait until this is dropped.
    Missing(Ingest),
}

/// A blob that is being written. Dropping it leaves what has arrived for a later run to continue.
#[derive(Debug)]
pub struct Ingest {
    cache: Cache,
    digest: Digest,
    size: u64,
    path: PathBuf,
    file: Arc<File>,
    written: u64,
    hasher: Hasher,
}

impl Cache {
    /// Opens a blob, or the right to write it, waiting while another process writes it.
    ///
    /// Dropping the future stops the wait.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::NoSpace`] when the partial file cannot be made.
    pub async fn claim(&self, digest: &Digest, size: u64) -> Result<Claim> {
        let (begun, mut told) = (Instant::now(), false);
        loop {
            if let Some(blob) = self.blob(digest, Some(size))? {
                return Ok(Claim::Cached(blob));
            }
            if let Some(file) = self.lock_part(digest)? {
                let (cache, digest) = (self.clone(), digest.clone());
                let resume = move || Ingest::resume(cache, digest, size, file);
                let ingest = tokio::task::spawn_blocking(resume)
                    .await
                    .map_err(|error| {
                        Error::new(ErrorKind::Io, format!("hash partial blob: {error}"))
                    })??;
                return Ok(Claim::Missing(ingest));
            }
            if !told && begun.elapsed() >= lock::PATIENCE {
                told = true;
                self.waiter.tell(&self.part_path(digest));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where a blob arrives, for messages.
    pub(super) fn part_path(&self, digest: &Digest) -> PathBuf {
        self.root.path_of("ingest").join(part_name(digest))
    }

    /// The partial file, locked; `None` while another process holds it or has just finished it.
    pub(super) fn lock_part(&self, digest: &Digest) -> Result<Option<File>> {
        let name = part_name(digest);
        let failed = |error| self.failed("open", &format!("ingest/{name}"), error);
        let ingest = self.ingest_directory().map_err(failed)?;
        let file = match ingest.open_file_or_create(&name) {
            // No file of ours: it must not keep the blob from being fetched.
            Err(error) if is_foreign(&error) => {
                ingest.remove(&name).map_err(|_| failed(error))?;
                ingest.open_file_or_create(&name)
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Between the look for the blob and the lock, its writer may have renamed this very file.
        if !ingest.is_named(&name, &file).map_err(failed)? {
            return Ok(None);
        }
        if self.open_unmarked(digest)?.is_some() {
            ingest.remove_file(&name).map_err(failed)?;
            return Ok(None);
        }
        Ok(Some(file))
    }
}

impl Ingest {
    pub(super) fn resume(cache: Cache, digest: Digest, size: u64, file: File) -> Result<Self> {
        let path = cache.part_path(&digest);
        let failed = |error| Error::io(format!("read {}", path.display()), error);
        let mut hasher = digest.hasher();
        let mut written = file.metadata().map_err(failed)?.len();
        if written > size {
            file.set_len(0).map_err(failed)?;
            written = 0;
        }
        rehash(&file, &mut hasher).map_err(failed)?;
        Ok(Self {
            cache,
            digest,
            size,
            file: Arc::new(file),
            written,
            hasher,
            path,
        })
    }

    /// The blob's digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The length it must come to, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that have arrived, those of an earlier run included.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The file that is written: what lies before [`written`](Self::written) may be read by position meanwhile.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] when the blob becomes longer than its size. [`ErrorKind::NoSpace`] when the disk
    /// is full; what has arrived is removed then, to give the space back.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Self { digest, size, .. } = &*self;
        let end = self
            .written
            .checked_add(bytes.len() as u64)
            .filter(|end| end <= size)
            .ok_or_else(|| {
                let message =
                    format!("blob {digest} is longer than its descriptor says ({size} bytes)");
                Error::new(ErrorKind::Integrity, message)
            })?;
        if let Err(error) = self.file.write_all_at(bytes, self.written) {
            let error = Error::io(
                format!("write blob to cache: {}", self.path.display()),
                error,
            );
            if error.kind() == ErrorKind::NoSpace {
                self.forget();
            }
            return Err(error);
        }
        self.hasher.update(bytes);
        self.written = end;
        Ok(())
    }

    /// Whether what has arrived is the blob.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.written == self.size && self.hasher.clone().finish() == self.digest
    }

    /// Drops what has arrived, so that the blob starts over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the file cannot be cut.
    pub fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .map_err(|error| Error::io(format!("truncate {}", self.path.display()), error))?;
        self.hasher = self.digest.hasher();
        self.written = 0;
        Ok(())
    }

    /// Verifies the blob, makes it durable and gives it its final name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] when size or digest are wrong: nothing of it is kept then. [`ErrorKind::Io`] or
    /// [`ErrorKind::NoSpace`] when the disk fails.
    pub fn commit(self) -> Result<CachedBlob> {
        let Self {
            digest,
            size,
            written,
            ..
        } = &self;
        if written != size {
            self.forget();
            let message = format!("blob {digest} has {written} bytes (descriptor says {size})");
            return Err(Error::new(ErrorKind::Integrity, message));
        }
        let found = self.hasher.clone().finish();
        if found != *digest {
            self.forget();
            let message = format!("blob has the wrong digest: expected {digest}, found {found}");
            return Err(Error::new(ErrorKind::Integrity, message));
        }
        self.publish().map_err(|error| {
            let error = Error::io(
                format!("store blob in cache: {}", self.path.display()),
                error,
            );
            if error.kind() == ErrorKind::NoSpace {
                self.forget();
            }
            error
        })
    }

    fn publish(&self) -> io::Result<CachedBlob> {
        self.file.sync_all()?;
        let (part, name) = (part_name(&self.digest), self.digest.hex());
        let ingest = self.cache.ingest_directory()?;
        if !ingest.is_named(&part, &self.file)? {
            return Err(io::Error::other("another program has removed it"));
        }
        let algorithm = self.digest.algorithm().name();
        let blobs = self.cache.root.directory("blobs")?;
        // Only SHA-256's folder is there from the start.
        let blobs = blobs.directory_or_create(algorithm)?;
        ingest.rename_into(&part, &blobs, name)?;
        blobs.sync()?;
        tracing::debug!(digest = %self.digest, size = self.size, "cached");
        let file = blobs.open_file(name)?;
        // The exclusive lock is this process's own and sits on another description of the same file.
        self.file.unlock()?;
        file.lock_shared()?;
        Ok(CachedBlob::new(
            self.cache.clone(),
            file,
            self.digest.clone(),
            self.size,
        ))
    }

    fn forget(&self) {
        // The lock is held, so the path is this file; whoever finds it left over verifies it again.
        if let Ok(ingest) = self.cache.ingest_directory() {
            let _ = ingest.remove_file(part_name(&self.digest));
        }
    }
}

/// Frees the blob for others at once, though a reader may still hold the file.
impl Drop for Ingest {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn rehash(mut file: &File, hasher: &mut Hasher) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; REHASH_BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
