//! Directories that are ours, though others may have put things there: the cache, the store, the catalog.
//!
//! A [`Directory`] is open, and whatever it holds is reached from it by one name at a time. Symbolic links
//! are never followed, only regular files are opened, nothing waits for the other end of a FIFO, and reads
//! have limits. Only the way to a root ([`Directory::open`]) may lead through links: that is for its
//! owner to arrange.
//!
//! `cap-std` is the well-kept library nearby. It keeps paths below a root, but follows links there, opens FIFOs
//! and devices, and has no locks or reads with limits, so all of this would be written on top of it.

#![expect(
    clippy::disallowed_methods,
    reason = "the one home of the calls that are forbidden elsewhere"
)]

mod entry;
mod nameless;
mod remove;
mod rename;
mod sync;

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::small_file;

pub use entry::{Entry, FileFacts, FileKind};

/// Mode of new files: what the cache and the store hold can be private.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// Mode of files that everyone may read; the umask takes its part away.
const PUBLIC_FILE_MODE: Mode = Mode::from_raw_mode(0o666);
/// Mode of new directories, for the same reason.
const DIRECTORY_MODE: u32 = 0o700;

/// An open directory of ours. Clones share it.
///
/// A name that is given to a method is one component of a path; anything else is an error of kind
/// [`io::ErrorKind::InvalidInput`]. Errors do not name the path: callers know what they were about to do.
#[derive(Clone, Debug)]
pub struct Directory {
    file: Arc<File>,
    path: Arc<Path>,
}

impl Directory {
    /// Opens a root. The path may lead through symbolic links.
    ///
    /// # Errors
    ///
    /// The path is not there, is not a directory or may not be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            file: Arc::new(file.into()),
            path: path.into(),
        })
    }

    /// Opens a root, and makes it and what is missing above it, durably and for this user alone.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); or it cannot be made.
    pub fn open_or_create(path: &Path) -> io::Result<Self> {
        Self::open_or_create_with(path, DIRECTORY_MODE)
    }

    /// As [`open_or_create`](Self::open_or_create), for a root that everyone may read.
    ///
    /// # Errors
    ///
    /// As [`open_or_create`](Self::open_or_create).
    pub fn open_or_create_public(path: &Path) -> io::Result<Self> {
        // The umask takes its part away.
        Self::open_or_create_with(path, 0o777)
    }

    fn open_or_create_with(path: &Path, mode: u32) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|path| !path.exists())
            .filter_map(Path::parent)
            .collect();
        DirBuilder::new().recursive(true).mode(mode).create(path)?;
        for parent in missing {
            let parent = Some(parent).filter(|parent| !parent.as_os_str().is_empty());
            Self::open(parent.unwrap_or(Path::new(".")))?.sync()?;
        }
        Self::open(path)
    }

    /// How it was reached, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    #[must_use]
    pub fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Opens a directory in this one.
    ///
    /// # Errors
    ///
    /// It is not there, or is not a directory: a symbolic link to one is not.
    pub fn directory(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = component(name.as_ref())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.file, name, flags, Mode::empty()) {
            Ok(file) => Ok(Self {
                file: Arc::new(file.into()),
                path: self.path_of(name).into(),
            }),
            Err(error) => {
                let found = self.facts(name).map(|facts| facts.kind);
                match found {
                    Ok(kind) if kind != FileKind::Directory => Err(kind.instead_of("a directory")),
                    _ => Err(error.into()),
                }
            }
        }
    }

    /// Opens a directory further down, as [`directory`](Self::directory) does at every step. An empty path is
    /// this directory.
    ///
    /// # Errors
    ///
    /// As [`directory`](Self::directory).
    pub fn below(&self, path: &Path) -> io::Result<Self> {
        let mut directory = self.clone();
        for component in path.components() {
            match component {
                Component::Normal(name) => directory = directory.directory(name)?,
                _ => return Err(invalid_name(path.as_os_str())),
            }
        }
        Ok(directory)
    }

    /// Makes a directory for this user alone, and opens it.
    ///
    /// # Errors
    ///
    /// Something has the name, or it cannot be made.
    pub fn create_directory(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = component(name.as_ref())?;
        rustix::fs::mkdirat(&self.file, name, Mode::from_raw_mode(DIRECTORY_MODE))?;
        self.directory(name)
    }

    /// Opens a directory in this one, made when nothing has its name.
    ///
    /// # Errors
    ///
    /// As [`directory`](Self::directory) and [`create_directory`](Self::create_directory).
    pub fn directory_or_create(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        match self.create_directory(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.directory(name),
            // What is there is still good for reading.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => self.directory(name),
            made => made,
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// It is not there, or is not a regular file.
    pub fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.open_with(name.as_ref(), OFlags::RDONLY)
    }

    /// Opens a regular file for reading and writing, made when nothing has its name.
    ///
    /// # Errors
    ///
    /// What has the name is not a regular file, or is one that has another name, too: that would be written
    /// as well.
    pub fn open_file_or_create(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let file = self.open_with(name.as_ref(), OFlags::RDWR | OFlags::CREATE)?;
        match file.metadata()?.nlink() > 1 {
            true => Err(wrong_kind("the file has several names (hard links)")),
            false => Ok(file),
        }
    }

    /// Makes a regular file and opens it for reading and writing.
    ///
    /// # Errors
    ///
    /// Something has the name, or it cannot be made.
    pub fn create_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.create_file_with(name.as_ref(), FILE_MODE)
    }

    /// As [`create_file`](Self::create_file), for a file that everyone may read.
    ///
    /// # Errors
    ///
    /// As [`create_file`](Self::create_file).
    pub fn create_file_public(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.create_file_with(name.as_ref(), PUBLIC_FILE_MODE)
    }

    fn create_file_with(&self, name: &OsStr, mode: Mode) -> io::Result<File> {
        let name = component(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.file, name, flags, mode)?.into())
    }

    fn open_with(&self, name: &OsStr, flags: OFlags) -> io::Result<File> {
        let name = component(name)?;
        // Some devices do something when they are opened, so the look comes first.
        match self.facts(name) {
            Ok(facts) => facts.kind.expect_file()?,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && flags.contains(OFlags::CREATE) => {}
            Err(error) => return Err(error),
        }
        // By now it may be something else.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.file, name, flags, FILE_MODE)?);
        FileFacts::from(rustix::fs::fstat(&file)?)
            .kind
            .expect_file()?;
        Ok(file)
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`open_file`](Self::open_file); or it is longer, which [`Error::io`](crate::error::Error::io) gives
    /// the kind [`LimitExceeded`](crate::error::ErrorKind::LimitExceeded).
    pub fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> io::Result<Vec<u8>> {
        small_file::read_open(self.open_file(name)?, limit)
    }

    /// Writes a new file with mode 0600 and syncs it.
    ///
    /// # Errors
    ///
    /// Something has the name, or the write failed.
    pub fn write_new(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> io::Result<()> {
        self.write_new_with(name.as_ref(), bytes, FILE_MODE)
    }

    fn write_new_with(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let mut file = self.create_file_with(name, mode)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Replaces whatever has the name by a file of mode 0600, in one step: readers see the old one or the new
    /// one, and so does whoever looks after a crash.
    ///
    /// The new file waits as `NAME.new`, so that two callers for one name need a lock between them.
    ///
    /// # Errors
    ///
    /// The write, the rename or a sync failed; what was there is still there.
    pub fn replace(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> io::Result<()> {
        self.replace_with(name.as_ref(), bytes, FILE_MODE)
    }

    /// As [`replace`](Self::replace), for a file that everyone may read.
    ///
    /// # Errors
    ///
    /// As [`replace`](Self::replace).
    pub fn replace_public(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> io::Result<()> {
        self.replace_with(name.as_ref(), bytes, PUBLIC_FILE_MODE)
    }

    fn replace_with(&self, name: &OsStr, bytes: &[u8], mode: Mode) -> io::Result<()> {
        let mut waiting = component(name)?.to_owned();
        waiting.push(".new");
        self.remove(&waiting)?;
        let replaced = self
            .write_new_with(&waiting, bytes, mode)
            .and_then(|()| self.rename(&waiting, name));
        if replaced.is_err() {
            // Half a file is of no use, and the disk may be full.
            let _ = self.remove_file(&waiting);
        }
        replaced?;
        self.sync()
    }

    /// Makes a symbolic link. What it points to is not looked at.
    ///
    /// # Errors
    ///
    /// Something has the name, or it cannot be made.
    pub fn create_symlink(&self, name: impl AsRef<OsStr>, goal: &Path) -> io::Result<()> {
        let name = component(name.as_ref())?;
        Ok(rustix::fs::symlinkat(goal, &self.file, name)?)
    }

    /// What a symbolic link points to.
    ///
    /// # Errors
    ///
    /// It is not there, or not a symbolic link.
    pub fn read_symlink(&self, name: impl AsRef<OsStr>) -> io::Result<PathBuf> {
        let name = component(name.as_ref())?;
        let goal = rustix::fs::readlinkat(&self.file, name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(goal.as_bytes())))
    }

    /// The directory's own permission bits, with set-id and sticky bits.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(FileFacts::from(rustix::fs::fstat(&self.file)?).mode)
    }

    /// Sets the directory's own mode, of which the twelve lowest bits count.
    ///
    /// # Errors
    ///
    /// It is another user's.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(
            &self.file,
            Mode::from_raw_mode(mode & 0o7777),
        )?)
    }

    /// The same directory once more: locks and the position of a listing belong to an opening.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.file, ".", flags, Mode::empty())?.into())
    }
}

/// Whether `name` can only mean an entry of the directory itself.
fn component(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    match bytes.is_empty() || bytes.contains(&b'/') || bytes == b"." || bytes == b".." {
        true => Err(invalid_name(name)),
        false => Ok(name),
    }
}

fn invalid_name(name: &OsStr) -> io::Error {
    let message = format!("{name:?} is not the name of an entry of a directory");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn wrong_kind(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

#[cfg(test)]
mod tests;
