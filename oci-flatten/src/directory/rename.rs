//! Names given, exchanged and shared.

use std::ffi::OsStr;
use std::io;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::{Directory, FileKind, component};

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
    /// Where the filesystem has no flags for renames (NFS, exFAT), a file is linked under its new name, or takes
    /// the place of an empty file that was made for it. A directory is renamed after a look: at worst it
    /// takes the place of an empty directory that another program makes at that moment.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when something has it.
    pub fn rename_new(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        let (from, to) = (component(from.as_ref())?, component(to.as_ref())?);
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&*self.file, from, &*self.file, to, flags) {
            Err(error) if is_unsupported(error) => {}
            done => return Ok(done?),
        }
        if self.facts(from)?.kind == FileKind::Directory {
            return match self.contains(to)? {
                true => Err(io::ErrorKind::AlreadyExists.into()),
                false => self.rename(from, to),
            };
        }
        match rustix::fs::linkat(&*self.file, from, &*self.file, to, AtFlags::empty()) {
            Ok(()) => return self.remove_file(from),
            Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
            // No hard links either.
            Err(_) => drop(self.create_file(to)?),
        }
        self.rename(from, to).inspect_err(|_| {
            let _ = self.remove_file(to);
        })
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
            Err(error) if is_unsupported(error) => Err(io::ErrorKind::Unsupported.into()),
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

/// Whether the filesystem, or the kernel, does not know the flags of renameat2(2).
fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}
