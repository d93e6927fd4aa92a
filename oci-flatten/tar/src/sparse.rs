//! Sparse maps: which pieces of a file are in the archive; the rest are holes.

use crate::block::Block;
use crate::error::TarProblem;
use crate::header::{self, Dialect, Header};
use crate::limits::LimitExceeded;
use crate::pax::{Key, PaxHeader, parse_decimal};

/// One piece of data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Pieces in order, apart or touching, none beyond the file's end.
#[derive(Debug, Default)]
pub(crate) struct SparseMap {
    segments: Vec<Segment>,
    size: u64,
}

/// Where the rest of a sparse file's map is, once its headers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapRest {
    /// There is none: the map is complete.
    Nowhere,
    /// In continuation blocks behind the header (old GNU).
    Blocks,
    /// In front of the data, as text (format 1.0).
    Text,
}

impl SparseMap {
    /// Begins the map of an entry, as far as its headers have one; `None` where the entry is not sparse.
    pub(crate) fn begin(
        &mut self,
        header: &Header,
        block: &Block,
        pax: &PaxHeader,
    ) -> Result<Option<MapRest>, TarProblem> {
        if header.type_flag == b'S' {
            return self.begin_old_gnu(header, block).map(Some);
        }
        let has_map = || pax.sparse_numbers().next().is_some();
        let rest = match (pax.value(Key::SparseMajor), pax.value(Key::SparseMinor)) {
            (Some(b"0"), Some(b"0" | b"1")) => MapRest::Nowhere,
            (Some(b"1"), Some(b"0")) => MapRest::Text,
            (None, None) if has_map() => MapRest::Nowhere,
            _ => return Ok(None),
        };
        let size = match pax.number(Key::SparseSize, "sparse size")? {
            Some(size) => Some(size),
            None => pax.number(Key::SparseRealSize, "sparse size")?,
        };
        self.reset(size.unwrap_or(header.size))?;
        if rest == MapRest::Nowhere {
            self.read_records(pax)?;
        }
        Ok(Some(rest))
    }

    fn begin_old_gnu(&mut self, header: &Header, block: &Block) -> Result<MapRest, TarProblem> {
        if header.dialect != Dialect::Gnu {
            return Err(TarProblem::SparseMap);
        }
        let size = header::gnu_real_size(block).ok_or(TarProblem::Number("real size"))?;
        self.reset(size)?;
        let (entries, extended) = header::gnu_sparse_map(block);
        self.push_old_gnu(entries)?;
        Ok(if extended {
            MapRest::Blocks
        } else {
            MapRest::Nowhere
        })
    }

    /// An empty map of a file of `size` bytes, in the old map's memory.
    fn reset(&mut self, size: i64) -> Result<(), TarProblem> {
        self.segments.clear();
        self.size = u64::try_from(size).map_err(|_| TarProblem::NegativeSize)?;
        Ok(())
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn segment(&self, index: usize) -> Option<Segment> {
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
    pub(crate) fn push_old_gnu(&mut self, entries: &[u8]) -> Result<(), TarProblem> {
        for entry in entries.chunks_exact(24).take_while(|entry| entry[0] != 0) {
            self.push(
                header::parse_number(&entry[..12]),
                header::parse_number(&entry[12..]),
            )?;
        }
        Ok(())
    }

    /// The map in the records of formats 0.0 and 0.1.
    fn read_records(&mut self, records: &PaxHeader) -> Result<(), TarProblem> {
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
pub(crate) struct SparseText {
    text: Vec<u8>,
    lines: u64,
    /// Lines that the whole map has, once the first is there.
    wanted: Option<u64>,
}

impl SparseText {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.lines = 0;
        self.wanted = None;
    }

    /// Takes one block; true once `map` is complete.
    pub(crate) fn push(
        &mut self,
        block: &Block,
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
