//! Files that have no name until they are complete (`O_TMPFILE`, open(2)): whatever happens before, nothing is left.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::{AtFlags, CWD, OFlags};

use super::{Directory, PUBLIC_FILE_MODE, component};

impl Directory {
    /// Makes a regular file without a name, which everyone may read once it has one.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] and others where the filesystem has no such files.
    pub fn create_nameless(&self) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.file, ".", flags, PUBLIC_FILE_MODE)?.into())
    }

    /// Gives a file from [`create_nameless`](Self::create_nameless) a name that nothing has.
    ///
    /// # Errors
    ///
    /// Something has it; the filesystem cannot, or `/proc` is not mounted.
    pub fn link_nameless(&self, file: &File, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = component(name.as_ref())?;
        // To link by the descriptor alone takes a capability.
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = AtFlags::SYMLINK_FOLLOW;
        Ok(rustix::fs::linkat(CWD, open, &*self.file, name, flags)?)
    }
}
