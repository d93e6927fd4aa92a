//! The file that a command makes: whole under its final name, or not there at all.

#![expect(clippy::disallowed_methods, reason = "the user names the output")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::NamedTempFile;

use crate::error::{Error, ErrorKind};

/// A file in the making beside its final place.
///
/// Where the filesystem can, it has no name until it is published, so that not even `SIGKILL` leaves
/// anything; elsewhere it has a temporary name, which dropping it removes.
#[derive(Debug)]
pub struct OutputFile {
    target: PathBuf,
    replace: bool,
    scratch: Scratch,
}

#[derive(Debug)]
enum Scratch {
    Nameless(File),
    Named(NamedTempFile),
}

impl OutputFile {
    /// Begins the file that will be `target`. With `replace`, an existing regular file gives way when
    /// the new one is published; until then it is untouched.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`] when `target` is there and `replace` is not set, or is anything but a
    /// regular file; [`ErrorKind::NotFound`] when its folder is missing; others as the system says.
    pub fn create(target: &Path, replace: bool) -> Result<Self, Error> {
        if target.file_name().is_none() {
            let message = format!("output {} does not name a file", target.display());
            return Err(Error::new(ErrorKind::Usage, message));
        }
        refuse_existing(target, replace)?;
        let scratch = Scratch::create(folder_of(target)).map_err(|error| {
            Error::io(
                format!("make a file in {}", folder_of(target).display()),
                error,
            )
        })?;
        Ok(Self {
            target: target.to_owned(),
            replace,
            scratch,
        })
    }

    /// A handle to the file, open for reading and writing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failure`] when the process has too many files open.
    pub fn handle(&self) -> Result<File, Error> {
        self.file()
            .try_clone()
            .map_err(|error| Error::io(format!("open {} once more", self.target.display()), error))
    }

    fn file(&self) -> &File {
        match &self.scratch {
            Scratch::Nameless(file) => file,
            Scratch::Named(named) => named.as_file(),
        }
    }

    /// Gives the file its final name in one step. With `sync`, its bytes reach the disk before the
    /// name does, and the name before this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`] when `target` has come to be meanwhile and `replace` is not set;
    /// [`ErrorKind::NoSpace`] when the disk is full.
    pub fn publish(self, sync: bool) -> Result<(), Error> {
        if sync {
            self.file().sync_all().map_err(|error| {
                Error::io(format!("flush {} to disk", self.target.display()), error)
            })?;
        }
        refuse_existing(&self.target, self.replace)?;
        let Self {
            target,
            replace,
            scratch,
        } = self;
        scratch
            .publish(&target, replace)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(&target),
                _ => Error::io(format!("give {} its name", target.display()), error),
            })?;
        if sync {
            File::open(folder_of(&target))
                .and_then(|folder| folder.sync_all())
                .map_err(|error| {
                    Error::io(
                        format!("flush folder {} to disk", folder_of(&target).display()),
                        error,
                    )
                })?;
        }
        Ok(())
    }
}

impl Scratch {
    fn create(folder: &Path) -> io::Result<Self> {
        // A nameless file gets its name through /proc, which a bare chroot does not have.
        if Path::new("/proc/self/fd").is_dir() {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666)) {
                return Ok(Self::Nameless(File::from(file)));
            }
        }
        named_builder().tempfile_in(folder).map(Self::Named)
    }

    fn publish(self, target: &Path, replace: bool) -> io::Result<()> {
        match self {
            Self::Nameless(file) if replace => {
                // A link cannot replace a name, so the file takes a temporary one first.
                named_builder()
                    .make_in(folder_of(target), |path| link(&file, path))?
                    .persist(target)
                    .map(drop)
                    .map_err(|error| error.error)
            }
            Self::Nameless(file) => link(&file, target),
            Self::Named(named) if replace => {
                named.persist(target).map(drop).map_err(|error| error.error)
            }
            Self::Named(named) => named
                .persist_noclobber(target)
                .map(drop)
                .map_err(|error| error.error),
        }
    }
}

fn link(file: &File, path: &Path) -> io::Result<()> {
    let open_file = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, open_file, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

fn named_builder<'a>() -> tempfile::Builder<'a, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // The umask takes its part away, as with any new file.
    builder
        .prefix(".banger-")
        .suffix(".tmp")
        .permissions(fs::Permissions::from_mode(0o666));
    builder
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn refuse_existing(target: &Path, replace: bool) -> Result<(), Error> {
    match fs::symlink_metadata(target) {
        Ok(found) if !found.is_file() => {
            let message = format!(
                "output {} exists and is not a regular file",
                target.display()
            );
            Err(Error::new(ErrorKind::Exists, message))
        }
        Ok(_) if !replace => Err(exists(target)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(format!("look at {}", target.display()), error)),
    }
}

fn exists(target: &Path) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!("output {} exists", target.display()),
    )
    .with_hint("name another file, or replace this one with --force")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_appears_with_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let output = OutputFile::create(&target, false).unwrap();
        output.file().write_all(b"new").unwrap();
        assert!(!target.exists());
        output.publish(true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(OutputFile::create(&folder.path().join("out"), false).unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn an_existing_file_is_refused_or_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        fs::write(&target, b"old").unwrap();
        let refused = OutputFile::create(&target, false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Exists);
        let output = OutputFile::create(&target, true).unwrap();
        output.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        output.publish(false).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_file_that_came_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let output = OutputFile::create(&target, false).unwrap();
        fs::write(&target, b"theirs").unwrap();
        assert_eq!(output.publish(false).unwrap_err().kind(), ErrorKind::Exists);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_named_scratch_file_serves_as_well() {
        let folder = tempfile::tempdir().unwrap();
        for replace in [false, true] {
            let target = folder.path().join(format!("out-{replace}"));
            let named = named_builder().tempfile_in(folder.path()).unwrap();
            Scratch::Named(named).publish(&target, replace).unwrap();
            assert!(target.is_file());
        }
        assert_eq!(names(folder.path()), ["out-false", "out-true"]);
    }

    #[test]
    fn folders_links_and_missing_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for target in [folder.path(), &link] {
            let refused = OutputFile::create(target, true).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Exists);
        }
        let missing = OutputFile::create(&folder.path().join("no/out"), false).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let nameless = OutputFile::create(Path::new("/"), false).unwrap_err();
        assert_eq!(nameless.kind(), ErrorKind::Usage);
    }
}
