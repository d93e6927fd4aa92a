//! A tree from a directory of the host, by Linux' calls.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};

use super::DirectoryOptions;
use super::host_file::{self, Fingerprint, file_type, identity, stat_at};
use crate::content::Content;
use crate::device::Device;
use crate::image::ImageWriter;
use crate::source::host_content;
use crate::source::{SourceError, escaped, io_error};
use crate::tree::{FileKind, FileTree, NodeId};

/// Reads the directory relative to open ones, so that no name is looked up twice.
pub(super) fn read<D: Device>(
    image: &mut ImageWriter<D>,
    path: &Path,
    options: &DirectoryOptions,
) -> Result<FileTree<Content>, SourceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| io_error("open", path.as_os_str().as_encoded_bytes(), error))?;
    let stat = stat_at(top.as_fd(), b".", b".")?;
    let xattrs = match options.xattrs {
        true => host_file::xattrs(top.as_fd(), b".", b".")?,
        false => Default::default(),
    };
    let tree = FileTree::new(host_file::metadata(&stat, options, xattrs))?;
    let root = tree.root();
    let first = Frame::new(&top, &stat, root, Vec::new())?;
    let (links, frames) = (HashMap::new(), vec![first]);
    Walk {
        image,
        options,
        tree,
        links,
        current: top,
        frames,
    }
    .run()
}

/// A directory that is being read.
struct Frame {
    node: NodeId,
    path: Vec<u8>,
    before: Fingerprint,
    identity: (u64, u64),
    /// Names still to read, the last first.
    names: Vec<Vec<u8>>,
}

impl Frame {
    fn new(
        directory: &OwnedFd,
        stat: &Stat,
        node: NodeId,
        path: Vec<u8>,
    ) -> Result<Self, SourceError> {
        host_file::check_case(directory, &path)?;
        let failed = |error| io_error("list", &path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(name);
            }
        }
        // The order of the host's directory must not reach the image.
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self {
            node,
            path,
            before: Fingerprint::new(stat),
            identity: identity(stat),
            names,
        })
    }
}

struct Walk<'a, D: Device> {
    image: &'a mut ImageWriter<D>,
    options: &'a DirectoryOptions,
    tree: FileTree<Content>,
    /// Files of several names, by device and inode.
    links: HashMap<(u64, u64), NodeId>,
    /// The innermost directory. Those above are not kept open, so that depth needs no descriptors: `..` reopens
    /// them, and they are recognised.
    current: OwnedFd,
    frames: Vec<Frame>,
}

impl<D: Device> Walk<'_, D> {
    fn run(mut self) -> Result<FileTree<Content>, SourceError> {
        while let Some(frame) = self.frames.last_mut() {
            match frame.names.pop() {
                Some(name) => {
                    let (path, node) = (join(&frame.path, &name), frame.node);
                    self.take(node, &name, path)?;
                }
                None => self.leave()?,
            }
        }
        Ok(self.tree)
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        frame
            .before
            .check(&stat_fd(&self.current, &frame.path)?, &frame.path)?;
        if let Some(parent) = self.frames.last() {
            self.current = open(&self.current, b"..", OFlags::DIRECTORY, &parent.path)?;
            if identity(&stat_fd(&self.current, &parent.path)?) != parent.identity {
                return Err(SourceError::Changed {
                    path: escaped(&parent.path),
                });
            }
        }
        Ok(())
    }

    fn take(&mut self, parent: NodeId, name: &[u8], path: Vec<u8>) -> Result<(), SourceError> {
        let directory = &self.current;
        let stat = stat_at(directory.as_fd(), name, &path)?;
        let kind = file_type(&stat);
        let shared = kind != FileType::Directory && stat.st_nlink > 1;
        if let Some(&node) = self.links.get(&identity(&stat)).filter(|_| shared) {
            return Ok(self.tree.link(parent, name, node)?);
        }
        let before = Fingerprint::new(&stat);
        let xattrs = match self.options.xattrs {
            true => host_file::xattrs(directory.as_fd(), name, &path)?,
            false => Default::default(),
        };
        let mut opened = None;
        let content = match kind {
            FileType::RegularFile => {
                let file = open(directory, name, OFlags::NONBLOCK, &path)?;
                let mut file = File::from(file);
                before.check(&stat_fd(&file, &path)?, &path)?;
                let content =
                    host_content::store(self.image, &mut file, stat.st_size as u64, &path)?;
                before.check(&stat_fd(&file, &path)?, &path)?;
                FileKind::File(content)
            }
            FileType::Directory => {
                let inner = open(directory, name, OFlags::DIRECTORY, &path)?;
                before.check(&stat_fd(&inner, &path)?, &path)?;
                opened = Some(inner);
                FileKind::Directory
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())
                    .map_err(|error| io_error("read", &path, error))?;
                FileKind::Symlink(target.into_bytes().into_boxed_slice())
            }
            FileType::CharacterDevice => {
                let (major, minor) = device_number(stat.st_rdev);
                FileKind::CharacterDevice { major, minor }
            }
            FileType::BlockDevice => {
                let (major, minor) = device_number(stat.st_rdev);
                FileKind::BlockDevice { major, minor }
            }
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            _ => {
                let what = "of an unknown kind".to_owned();
                return Err(SourceError::Unsupported {
                    path: escaped(&path),
                    what,
                });
            }
        };
        before.check(&stat_at(directory.as_fd(), name, &path)?, &path)?;
        let metadata = host_file::metadata(&stat, self.options, xattrs);
        let node = self.tree.insert(parent, name, content, metadata)?;
        if shared {
            self.links.insert(identity(&stat), node);
        }
        match opened {
            Some(inner) => {
                self.frames.push(Frame::new(&inner, &stat, node, path)?);
                self.current = inner;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn device_number(number: u64) -> (u32, u32) {
    (rustix::fs::major(number), rustix::fs::minor(number))
}

fn open(
    directory: &OwnedFd,
    name: &[u8],
    more: OFlags,
    path: &[u8],
) -> Result<OwnedFd, SourceError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | more;
    rustix::fs::openat(directory, name, flags, Mode::empty())
        .map_err(|error| io_error("open", path, error))
}

fn stat_fd(file: &impl AsFd, path: &[u8]) -> Result<rustix::fs::Stat, SourceError> {
    rustix::fs::fstat(file).map_err(|error| io_error("inspect", path, error))
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}
