//! Names given, exchanged and shared.

use std::ffi::OsStr;
use std::io;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::{Directory, component};

impl Directory {
    /// Gives an entry another name, in place of whatever had it.
    ///
    /// # Errors
    ///
    /// It is not there, or a directory is in the way.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        self.rename_into(from, self, to)
    }

    /// Moves an entry to another directory of the same filesystem, in place of whatever had the name there.
    ///
    /// # Errors
    ///
    /// As [`rename`](Self::rename).
    pub fn rename_into(
        &self,
        from: impl AsRef<OsStr>,
        target: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let (from, to) = (component(from.as_ref())?, component(to.as_ref())?);
        Ok(rustix::fs::renameat(&*self.file, from, &*target.file, to)?)
    }

    /// Gives an entry a name that nothing has.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when something has it.
    pub fn rename_new(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        let (from, to) = (component(from.as_ref())?, component(to.as_ref())?);
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&*self.file, from, &*self.file, to, flags)?;
        Ok(())
    }

    /// Has two entries swap their names, in one step.
    ///
    /// # Errors
    ///
    /// One of them is not there; [`io::ErrorKind::Unsupported`] where the filesystem cannot.
    pub fn exchange(&self, one: impl AsRef<OsStr>, other: impl AsRef<OsStr>) -> io::Result<()> {
        let (one, other) = (component(one.as_ref())?, component(other.as_ref())?);
        let flags = RenameFlags::EXCHANGE;
        match rustix::fs::renameat_with(&*self.file, one, &*self.file, other, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            done => Ok(done?),
        }
    }

    /// Gives a file one more name, in this directory or another of the same filesystem.
    ///
    /// # Errors
    ///
    /// Something has the name, or the filesystem has no hard links.
    pub fn link(
        &self,
        name: impl AsRef<OsStr>,
        target: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let (name, to) = (component(name.as_ref())?, component(to.as_ref())?);
        let flags = AtFlags::empty();
        Ok(rustix::fs::linkat(
            &*self.file,
            name,
            &*target.file,
            to,
            flags,
        )?)
    }
}
