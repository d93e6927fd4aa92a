//! The state machine that turns bytes into events.

use super::body::Body;
use super::entry::{Current, Entry};
use super::header::{self, Block, Header};
use super::pax::PaxRecords;
use super::sparse::{SparseMap, SparseText};
use super::{BLOCK_BYTES, TarError, TarProblem};
use crate::limits::{LimitExceeded, Limits};

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

/// Reads one layer's tar archive from bytes pushed in.
///
/// Holds at most a few times [`Limits::extension_bytes`], whatever the archive.
#[derive(Debug)]
pub struct LayerReader {
    pub(super) state: State,
    /// Bytes taken so far.
    offset: u64,
    pub(super) block: Block,
    /// Valid bytes of `block`, while it waits for the rest.
    filled: usize,
    extension: Vec<u8>,
    pub(super) pending: Pending,
    pub(super) entry: Current,
    pub(super) map: SparseMap,
    pub(super) sparse_text: SparseText,
    pub(super) limits: ReaderLimits,
}

#[derive(Debug)]
pub(super) struct ReaderLimits {
    pub(super) extension_bytes: usize,
    pub(super) extension_headers: usize,
    pub(super) file_bytes: u64,
}

/// What extension headers said about the entry to come.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) headers: usize,
    pub(super) pax: PaxRecords,
    pub(super) long_name: Vec<u8>,
    pub(super) long_link: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
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
pub(super) enum Step<'i> {
    Again,
    Starved,
    Entry,
    Data(&'i [u8]),
    Hole(u64),
    EntryEnd,
}

impl LayerReader {
    /// A reader at the start of an archive.
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
            limits: ReaderLimits {
                extension_bytes: limits.extension_bytes,
                extension_headers: limits.extension_headers,
                file_bytes: limits.file_bytes,
            },
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
                Step::Entry => return Ok(Some(Event::Entry(self.entry()))),
                Step::Data(data) => return Ok(Some(Event::Data(data))),
                Step::Hole(length) => return Ok(Some(Event::Hole(length))),
                Step::EntryEnd => return Ok(Some(Event::EntryEnd)),
            }
        }
    }

    /// Leaves the rest of a plain content to the caller, who goes on behind it; how many bytes that is. `None` where the content
    /// is sparse, or where no content is due.
    pub(crate) fn pass_over_content(&mut self) -> Option<u64> {
        let State::Body(Body {
            left, sparse: None, ..
        }) = &mut self.state
        else {
            return None;
        };
        let passed = std::mem::take(left);
        self.offset += passed;
        Some(passed)
    }

    /// Whether the archive's end was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Says that no more bytes will come.
    ///
    /// # Errors
    /// The archive stops inside a header or a content. A missing end marker is no error.
    pub fn finish(&self) -> Result<(), TarError> {
        let complete = match self.state {
            State::Header | State::ZeroBlock => self.filled == 0,
            State::Padding(_) | State::End => true,
            State::Extension { left, .. } => left == 0,
            State::SparseBlock { .. } | State::SparseText { .. } | State::Body(_) => false,
        };
        if complete {
            Ok(())
        } else {
            Err(TarError {
                offset: self.offset,
                problem: TarProblem::Truncated,
            })
        }
    }

    fn step<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, TarProblem> {
        match self.state {
            State::Header => self.step_header(input),
            State::ZeroBlock => self.step_zero_block(input),
            State::Extension { .. } => self.step_extension(input),
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
    pub(super) fn fill_block(&mut self, input: &mut &[u8]) -> bool {
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
        let (headers, limit) = (
            self.pending.headers as u64,
            self.limits.extension_headers as u64,
        );
        LimitExceeded::check("extension header chain", headers, "headers", limit)?;
        self.extension.clear();
        self.state = State::Extension {
            type_flag: header.type_flag,
            left,
            padding: padding(left),
        };
        Ok(())
    }

    fn step_extension<'i>(&mut self, input: &mut &'i [u8]) -> Result<Step<'i>, TarProblem> {
        let State::Extension {
            type_flag,
            left,
            padding,
        } = self.state
        else {
            return Ok(Step::Again);
        };
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
        match type_flag {
            b'L' => replace(
                &mut self.pending.long_name,
                header::c_string(&self.extension),
            ),
            b'K' => replace(
                &mut self.pending.long_link,
                header::c_string(&self.extension),
            ),
            b'x' => self.pending.pax.replace(&mut self.extension)?,
            _ => {
                // A global header is checked and dropped, and with it, as in Go, what came before it.
                self.pending.pax.replace(&mut self.extension)?;
                self.pending.clear();
            }
        }
        self.state = State::Padding(padding);
        Ok(Step::Again)
    }
}

impl Pending {
    pub(super) fn clear(&mut self) {
        if self.headers > 0 {
            self.headers = 0;
            self.pax.clear();
            self.long_name.clear();
            self.long_link.clear();
        }
    }
}

/// Splits up to `limit` bytes off the front.
pub(super) fn take<'i>(input: &mut &'i [u8], limit: u64) -> &'i [u8] {
    let count = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .min(input.len());
    let (head, tail) = input.split_at(count);
    *input = tail;
    head
}

pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

pub(super) fn replace(target: &mut Vec<u8>, source: &[u8]) {
    target.clear();
    target.extend_from_slice(source);
}

fn is_zero(block: &Block) -> bool {
    block.iter().all(|&byte| byte == 0)
}
