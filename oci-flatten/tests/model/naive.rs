//! The naive model: a map from paths to files. Slow, and so short that it can be seen to be right.

use std::collections::{BTreeMap, VecDeque};

use oci_flatten::testkit::IMPLIED_MTIME;

#[path = "ops.rs"]
mod ops;

pub(crate) use ops::{Metadata, Op};
use ops::{is_below, join, split};

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    File(u8),
    Directory,
    Symlink(String),
}

#[derive(Debug, Clone)]
struct Inode {
    kind: Kind,
    metadata: Metadata,
}

const IMPLIED: Inode = Inode {
    kind: Kind::Directory,
    metadata: Metadata {
        mode: 0o755,
        mtime: IMPLIED_MTIME,
        xattrs: BTreeMap::new(),
    },
};

/// A name: its inode, and whether the layer at work wrote it or below it, and described it.
#[derive(Debug, Clone, Copy)]
struct Name {
    inode: usize,
    touched: bool,
    described: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    inodes: Vec<Inode>,
    names: BTreeMap<String, Name>,
    whiteouts: Vec<String>,
    opaques: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Refused;

/// What resolving a path does where something is missing.
#[derive(Clone, Copy, PartialEq)]
enum Missing {
    Create,
    CreateHideable,
    Stop,
}

impl Model {
    pub(crate) fn apply(&mut self, ops: &[Op]) -> Result<(), Refused> {
        self.whiteouts.clear();
        self.opaques.clear();
        self.names
            .values_mut()
            .for_each(|name| name.touched = false);
        let mut deferred = Vec::new();
        for op in ops {
            if !self.apply_one(op, Missing::Stop)? {
                deferred.push(op);
            }
        }
        for op in deferred {
            self.apply_one(op, Missing::CreateHideable)?;
        }
        Ok(())
    }

    /// False for a whiteout in a directory that is not there.
    fn apply_one(&mut self, op: &Op, missing: Missing) -> Result<bool, Refused> {
        match op {
            Op::File {
                path,
                content,
                metadata,
            } => self.place(
                path,
                Inode {
                    kind: Kind::File(*content),
                    metadata: metadata.clone(),
                },
            ),
            Op::Directory { path, metadata } => self.place(
                path,
                Inode {
                    kind: Kind::Directory,
                    metadata: metadata.clone(),
                },
            ),
            Op::Symlink { path, target } => {
                let metadata = Metadata {
                    mode: 0o777,
                    ..Metadata::default()
                };
                self.place(
                    path,
                    Inode {
                        kind: Kind::Symlink(target.clone()),
                        metadata,
                    },
                )
            }
            Op::HardLink {
                path,
                target,
                metadata,
            } => self.link(path, target, metadata),
            Op::Whiteout { path } => {
                let (parent, name) = split(path);
                let Some(parent) = self.resolve(parent, missing)? else {
                    return Ok(false);
                };
                let path = join(&parent, name);
                self.hide(|other| *other == path || is_below(other, &path));
                self.whiteouts.push(path);
                Ok(true)
            }
            Op::Opaque { path } => {
                let Some(path) = self.resolve(path, missing)? else {
                    return Ok(false);
                };
                self.hide(|other| is_below(other, &path));
                self.opaques.push(path);
                Ok(true)
            }
        }
    }

    fn kind(&self, path: &str) -> Option<&Kind> {
        self.names
            .get(path)
            .map(|name| &self.inodes[name.inode].kind)
    }

    fn place(&mut self, path: &str, inode: Inode) -> Result<bool, Refused> {
        let (parent, name) = split(path);
        let path = join(
            &self.resolve(parent, Missing::Create)?.ok_or(Refused)?,
            name,
        );
        let keeps_children =
            inode.kind == Kind::Directory && self.kind(&path) == Some(&Kind::Directory);
        if !keeps_children {
            self.remove(&path);
        }
        self.inodes.push(inode);
        let name = Name {
            inode: self.inodes.len() - 1,
            touched: true,
            described: true,
        };
        self.names.insert(path, name);
        Ok(true)
    }

    fn link(&mut self, path: &str, target: &str, link: &Metadata) -> Result<bool, Refused> {
        let (parent, name) = split(path);
        let path = join(
            &self.resolve(parent, Missing::Create)?.ok_or(Refused)?,
            name,
        );
        let (parent, name) = split(target);
        let target = join(&self.resolve(parent, Missing::Stop)?.ok_or(Refused)?, name);
        let inode = self
            .names
            .get(&target)
            .filter(|_| target != path && !is_below(&target, &path))
            .ok_or(Refused)?
            .inode;
        let old = &mut self.inodes[inode];
        match old.kind {
            Kind::Directory => return Err(Refused),
            Kind::File(_) => old.metadata.mode = link.mode,
            Kind::Symlink(_) => {}
        }
        old.metadata.mtime = link.mtime;
        old.metadata.xattrs.extend(&link.xattrs);
        self.remove(&path);
        self.names.insert(
            path,
            Name {
                inode,
                touched: true,
                described: true,
            },
        );
        Ok(true)
    }

    /// Removes a path with all below, and forgets what this layer hid inside.
    fn remove(&mut self, path: &str) {
        if self.kind(path) == Some(&Kind::Directory) {
            self.opaques
                .retain(|opaque| opaque != path && !is_below(opaque, path));
            self.whiteouts.retain(|whiteout| !is_below(whiteout, path));
        }
        self.names
            .retain(|other, _| other != path && !is_below(other, path));
    }

    /// Takes away what lower layers have at some paths; a directory that stays without being described is implied.
    fn hide(&mut self, is_hidden: impl Fn(&String) -> bool) {
        let hidden: Vec<_> = self
            .names
            .keys()
            .filter(|path| is_hidden(path))
            .cloned()
            .collect();
        for path in hidden {
            match self.names.get(&path).copied() {
                Some(name) if !name.touched => self.remove(&path),
                Some(name) if !name.described && self.kind(&path) == Some(&Kind::Directory) => {
                    self.inodes[name.inode] = IMPLIED;
                }
                _ => {}
            }
        }
    }

    fn is_hidden(&self, path: &str) -> bool {
        self.whiteouts
            .iter()
            .any(|whiteout| whiteout == path || is_below(path, whiteout))
            || self.opaques.iter().any(|opaque| is_below(path, opaque))
    }

    fn resolve(&mut self, path: &str, missing: Missing) -> Result<Option<String>, Refused> {
        let mut todo: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut directory = String::new();
        let mut absent = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            match &name[..] {
                "" | "." => continue,
                ".." => {
                    if absent.pop().is_none() {
                        directory = split(&directory).0.to_owned();
                    }
                    continue;
                }
                _ if !absent.is_empty() => {
                    absent.push(name);
                    continue;
                }
                _ => {}
            }
            let path = join(&directory, &name);
            match self.kind(&path).cloned() {
                Some(Kind::Directory) => directory = path,
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    if links > 40 {
                        return Err(Refused);
                    }
                    if target.starts_with('/') {
                        directory.clear();
                    }
                    target
                        .rsplit('/')
                        .for_each(|name| todo.push_front(name.to_owned()));
                }
                Some(Kind::File(_)) | None => absent.push(name),
            }
        }
        for name in absent {
            let path = join(&directory, &name);
            let is_hidden = || missing == Missing::CreateHideable && self.is_hidden(&path);
            match self.kind(&path) {
                Some(_) if missing != Missing::Create => return Ok(None),
                None if missing == Missing::Stop || is_hidden() => return Ok(None),
                _ => {}
            }
            self.inodes.push(IMPLIED);
            let name = Name {
                inode: self.inodes.len() - 1,
                touched: false,
                described: false,
            };
            self.names.insert(path.clone(), name);
            directory = path;
            if missing == Missing::Create {
                self.touch(&directory);
            }
        }
        if missing == Missing::Create {
            self.touch(&directory);
        }
        Ok(Some(directory))
    }

    /// A directory and all above it are written by this layer.
    fn touch(&mut self, path: &str) {
        for (other, name) in &mut self.names {
            if (other == path || is_below(path, other)) && !name.touched {
                *name = Name {
                    touched: true,
                    described: false,
                    ..*name
                };
            }
        }
    }

    /// The lines of `testkit::list`.
    pub(crate) fn list(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.names.iter().collect();
        paths.sort_by_key(|(path, _)| path.split('/').collect::<Vec<_>>());
        let mut first = BTreeMap::new();
        let line = |(path, name): &(&String, &Name)| {
            let Inode {
                kind,
                metadata:
                    Metadata {
                        mode,
                        mtime,
                        xattrs,
                    },
            } = &self.inodes[name.inode];
            let first = first.entry(name.inode).or_insert((*path).clone());
            if first != *path {
                return format!("{path}=={first}");
            }
            let (mut text, usual) = match kind {
                Kind::File(content) => (format!("{path}={content}"), 0o644),
                Kind::Directory => (format!("{path}/"), 0o755),
                Kind::Symlink(target) => (format!("{path}->{target}"), 0o777),
            };
            if *mode != usual {
                text += &format!(" mode={mode:o}");
            }
            if *mtime != 0 {
                text += &format!(" mtime={mtime}");
            }
            xattrs
                .iter()
                .for_each(|(name, value)| text += &format!(" security.{name}={value}"));
            text
        };
        paths.iter().map(line).collect()
    }
}
