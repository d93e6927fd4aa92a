//! Complete blobs, verified while they are read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::{Cache, DOCUMENT_LIMIT, touch};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};

/// A cached blob turned out wrong. It is unlinked by the time this is seen: trying again fetches it anew.
///
/// It is the source of an [`Error`] of kind [`ErrorKind::Integrity`]; [`CorruptBlob::is_cause_of`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptBlob {
    /// The blob's name.
    pub expected: Digest,
    /// What is wrong.
    pub found: String,
}

impl CorruptBlob {
    /// Whether `error`, or anything that led to it, is a corrupt cached blob.
    #[must_use]
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        Self::find_in(error).is_some()
    }

    /// The corrupt cached blob that `error` is, or that led to it.
    #[must_use]
    pub fn find_in<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(corrupt) = error.downcast_ref::<Self>() {
                return Some(corrupt);
            }
            // An error inside an `io::Error` is not its source but its payload.
            let payload = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            next = match payload {
                Some(payload) => Some(payload),
                None => error.source(),
            };
        }
        None
    }

    pub(crate) fn into_error(self) -> Error {
        let message = format!("cached blob is corrupt: {}", self.expected);
        Error::new(ErrorKind::Integrity, message).with_source(self)
    }
}

impl fmt::Display for CorruptBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for CorruptBlob {}

/// A complete blob, open and locked against pruning.
///
/// Reading it hashes it; the end of the file is told only when size and digest are right. A wrong blob is
/// unlinked and the read fails with a [`CorruptBlob`].
#[derive(Debug)]
pub struct CachedBlob {
    cache: Cache,
    file: Arc<File>,
    digest: Digest,
    size: u64,
    position: u64,
    /// `None` when the digest was right, at the end.
    hasher: Option<Hasher>,
}

impl CachedBlob {
    pub(super) fn new(cache: Cache, file: File, digest: Digest, size: u64) -> Self {
        let (file, hasher) = (Arc::new(file), Some(digest.hasher()));
        Self {
            cache,
            file,
            digest,
            size,
            position: 0,
            hasher,
        }
    }

    /// The same blob, to be read from its start.
    #[must_use]
    pub(crate) fn rewound(&self) -> Self {
        let Self {
            cache,
            file,
            digest,
            size,
            ..
        } = self;
        Self {
            cache: cache.clone(),
            file: Arc::clone(file),
            digest: digest.clone(),
            size: *size,
            position: 0,
            hasher: Some(digest.hasher()),
        }
    }

    /// The blob's digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file, to be read by position; its bytes are verified only by reading the blob itself.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Reads it whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] over [`DOCUMENT_LIMIT`] bytes, [`ErrorKind::Integrity`] when it is corrupt.
    pub fn read_document(mut self) -> Result<Vec<u8>> {
        if self.size > DOCUMENT_LIMIT {
            let Self { digest, size, .. } = &self;
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("document {digest} is {size} bytes (limit {DOCUMENT_LIMIT})"),
            ));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        self.read_to_end(&mut bytes)
            .map_err(|error| Error::io(format!("read cached blob {}", self.digest), error))?;
        Ok(bytes)
    }

    fn corrupt(&self, found: String) -> io::Error {
        self.cache.discard(&self.file, &self.digest);
        self.cache.note_discarded(&self.digest, found.clone());
        CorruptBlob {
            expected: self.digest.clone(),
            found,
        }
        .into_error()
        .into()
    }
}

impl Read for CachedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.read_at(buffer, self.position)?;
        if count == 0 {
            let Some(hasher) = self.hasher.take() else {
                return Ok(0);
            };
            if self.position != self.size {
                return Err(self.corrupt(format!("{} bytes of {}", self.position, self.size)));
            }
            let found = hasher.finish();
            return if found == self.digest {
                Ok(0)
            } else {
                Err(self.corrupt(found.to_string()))
            };
        }
        self.position += count as u64;
        if self.position > self.size {
            return Err(self.corrupt(format!("more than {} bytes", self.size)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

impl Cache {
    /// Opens a complete blob and marks it as used; `None` when it is not there.
    ///
    /// A blob whose length differs from `size` is thrown away and counts as not there. Its digest is verified
    /// while it is read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the file cannot be opened.
    pub fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Option<CachedBlob>> {
        let Some(blob) = self.open_unmarked(digest)? else {
            return Ok(None);
        };
        if let Some(size) = size.filter(|size| *size != blob.size) {
            self.discard(&blob.file, digest);
            self.note_discarded(digest, format!("{} bytes of {size}", blob.size));
            return Ok(None);
        }
        // A cache on a read-only disk is still good for reading.
        let _ = touch(&blob.file);
        Ok(Some(blob))
    }

    pub(super) fn open_unmarked(&self, digest: &Digest) -> Result<Option<CachedBlob>> {
        let failed = |error| Error::io(format!("open cached blob {digest}"), error);
        let blobs = match self.blobs(digest.algorithm()) {
            Ok(blobs) => blobs,
            // Only SHA-256's folder is there from the start.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let file = match blobs.open_file(digest.hex()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // No file of ours: it must not keep the blob from being fetched.
            Err(error) if is_foreign(&error) => {
                let found = error.to_string();
                blobs.remove(digest.hex()).map_err(|_| failed(error))?;
                self.note_discarded(digest, found);
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        file.lock_shared().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        Ok(Some(CachedBlob::new(
            self.clone(),
            file,
            digest.clone(),
            size,
        )))
    }

    /// Reads a manifest, index or config; `None` when it is not there or was corrupt and is no longer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::LimitExceeded`] when it is too long.
    pub fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.blob(digest, None)?.map_or(Ok(None), verified_document)
    }

    /// As [`document`](Self::document), without marking it as used.
    pub(super) fn peek(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.open_unmarked(digest)?
            .map_or(Ok(None), verified_document)
    }

    /// Unlinks a wrong blob, unless another process has replaced it with a better one already.
    fn discard(&self, file: &File, digest: &Digest) {
        let Ok(blobs) = self.blobs(digest.algorithm()) else {
            return;
        };
        if blobs.is_named(digest.hex(), file).unwrap_or(false) {
            // Whoever finds it still there finds it wrong again.
            let _ = blobs.remove_file(digest.hex());
        }
    }
}

/// Whether what was to be opened is not a file of this cache: of another kind, or closed to its owner.
pub(super) fn is_foreign(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied
    )
}

fn verified_document(blob: CachedBlob) -> Result<Option<Vec<u8>>> {
    match blob.read_document() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if CorruptBlob::is_cause_of(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
