//! The names in a directory: <https://docs.kernel.org/filesystems/ext4/directory.html>.
//!
//! Hash trees are read like linear directories, which their blocks are made to look like: for a reader that trusts nothing, an
//! index is one more thing to check.

use std::ops::ControlFlow;

use zerocopy::FromBytes;

use super::blocks::Run;
use super::{ImageReader, Inode, ReadAt, ReadError};
use crate::checksum::raw;
use crate::disk::dir_entry::{Entry, TAIL_BYTES, TAIL_TYPE, Tail};
use crate::disk::inode::{BLOCK_BYTES, flags};
use crate::tree::FileType;

/// Bytes that an inline directory has for its parent's number, in place of `.` and `..`.
const INLINE_PARENT_BYTES: usize = 4;
/// What one entry costs to hold beside its name.
const ENTRY_MEMORY: u64 = size_of::<DirectoryEntry>() as u64;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct DirectoryEntry {
    /// The name: 1 to 255 bytes, any but NUL and `/`.
    pub name: Box<[u8]>,
    /// The number of the inode, for [`ImageReader::inode`].
    pub inode: u32,
}

/// What takes the entries of a directory; it may have enough.
type Visit<'a> = &'a mut dyn FnMut(&[u8], u32) -> Result<ControlFlow<()>, ReadError>;

impl<S: ReadAt> ImageReader<'_, S> {
    /// The names in a directory, sorted by their bytes, without `.` and `..`.
    ///
    /// # Errors
    /// [`ReadError::NotADirectory`], [`ReadError::Corrupt`] for entries that cannot be, and what reading gives.
    pub fn names(&self, directory: &Inode) -> Result<Vec<DirectoryEntry>, ReadError> {
        let mut entries = Vec::new();
        let mut held = 0;
        let outcome = self.each_entry(directory, &mut |name, inode| {
            let cost = name.len() as u64 + ENTRY_MEMORY;
            self.budget.hold(cost)?;
            held += cost;
            entries.push(DirectoryEntry {
                name: name.into(),
                inode,
            });
            Ok(ControlFlow::Continue(()))
        });
        // It is the caller's from here; what a walk keeps, it holds itself.
        self.budget.release(held);
        outcome?;
        entries.sort_unstable();
        Ok(entries)
    }

    /// The inode that a name in a directory leads to.
    pub(super) fn lookup(
        &self,
        directory: &Inode,
        wanted: &[u8],
    ) -> Result<Option<u32>, ReadError> {
        let mut found = None;
        self.each_entry(directory, &mut |name, inode| {
            Ok(match name == wanted {
                true => {
                    found = Some(inode);
                    ControlFlow::Break(())
                }
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(found)
    }

    fn each_entry(&self, directory: &Inode, visit: Visit<'_>) -> Result<(), ReadError> {
        if directory.file_type != FileType::Directory {
            return Err(ReadError::NotADirectory(directory.number));
        }
        directory.check_readable()?;
        if directory.is_inline() {
            return self.inline_entries(directory, visit);
        }
        let block_size = u64::from(self.geometry.block_size);
        let size = directory.size();
        if !size.is_multiple_of(block_size) {
            return Err(directory.corrupt(format!("is a directory of {size} bytes")));
        }
        let count = size / block_size;
        self.runs(directory, count, &mut |run: Run| {
            let blocks = run.blocks.min(count - run.logical.min(count));
            for index in 0..blocks {
                let block = self.block(run.physical.saturating_add(index))?;
                let is_index = self.check_block(directory, run.logical + index, &block)?;
                if !is_index && self.entries(directory, &block, visit)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn inline_entries(&self, directory: &Inode, visit: Visit<'_>) -> Result<(), ReadError> {
        self.budget.bytes(BLOCK_BYTES as u64)?;
        let in_inode = &directory.raw.block[INLINE_PARENT_BYTES..];
        if self.entries(directory, in_inode, visit)?.is_break() {
            return Ok(());
        }
        if let Some(more) = directory.inline_attribute()? {
            let _ = self.entries(directory, more, visit)?;
        }
        Ok(())
    }

    /// Verifies the checksum of a block with names; whether it is a block of an index, which has none.
    fn check_block(
        &self,
        directory: &Inode,
        logical: u64,
        block: &[u8],
    ) -> Result<bool, ReadError> {
        if directory.has(flags::INDEX) {
            // The root has `.` and `..`, which nobody asks for; a node is one entry without a name.
            let first = Entry::read_from_prefix(block).map(|(entry, _)| entry);
            let is_node = first.is_ok_and(|entry| {
                entry.inode.get() == 0
                    && entry.name_len == 0
                    && entry.file_type == 0
                    && record_length(entry.rec_len.get(), block.len()) == block.len()
            });
            if logical == 0 || is_node {
                return Ok(true);
            }
        }
        let Some(seed) = self.geometry.checksum_seed else {
            return Ok(false);
        };
        let (names, tail) = block.split_at(block.len() - TAIL_BYTES);
        let tail = Tail::read_from_bytes(tail).ok();
        let is_right = tail.is_some_and(|tail| {
            tail.reserved_zero1.get() == 0
                && tail.reserved_ft == TAIL_TYPE
                && tail.checksum.get() == raw(directory.seed(seed), names)
        });
        match is_right {
            true => Ok(false),
            false => Err(directory.corrupt(format!(
                "is a directory whose block {logical} has a wrong checksum"
            ))),
        }
    }

    /// Shows the entries in a block, or in what an inline directory has for them.
    fn entries(
        &self,
        directory: &Inode,
        bytes: &[u8],
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut rest = bytes;
        while let Ok((entry, names)) = Entry::read_from_prefix(rest) {
            self.budget.entry()?;
            let length = record_length(entry.rec_len.get(), bytes.len());
            let name = self.check_entry(directory, &entry, length, rest.len(), names)?;
            let inode = entry.inode.get();
            if inode != 0 && name != b"." && name != b".." && visit(name, inode)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            rest = &rest[length..];
        }
        Ok(ControlFlow::Continue(()))
    }

    fn check_entry<'a>(
        &self,
        directory: &Inode,
        entry: &Entry,
        length: usize,
        left: usize,
        names: &'a [u8],
    ) -> Result<&'a [u8], ReadError> {
        let name_length = match self.geometry.has_file_types {
            true => usize::from(entry.name_len),
            // Without kinds, the length has 16 bits.
            false => usize::from(entry.name_len) | usize::from(entry.file_type) << 8,
        };
        let used = size_of::<Entry>() + name_length;
        if length < used || length > left || !length.is_multiple_of(4) {
            return Err(directory.corrupt(format!(
                "is a directory with an entry of {length} bytes ({used} are used, {left} are left)"
            )));
        }
        let name = &names[..name_length];
        let inode = entry.inode.get();
        if inode == 0 {
            return Ok(name);
        }
        if name.is_empty() || name.len() > 255 || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(directory.corrupt(format!(
                "is a directory with the name \"{}\"",
                name.escape_ascii()
            )));
        }
        if inode > self.geometry.inodes {
            return Err(directory.corrupt(format!(
                "is a directory that names inode {inode}, of {}",
                self.geometry.inodes
            )));
        }
        Ok(name)
    }
}

/// `rec_len` as the kernel reads it: with blocks of 64 KiB, 0 and 65,535 are the whole block.
fn record_length(stored: u16, block: usize) -> usize {
    match stored {
        0 | 0xffff if block == 1 << 16 => block,
        stored => usize::from(stored),
    }
}
