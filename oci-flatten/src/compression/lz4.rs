//! LZ4 frames, current and legacy, over lz4_flex's blocks.
//!
//! [Frame format](https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md). lz4_flex's own reader of frames takes a stream that
//! ends between blocks for a whole one, and a legacy frame's bytes after the last block for one more. A kernel's build makes legacy frames
//! and appends the length of what is in them (lib/decompress_unlz4.c).

use std::hash::Hasher;

use twox_hash::XxHash32;

use super::step::{Codec, Step, malformed};
use super::{Compression, DecompressError, Trailing};

const MAGIC: u32 = 0x184d_2204;
const LEGACY_MAGIC: u32 = 0x184c_2102;
/// Skippable frames have this magic number, the last four bits free.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

/// What a block of a legacy frame expands to, at most.
const LEGACY_BLOCK_BYTES: usize = 8 << 20;
/// How far back a block may refer to the ones before it.
const WINDOW_BYTES: usize = 64 << 10;

/// `FLG` of the frame descriptor.
mod flag {
    pub(super) const VERSION: u8 = 0b1100_0000;
    pub(super) const VERSION_1: u8 = 0b0100_0000;
    pub(super) const INDEPENDENT: u8 = 0b0010_0000;
    pub(super) const BLOCK_CHECKSUM: u8 = 0b0001_0000;
    pub(super) const CONTENT_SIZE: u8 = 0b0000_1000;
    pub(super) const CONTENT_CHECKSUM: u8 = 0b0000_0100;
    pub(super) const DICTIONARY: u8 = 0b0000_0001;
}

/// The highest bit of a block's length: the block is stored.
const STORED: u32 = 1 << 31;

pub(super) struct Lz4 {
    trailing: Trailing,
    part: Part,
    /// Bytes of the part that came so far.
    input: Vec<u8>,
    /// How many the part has.
    wanted: usize,
    /// Bytes of a skippable frame that are still to come.
    to_skip: usize,
    frame: Frame,
    /// The last block, behind up to a window of what came before it.
    output: Vec<u8>,
    /// Where the caller has got to in it.
    position: usize,
}

/// The part of a frame that is collected.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Magic,
    SkipLength,
    Skip,
    /// `FLG` and `BD`.
    Descriptor,
    /// The rest of the descriptor, whose length `FLG` says.
    DescriptorRest,
    BlockLength,
    Block(u32),
    ContentChecksum,
    /// The length of a legacy block, or the magic number of another frame, or nothing.
    LegacyLength,
    LegacyBlock(u32),
    End,
}

/// What the descriptor of a current frame says, and what its content was so far.
struct Frame {
    flags: u8,
    block_bytes: usize,
    content_size: Option<u64>,
    given: u64,
    checksum: XxHash32,
}

impl Frame {
    fn new() -> Self {
        Self {
            flags: 0,
            block_bytes: 0,
            content_size: None,
            given: 0,
            checksum: XxHash32::with_seed(0),
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Lz4 {
    pub(super) fn new(trailing: Trailing) -> Self {
        Self {
            trailing,
            part: Part::Magic,
            input: Vec::new(),
            wanted: 4,
            to_skip: 0,
            frame: Frame::new(),
            output: Vec::new(),
            position: 0,
        }
    }

    /// Collects `wanted` bytes for `part` next.
    fn expect(&mut self, part: Part, wanted: usize) {
        self.part = part;
        self.wanted = wanted;
        self.input.clear();
    }

    /// The part is there: does what it says.
    fn advance(&mut self) -> Result<(), DecompressError> {
        match self.part {
            Part::Magic => self.magic(word(&self.input))?,
            Part::SkipLength => {
                self.to_skip = word(&self.input) as usize;
                self.expect(Part::Skip, 0);
            }
            Part::Skip => self.expect(Part::End, 0),
            Part::Descriptor => self.descriptor()?,
            Part::DescriptorRest => self.descriptor_rest()?,
            Part::BlockLength => self.block_length(word(&self.input))?,
            Part::Block(length) => self.block(length)?,
            Part::ContentChecksum => {
                if word(&self.input) != self.frame.checksum.finish() as u32 {
                    return Err(problem("the checksum of the content is wrong"));
                }
                self.expect(Part::End, 0);
            }
            Part::LegacyLength => match word(&self.input) {
                LEGACY_MAGIC => self.expect(Part::LegacyLength, 4),
                magic if magic == MAGIC || magic & !0xf == SKIPPABLE_MAGIC => self.magic(magic)?,
                length => self.legacy_length(length)?,
            },
            Part::LegacyBlock(_) => {
                let block = std::mem::take(&mut self.input);
                self.decompress(&block, LEGACY_BLOCK_BYTES, false)?;
                self.frame.given += (self.output.len() - self.position) as u64;
                self.expect(Part::LegacyLength, 4);
            }
            Part::End => {}
        }
        Ok(())
    }

    fn magic(&mut self, magic: u32) -> Result<(), DecompressError> {
        match magic {
            LEGACY_MAGIC => self.expect(Part::LegacyLength, 4),
            MAGIC => self.expect(Part::Descriptor, 2),
            skippable if skippable & !0xf == SKIPPABLE_MAGIC => self.expect(Part::SkipLength, 4),
            other => return Err(problem(format!("unknown magic number {other:#010x}"))),
        }
        self.output.clear();
        self.position = 0;
        self.frame = Frame::new();
        Ok(())
    }

    fn legacy_length(&mut self, length: u32) -> Result<(), DecompressError> {
        let is_block = (1..=compressed_bound(LEGACY_BLOCK_BYTES)).contains(&(length as usize));
        match self.trailing {
            _ if is_block => self.expect(Part::LegacyBlock(length), length as usize),
            Trailing::Ignored => self.expect(Part::End, 0),
            Trailing::Length if length == self.frame.given as u32 => self.expect(Part::End, 0),
            _ => return Err(problem(format!("a legacy block has {length} bytes"))),
        }
        Ok(())
    }

    fn descriptor(&mut self) -> Result<(), DecompressError> {
        let (flags, block) = (self.input[0], self.input[1]);
        if flags & flag::VERSION != flag::VERSION_1 {
            return Err(problem("a frame of an unknown version"));
        }
        if flags & flag::DICTIONARY != 0 {
            return Err(problem("a frame that needs a dictionary"));
        }
        // 4 is 64 KiB, 7 is 4 MiB.
        self.frame.block_bytes = match block >> 4 & 7 {
            size @ 4..=7 => 1 << (8 + 2 * size),
            size => return Err(problem(format!("blocks of size {size}"))),
        };
        self.frame.flags = flags;
        self.part = Part::DescriptorRest;
        let size = if flags & flag::CONTENT_SIZE != 0 {
            8
        } else {
            0
        };
        self.wanted = 2 + size + 1;
        Ok(())
    }

    fn descriptor_rest(&mut self) -> Result<(), DecompressError> {
        let (described, check) = self.input.split_at(self.input.len() - 1);
        if (XxHash32::oneshot(0, described) >> 8) as u8 != check[0] {
            return Err(problem("the checksum of the frame header is wrong"));
        }
        self.frame.content_size = described[2..].try_into().ok().map(u64::from_le_bytes);
        self.expect(Part::BlockLength, 4);
        Ok(())
    }

    fn block_length(&mut self, length: u32) -> Result<(), DecompressError> {
        if length == 0 {
            let given = self.frame.given;
            if let Some(size) = self.frame.content_size.filter(|size| *size != given) {
                return Err(problem(format!(
                    "the frame holds {given} bytes, its header says {size}"
                )));
            }
            match self.frame.has(flag::CONTENT_CHECKSUM) {
                true => self.expect(Part::ContentChecksum, 4),
                false => self.expect(Part::End, 0),
            }
            return Ok(());
        }
        let bytes = (length & !STORED) as usize;
        if bytes > self.frame.block_bytes {
            return Err(problem(format!("a block has {bytes} bytes")));
        }
        let checksum = if self.frame.has(flag::BLOCK_CHECKSUM) {
            4
        } else {
            0
        };
        self.expect(Part::Block(length), bytes + checksum);
        Ok(())
    }

    fn block(&mut self, length: u32) -> Result<(), DecompressError> {
        let mut block = std::mem::take(&mut self.input);
        if self.frame.has(flag::BLOCK_CHECKSUM) {
            let check = block.split_off((length & !STORED) as usize);
            if word(&check) != XxHash32::oneshot(0, &block) {
                return Err(problem("the checksum of a block is wrong"));
            }
        }
        let linked = !self.frame.has(flag::INDEPENDENT);
        if length & STORED != 0 {
            self.keep_window(linked);
            self.output.extend_from_slice(&block);
        } else {
            self.decompress(&block, self.frame.block_bytes, linked)?;
        }
        let content = &self.output[self.position..];
        self.frame.given += content.len() as u64;
        if self.frame.has(flag::CONTENT_CHECKSUM) {
            self.frame.checksum.write(content);
        }
        self.expect(Part::BlockLength, 4);
        Ok(())
    }

    /// Lets go of the output that was given, but for what the next block may refer to.
    fn keep_window(&mut self, linked: bool) {
        let kept = if linked { WINDOW_BYTES } else { 0 };
        let gone = self.output.len().saturating_sub(kept);
        self.output.drain(..gone);
        self.position = self.output.len();
    }

    fn decompress(
        &mut self,
        block: &[u8],
        limit: usize,
        linked: bool,
    ) -> Result<(), DecompressError> {
        self.keep_window(linked);
        let start = self.position;
        self.output.resize(start + limit, 0);
        let (window, fresh) = self.output.split_at_mut(start);
        let length = lz4_flex::block::decompress_into_with_dict(block, fresh, window)
            .map_err(|error| malformed(Compression::Lz4, error))?;
        self.output.truncate(start + length);
        Ok(())
    }

    /// There is no more input: whether the frame may end here.
    fn at_end_of_input(&self) -> bool {
        let given = self.frame.given as u32;
        let ends = match self.part {
            Part::LegacyLength => self.trailing != Trailing::Length,
            Part::LegacyBlock(length) => self.trailing == Trailing::Length && length == given,
            _ => false,
        };
        ends && self.input.is_empty()
    }
}

impl Codec for Lz4 {
    fn begins(&self, byte: u8) -> bool {
        matches!(byte, 0x02 | 0x04 | 0x50..=0x5f)
    }

    fn begin(&mut self) -> Result<(), DecompressError> {
        self.expect(Part::Magic, 4);
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecompressError> {
        let mut step = Step::default();
        loop {
            let ready = &self.output[self.position..];
            if !ready.is_empty() {
                step.given = ready.len().min(output.len());
                output[..step.given].copy_from_slice(&ready[..step.given]);
                self.position += step.given;
                return Ok(step);
            }
            if self.part == Part::End {
                step.ended = true;
                return Ok(step);
            }
            let rest = &input[step.taken..];
            if self.to_skip > 0 {
                let skipped = rest.len().min(self.to_skip);
                self.to_skip -= skipped;
                step.taken += skipped;
                if self.to_skip > 0 {
                    return Ok(step);
                }
                continue;
            }
            let missing = self.wanted - self.input.len();
            let taken = missing.min(rest.len());
            self.input.extend_from_slice(&rest[..taken]);
            step.taken += taken;
            if taken < missing {
                step.ended = input.is_empty() && self.at_end_of_input();
                return Ok(step);
            }
            self.advance()?;
        }
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |word| u32::from_le_bytes(*word))
}

/// What a block of so many bytes may take when it does not compress (`LZ4_COMPRESSBOUND`).
fn compressed_bound(bytes: usize) -> usize {
    bytes + bytes / 255 + 16
}

fn problem(text: impl ToString) -> DecompressError {
    malformed(Compression::Lz4, text)
}
