//! The file that a command makes: written under its final name atomically.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci_flatten::directory::{Directory, FileKind};
use oci_flatten::lock::Waiter;

use crate::error::{Error, ErrorKind};
use crate::text::shell_word;
use crate::watch::{Observer, Step};

/// How temporary names begin and end.
const TEMPORARY: (&str, &str) = (".banger-", ".tmp");

/// A file in the making beside its final place.
///
/// Where the filesystem can, it has no name until it is published, so that not even `SIGKILL` leaves
/// anything; elsewhere it has a temporary name, which dropping it removes. One that a killed run has left is
/// removed by the next run in that folder: the lock on it has gone with its maker.
#[derive(Debug)]
pub struct OutputFile {
    target: PathBuf,
    folder: Directory,
    name: OsString,
    replace: bool,
    file: File,
    /// The temporary name, where it has one.
    temporary: Option<OsString>,
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
        let name = named_file(target)?;
        let path = folder_of(target);
        let failed = |error: io::Error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let error = Error::io(format!("make a file in {}", path.display()), error);
            let folder = shell_word(&path.display().to_string());
            match missing {
                true => error.with_hint(format!("make the directory first: `mkdir -p {folder}`")),
                false => error,
            }
        };
        let folder = Directory::open(path).map_err(failed)?;
        refuse_existing(&folder, target, replace)?;
        // A folder that may be written to but not read keeps what was left there.
        let _ = remove_leftovers(&folder);
        let (file, temporary) = match can_link(&folder).then(|| folder.create_nameless()) {
            Some(Ok(file)) => {
                claim(&file);
                (file, None)
            }
            _ => create_named(&folder)
                .map(|(file, name)| (file, Some(name)))
                .map_err(failed)?,
        };
        Ok(Self {
            target: target.to_owned(),
            folder,
            name: name.to_owned(),
            replace,
            file,
            temporary,
        })
    }

    /// A handle to the file, open for reading and writing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Failure`] when the process has too many files open.
    pub fn handle(&self) -> Result<File, Error> {
        self.file
            .try_clone()
            .map_err(|error| Error::io(format!("open {} once more", self.target.display()), error))
    }

    /// Gives the file its final name in one step. With `sync`, its bytes reach the disk before the
    /// name does, and the name before this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`] when `target` has come to be meanwhile and `replace` is not set;
    /// [`ErrorKind::NoSpace`] when the disk is full; [`ErrorKind::Interrupted`] when `observer` ends it before
    /// the file has its name. Where only the name could not be flushed to disk, the file is there, and the message
    /// says so.
    pub fn publish(mut self, sync: bool, observer: &dyn Observer) -> Result<(), Error> {
        observer.begin(Step::Publish)?;
        let target = self.target.display().to_string();
        if sync {
            self.file
                .sync_all()
                .map_err(|error| Error::io(format!("flush {target} to disk"), error))?;
        }
        observer.check()?;
        refuse_existing(&self.folder, &self.target, self.replace)?;
        self.give_name().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(&self.target),
            _ => Error::io(format!("give {target} its name"), error),
        })?;
        if sync {
            self.folder.sync().map_err(|error| {
                let folder = self.folder.path().display();
                let message =
                    format!("{target} is complete, but folder {folder} was not flushed to disk");
                Error::io(message, error)
            })?;
        }
        Ok(())
    }

    fn give_name(&mut self) -> io::Result<()> {
        if self.temporary.is_none() {
            if !self.replace {
                return self.folder.link_nameless(&self.file, &self.name);
            }
            // A link cannot replace a name, so the file takes a temporary one first.
            let temporary = temporary_name();
            self.folder.link_nameless(&self.file, &temporary)?;
            self.temporary = Some(temporary);
        }
        let temporary = self.temporary.as_deref().unwrap_or_default();
        match self.replace {
            true => self.folder.rename(temporary, &self.name)?,
            false => self.folder.rename_new(temporary, &self.name)?,
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // What resists is found by the next run here.
            let _ = self.folder.remove_file(temporary);
        }
    }
}

/// Whether a file without a name can be given one in this folder: it takes a filesystem that can, and `/proc`.
fn can_link(folder: &Directory) -> bool {
    let name = temporary_name();
    let linked = folder.create_nameless().and_then(|probe| {
        claim(&probe);
        folder.link_nameless(&probe, &name)
    });
    linked.is_ok() && folder.remove_file(&name).is_ok()
}

fn create_named(folder: &Directory) -> io::Result<(File, OsString)> {
    loop {
        let name = temporary_name();
        match folder.create_file_public(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                let file = made?;
                claim(&file);
                // Another run may have taken it for a leftover before it was claimed.
                if folder.is_named(&name, &file)? {
                    return Ok((file, name));
                }
            }
        }
    }
}

/// Tells other runs, which see a temporary name, that the maker of the file lives. Where a filesystem has no locks,
/// leftovers stay.
fn claim(file: &File) {
    let _ = Waiter::default().lock(file, Path::new(TEMPORARY.0));
}

fn temporary_name() -> OsString {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let (prefix, suffix) = TEMPORARY;
    format!("{prefix}{}-{count}{suffix}", std::process::id()).into()
}

/// Removes temporary files that nobody holds a lock on.
fn remove_leftovers(folder: &Directory) -> io::Result<()> {
    for name in folder.names_like(TEMPORARY.0, TEMPORARY.1)? {
        let Ok(file) = folder.open_file(&name) else {
            continue;
        };
        // Removed while the lock is held, so that a maker who waits for it finds its file gone.
        if file.try_lock().is_ok() && folder.is_named(&name, &file)? {
            let _ = folder.remove_file(&name);
        }
    }
    Ok(())
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Refuses what names no file: standard output, which cannot be written out of order, and directories.
fn named_file(target: &Path) -> Result<&OsStr, Error> {
    let text = target.as_os_str().as_encoded_bytes();
    let names_directory = text.ends_with(b"/") || text.ends_with(b"/.");
    if let Some(name) = target.file_name()
        && !names_directory
        && text != b"-"
    {
        return Ok(name);
    }
    let shown = target.display();
    let (message, hint) = match text {
        b"-" => (
            "output cannot be standard output: a filesystem is not written from front to back"
                .to_owned(),
            "name a file; ./- is one of that name".to_owned(),
        ),
        _ => (
            format!("output {shown} names a directory"),
            "name a file in it, such as rootfs.ext4".to_owned(),
        ),
    };
    Err(Error::new(ErrorKind::Usage, message).with_hint(hint))
}

fn refuse_existing(folder: &Directory, target: &Path, replace: bool) -> Result<(), Error> {
    match folder.facts(target.file_name().unwrap_or(OsStr::new("."))) {
        Ok(found) if found.kind == FileKind::Directory => {
            let message = format!("output {} is a directory", target.display());
            Err(Error::new(ErrorKind::Exists, message)
                .with_hint("name a file in it, such as rootfs.ext4"))
        }
        Ok(found) if found.kind != FileKind::File => {
            let message = format!(
                "output {} exists and is not a regular file",
                target.display()
            );
            Err(Error::new(ErrorKind::Exists, message).with_hint("name another file"))
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
    use std::fs;
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
        (&output.file).write_all(b"new").unwrap();
        assert!(!target.exists());
        output.publish(true, &()).unwrap();
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
        (&output.file).write_all(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        output.publish(false, &()).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_file_that_came_meanwhile_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let output = OutputFile::create(&target, false).unwrap();
        fs::write(&target, b"theirs").unwrap();
        assert_eq!(
            output.publish(false, &()).unwrap_err().kind(),
            ErrorKind::Exists
        );
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn a_temporary_name_serves_as_well() {
        let folder = tempfile::tempdir().unwrap();
        for replace in [false, true] {
            let target = folder.path().join(format!("out-{replace}"));
            let mut output = OutputFile::create(&target, replace).unwrap();
            let (file, name) = create_named(&output.folder).unwrap();
            (output.file, output.temporary) = (file, Some(name));
            output.publish(true, &()).unwrap();
            assert!(target.is_file());
        }
        assert_eq!(names(folder.path()), ["out-false", "out-true"]);
    }

    #[test]
    fn what_a_killed_run_has_left_goes_and_what_a_living_one_makes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        drop(make(".banger-1-1.tmp"));
        drop(make("banger.tmp"));
        let living = make(".banger-1-2.tmp");
        living.lock().unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join(".banger-1-3.tmp")).unwrap();
        drop(OutputFile::create(&folder.path().join("out"), false).unwrap());
        let kept = [".banger-1-2.tmp", ".banger-1-3.tmp", "banger.tmp"];
        assert_eq!(names(folder.path()), kept);
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
        assert!(missing.hint().unwrap().contains("mkdir -p "));
        for nameless in ["/", "-", "..", "nowhere/", "nowhere/.", "nowhere/.."] {
            let refused = OutputFile::create(Path::new(nameless), false).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{nameless}");
            assert!(refused.hint().is_some());
        }
        drop(OutputFile::create(&folder.path().join("./-"), false).unwrap());
    }
}
