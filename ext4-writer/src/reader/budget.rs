//! What one question may cost.

use std::cell::Cell;

use super::ReadError;

/// Entries between two looks at whether to stop.
const ENTRIES_PER_LOOK: u64 = 256;

/// Bounds on all calls of one [`ImageReader`](super::ImageReader) together. Inclusive: what equals a bound is accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadLimits {
    /// Bytes read from the image, and bytes of holes that are given out as zeros.
    pub bytes: u64,
    /// Directory entries, extents and block pointers looked at, and components of paths.
    pub entries: u64,
    /// Bytes of names and paths that are held at one time.
    pub memory: u64,
    /// Directories within directories, where a tree is walked.
    pub depth: usize,
}

impl Default for ReadLimits {
    /// 64 GiB, 100 million entries, 256 MiB, 1,024 directories deep.
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 100_000_000,
            memory: 256 << 20,
            depth: 1024,
        }
    }
}

/// What is left of the limits.
pub(super) struct Budget<'a> {
    limits: ReadLimits,
    bytes: Cell<u64>,
    entries: Cell<u64>,
    memory: Cell<u64>,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: ReadLimits, stop: &'a dyn Fn() -> bool) -> Self {
        Self {
            limits,
            bytes: Cell::new(0),
            entries: Cell::new(0),
            memory: Cell::new(0),
            stop,
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.limits.depth
    }

    /// Counts bytes that are read or given out.
    pub(super) fn bytes(&self, count: u64) -> Result<(), ReadError> {
        self.look()?;
        add(
            &self.bytes,
            count,
            "what was read",
            "bytes",
            self.limits.bytes,
        )
    }

    /// Counts one thing that was looked at.
    pub(super) fn entry(&self) -> Result<(), ReadError> {
        if self.entries.get().is_multiple_of(ENTRIES_PER_LOOK) {
            self.look()?;
        }
        let limit = self.limits.entries;
        add(&self.entries, 1, "what was looked at", "entries", limit)
    }

    /// Counts bytes that are held until [`Budget::release`].
    pub(super) fn hold(&self, count: u64) -> Result<(), ReadError> {
        let limit = self.limits.memory;
        add(&self.memory, count, "what is held of names", "bytes", limit)
    }

    pub(super) fn release(&self, count: u64) {
        self.memory.set(self.memory.get().saturating_sub(count));
    }

    fn look(&self) -> Result<(), ReadError> {
        match (self.stop)() {
            true => Err(ReadError::Stopped),
            false => Ok(()),
        }
    }
}

fn add(
    counter: &Cell<u64>,
    count: u64,
    what: &'static str,
    unit: &'static str,
    limit: u64,
) -> Result<(), ReadError> {
    let total = counter.get().saturating_add(count);
    if total > limit {
        return Err(ReadError::Limit { what, unit, limit });
    }
    counter.set(total);
    Ok(())
}
