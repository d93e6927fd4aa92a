//! Removal of an entry of any kind, with all that is below it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{DIRECTORY_MODE, Directory, FileKind, component};

/// Names that are looked at before they are removed and more are read.
const BATCH: usize = 4096;

impl Directory {
    /// Removes a name that is not a directory's: of a symbolic link, the link itself.
    ///
    /// # Errors
    ///
    /// Nothing has it, or a directory.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = component(name.as_ref())?;
        Ok(rustix::fs::unlinkat(&*self.file, name, AtFlags::empty())?)
    }

    /// Removes whatever has a name, directories with everything below them, whatever their modes are. What is
    /// gone already is no failure, so two processes may remove one tree.
    ///
    /// # Errors
    ///
    /// Something cannot be removed; other things may be gone by then.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = component(name.as_ref())?;
        match self.remove_file(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if !self.is_directory(name) => return tolerate_missing(Err(error)),
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
        match self.open_to_empty(name).and_then(|open| open.empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            emptied => emptied?,
        }
        tolerate_missing(self.remove_empty(name))
    }

    /// Removes everything in the directory.
    ///
    /// Directories further down are moved up to be emptied here, so that neither memory nor open files
    /// grow with the depth.
    fn empty(&self) -> io::Result<()> {
        let mut moved = 0_u64;
        loop {
            let names = self.names(BATCH)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                match self.remove_file(&name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) if self.is_directory(&name) => self.flatten(&name, &mut moved)?,
                    removed => removed?,
                }
            }
        }
    }

    /// Removes a directory of this one, whose own directories become this one's.
    fn flatten(&self, name: &OsStr, moved: &mut u64) -> io::Result<()> {
        let below = match self.open_to_empty(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        loop {
            let names = below.names(BATCH)?;
            if names.is_empty() {
                return tolerate_missing(self.remove_empty(name));
            }
            for name in names {
                match below.remove_file(&name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) if below.is_directory(&name) => self.take_up(&below, &name, moved)?,
                    removed => removed?,
                }
            }
        }
    }

    /// Moves a directory up into this one, under a name that nothing has.
    fn take_up(&self, below: &Self, name: &OsStr, moved: &mut u64) -> io::Result<()> {
        // A directory can be moved only by who may write to it.
        drop(below.open_to_empty(name));
        loop {
            *moved += 1;
            let free = OsString::from(format!(".removed-{}-{moved}", std::process::id()));
            if self.contains(&free)? {
                continue;
            }
            return tolerate_missing(below.rename_into(name, self, &free));
        }
    }

    fn is_directory(&self, name: &OsStr) -> bool {
        self.facts(name)
            .is_ok_and(|facts| facts.kind == FileKind::Directory)
    }

    fn remove_empty(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.file, name, AtFlags::REMOVEDIR)?)
    }

    /// Opens a directory whose mode, as module trees have them, may keep its owner from emptying it.
    fn open_to_empty(&self, name: &OsStr) -> io::Result<Self> {
        let opened = match self.directory(name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.grant_owner(name)?;
                self.directory(name)?
            }
            opened => opened?,
        };
        match opened.set_mode(DIRECTORY_MODE) {
            // Another user's; whether it can be emptied shows in a moment.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(opened),
            set => set.map(|()| opened),
        }
    }

    /// Sets the mode of a directory that cannot be opened for reading. The kernel changes modes by path or by
    /// a file that is, so the path is that of a handle that follows no link.
    fn grant_owner(&self, name: &OsStr) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&*self.file, name, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        match rustix::fs::chmod(path, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Err(Errno::NOENT) => Err(Errno::ACCESS.into()),
            done => Ok(done?),
        }
    }
}

fn tolerate_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
