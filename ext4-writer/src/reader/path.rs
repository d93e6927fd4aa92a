//! From a path to an inode.

use super::{ImageReader, Inode, ReadAt, ReadError};
use crate::tree::FileType;

/// The most symbolic links that are followed from one path, as in Linux (`MAXSYMLINKS`).
const MAX_SYMLINKS: usize = 40;
/// The longest path, with targets of symbolic links put in (Linux' `PATH_MAX` less its NUL).
const MAX_PATH_BYTES: usize = 4095;

/// What a path leads to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Found {
    /// The path from the root, without symbolic links, `.` and `..`; the root is `/`.
    pub path: Vec<u8>,
    /// The inode.
    pub inode: Inode,
}

impl<S: ReadAt> ImageReader<'_, S> {
    /// What `path` leads to, through symbolic links; none when it leads nowhere: to a name that is not there, through
    /// something that is no directory, or through more than 40 symbolic links.
    ///
    /// The root of the image is the root of every path, relative ones included, and `..` does not lead out of it.
    ///
    /// # Errors
    /// What reading gives.
    pub fn resolve(&self, path: &[u8]) -> Result<Option<Found>, ReadError> {
        self.find(path, true)
    }

    /// As [`ImageReader::resolve`], except that a symbolic link at the end of the path is what is found.
    ///
    /// # Errors
    /// As for [`ImageReader::resolve`].
    pub fn resolve_link(&self, path: &[u8]) -> Result<Option<Found>, ReadError> {
        self.find(path, false)
    }

    fn find(&self, path: &[u8], follow: bool) -> Result<Option<Found>, ReadError> {
        if path.len() > MAX_PATH_BYTES {
            return Ok(None);
        }
        // What is still to go, the next component last.
        let mut pending = components(path);
        let mut place = Place::at(self.root()?);
        let mut links = 0;
        while let Some(name) = pending.pop() {
            self.budget.entry()?;
            if place.inode().file_type() != FileType::Directory {
                return Ok(None);
            }
            if name == b"." {
                continue;
            }
            if name == b".." {
                place.leave();
                continue;
            }
            let Some(number) = self.lookup(place.inode(), &name)? else {
                return Ok(None);
            };
            let inode = self.inode(number)?;
            if inode.file_type() != FileType::Symlink || (pending.is_empty() && !follow) {
                place.enter(name, inode);
                continue;
            }
            links += 1;
            let target = self.target(&inode)?;
            if target.starts_with(b"/") {
                place.restart();
            }
            pending.extend(components(&target));
            let length: usize = pending.iter().map(|name| name.len() + 1).sum();
            if links > MAX_SYMLINKS || length > MAX_PATH_BYTES {
                return Ok(None);
            }
        }
        Ok(Some(place.found()))
    }
}

/// The components of a path, the first one last. A trailing slash asks for a directory, as `.` does.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let mut components: Vec<Vec<u8>> = path
        .split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    if path.ends_with(b"/") {
        components.push(b".".to_vec());
    }
    components.reverse();
    components
}

/// An inode, and the directories and names that lead to it. The parent of a directory is where one came from, whatever it says itself.
struct Place {
    root: Inode,
    below: Vec<(Vec<u8>, Inode)>,
}

impl Place {
    fn at(root: Inode) -> Self {
        Self {
            root,
            below: Vec::new(),
        }
    }

    fn inode(&self) -> &Inode {
        self.below.last().map_or(&self.root, |(_, inode)| inode)
    }

    fn enter(&mut self, name: Vec<u8>, inode: Inode) {
        self.below.push((name, inode));
    }

    fn leave(&mut self) {
        self.below.pop();
    }

    fn restart(&mut self) {
        self.below.clear();
    }

    fn found(mut self) -> Found {
        let mut path = Vec::new();
        for (name, _) in &self.below {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        let inode = self.below.pop().map_or(self.root, |(_, inode)| inode);
        Found { path, inode }
    }
}
