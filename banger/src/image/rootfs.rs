//! An ext4 file as a [`RootTree`], read in place: no mount, no root.

use std::fs::File;
use std::path::{Path, PathBuf};

use ext4_view::{Ext4, Ext4Error, FileType};

use crate::boot::{RootTree, TreeEntry, TreeKind};
use crate::error::{Error, ErrorKind};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// An ext4 filesystem in a file.
pub struct Ext4Tree {
    filesystem: Ext4,
    path: PathBuf,
}

impl Ext4Tree {
    /// Reads the filesystem in a file or block device, whose path is for messages. A journal that was not replayed is taken into account.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no ext4 filesystem that can be.
    pub fn open(file: File, path: &Path) -> Result<Self, Error> {
        let filesystem = Ext4::load(Box::new(file)).map_err(|error| failed(path, error))?;
        Ok(Self {
            filesystem,
            path: path.to_path_buf(),
        })
    }

    /// The UUID of the filesystem, in lower case with hyphens.
    #[must_use]
    pub fn uuid(&self) -> String {
        self.filesystem.uuid().to_string()
    }

    fn failed(&self, error: Ext4Error) -> Error {
        failed(&self.path, error)
    }
}

fn failed(path: &Path, error: Ext4Error) -> Error {
    let kind = match error {
        Ext4Error::Corrupt(_) | Ext4Error::Incompatible(_) => ErrorKind::Integrity,
        _ => ErrorKind::Failure,
    };
    Error::new(
        kind,
        format!("read the ext4 filesystem in {}", path.display()),
    )
    .with_source(error)
}

impl RootTree for Ext4Tree {
    fn entry(&self, path: &str) -> Result<Option<TreeEntry>, Error> {
        let found = self.filesystem.canonicalize(path).and_then(|path| {
            let metadata = self.filesystem.symlink_metadata(&path)?;
            Ok((path, metadata))
        });
        let (path, metadata) = match found {
            Ok(found) => found,
            // Paths of an image are no business of the filesystem's health: they lead nowhere.
            Err(
                Ext4Error::NotFound
                | Ext4Error::NotADirectory
                | Ext4Error::NotAbsolute
                | Ext4Error::MalformedPath
                | Ext4Error::PathTooLong
                | Ext4Error::TooManySymlinks,
            ) => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let Ok(path) = path.to_str() else {
            return Ok(None);
        };
        Ok(Some(TreeEntry {
            path: path.to_owned(),
            kind: match metadata.file_type() {
                FileType::Regular => TreeKind::File,
                FileType::Directory => TreeKind::Directory,
                _ => TreeKind::Special,
            },
            mode: metadata.mode() & 0o7777,
            size: metadata.len(),
        }))
    }

    fn read(&self, path: &str, limit: u64, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut file = self
            .filesystem
            .open(path)
            .map_err(|error| self.failed(error))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut left = limit;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(BUFFER_BYTES, |n| n.min(BUFFER_BYTES));
            let count = file
                .read_bytes(&mut buffer[..wanted])
                .map_err(|error| self.failed(error))?;
            if count == 0 {
                break;
            }
            each(&buffer[..count]);
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn names(&self, path: &str) -> Result<Vec<String>, Error> {
        let entries = self
            .filesystem
            .read_dir(path)
            .map_err(|error| self.failed(error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.failed(error))?;
            let name = entry.file_name();
            match name.as_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}
