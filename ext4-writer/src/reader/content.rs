//! What a file holds.

use std::ops::{ControlFlow, Range};

use zerocopy::FromBytes;

use super::{ImageReader, Inode, ReadAt, ReadError};
use crate::disk::inode::BLOCK_BYTES;
use crate::disk::xattr::{ENTRY_BYTES, Entry, MAGIC};
use crate::tree::FileType;

/// Bytes given out at a time, at most.
const PIECE_BYTES: u64 = 64 << 10;
/// The longest target of a symbolic link (Linux' `PATH_MAX` less its NUL).
const MAX_TARGET_BYTES: u64 = 4095;
/// `e_name_index` of `system.`.
const SYSTEM: u8 = 7;
/// The attribute that holds what of a file's content does not fit into `i_block`, after its namespace.
const INLINE_NAME: &[u8] = b"data";

/// A part of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes, up to 64 KiB.
    Data(&'a [u8]),
    /// So many bytes of zeros that have no blocks. They count against [`ReadLimits::bytes`](super::ReadLimits::bytes) only where the caller
    /// asks for them with [`ImageReader::content_with_zeros`].
    Hole(u64),
}

impl<S: ReadAt> ImageReader<'_, S> {
    /// Shows a range of a file's content in bytes, as far as the file goes, in order, piece by piece.
    ///
    /// # Errors
    /// [`ReadError::NoContent`] for what is neither a regular file nor a symbolic link, [`ReadError::Caller`] with the error of `each`, and
    /// what reading gives.
    pub fn content(
        &self,
        inode: &Inode,
        range: Range<u64>,
        each: &mut dyn FnMut(Piece<'_>) -> std::io::Result<()>,
    ) -> Result<(), ReadError> {
        self.pieces_of_file(inode, range, &mut |piece| {
            each(piece).map_err(ReadError::Caller)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    /// As [`ImageReader::content`], with holes as zeros.
    ///
    /// # Errors
    /// As for [`ImageReader::content`].
    pub fn content_with_zeros(
        &self,
        inode: &Inode,
        range: Range<u64>,
        each: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ReadError> {
        static ZEROS: [u8; PIECE_BYTES as usize] = [0; PIECE_BYTES as usize];
        self.pieces_of_file(inode, range, &mut |piece| {
            match piece {
                Piece::Data(bytes) => each(bytes).map_err(ReadError::Caller)?,
                Piece::Hole(mut left) => {
                    while left > 0 {
                        let count = left.min(PIECE_BYTES);
                        self.budget.bytes(count)?;
                        each(&ZEROS[..count as usize]).map_err(ReadError::Caller)?;
                        left -= count;
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn pieces_of_file(
        &self,
        inode: &Inode,
        range: Range<u64>,
        each: &mut dyn FnMut(Piece<'_>) -> Result<ControlFlow<()>, ReadError>,
    ) -> Result<(), ReadError> {
        if !matches!(inode.file_type, FileType::Regular | FileType::Symlink) {
            return Err(ReadError::NoContent(inode.number));
        }
        inode.check_readable()?;
        self.pieces(inode, range, each)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] where it is empty, longer than 4,095 bytes or has holes or NULs; and what reading gives.
    pub fn target(&self, inode: &Inode) -> Result<Vec<u8>, ReadError> {
        let size = inode.size();
        if inode.file_type != FileType::Symlink {
            return Err(ReadError::NoContent(inode.number));
        }
        inode.check_readable()?;
        if size == 0 || size > MAX_TARGET_BYTES {
            return Err(inode.corrupt(format!(
                "is a symbolic link of {size} bytes (limit {MAX_TARGET_BYTES})"
            )));
        }
        let mut target = Vec::with_capacity(size as usize);
        if size < BLOCK_BYTES as u64 && !inode.is_inline() {
            target.extend_from_slice(&inode.raw.block[..size as usize]);
        } else {
            self.pieces(inode, 0..size, &mut |piece| match piece {
                Piece::Data(bytes) => {
                    target.extend_from_slice(bytes);
                    Ok(ControlFlow::Continue(()))
                }
                Piece::Hole(_) => Err(inode.corrupt("is a symbolic link with a hole")),
            })?;
        }
        match target.contains(&0) {
            true => Err(inode.corrupt("is a symbolic link with a NUL in its target")),
            false => Ok(target),
        }
    }

    /// Shows a range of a file of any kind.
    fn pieces(
        &self,
        inode: &Inode,
        range: Range<u64>,
        each: &mut dyn FnMut(Piece<'_>) -> Result<ControlFlow<()>, ReadError>,
    ) -> Result<(), ReadError> {
        let end = range.end.min(inode.size());
        if range.start >= end {
            return Ok(());
        }
        if inode.is_inline() {
            let bytes = inode.inline_content()?;
            self.budget.bytes(bytes.len() as u64)?;
            let there = bytes.len() as u64;
            if inode.size() > there {
                let size = inode.size();
                return Err(inode.corrupt(format!("claims {size} bytes, and {there} are in it")));
            }
            let _ = each(Piece::Data(&bytes[range.start as usize..end as usize]))?;
            return Ok(());
        }
        let block_size = u64::from(self.geometry.block_size);
        let mut position = range.start;
        let mut buffer = Vec::new();
        let mut has_enough = false;
        self.runs(inode, end.div_ceil(block_size), &mut |run| {
            let start = run.logical.saturating_mul(block_size);
            let run_end = end.min(start.saturating_add(run.blocks.saturating_mul(block_size)));
            if start >= end {
                return Ok(ControlFlow::Break(()));
            }
            if start > position {
                has_enough = each(Piece::Hole(start - position))?.is_break();
                position = start;
            }
            while position < run_end && !has_enough {
                let offset = (position - start) % block_size;
                let length = (run_end - position).min(PIECE_BYTES - offset);
                // From the start of the block on.
                buffer.resize((offset + length) as usize, 0);
                let block = run.physical.saturating_add((position - start) / block_size);
                self.blocks(block, &mut buffer)?;
                has_enough = each(Piece::Data(&buffer[offset as usize..]))?.is_break();
                position += length;
            }
            Ok(match has_enough {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        if position < end && !has_enough {
            let _ = each(Piece::Hole(end - position))?;
        }
        Ok(())
    }
}

impl Inode {
    /// What lies in the inode: `i_block`, and the attribute `system.data` behind it.
    pub(super) fn inline_content(&self) -> Result<Vec<u8>, ReadError> {
        let mut bytes = self.raw.block.to_vec();
        bytes.extend_from_slice(self.inline_attribute()?.unwrap_or_default());
        Ok(bytes)
    }

    /// The value of `system.data`.
    pub(super) fn inline_attribute(&self) -> Result<Option<&[u8]>, ReadError> {
        let Some((magic, entries)) = self.attributes.split_first_chunk() else {
            return Ok(None);
        };
        if u32::from_le_bytes(*magic) != MAGIC {
            return Ok(None);
        }
        let mut rest = entries;
        // Four zeros end the list.
        while let Some(head) = rest.first_chunk::<4>()
            && *head != [0; 4]
        {
            let Ok((entry, names)) = Entry::read_from_prefix(rest) else {
                return Err(self.corrupt("has an attribute that is cut short"));
            };
            let length = usize::from(entry.name_len);
            let name = names.get(..length);
            if entry.name_index == SYSTEM && name == Some(INLINE_NAME) {
                let start = usize::from(entry.value_offs.get());
                let end = start.checked_add(entry.value_size.get() as usize);
                let value = end.and_then(|end| entries.get(start..end));
                return match (value, entry.value_inum.get()) {
                    (Some(value), 0) => Ok(Some(value)),
                    _ => Err(self.corrupt("has inline data outside of it")),
                };
            }
            let step = (ENTRY_BYTES + length).next_multiple_of(4);
            rest = rest
                .get(step..)
                .ok_or_else(|| self.corrupt("has an attribute that is cut short"))?;
        }
        Ok(None)
    }
}
