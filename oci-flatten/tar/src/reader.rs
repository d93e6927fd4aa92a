//! The state machine that turns bytes into events.

use crate::block::{BLOCK_BYTES, Block, is_zero, padding, take};
use crate::body::{Body, Part};
use crate::entry::{Current, Entry};
use crate::error::{TarError, TarProblem};
use crate::header::{self, Header};
use crate::limits::{LimitExceeded, Limits};
use crate::pending::Pending;
use crate::sparse::{MapRest, SparseMap, SparseText};

/// What the reader found; contents are slices of the bytes that were put in.
#[derive(Debug)]
pub enum Event<'r> {
    /// An entry begins.
    Entry(Entry<'r>),
    /// The next bytes of its content.
    Data(&'r [u8]),
    /// The next bytes of its content are this many zeros that the archive does not hold.
    Hole(u64),
    /// The entry's content is complete. Follows every [`Event::Entry`], also where there is no content.
    EntryEnd,
}

/// How the bytes of an archive ended, which [`TarReader::finish`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndMarker {
    /// With a block of zeros at least, of the two that mark the end.
    Present,
    /// Between two entries. Either the writer left the marker out, or more was to come.
    Missing,
}

/// Reads one tar archive from bytes pushed in.
///
/// Holds at most a few times [`Limits::extension_bytes`], whatever the archive.
#[derive(Debug)]
pub struct TarReader {
    state: State,
    /// Bytes taken so far.
    offset: u64,
    block: Block,
    /// Valid bytes of `block`, while it waits for the rest.
    filled: usize,
    extension: Vec<u8>,
    pending: Pending,
    entry: Current,
    map: SparseMap,
    sparse_text: SparseText,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    /// One zero block was read; nothing but a second one or the end may follow.
    ZeroBlock,
    /// The body of an extension header of this type.
    Extension {
        type_flag: u8,
        left: u64,
        padding: u64,
    },
    /// A continuation block of an old GNU sparse map, before `body`.
    SparseBlock {
        blocks: usize,
        body: Body,
    },
    /// The sparse map of format 1.0 at the front of `body`.
    SparseText {
        body: Body,
    },
    /// Content.
    Body(Body),
    Padding(u64),
    End,
}

/// An event without the parts that borrow from the reader.
enum Step<'i> {
    Again,
    Starved,
    Entry,
    Data(&'i [u8]),
    Hole(u64),
    EntryEnd,
}

impl TarReader {
    /// A reader at the start of an archive.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: State::Header,
            offset: 0,
            block: [0; BLOCK_BYTES],
            filled: 0,
            extension: Vec::new(),
            pending: Pending::default(),
            entry: Current::default(),
            map: SparseMap::default(),
            sparse_text: SparseText::default(),
            limits: limits.clone(),
        }
    }

    /// The next event, taking from the front of `input` what it needed; `None` when all of `input` is used up.
    ///
    /// Bytes behind the end of the archive are taken and ignored.
    ///
    /// # Errors
    /// The archive is malformed or passes a limit; the reader is of no further use then.
    pub fn next_event<'r, 'i: 'r>(
        &'r mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'r>>, TarError> {
        loop {
            let before = input.len();
            let step = self.step(input);
            self.offset += (before - input.len()) as u64;
            let offset = self.offset;
            match step.map_err(|problem| TarError { offset, problem })? {
                Step::Again => {}
                Step::Starved => return Ok(None),
                Step::Entry => return Ok(Some(Event::Entry(self.entry.entry(&self.pending.pax)))),
                Step::Data(data) => return Ok(Some(Event::Data(data))),
                Step::Hole(length) => return Ok(Some(Event::Hole(length))),
                Step::EntryEnd => return Ok(Some(Event::EntryEnd)),
            }
        }
    }

    /// Leaves the rest of a plain content to the caller, who goes on behind it; how many bytes that is. `None` where
    /// the content is sparse, or where no content is due.
    pub fn pass_over_content(&mut self) -> Option<u64> {
        match &mut self.state {
            State::Body(body) if !body.is_sparse() => {
                let passed = std::mem::take(&mut body.left);
                self.offset += passed;
                Some(passed)
            }
            _ => None,
        }
    }

    /// Whether the archive's end was read: two blocks of zeros.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Says that no more bytes will come; whether the archive's end was marked.
    ///
    /// # Errors
    /// The archive stops inside a header or a content. The padding behind the last content may be missing.
    pub fn finish(&self) -> Result<EndMarker, TarError> {
        let end = match self.state {
            State::Header if self.filled == 0 => Some(EndMarker::Missing),
            State::Extension { left: 0, .. } | State::Padding(_) => Some(EndMarker::Missing),
            State::ZeroBlock if self.filled == 0 => Some(EndMarker::Present),
            State::End => Some(EndMarker::Present),
            _ => None,
        };
        end.ok_or(TarError {
            offset: self.offset,
            problem: TarProblem::Truncated,
        })
    }

    fn step<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, TarProblem> {
        match self.state {
            State::Header => self.step_header(input),
            State::ZeroBlock => self.step_zero_block(input),
            State::Extension {
                type_flag,
                left,
                padding,
            } => self.step_extension(input, type_flag, left, padding),
            State::SparseBlock { blocks, body } => self.step_sparse_block(input, blocks, body),
            State::SparseText { body } => self.step_sparse_text(input, body),
            State::Body(body) => self.step_body(input, body),
            State::Padding(left) => {
                let left = left - take(input, left).len() as u64;
                self.state = if left == 0 {
                    State::Header
                } else {
                    State::Padding(left)
                };
                Ok(if left == 0 {
                    Step::Again
                } else {
                    Step::Starved
                })
            }
            State::End => {
                *input = &[];
                Ok(Step::Starved)
            }
        }
    }

    /// Completes `self.block` from `input`; false if there is not enough.
    fn fill_block(&mut self, input: &mut &[u8]) -> bool {
        let part = take(input, (BLOCK_BYTES - self.filled) as u64);
        self.block[self.filled..self.filled + part.len()].copy_from_slice(part);
        self.filled += part.len();
        let full = self.filled == BLOCK_BYTES;
        if full {
            self.filled = 0;
        }
        full
    }

    fn step_zero_block<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, TarProblem> {
        if !self.fill_block(input) {
            return Ok(Step::Starved);
        }
        if !is_zero(&self.block) {
            return Err(TarProblem::LoneZeroBlock);
        }
        self.state = State::End;
        Ok(Step::Again)
    }

    fn step_header<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, TarProblem> {
        if !self.fill_block(input) {
            return Ok(Step::Starved);
        }
        if is_zero(&self.block) {
            self.state = State::ZeroBlock;
            return Ok(Step::Again);
        }
        let header = Header::parse(&self.block)?;
        match header.type_flag {
            b'x' | b'g' | b'L' | b'K' => self.begin_extension(&header).map(|()| Step::Again),
            _ => self.begin_entry(header),
        }
    }

    fn begin_extension(&mut self, header: &Header) -> Result<(), TarProblem> {
        let left = u64::try_from(header.size).map_err(|_| TarProblem::NegativeSize)?;
        let limit = self.limits.extension_bytes as u64;
        LimitExceeded::check("extension header", left, "bytes", limit)?;
        self.pending.headers += 1;
        let headers = self.pending.headers as u64;
        let limit = self.limits.extension_headers as u64;
        LimitExceeded::check("extension header chain", headers, "headers", limit)?;
        self.extension.clear();
        self.state = State::Extension {
            type_flag: header.type_flag,
            left,
            padding: padding(left),
        };
        Ok(())
    }

    fn step_extension<'i>(
        &mut self,
        input: &mut &'i [u8],
        type_flag: u8,
        left: u64,
        padding: u64,
    ) -> Result<Step<'i>, TarProblem> {
        let part = take(input, left);
        self.extension.extend_from_slice(part);
        let left = left - part.len() as u64;
        if left > 0 {
            self.state = State::Extension {
                type_flag,
                left,
                padding,
            };
            return Ok(Step::Starved);
        }
        self.pending.take(type_flag, &mut self.extension)?;
        self.state = State::Padding(padding);
        Ok(Step::Again)
    }

    fn begin_entry<'i>(&mut self, header: Header) -> Result<Step<'i>, TarProblem> {
        let size = self.entry.begin(header, &self.block, &mut self.pending)?;
        let pax = &self.pending.pax;
        let rest = self.entry.begin_map(&mut self.map, &self.block, pax)?;
        let body = Body::new(size, rest.is_some());
        match rest {
            None | Some(MapRest::Nowhere) => return self.announce(body),
            Some(MapRest::Blocks) => self.state = State::SparseBlock { blocks: 1, body },
            Some(MapRest::Text) => {
                self.sparse_text.clear();
                self.state = State::SparseText { body };
            }
        }
        Ok(Step::Again)
    }

    fn step_sparse_block<'i>(
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

    fn step_sparse_text<'i>(
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

    /// All that precedes the content has been read.
    fn announce<'i>(&mut self, body: Body) -> Result<Step<'i>, TarProblem> {
        self.entry.size = if body.is_sparse() {
            self.map.size()
        } else {
            body.left
        };
        LimitExceeded::check("file", self.entry.size, "bytes", self.limits.file_bytes)?;
        self.state = State::Body(body);
        Ok(Step::Entry)
    }

    fn step_body<'i>(
        &mut self,
        input: &mut &'i [u8],
        mut body: Body,
    ) -> Result<Step<'i>, TarProblem> {
        let part = body.advance(input, &self.map)?;
        self.state = State::Body(body);
        Ok(match part {
            None => Step::Starved,
            Some(Part::Data(data)) => Step::Data(data),
            Some(Part::Hole(length)) => Step::Hole(length),
            Some(Part::End) => {
                self.pending.clear();
                self.state = State::Padding(body.padding);
                Step::EntryEnd
            }
        })
    }
}
