//! Contents: plain ones as they lie in the archive, sparse ones by their map.

use crate::block::{padding, take};
use crate::error::TarProblem;
use crate::sparse::SparseMap;

/// Where in an entry's content the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Body {
    /// Bytes left in the archive.
    pub(crate) left: u64,
    /// Bytes of padding behind them.
    pub(crate) padding: u64,
    /// Where the file is sparse.
    sparse: Option<SparsePosition>,
}

/// The piece that is due, and the bytes of the file before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct SparsePosition {
    segment: usize,
    position: u64,
}

/// The next part of a content.
pub(crate) enum Part<'i> {
    Data(&'i [u8]),
    Hole(u64),
    End,
}

impl Body {
    pub(crate) fn new(size: u64, is_sparse: bool) -> Self {
        Self {
            left: size,
            padding: padding(size),
            sparse: is_sparse.then(SparsePosition::default),
        }
    }

    pub(crate) fn is_sparse(&self) -> bool {
        self.sparse.is_some()
    }

    /// The next part, data from the front of `input`; `None` where there is none and some is due.
    pub(crate) fn advance<'i>(
        &mut self,
        input: &mut &'i [u8],
        map: &SparseMap,
    ) -> Result<Option<Part<'i>>, TarProblem> {
        let due = match &mut self.sparse {
            None => self.left,
            Some(sparse) => match sparse.advance(map) {
                Piece::Hole(length) => return Ok(Some(Part::Hole(length))),
                Piece::Data(length) => length,
            },
        };
        if due == 0 {
            return match self.left {
                0 => Ok(Some(Part::End)),
                _ => Err(TarProblem::SparseData("more")),
            };
        }
        if self.left == 0 {
            return Err(TarProblem::SparseData("less"));
        }
        let data = take(input, due.min(self.left));
        self.left -= data.len() as u64;
        if let Some(sparse) = &mut self.sparse {
            sparse.position += data.len() as u64;
        }
        Ok((!data.is_empty()).then_some(Part::Data(data)))
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
