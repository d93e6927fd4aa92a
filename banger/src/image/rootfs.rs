//! An ext4 file as a [`RootTree`], read in place: no mount, no root.
//!
//! Whoever has root in a guest has written what is in it. All that is read for one question stays within one set of limits.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use ext4_writer::FileType;
use ext4_writer::reader::{Found, ImageReader, ReadError, ReadLimits, WalkEntry};

use crate::boot::{RootTree, TreeEntry, TreeKind};
use crate::error::{Error, ErrorKind};

/// What one question may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long it may take; as long as the user likes where that is who waits.
    time: Option<Duration>,
    /// Bytes that are read, zeros of holes included.
    bytes: u64,
    /// Directory entries, extents and components of paths that are looked at.
    entries: u64,
    /// Bytes of names that are held at one time.
    memory: u64,
}

impl Bounds {
    /// Facts for a record. The package database of a large desktop has some 500 MiB.
    const FACTS: Self = Self {
        time: Some(Duration::from_secs(30)),
        bytes: 1 << 30,
        entries: 10_000_000,
        memory: 64 << 20,
    };
    /// Lists of files. One inode is one read of a block.
    pub(super) const LISTING: Self = Self {
        bytes: 16 << 30,
        ..Self::FACTS
    };

    /// Copies out of a filesystem in a file of `length` bytes: all that is in it, once, and its metadata.
    pub(super) fn copying(length: u64) -> Self {
        Self {
            time: None,
            bytes: length.saturating_mul(2).saturating_add(1 << 30),
            entries: 1_000_000_000,
            memory: 256 << 20,
        }
    }
}

/// An ext4 filesystem in a file, for as long as one question takes.
pub struct Ext4Tree<'a> {
    reader: ImageReader<'a, File>,
    path: &'a Path,
}

impl<'a> Ext4Tree<'a> {
    /// Opens the filesystem in a file or block device, whose path is for messages, and asks `question` of it. All that the question reads is bounded
    /// together, in bytes, entries, memory and time. `is_cancelled` is asked many times a second.
    ///
    /// # Errors
    ///
    /// The file cannot be read; [`ErrorKind::Integrity`] where it has no ext4 filesystem that can be read, is damaged, or goes beyond
    /// the bounds; [`ErrorKind::Interrupted`] when cancelled; and what `question` gives.
    pub fn ask<T>(
        file: File,
        path: &Path,
        is_cancelled: &dyn Fn() -> bool,
        question: impl FnOnce(&Ext4Tree<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        Self::ask_within(Bounds::FACTS, file, path, is_cancelled, question)
    }

    /// [`Ext4Tree::ask`] with other bounds.
    pub(super) fn ask_within<T>(
        bounds: Bounds,
        file: File,
        path: &Path,
        is_cancelled: &dyn Fn() -> bool,
        question: impl FnOnce(&Ext4Tree<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let time = bounds.time.unwrap_or(Duration::MAX);
        let is_late = || begun.elapsed() > time;
        let stop = || is_cancelled() || is_late();
        let outcome = Ext4Tree::open(file, path, bounds, &stop).and_then(|tree| question(&tree));
        match outcome {
            Err(_) if is_cancelled() => Err(Error::new(
                ErrorKind::Interrupted,
                format!("reading {} was interrupted", path.display()),
            )),
            Err(_) if is_late() => Err(Error::new(
                ErrorKind::Integrity,
                format!(
                    "reading the ext4 filesystem in {} takes more than {} seconds",
                    path.display(),
                    time.as_secs()
                ),
            )),
            outcome => outcome,
        }
    }

    fn open(
        file: File,
        path: &'a Path,
        bounds: Bounds,
        stop: &'a dyn Fn() -> bool,
    ) -> Result<Self, Error> {
        let mut limits = ReadLimits::default();
        limits.bytes = bounds.bytes;
        limits.entries = bounds.entries;
        limits.memory = bounds.memory;
        let reader =
            ImageReader::open(file, limits, stop).map_err(|error| unreadable(path, error))?;
        Ok(Self { reader, path })
    }

    /// The UUID of the filesystem, in lower case with hyphens.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.reader.uuid().to_string()
    }

    /// What the user should know of the filesystem's state; none where it was unmounted cleanly.
    #[must_use]
    pub fn state_warning(&self) -> Option<&'static str> {
        if self.reader.has_errors() {
            Some("the filesystem is marked as damaged; check it with e2fsck")
        } else if self.reader.needs_recovery() {
            Some(
                "the filesystem was not unmounted: changes that are only in its journal are not \
                 taken into account (e2fsck replays them)",
            )
        } else {
            None
        }
    }

    /// What the reader says, with the path of the filesystem before its errors.
    pub(super) fn try_read<T>(
        &self,
        read: impl FnOnce(&ImageReader<'a, File>) -> Result<T, ReadError>,
    ) -> Result<T, Error> {
        read(&self.reader).map_err(|error| unreadable(self.path, error))
    }

    /// Shows `start` and all that is below it.
    pub(super) fn walk(
        &self,
        start: &Found,
        each: &mut dyn FnMut(WalkEntry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut failure = None;
        let outcome = self.reader.walk(start, &mut |entry| {
            each(entry).map_err(|error| {
                failure = Some(error);
                io::Error::other("the caller failed")
            })
        });
        match failure {
            Some(failure) => Err(failure),
            None => outcome.map_err(|error| unreadable(self.path, error)),
        }
    }

    fn found(&self, path: &str) -> Result<Option<Found>, Error> {
        self.try_read(|reader| reader.resolve(path.as_bytes()))
    }

    pub(super) fn must_be_there(&self, path: &str) -> Result<Found, Error> {
        self.found(path)?.ok_or_else(|| {
            let message = format!("{} has no {path}", self.path.display());
            Error::new(ErrorKind::NotFound, message)
        })
    }
}

fn unreadable(path: &Path, error: ReadError) -> Error {
    let kind = match error {
        ReadError::Io { .. } | ReadError::Caller(_) | ReadError::Stopped => ErrorKind::Failure,
        _ => ErrorKind::Integrity,
    };
    Error::new(
        kind,
        format!("read the ext4 filesystem in {}", path.display()),
    )
    .with_source(error)
}

impl RootTree for Ext4Tree<'_> {
    fn entry(&self, path: &str) -> Result<Option<TreeEntry>, Error> {
        let Some(found) = self.found(path)? else {
            return Ok(None);
        };
        let metadata = found.inode.metadata();
        let Ok(path) = String::from_utf8(found.path) else {
            return Ok(None);
        };
        Ok(Some(TreeEntry {
            path,
            kind: match metadata.file_type {
                FileType::Regular => TreeKind::File,
                FileType::Directory => TreeKind::Directory,
                _ => TreeKind::Special,
            },
            mode: metadata.mode,
            size: metadata.size,
        }))
    }

    fn read(&self, path: &str, limit: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let found = self.must_be_there(path)?;
        self.try_read(|reader| {
            reader.content_with_zeros(&found.inode, 0..limit, &mut |bytes| {
                each(bytes);
                Ok(())
            })
        })
    }

    fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        let found = self.must_be_there(path)?;
        let entries = self.try_read(|reader| reader.names(&found.inode))?;
        let names = entries.into_iter().map(|entry| entry.name.into_vec());
        Ok(names
            .filter_map(|name| String::from_utf8(name).ok())
            .collect())
    }
}
