//! What a directory holds: names, and what has them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Stat};

use super::{Directory, component, wrong_kind};

/// Most entries of one directory that are listed.
const ENTRY_LIMIT: usize = 2_000_000;

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// What has the name: a symbolic link itself, not what it points to.
    pub facts: FileFacts,
}

/// What is known of a file of any kind without opening it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FileFacts {
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes.
    pub length: u64,
    /// What it occupies on disk, in bytes.
    pub disk_bytes: u64,
    /// Its permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// How many names it has.
    pub links: u64,
    /// When it was written last.
    pub modified: SystemTime,
    /// Device and inode, which no other file has at the same time.
    pub identity: (u64, u64),
}

/// Kinds of files, by inode(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Something that this program does not know.
    Unknown,
}

impl FileKind {
    pub(super) fn expect_file(self) -> io::Result<()> {
        match self {
            Self::File => Ok(()),
            other => Err(other.instead_of("a regular file")),
        }
    }

    pub(super) fn instead_of(self, expected: &str) -> io::Error {
        wrong_kind(format!("it is {self}, not {expected}"))
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Unknown => "a file of unknown kind",
        })
    }
}

impl From<Stat> for FileFacts {
    fn from(stat: Stat) -> Self {
        let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
        let modified = match stat.st_mtime < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(seconds),
            false => SystemTime::UNIX_EPOCH.checked_add(seconds),
        };
        let nanoseconds = Duration::from_nanos(stat.st_mtime_nsec);
        Self {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => FileKind::File,
                FileType::Directory => FileKind::Directory,
                FileType::Symlink => FileKind::Symlink,
                FileType::Fifo => FileKind::Fifo,
                FileType::Socket => FileKind::Socket,
                FileType::CharacterDevice | FileType::BlockDevice => FileKind::Device,
                FileType::Unknown => FileKind::Unknown,
            },
            length: u64::try_from(stat.st_size).unwrap_or_default(),
            disk_bytes: u64::try_from(stat.st_blocks)
                .unwrap_or_default()
                .saturating_mul(512),
            mode: stat.st_mode & 0o7777,
            #[allow(
                clippy::useless_conversion,
                reason = "its width differs by architecture"
            )]
            links: u64::from(stat.st_nlink),
            modified: modified
                .and_then(|time| time.checked_add(nanoseconds))
                .unwrap_or(SystemTime::UNIX_EPOCH),
            identity: (stat.st_dev, stat.st_ino),
        }
    }
}

impl Directory {
    /// What has a name in this directory.
    ///
    /// # Errors
    ///
    /// Nothing has it.
    pub fn facts(&self, name: impl AsRef<OsStr>) -> io::Result<FileFacts> {
        let name = component(name.as_ref())?;
        let stat = rustix::fs::statat(&*self.file, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(stat.into())
    }

    /// Whether anything has a name in this directory.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn contains(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        match self.facts(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a name still means the file that is open.
    ///
    /// # Errors
    ///
    /// The disk failed.
    pub fn is_named(&self, name: impl AsRef<OsStr>, file: &File) -> io::Result<bool> {
        let open = file.metadata()?;
        match self.facts(name) {
            Ok(facts) => Ok(facts.identity == (open.dev(), open.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everything in the directory, by name.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or holds more than two million entries.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.names(ENTRY_LIMIT + 1)? {
            match self.facts(&name) {
                Ok(facts) => entries.push(Entry { name, facts }),
                // Another process has removed it since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if entries.len() > ENTRY_LIMIT {
            let message = format!("more than {ENTRY_LIMIT} entries");
            return Err(io::Error::other(message));
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The names in the directory that begin and end so, in no order. Nothing is looked at but the names.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn names_like(&self, prefix: &str, suffix: &str) -> io::Result<Vec<OsString>> {
        let mut names = self.names(usize::MAX)?;
        names.retain(|name| {
            let bytes = name.as_bytes();
            bytes.starts_with(prefix.as_bytes()) && bytes.ends_with(suffix.as_bytes())
        });
        Ok(names)
    }

    /// At most so many names of the directory, in the filesystem's order.
    pub(super) fn names(&self, limit: usize) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::new(self.reopen()?)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
            if names.len() == limit {
                break;
            }
        }
        Ok(names)
    }
}
