//! Sparse maps: which pieces of a file are in the archive; the rest are holes.

use super::header;
use super::pax::{Key, PaxRecords, parse_decimal};
use super::{BLOCK_BYTES, TarProblem};
use crate::limits::LimitExceeded;

/// One piece of data.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Pieces in order, apart or touching, none beyond the file's end.
#[derive(Debug, Default)]
pub(super) struct SparseMap {
    segments: Vec<Segment>,
    size: u64,
}

impl SparseMap {
    /// An empty map of a file of `size` bytes, in the old map's memory.
    pub(super) fn reset(&mut self, size: i64) -> Result<(), TarProblem> {
        self.segments.clear();
        self.size = u64::try_from(size).map_err(|_| TarProblem::NegativeSize)?;
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn segment(&self, index: usize) -> Option<Segment> {
        self.segments.get(index).copied()
    }

    fn push(&mut self, offset: Option<i64>, length: Option<i64>) -> Result<(), TarProblem> {
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let (Some(offset), Some(length)) = (number(offset), number(length)) else {
            return Err(TarProblem::SparseMap);
        };
        let start = self
            .segments
            .last()
            .map_or(0, |last| last.offset + last.length);
        // Both are below 2⁶³, so the sum fits.
        if offset < start || offset + length > self.size {
            return Err(TarProblem::SparseMap);
        }
        self.segments.push(Segment { offset, length });
        Ok(())
    }

    /// Entries of an old GNU header or continuation block, 24 bytes each; a NUL in front ends them.
    pub(super) fn push_old_gnu(&mut self, entries: &[u8]) -> Result<(), TarProblem> {
        for entry in entries.chunks_exact(24).take_while(|entry| entry[0] != 0) {
            self.push(
                header::parse_number(&entry[..12]),
                header::parse_number(&entry[12..]),
            )?;
        }
        Ok(())
    }

    /// The map in the records of formats 0.0 and 0.1.
    pub(super) fn read_records(&mut self, records: &PaxRecords) -> Result<(), TarProblem> {
        let expected = records.number(Key::SparseBlocks, "sparse map length")?;
        let mut numbers = records.sparse_numbers().map(parse_decimal);
        let mut count = 0;
        while let Some(offset) = numbers.next() {
            self.push(offset, numbers.next().flatten())?;
            count += 1;
        }
        if expected == Some(count) {
            Ok(())
        } else {
            Err(TarProblem::SparseMap)
        }
    }
}

/// The map of format 1.0 while its blocks arrive: lines of decimal numbers in front of the file's data,
/// the count of pieces first.
#[derive(Debug, Default)]
pub(super) struct SparseText {
    text: Vec<u8>,
    lines: u64,
    /// Lines that the whole map has, once the first is there.
    wanted: Option<u64>,
}

impl SparseText {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.lines = 0;
        self.wanted = None;
    }

    /// Takes one block; true once `map` is complete.
    pub(super) fn push(
        &mut self,
        block: &[u8; BLOCK_BYTES],
        limit: usize,
        map: &mut SparseMap,
    ) -> Result<bool, TarProblem> {
        self.text.extend_from_slice(block);
        LimitExceeded::check("sparse map", self.text.len() as u64, "bytes", limit as u64)?;
        self.lines += block.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if self.wanted.is_none() && self.lines > 0 {
            let first = self
                .text
                .split(|&byte| byte == b'\n')
                .next()
                .and_then(parse_decimal);
            let pieces = first
                .and_then(|pieces| u64::try_from(pieces).ok())
                .ok_or(TarProblem::SparseMap)?;
            LimitExceeded::check("sparse map", pieces, "pieces", limit as u64 / 4)?;
            self.wanted = Some(1 + 2 * pieces);
        }
        match self.wanted {
            Some(wanted) if self.lines >= wanted => {
                let mut numbers = self
                    .text
                    .split(|&byte| byte == b'\n')
                    .skip(1)
                    .map(parse_decimal);
                for _ in 0..wanted / 2 {
                    map.push(numbers.next().flatten(), numbers.next().flatten())?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
