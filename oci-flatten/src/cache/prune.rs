//! Taking things out of the cache.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::TryLockError;
use std::io;
use std::time::{Duration, SystemTime};

use super::Cache;
use super::show::{Anatomy, Inventory};
use crate::digest::Digest;
use crate::directory::Directory;
use crate::error::{Error, Result};

/// What may go. Blobs that no image needs and interrupted downloads always may.
#[derive(Clone, Debug)]
pub struct PrunePolicy {
    /// The time now: the library reads no clock.
    pub now: SystemTime,
    /// Images that were not pulled for this long go.
    pub unused_for: Option<Duration>,
    /// The least recently pulled images go until what is left has at most this many bytes.
    pub keep_bytes: Option<u64>,
    /// Nothing is removed; the report says what would be.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// References of images that went.
    pub images: Vec<String>,
    /// Blobs and partial downloads that went, with their sizes in bytes.
    pub removed: Vec<Removed>,
    /// Those that a running pull uses, and that stay.
    pub in_use: u64,
    /// Bytes of blobs and partial downloads that are left.
    pub kept_bytes: u64,
}

impl Pruned {
    /// Bytes given back.
    #[must_use]
    pub fn freed_bytes(&self) -> u64 {
        self.removed.iter().map(|removed| removed.bytes).sum()
    }
}

/// A file that went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The digest of the blob that the file is, or was to become.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it was an unfinished download.
    pub partial: bool,
}

impl Cache {
    /// Removes what `policy` lets go of. Pulls may run meanwhile: what they use stays, or stays readable to them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) when the folder cannot be read or changed.
    pub fn prune(&self, policy: &PrunePolicy) -> Result<Pruned> {
        let _lock = self.lock()?;
        let inventory = self.inventory()?;
        let anatomies = self.anatomies(&inventory)?;
        let (kept, gone) = split(anatomies, &inventory, policy);
        let wanted: BTreeSet<Digest> = kept.into_iter().flat_map(|image| image.blobs).collect();
        let images: Vec<String> = gone.into_iter().map(|image| image.entry.name).collect();
        if !policy.dry_run {
            self.forget(&images)?;
        }
        let mut pruned = Pruned {
            images,
            ..Pruned::default()
        };
        let folder = |opened: io::Result<Directory>, what: &str| {
            opened.map_err(|error| Error::io(format!("open {what} of the cache"), error))
        };
        for (digest, (bytes, _)) in inventory {
            if wanted.contains(&digest) {
                pruned.kept_bytes += bytes;
                continue;
            }
            let blob = Removed {
                name: digest.to_string(),
                bytes,
                partial: false,
            };
            let blobs = folder(self.blobs(digest.algorithm()), "blobs")?;
            pruned.take(&blobs, digest.hex().as_ref(), blob, policy.dry_run)?;
        }
        let parts = self.list_parts()?;
        if !parts.is_empty() {
            let ingest = folder(self.ingest_directory(), "ingest")?;
            for (name, facts) in parts {
                let text = name.to_string_lossy();
                let stem = text.strip_suffix(".part").unwrap_or(&text);
                let part = Removed {
                    name: stem.replacen('-', ":", 1),
                    bytes: facts.length,
                    partial: true,
                };
                pruned.take(&ingest, &name, part, policy.dry_run)?;
            }
        }
        Ok(pruned)
    }
}

impl Pruned {
    /// Removes one file unless its lock shows that a pull uses it.
    fn take(
        &mut self,
        folder: &Directory,
        name: &OsStr,
        what: Removed,
        dry_run: bool,
    ) -> Result<()> {
        let path = folder.path_of(name);
        let failed = |error| Error::io(format!("remove {}", path.display()), error);
        let file = match folder.open_file(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                self.in_use += 1;
                self.kept_bytes += what.bytes;
                return Ok(());
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if !dry_run {
            match folder.remove_file(name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
        }
        self.removed.push(what);
        Ok(())
    }
}

/// Tells images that stay from those that go. An image whose manifest is gone goes.
fn split(
    mut images: Vec<Anatomy>,
    inventory: &Inventory,
    policy: &PrunePolicy,
) -> (Vec<Anatomy>, Vec<Anatomy>) {
    images.sort_by(|a, b| {
        b.last_used
            .cmp(&a.last_used)
            .then_with(|| a.entry.name.cmp(&b.entry.name))
    });
    let mut total = 0_u64;
    let mut counted = BTreeSet::new();
    images.into_iter().partition(|image| {
        let Some(last_used) = image.last_used else {
            return false;
        };
        // A clock that went back makes nothing old.
        let age = policy.now.duration_since(last_used).unwrap_or_default();
        if policy.unused_for.is_some_and(|limit| age >= limit) {
            return false;
        }
        let fresh = image
            .blobs
            .iter()
            .filter(|digest| !counted.contains(*digest));
        let bytes: u64 = fresh
            .filter_map(|digest| inventory.get(digest))
            .map(|(size, _)| size)
            .sum();
        let end = total.saturating_add(bytes);
        if policy.keep_bytes.is_some_and(|limit| end > limit) {
            return false;
        }
        total = end;
        counted.extend(image.blobs.iter().cloned());
        true
    })
}
