//! A root filesystem as boot and package metadata see it.

use crate::error::Error;

/// What a path leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TreeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, fifo or socket.
    Special,
}

/// An entry of a root filesystem, found through symbolic links.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TreeEntry {
    /// The path without symbolic links.
    pub path: String,
    /// What it is.
    pub kind: TreeKind,
    /// Permission bits.
    pub mode: u16,
    /// The length of a file, in bytes.
    pub size: u64,
}

/// A root filesystem that can be looked into: paths are absolute, and symbolic links in them lead to
/// places in the same tree.
pub trait RootTree {
    /// What `path` leads to; none when it leads nowhere.
    ///
    /// # Errors
    ///
    /// The filesystem cannot be read.
    fn entry(&self, path: &str) -> Result<Option<TreeEntry>, Error>;

    /// Gives the first `limit` bytes of the file that `path` leads to, piece by piece.
    ///
    /// # Errors
    ///
    /// There is no such file, or the filesystem cannot be read.
    fn read(&self, path: &str, limit: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Error>;

    /// The names in the directory that `path` leads to, sorted; names that are not UTF-8 are left out.
    ///
    /// # Errors
    ///
    /// There is no such directory, or the filesystem cannot be read.
    fn names(&self, path: &str) -> Result<Vec<String>, Error>;

    /// The first `limit` bytes of a file in memory; choose the limit accordingly.
    ///
    /// # Errors
    ///
    /// As for [`RootTree::read`].
    fn read_start(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.read(path, limit, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }
}

/// A tree in memory, for tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::ErrorKind;

    #[derive(Clone)]
    enum Node {
        File(u16, Vec<u8>),
        Link(String),
    }

    #[derive(Clone, Default)]
    pub(crate) struct MapTree(BTreeMap<String, Node>);

    impl MapTree {
        pub(crate) fn file(mut self, path: &str, mode: u16, bytes: &[u8]) -> Self {
            self.0.insert(path.into(), Node::File(mode, bytes.to_vec()));
            self
        }

        pub(crate) fn link(mut self, path: &str, goal: &str) -> Self {
            self.0.insert(path.into(), Node::Link(goal.into()));
            self
        }

        /// An ELF file with one program header, which names the interpreter.
        pub(crate) fn program(self, path: &str, machine: u16, interpreter: Option<&str>) -> Self {
            let mut elf = vec![0; 64 + 56];
            elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
            elf[18..20].copy_from_slice(&machine.to_le_bytes());
            elf[32] = 64;
            elf[54] = 56;
            elf[56] = 1;
            if let Some(interpreter) = interpreter {
                elf[64] = 3;
                elf[72] = 120;
                elf[96] = u8::try_from(interpreter.len() + 1).unwrap();
                elf.extend_from_slice(interpreter.as_bytes());
                elf.push(0);
            }
            self.file(path, 0o755, &elf)
        }

        /// Replaces links by what they point to, at any place in the path, a few times.
        fn resolve(&self, path: &str) -> String {
            let mut path = path.to_owned();
            for _ in 0..8 {
                let link = self.0.iter().find_map(|(from, node)| match node {
                    Node::Link(goal) if path == *from => Some(goal.clone()),
                    Node::Link(goal) => path
                        .strip_prefix(&format!("{from}/"))
                        .map(|rest| format!("{goal}/{rest}")),
                    Node::File(..) => None,
                });
                match link {
                    Some(next) => path = next,
                    None => break,
                }
            }
            path
        }
    }

    impl RootTree for MapTree {
        fn entry(&self, path: &str) -> Result<Option<TreeEntry>, Error> {
            let path = self.resolve(path);
            if let Some(Node::File(mode, bytes)) = self.0.get(&path) {
                let (kind, size) = (TreeKind::File, bytes.len() as u64);
                return Ok(Some(TreeEntry {
                    path,
                    kind,
                    mode: *mode,
                    size,
                }));
            }
            let below = format!("{path}/");
            let is_directory = self.0.keys().any(|key| key.starts_with(&below));
            Ok(is_directory.then_some(TreeEntry {
                path,
                kind: TreeKind::Directory,
                mode: 0o755,
                size: 0,
            }))
        }

        fn read(&self, path: &str, limit: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
            match self.0.get(&self.resolve(path)) {
                Some(Node::File(_, bytes)) => {
                    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                    for piece in bytes[..bytes.len().min(limit)].chunks(7) {
                        each(piece);
                    }
                    Ok(())
                }
                _ => Err(Error::new(ErrorKind::NotFound, format!("no file {path}"))),
            }
        }

        fn names(&self, path: &str) -> Result<Vec<String>, Error> {
            let below = format!("{}/", self.resolve(path));
            let mut names: Vec<String> = self
                .0
                .keys()
                .filter_map(|key| key.strip_prefix(&below)?.split('/').next())
                .map(str::to_owned)
                .collect();
            names.dedup();
            Ok(names)
        }
    }
}
