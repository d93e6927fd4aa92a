//! Contents: plain ones as they lie in the archive, sparse ones by their map.

use super::header;
use super::reader::{LayerReader, State, Step, take};
use super::sparse::SparseMap;
use super::{BLOCK_BYTES, TarProblem};
use crate::limits::LimitExceeded;

/// Where in an entry's content the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body {
    /// Bytes left in the archive.
    pub(super) left: u64,
    /// Bytes of padding behind them.
    pub(super) padding: u64,
    /// For a sparse file: the piece that is due, and the bytes of the file before it.
    pub(super) sparse: Option<SparsePosition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SparsePosition {
    segment: usize,
    position: u64,
}

impl LayerReader {
    pub(super) fn step_sparse_block<'i>(
        &mut self,
        input: &mut &'i [u8],
        blocks: usize,
        body: Body,
    ) -> Result<Step<'i>, TarProblem> {
        let limit = self.limits.extension_bytes as u64;
        LimitExceeded::check("sparse map", (blocks * BLOCK_BYTES) as u64, "bytes", limit)?;
        if !self.fill_block(input) {
            return Ok(Step::Starved);
        }
        let (entries, extended) = header::gnu_sparse_continuation(&self.block);
        self.map.push_old_gnu(entries)?;
        if extended {
            self.state = State::SparseBlock {
                blocks: blocks + 1,
                body,
            };
            return Ok(Step::Again);
        }
        self.announce(body)
    }

    pub(super) fn step_sparse_text<'i>(
        &mut self,
        input: &mut &'i [u8],
        mut body: Body,
    ) -> Result<Step<'i>, TarProblem> {
        if body.left < BLOCK_BYTES as u64 {
            return Err(TarProblem::SparseMap);
        }
        if !self.fill_block(input) {
            return Ok(Step::Starved);
        }
        body.left -= BLOCK_BYTES as u64;
        if self
            .sparse_text
            .push(&self.block, self.limits.extension_bytes, &mut self.map)?
        {
            return self.announce(body);
        }
        self.state = State::SparseText { body };
        Ok(Step::Again)
    }

    pub(super) fn step_body<'i>(
        &mut self,
        input: &mut &'i [u8],
        mut body: Body,
    ) -> Result<Step<'i>, TarProblem> {
        let due = match &mut body.sparse {
            None => body.left,
            Some(sparse) => match sparse.advance(&self.map) {
                Piece::Hole(length) => {
                    self.state = State::Body(body);
                    return Ok(Step::Hole(length));
                }
                Piece::Data(length) => length,
            },
        };
        if due == 0 {
            if body.left > 0 {
                return Err(TarProblem::SparseData("more"));
            }
            self.pending.clear();
            self.state = State::Padding(body.padding);
            return Ok(Step::EntryEnd);
        }
        if body.left == 0 {
            return Err(TarProblem::SparseData("less"));
        }
        let data = take(input, due.min(body.left));
        body.left -= data.len() as u64;
        if let Some(sparse) = &mut body.sparse {
            sparse.position += data.len() as u64;
        }
        self.state = State::Body(body);
        Ok(if data.is_empty() {
            Step::Starved
        } else {
            Step::Data(data)
        })
    }
}

enum Piece {
    Hole(u64),
    /// So many bytes of data are due; none at the file's end.
    Data(u64),
}

impl SparsePosition {
    fn advance(&mut self, map: &SparseMap) -> Piece {
        loop {
            let Some(segment) = map.segment(self.segment) else {
                let hole = map.size() - self.position;
                self.position = map.size();
                return if hole > 0 {
                    Piece::Hole(hole)
                } else {
                    Piece::Data(0)
                };
            };
            if self.position < segment.offset {
                let hole = segment.offset - self.position;
                self.position = segment.offset;
                return Piece::Hole(hole);
            }
            let left = segment.offset + segment.length - self.position;
            if left > 0 {
                return Piece::Data(left);
            }
            self.segment += 1;
        }
    }
}
