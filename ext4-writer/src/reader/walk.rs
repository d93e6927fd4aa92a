//! Every name of a tree.

use std::collections::HashSet;

use super::{DirectoryEntry, Found, ImageReader, Inode, ReadAt, ReadError};
use crate::tree::FileType;

/// One name that a walk comes to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WalkEntry<'a> {
    /// The path from the root, which is `/`.
    pub path: &'a [u8],
    /// The inode. Another name of the same file has the same number.
    pub inode: &'a Inode,
}

/// A directory whose entries are being walked.
struct Level {
    entries: std::vec::IntoIter<DirectoryEntry>,
    /// The length of its path.
    path: usize,
    held: u64,
}

impl<S: ReadAt> ImageReader<'_, S> {
    /// Shows `start` and everything below it, each directory before what is in it, names in the order of their bytes. Symbolic links
    /// are not followed.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] where a directory is in the tree twice, [`ReadError::Limit`] where directories are nested beyond the limit,
    /// [`ReadError::Caller`] with the error of `each`, and what reading gives.
    pub fn walk(
        &self,
        start: &Found,
        each: &mut dyn FnMut(WalkEntry<'_>) -> std::io::Result<()>,
    ) -> Result<(), ReadError> {
        let mut path = start.path.clone();
        let mut seen = HashSet::new();
        let mut levels = Vec::new();
        show(&path, &start.inode, each)?;
        self.descend(&start.inode, &path, &mut seen, &mut levels)?;
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path);
            let Some(entry) = level.entries.next() else {
                self.budget.release(level.held);
                levels.pop();
                continue;
            };
            if path != b"/" {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.name);
            let inode = self.inode(entry.inode)?;
            show(&path, &inode, each)?;
            self.descend(&inode, &path, &mut seen, &mut levels)?;
        }
        Ok(())
    }

    fn descend(
        &self,
        inode: &Inode,
        path: &[u8],
        seen: &mut HashSet<u32>,
        levels: &mut Vec<Level>,
    ) -> Result<(), ReadError> {
        if inode.file_type() != FileType::Directory {
            return Ok(());
        }
        if !seen.insert(inode.number()) {
            return Err(inode.corrupt("is a directory that is in the tree twice"));
        }
        if levels.len() >= self.budget.depth() {
            return Err(ReadError::Limit {
                what: "the depth of the tree",
                unit: "directories",
                limit: self.budget.depth() as u64,
            });
        }
        let entries = self.names(inode)?;
        let names: usize = entries.iter().map(|entry| entry.name.len()).sum();
        // Its number among those seen stays to the end.
        let own = 2 * size_of::<u32>() as u64;
        let held = (names + entries.len() * size_of::<DirectoryEntry>()) as u64;
        self.budget.hold(held + own)?;
        levels.push(Level {
            entries: entries.into_iter(),
            path: path.len(),
            held,
        });
        Ok(())
    }
}

fn show(
    path: &[u8],
    inode: &Inode,
    each: &mut dyn FnMut(WalkEntry<'_>) -> std::io::Result<()>,
) -> Result<(), ReadError> {
    each(WalkEntry { path, inode }).map_err(ReadError::Caller)
}
