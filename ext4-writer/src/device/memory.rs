//! An image in memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Device;

/// A sparse image in memory, for tests and small images.
#[derive(Debug, Default)]
pub struct MemoryDevice {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    length: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

const PAGE: u64 = 64 * 1024;

impl MemoryDevice {
    /// An empty image.
    pub fn new() -> Self {
        Self::default()
    }

    /// Length of the image in bytes.
    pub fn length(&self) -> u64 {
        self.state().length
    }

    /// The whole image, holes as zeros.
    ///
    /// # Panics
    /// Where the image is longer than memory can hold.
    pub fn to_vec(&self) -> Vec<u8> {
        let state = self.state();
        let length = usize::try_from(state.length).expect("the image fits the address space");
        let mut out = vec![0; length];
        for (&page, bytes) in &state.pages {
            // A shortened image may keep its last page, which then is zeros past the end.
            let start = (page * PAGE) as usize;
            let count = bytes.len().min(length.saturating_sub(start));
            if count > 0 {
                out[start..start + count].copy_from_slice(&bytes[..count]);
            }
        }
        out
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pieces of `[offset, offset + length)` page by page: page index, range in the page, range in the buffer.
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done;
        let within = at % PAGE;
        let count = (PAGE - within).min(length - done);
        let piece = (
            at / PAGE,
            within as usize..(within + count) as usize,
            done as usize..(done + count) as usize,
        );
        done += count;
        Some(piece)
    })
}

impl Device for MemoryDevice {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (page, within, source) in pieces(offset, bytes.len() as u64) {
            let page = state
                .pages
                .entry(page)
                .or_insert_with(|| vec![0; PAGE as usize].into_boxed_slice());
            page[within].copy_from_slice(&bytes[source]);
        }
        state.length = state.length.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        for (page, within, target) in pieces(offset, bytes.len() as u64) {
            match state.pages.get(&page) {
                Some(page) => bytes[target].copy_from_slice(&page[within]),
                None => bytes[target].fill(0),
            }
        }
        Ok(())
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = self.state();
        let first = range.start / PAGE;
        let touched: Vec<u64> = state
            .pages
            .range(first..range.end.div_ceil(PAGE))
            .map(|(&page, _)| page)
            .collect();
        for page in touched {
            let start = range.start.max(page * PAGE) - page * PAGE;
            let end = range.end.min((page + 1) * PAGE) - page * PAGE;
            if end - start == PAGE {
                state.pages.remove(&page);
            } else if let Some(bytes) = state.pages.get_mut(&page) {
                bytes[start as usize..end as usize].fill(0);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if length < self.length() {
            let old = self.length();
            self.discard(length..old)?;
        }
        self.state().length = length;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
