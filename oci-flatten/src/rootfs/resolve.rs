//! From a path to a directory: symbolic links are followed as `chroot` would, never above the root.

use super::Rootfs;
use super::error::MergeError;
use super::inode::{DentryId, InodeKind, NodeId};
use super::tree::Touch;
use crate::entry::Metadata;
use crate::limits::LimitExceeded;
use crate::path::NAME_MAX;

/// Symbolic links followed on one path before it counts as a loop, as in Linux.
const MAX_LINKS: u32 = 40;

/// What happens where a directory of the path is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is created, in place of a file if need be, and all on the way counts as written by this layer.
    Create,
    /// It is created for a whiteout: this layer's whiteouts and opaque markers may still hide it.
    CreateHideable,
    /// The path leads nowhere.
    Stop,
}

/// The directories on the last path, since neighbours in a layer mostly share theirs.
///
/// Valid until a directory or a symbolic link goes away.
#[derive(Debug, Default)]
pub(super) struct PathCache {
    path: Vec<u8>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    /// Bytes of the path up to and without the slash behind this component.
    end: usize,
    directory: NodeId,
    links: u32,
}

impl PathCache {
    pub(super) fn clear(&mut self) {
        self.path.clear();
        self.steps.clear();
    }

    /// Forgets what `path` does not begin with; the last step that is left is where to go on.
    fn rewind(&mut self, path: &[u8]) {
        if self.path == path {
            return;
        }
        let common = self
            .path
            .iter()
            .zip(path)
            .take_while(|(a, b)| a == b)
            .count();
        let is_shared =
            |step: &Step| step.end <= common && matches!(path.get(step.end), None | Some(b'/'));
        let shared = self
            .steps
            .iter()
            .rposition(is_shared)
            .map_or(0, |last| last + 1);
        self.steps.truncate(shared);
        self.path
            .truncate(self.steps.last().map_or(0, |step| step.end));
    }

    /// Remembers the part of `path` that the steps have come to.
    fn advance(&mut self, path: &[u8]) {
        let known = self.path.len();
        let end = self.steps.last().map_or(0, |step| step.end);
        self.path.extend_from_slice(&path[known..end]);
    }
}

impl<C> Rootfs<C> {
    /// The directory at a cleaned path; `None` only where `missing` allows it to lead nowhere.
    pub(super) fn directory(
        &mut self,
        path: &[u8],
        missing: Missing,
    ) -> Result<Option<NodeId>, MergeError> {
        if path.is_empty() {
            return Ok(Some(self.root()));
        }
        let mut cache = std::mem::take(self.cache(missing));
        cache.rewind(path);
        let found = self.walk(path, missing, &mut cache.steps);
        cache.advance(path);
        *self.cache(missing) = cache;
        let found = found?;
        if let (Missing::Create, Some(directory)) = (missing, found) {
            self.touch_upwards(directory);
        }
        Ok(found)
    }

    fn cache(&mut self, missing: Missing) -> &mut PathCache {
        match missing {
            Missing::Create => &mut self.entry_cache,
            Missing::CreateHideable | Missing::Stop => &mut self.link_cache,
        }
    }

    fn walk(
        &mut self,
        path: &[u8],
        missing: Missing,
        steps: &mut Vec<Step>,
    ) -> Result<Option<NodeId>, MergeError> {
        let (mut directory, mut links) = steps
            .last()
            .map_or((self.root(), 0), |step| (step.directory, step.links));
        let mut start = steps.last().map_or(0, |step| step.end + 1);
        while start < path.len() {
            let end = path[start..]
                .iter()
                .position(|&byte| byte == b'/')
                .map_or(path.len(), |at| start + at);
            match self.step(directory, &path[start..end], missing, &mut links)? {
                Some(next) => directory = next,
                None => return Ok(None),
            }
            steps.push(Step {
                end,
                directory,
                links,
            });
            start = end + 1;
        }
        Ok(Some(directory))
    }

    /// One component of a path as it was given, which may be a symbolic link of many.
    fn step(
        &mut self,
        directory: NodeId,
        name: &[u8],
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<NodeId>, MergeError> {
        match self.look(directory, name)? {
            Found::Directory(next) => Ok(Some(next)),
            Found::Symlink(target) => self.follow(directory, target, missing, links),
            Found::Nothing => self.enter(directory, name, missing),
        }
    }

    /// Where a symbolic link in a directory leads, and the links on its way.
    ///
    /// A `..` behind a name that is not there, or no directory, takes that name back, as engines do, and does not need it:
    /// nothing is created or replaced before it is known where the link leads.
    fn follow(
        &mut self,
        directory: NodeId,
        target: Box<[u8]>,
        missing: Missing,
        links: &mut u32,
    ) -> Result<Option<NodeId>, MergeError> {
        let mut directory = directory;
        let mut targets = Targets::default();
        let mut absent = Absent::default();
        let mut found = Found::Symlink(target);
        loop {
            if let Found::Symlink(target) = found {
                *links += 1;
                if *links > MAX_LINKS {
                    return Err(MergeError::TooManyLinks);
                }
                if target.starts_with(b"/") {
                    directory = self.root();
                }
                targets.0.push((target, 0));
            } else if let Found::Directory(next) = found {
                directory = next;
            }
            let Some(name) = targets.next_component() else {
                break;
            };
            found = match name {
                b"" | b"." => Found::Directory(directory),
                b".." if absent.pop() => Found::Directory(directory),
                b".." => {
                    let entry = self.tree.directory_entry(directory);
                    let parent = entry.map_or(directory, |entry| self.tree.parent(entry));
                    Found::Directory(parent)
                }
                _ if absent.is_empty() => self.look(directory, name)?,
                _ => Found::Nothing,
            };
            if matches!(found, Found::Nothing) {
                absent.push(name)?;
            }
        }
        for name in absent.names() {
            match self.enter(directory, name, missing)? {
                Some(next) => directory = next,
                None => return Ok(None),
            }
        }
        self.check_depth(directory)?;
        Ok(Some(directory))
    }

    /// Paths have a limit of their own, but links that lead on from one another go deeper. Engines stop there, too, since the
    /// whole path is one string for them.
    fn check_depth(&self, directory: NodeId) -> Result<(), MergeError> {
        let limit = self.limits.path_depth;
        let depth = self
            .tree
            .upwards(directory)
            .take(limit.saturating_add(1))
            .count();
        let what = "path behind symbolic links";
        LimitExceeded::check(what, depth as u64, "components", limit as u64)?;
        Ok(())
    }

    /// What a name stands for on the way to a directory.
    fn look(&self, directory: NodeId, name: &[u8]) -> Result<Found, MergeError> {
        if name.len() > NAME_MAX {
            return Err(MergeError::NameTooLong(name.len()));
        }
        let Some(dentry) = self.tree.find(directory, name) else {
            return Ok(Found::Nothing);
        };
        let node = self.tree.node(dentry);
        Ok(match &self.tree.inode(node).kind {
            InodeKind::Directory(_) => Found::Directory(node),
            InodeKind::Symlink(target) => Found::Symlink(target.clone()),
            _ => Found::Nothing,
        })
    }

    /// Enters a directory that is not there, if `missing` has it created.
    fn enter(
        &mut self,
        directory: NodeId,
        name: &[u8],
        missing: Missing,
    ) -> Result<Option<NodeId>, MergeError> {
        match self.tree.find(directory, name) {
            None => self.enter_missing(directory, name, missing),
            Some(dentry) if missing == Missing::Create => {
                self.replace_by_directory(dentry).map(Some)
            }
            Some(_) => Ok(None),
        }
    }

    fn enter_missing(
        &mut self,
        directory: NodeId,
        name: &[u8],
        missing: Missing,
    ) -> Result<Option<NodeId>, MergeError> {
        let is_created = match missing {
            Missing::Create => true,
            Missing::CreateHideable => !self.is_hidden_in_layer(directory, name),
            Missing::Stop => false,
        };
        if !is_created {
            return Ok(None);
        }
        let metadata = Metadata::implied_directory(self.implied_mtime);
        let node = self.tree.create(InodeKind::empty_directory(), metadata)?;
        self.tree.insert(directory, name, node, Touch::default())?;
        if missing == Missing::Create {
            self.touch_upwards(node);
        }
        Ok(Some(node))
    }

    /// A directory that a path implies takes the place of a file.
    fn replace_by_directory(&mut self, dentry: DentryId) -> Result<NodeId, MergeError> {
        let metadata = Metadata::implied_directory(self.implied_mtime);
        let node = self.tree.create(InodeKind::empty_directory(), metadata)?;
        self.tree.replace(dentry, node);
        self.tree.set_touch(dentry, Touch::default());
        self.touch_upwards(node);
        Ok(node)
    }

    /// Marks a directory and all above it as written by this layer, from below up to the first that is already.
    fn touch_upwards(&mut self, directory: NodeId) {
        let layer = self.layer.number();
        let mut directory = directory;
        while let Some(entry) = self.tree.directory_entry(directory) {
            if self.tree.touch(entry).layer == layer {
                return;
            }
            self.tree.set_touch(
                entry,
                Touch {
                    layer,
                    described: false,
                },
            );
            directory = self.tree.parent(entry);
        }
    }
}

enum Found {
    Directory(NodeId),
    Symlink(Box<[u8]>),
    /// Nothing, or a file that is neither.
    Nothing,
}

/// Names at the end of a path behind which nothing is known.
#[derive(Default)]
struct Absent {
    /// Each name with a slash behind it.
    path: Vec<u8>,
}

impl Absent {
    fn is_empty(&self) -> bool {
        self.path.is_empty()
    }

    fn push(&mut self, name: &[u8]) -> Result<(), MergeError> {
        if name.len() > NAME_MAX {
            return Err(MergeError::NameTooLong(name.len()));
        }
        self.path.extend_from_slice(name);
        self.path.push(b'/');
        Ok(())
    }

    /// Takes the last name back; false if there is none.
    fn pop(&mut self) -> bool {
        let Some((_, rest)) = self.path.split_last() else {
            return false;
        };
        let end = rest.iter().rposition(|&byte| byte == b'/');
        self.path.truncate(end.map_or(0, |slash| slash + 1));
        true
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        let path = self.path.strip_suffix(b"/").unwrap_or(&self.path);
        path.split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
    }
}

/// What is left to walk of links that lead through one another, the innermost last: each target, and how far it is.
#[derive(Default)]
struct Targets(Vec<(Box<[u8]>, usize)>);

impl Targets {
    fn next_component(&mut self) -> Option<&[u8]> {
        while self.0.pop_if(|(target, at)| *at >= target.len()).is_some() {}
        let (target, at) = self.0.last_mut()?;
        let tail = &target[*at..];
        let end = tail
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(tail.len());
        *at += end + 1;
        Some(&tail[..end])
    }
}
