//! Sparse files: which pieces of a file the archive has; the rest are holes.
//!
//! GNU's own format has the map in headers, versions 0.0 and 0.1 of that of PAX in records, version 1.0 in front of the data; see
//! ["Storing Sparse Files"](https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html) in GNU tar's manual.

use std::io::{self, Read};

use super::archive::BLOCK_BYTES;
use super::pax::decimal;

/// What all records of sparse files begin with.
pub(super) const PREFIX: &[u8] = b"GNU.sparse.";

/// Digits of the largest number of 64 bits.
const MAX_DIGITS: usize = 20;

/// The most numbers of a map, two a piece, which bounds the memory: 8 MiB.
const MAX_NUMBERS: usize = 1 << 20;

/// What records or headers say of one sparse file.
#[derive(Default)]
pub(super) struct Sparse {
    /// The file's name, where the header has one made up for tools that do not know the format.
    pub(super) name: Option<Box<[u8]>>,
    size: Option<u64>,
    /// Version 1.0.
    map_in_data: bool,
    /// Offset and length of each piece in turn.
    numbers: Vec<u64>,
}

/// Pieces in order, apart or touching, none beyond the file's end.
pub(super) struct SparseMap {
    pub(super) size: u64,
    pub(super) pieces: Vec<Piece>,
}

pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Sparse {
    /// A file of `size` bytes, none of them in the archive as yet.
    pub(super) fn sized(size: u64) -> Self {
        Self {
            size: Some(size),
            ..Self::default()
        }
    }

    /// Takes a record, without the prefix of its key.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let odd = self.numbers.len() % 2 == 1;
        match key {
            b"name" => self.name = Some(value.into()),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"major" => self.map_in_data = decimal(value)? == 1,
            b"offset" if !odd => self.push(decimal(value)?)?,
            b"numbytes" if odd => self.push(decimal(value)?)?,
            b"map" => {
                let mut numbers = value.split(|&byte| byte == b',').map(decimal);
                numbers.try_for_each(|number| self.push(number?))?;
            }
            // How many pieces there are is seen anyway, and no minor version changes the format.
            b"numblocks" | b"minor" => {}
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Appends an offset or a length, in turns.
    pub(super) fn push(&mut self, number: u64) -> io::Result<()> {
        if self.numbers.len() == MAX_NUMBERS {
            let what = format!("more than {} pieces", MAX_NUMBERS / 2);
            return Err(super::malformed(&what));
        }
        self.numbers.push(number);
        Ok(())
    }

    /// The whole map; `stored` bytes are in the archive, and `data` is at their beginning.
    pub(super) fn map(mut self, mut stored: u64, data: &mut impl Read) -> io::Result<SparseMap> {
        if self.map_in_data {
            let blocks = self.read_map(data)?;
            stored = stored
                .checked_sub(BLOCK_BYTES as u64 * blocks)
                .ok_or_else(malformed)?;
        }
        let size = self.size.ok_or_else(malformed)?;
        let (pairs, rest) = self.numbers.as_chunks();
        let mut pieces = Vec::with_capacity(pairs.len());
        let mut end = 0;
        for &[offset, length] in pairs {
            let fits = offset >= end && length <= stored;
            stored = stored.wrapping_sub(length);
            end = match offset.checked_add(length) {
                Some(end) if fits && end <= size => end,
                _ => return Err(malformed()),
            };
            pieces.push(Piece { offset, length });
        }
        if stored > 0 || !rest.is_empty() {
            return Err(malformed());
        }
        Ok(SparseMap { size, pieces })
    }

    /// Reads the map of version 1.0, lines of decimal numbers with the count of pieces first; how many blocks it fills.
    fn read_map(&mut self, data: &mut impl Read) -> io::Result<u64> {
        let (mut blocks, mut count, mut line) = (0, None, Vec::new());
        loop {
            let mut block = [0; BLOCK_BYTES];
            data.read_exact(&mut block)?;
            blocks += 1;
            for byte in block {
                match byte {
                    b'\n' => {
                        let number = decimal(&line)?;
                        line.clear();
                        match count {
                            None => count = Some(number),
                            Some(_) => self.push(number)?,
                        }
                    }
                    digit if line.len() < MAX_DIGITS => line.push(digit),
                    _ => return Err(malformed()),
                }
                // What is left of the block is padding.
                if count.is_some_and(|count| self.numbers.len() as u64 / 2 >= count) {
                    return Ok(blocks);
                }
            }
        }
    }
}

fn malformed() -> io::Error {
    super::malformed("malformed sparse map")
}
