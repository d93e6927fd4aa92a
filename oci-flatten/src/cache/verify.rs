//! Reading every blob of the cache.

use std::io::{self, Read as _};

use super::{Cache, CorruptBlob};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// Read size for hashing.
const BUFFER: usize = 256 << 10;

/// The outcome of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Blobs that were read.
    pub blobs: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Blobs that were wrong, and are gone: the next pull fetches them anew.
    pub corrupt: Vec<CorruptBlob>,
    /// Images that lack blobs, the corrupt ones included.
    pub incomplete: Vec<IncompleteImage>,
}

/// An image that lacks blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncompleteImage {
    /// Its canonical reference.
    pub reference: String,
    /// What is not there.
    pub missing: Vec<Digest>,
}

impl Cache {
    /// Reads every complete blob and throws away those that are wrong. `progress` is told of each piece of a blob
    /// that was read, a few hundred KiB at a time, and its length; an error of it ends the work.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) when the folder or a blob cannot be read, or what `progress`
    /// gives.
    pub fn verify(&self, mut progress: impl FnMut(&Digest, u64) -> Result<()>) -> Result<Verified> {
        let mut verified = Verified::default();
        let mut buffer = vec![0; BUFFER];
        for (digest, _) in self.list_blobs()? {
            // Not to be marked as used: verifying is no use of an image.
            let Some(mut blob) = self.open_unmarked(&digest)? else {
                continue;
            };
            let outcome = loop {
                match blob.read(&mut buffer) {
                    Ok(0) => break Ok(()),
                    Ok(count) => {
                        verified.bytes += count as u64;
                        progress(&digest, count as u64)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        break Err(Error::io(format!("read cached blob {digest}"), error));
                    }
                }
            };
            verified.blobs += 1;
            match outcome.map_err(|error| (CorruptBlob::find_in(&error).cloned(), error)) {
                Ok(()) => {}
                Err((Some(corrupt), _)) => verified.corrupt.push(corrupt),
                Err((None, error)) => return Err(error),
            }
        }
        verified.incomplete = self.incomplete_images()?;
        Ok(verified)
    }

    fn incomplete_images(&self) -> Result<Vec<IncompleteImage>> {
        let inventory = self.inventory()?;
        let images = self
            .anatomies(&inventory)?
            .into_iter()
            .map(|image| IncompleteImage {
                missing: image
                    .blobs
                    .into_iter()
                    .filter(|digest| !inventory.contains_key(digest))
                    .collect(),
                reference: image.entry.name,
            });
        Ok(images.filter(|image| !image.missing.is_empty()).collect())
    }
}
