//! A directory of published directories: what images and kernels have in common.
//!
//! ```text
//! stage      lock → mkdir X.staging, flock it, write its reservation → unlock
//! publish    lock → check the name → rename X.staging to its name → sync → unlock
//! retire     lock → flock NAME, rename it to NAME.staging → unlock → remove
//! sweep      lock → every *.staging that nobody holds a lock on → unlock → remove
//! ```
//!
//! The two locks are `flock`s, which the kernel drops when their holder dies, however it dies: the one
//! on `.lock` makes checks and renames one step, the one on a staging directory says that it is alive.
//! A directory without the suffix is complete, so readers need no lock and a read-only store can be read.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use oci_flatten::directory::{Directory, FileKind};
use oci_flatten::lock::Waiter;

use super::name::{NAME_LIMIT, Name, STAGING_SUFFIX};
use crate::artifact::{failed, failed_in, write_new};
use crate::error::{Error, ErrorKind};

/// The file whose lock makes a check and a rename one step.
const LOCK: &str = ".lock";

/// In a staging directory: the name that it will publish under. Gone once it has.
const RESERVATION: &str = ".name";

/// In a staging directory that is about to take the place of a published one, where the filesystem cannot swap
/// them in one step: a sweep goes on from here.
const SUCCESSOR: &str = ".successor";

/// A directory of published directories.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    waiter: Waiter,
}

impl Shelf {
    /// The shelf at `path`, which need not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        let waiter = Waiter::default();
        Self { path, waiter }
    }

    /// The same shelf, for someone who waits for its lock in another way.
    pub(crate) fn waiting_as(self, waiter: Waiter) -> Self {
        Self { waiter, ..self }
    }

    /// Where the shelf is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The shelf, open; none when it does not exist.
    pub(crate) fn open(&self) -> Result<Option<Directory>, Error> {
        match Directory::open(&self.path) {
            Ok(root) => Ok(Some(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &self.path, error)),
        }
    }

    /// The names of the published directories, sorted; none when the shelf does not exist. What has such a
    /// name may be something else: whoever opens it finds out.
    pub(crate) fn published(&self) -> Result<Vec<String>, Error> {
        let mut names = match self.open()? {
            Some(root) => names(&root)?,
            None => Vec::new(),
        };
        names.retain(|name| !name.starts_with('.') && !name.ends_with(STAGING_SUFFIX));
        Ok(names)
    }

    /// Makes the shelf where it is missing and takes its lock, waiting for whoever holds it.
    pub(crate) fn lock(&self) -> Result<ShelfLock, Error> {
        let root = Directory::open_or_create(&self.path)
            .map_err(|error| failed("create", &self.path, error))?;
        let failed = |error| failed_in("lock", &root, LOCK, error);
        let file = root.open_file_or_create(LOCK).map_err(failed)?;
        self.waiter.lock(&file, &root.path_of(LOCK))?;
        Ok(ShelfLock { root, _file: file })
    }

    /// Removes what killed runs have left. What cannot be removed now is tried again next time.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        for dead in self.find_dead()? {
            // A directory that resists must not keep its user from working.
            let _ = dead.root.remove(&dead.name);
        }
        Ok(())
    }

    /// What killed runs have left, held by us, and no longer in the way of anyone who wants its name.
    fn find_dead(&self) -> Result<Vec<Dead>, Error> {
        let lock = self.lock()?;
        let dead = lock.scan()?.dead;
        for (directory, _held) in dead.iter().filter_map(|dead| dead.held.as_ref()) {
            // A lock says "alive" to others, ours too.
            let _ = directory.remove_file(RESERVATION);
        }
        Ok(dead)
    }
}

/// Every name in a directory, sorted.
fn names(root: &Directory) -> Result<Vec<String>, Error> {
    let entries = root
        .entries()
        .map_err(|error| failed("read", root.path(), error))?;
    // Nothing banger makes has a name that is not UTF-8.
    Ok(entries
        .into_iter()
        .filter_map(|entry| entry.name.into_string().ok())
        .collect())
}

/// Opens a directory that a shelf has published, by its path.
pub(crate) fn open_published(path: &Path) -> Result<Directory, Error> {
    let shelf = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let root = Directory::open(shelf).map_err(|error| failed("read", shelf, error))?;
    root.directory(name)
        .map_err(|error| failed_in("read", &root, name, error))
}

/// The shelf while nobody else may publish, stage, retire or rename.
pub(crate) struct ShelfLock {
    root: Directory,
    _file: File,
}

/// What has the name of a staging directory that nobody makes any more.
struct Dead {
    root: Directory,
    name: String,
    /// The directory, and its lock, which is ours; none for what is no directory, and never was one of ours.
    held: Option<(Directory, File)>,
}

/// The staging directories by whether their makers live.
struct Scan {
    /// The names that the live ones are to publish under.
    reserved: Vec<Vec<u8>>,
    dead: Vec<Dead>,
}

impl ShelfLock {
    /// Makes `<stem>.staging`, alive until the result is dropped or published.
    pub(crate) fn stage(&self, stem: &str, reservation: Option<&Name>) -> Result<Staging, Error> {
        let name = staging_name(stem);
        let root = self.root.clone();
        let failed = |error| failed_in("create", &root, &name, error);
        // Left by a killed run that used the same stem; a live one is seen by its lock.
        if let Some(kind) = self.kind(&name)? {
            let _held = match kind {
                FileKind::Directory => Some(self.hold(&name)?.ok_or_else(|| in_use(stem))?),
                _ => None,
            };
            root.remove(&name).map_err(failed)?;
        }
        let directory = root.create_directory(&name).map_err(failed)?;
        let held = directory.try_lock().map_err(failed)?;
        let held = Some(held.ok_or_else(|| in_use(stem))?);
        let staging = Staging {
            root,
            name,
            directory,
            held,
        };
        if let Some(name) = reservation {
            write_new(&staging.directory, RESERVATION, name.as_str().as_bytes())?;
        }
        Ok(staging)
    }

    /// Whether a live staging directory is to publish under `name`.
    pub(crate) fn is_reserved(&self, name: &Name) -> Result<bool, Error> {
        let reserved = self.scan()?.reserved;
        Ok(reserved
            .iter()
            .any(|taken| taken == name.as_str().as_bytes()))
    }

    /// Gives a finished staging directory its name. The caller has synced what is in it.
    pub(crate) fn publish(&self, mut staging: Staging, entry: &str) -> Result<PathBuf, Error> {
        staging.settle()?;
        self.root
            .rename_new(&staging.name, entry)
            .map_err(|error| failed_in("publish", &self.root, entry, error))?;
        staging.held = None;
        self.sync()?;
        Ok(self.root.path_of(entry))
    }

    /// Puts a finished staging directory in the place of the published `entry`, in one step. What was
    /// there is then in the staging directory and goes with it.
    pub(crate) fn exchange(&self, staging: &mut Staging, entry: &str) -> Result<PathBuf, Error> {
        staging.settle()?;
        // The guard must now hold what was published: it is what is to be removed.
        let (directory, held) = self.hold(entry)?.ok_or_else(|| in_use(entry))?;
        match self.root.exchange(&staging.name, entry) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                staging.name = self.exchange_in_steps(&staging.name, entry)?;
            }
            exchanged => {
                exchanged.map_err(|error| failed_in("publish", &self.root, entry, error))?;
            }
        }
        (staging.directory, staging.held) = (directory, Some(held));
        self.sync()?;
        Ok(self.root.path_of(entry))
    }

    /// As [`exchange`](Self::exchange), for filesystems that cannot. Whoever reads in between misses the entry; after
    /// a crash the next sweep goes on. Returns the name that what was there has got.
    fn exchange_in_steps(&self, staging: &str, entry: &str) -> Result<String, Error> {
        let failed = |error| failed_in("publish", &self.root, entry, error);
        let aside = staging_name(&format!("{entry}.old"));
        let successor = self.root.directory(staging).map_err(failed)?;
        write_new(&successor, SUCCESSOR, b"")?;
        successor.sync().map_err(failed)?;
        self.root.rename_new(entry, &aside).map_err(failed)?;
        self.sync()?;
        if let Err(error) = self.root.rename_new(staging, entry) {
            let _ = self.root.rename_new(&aside, entry);
            return Err(failed(error));
        }
        successor.remove_file(SUCCESSOR).map_err(failed)?;
        Ok(aside)
    }

    /// Finishes an exchange in steps that a killed run has begun; false where there is nothing to finish.
    fn finish_exchange(&self, name: &str, directory: &Directory) -> bool {
        let entry = name.strip_suffix(STAGING_SUFFIX).unwrap_or_default();
        let is_begun = directory.contains(SUCCESSOR).unwrap_or(false)
            && !self.root.contains(entry).unwrap_or(true);
        is_begun
            && self.root.rename_new(name, entry).is_ok()
            && directory.remove_file(SUCCESSOR).is_ok()
            && self.root.sync().is_ok()
    }

    /// Takes a published directory out of sight, to be removed when the result is. What is no directory is not
    /// ours to follow and goes at once.
    pub(crate) fn retire(&self, entry: &str) -> Result<Option<Staging>, Error> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => in_use(entry),
            _ => failed_in("remove", &self.root, entry, error),
        };
        if self.kind(entry)? != Some(FileKind::Directory) {
            self.root.remove_file(entry).map_err(failed)?;
            self.sync()?;
            return Ok(None);
        }
        let name = staging_name(entry);
        let (directory, held) = self.hold(entry)?.ok_or_else(|| in_use(entry))?;
        self.root.rename_new(entry, &name).map_err(failed)?;
        self.sync()?;
        Ok(Some(Staging {
            root: self.root.clone(),
            name,
            directory,
            held: Some(held),
        }))
    }

    fn scan(&self) -> Result<Scan, Error> {
        let mut scan = Scan {
            reserved: Vec::new(),
            dead: Vec::new(),
        };
        for name in names(&self.root)? {
            if !name.ends_with(STAGING_SUFFIX) {
                continue;
            }
            let held = match self.kind(&name)? {
                None => continue,
                Some(FileKind::Directory) => match self.hold(&name) {
                    Ok(Some((directory, _held))) if self.finish_exchange(&name, &directory) => {
                        continue;
                    }
                    Ok(Some(held)) => Some(held),
                    Ok(None) => {
                        scan.reserved.extend(self.reservation(&name));
                        continue;
                    }
                    // Gone meanwhile, or another user's: nothing that could be removed from here.
                    Err(_) => continue,
                },
                Some(_) => None,
            };
            let root = self.root.clone();
            scan.dead.push(Dead { root, name, held });
        }
        Ok(scan)
    }

    fn reservation(&self, name: &str) -> io::Result<Vec<u8>> {
        self.root
            .directory(name)?
            .read(RESERVATION, NAME_LIMIT as u64)
    }

    /// What has a name; none when nothing has.
    fn kind(&self, name: &str) -> Result<Option<FileKind>, Error> {
        match self.root.facts(name) {
            Ok(facts) => Ok(Some(facts.kind)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed_in("read", &self.root, name, error)),
        }
    }

    /// Opens and locks a directory; none when another process or thread holds it.
    fn hold(&self, name: impl AsRef<OsStr>) -> Result<Option<(Directory, File)>, Error> {
        let name = name.as_ref();
        let failed = |error| failed_in("lock", &self.root, name, error);
        let directory = self.root.directory(name).map_err(failed)?;
        let lock = directory.try_lock().map_err(failed)?;
        Ok(lock.map(|lock| (directory, lock)))
    }

    fn sync(&self) -> Result<(), Error> {
        self.root
            .sync()
            .map_err(|error| failed("sync", self.root.path(), error))
    }
}

fn staging_name(stem: &str) -> String {
    format!("{stem}{STAGING_SUFFIX}")
}

/// A directory in the making, or on its way out. Removed when dropped, unless it was published.
#[derive(Debug)]
pub(crate) struct Staging {
    root: Directory,
    name: String,
    directory: Directory,
    /// The directory's lock; none once published.
    held: Option<File>,
}

impl Staging {
    /// Where to put things.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Removes the directory now, telling what goes wrong.
    pub(crate) fn discard(mut self) -> Result<(), Error> {
        let held = self.held.take();
        let removed = self
            .root
            .remove(&self.name)
            .map_err(|error| failed_in("remove", &self.root, &self.name, error));
        drop(held);
        removed
    }

    /// Takes the reservation away and makes the directory itself durable.
    fn settle(&mut self) -> Result<(), Error> {
        self.directory
            .remove(RESERVATION)
            .map_err(|error| failed_in("remove", &self.directory, RESERVATION, error))?;
        self.directory
            .sync()
            .map_err(|error| failed("sync", self.directory.path(), error))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.held.is_some() {
            // Nothing can be told from here; the next sweep finds what resists.
            let _ = self.root.remove(&self.name);
        }
    }
}

fn in_use(entry: &str) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!("{entry} is in use by another run"),
    )
    .with_hint("wait for it to end, then try again")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("deep/shelf"));
        (folder, shelf)
    }

    #[test]
    fn a_live_staging_directory_survives_a_sweep_and_a_dead_one_does_not() {
        let (_folder, shelf) = shelf();
        let name = Name::parse("wanted").unwrap();
        let live = shelf.lock().unwrap().stage("a", Some(&name)).unwrap();
        let dead = shelf.path().join("b.staging");
        fs::create_dir_all(dead.join("sub")).unwrap();
        fs::write(dead.join("sub/file"), b"x").unwrap();
        shelf.sweep().unwrap();
        assert!(live.directory().path().is_dir());
        assert!(!dead.exists());
        let lock = shelf.lock().unwrap();
        assert!(lock.is_reserved(&name).unwrap());
        assert!(!lock.is_reserved(&Name::parse("other").unwrap()).unwrap());
        drop(lock);
        drop(live);
        assert!(!shelf.lock().unwrap().is_reserved(&name).unwrap());
        assert_eq!(names(&shelf.open().unwrap().unwrap()).unwrap(), [".lock"]);
    }

    #[test]
    fn what_is_being_swept_keeps_no_name() {
        let (_folder, shelf) = shelf();
        let name = Name::parse("wanted").unwrap();
        let dead = shelf.path().join("a.staging");
        fs::create_dir_all(&dead).unwrap();
        fs::write(dead.join(RESERVATION), "wanted").unwrap();
        let swept = shelf.find_dead().unwrap();
        assert_eq!(swept.len(), 1);
        // Held by another run that has yet to remove it.
        assert!(!shelf.lock().unwrap().is_reserved(&name).unwrap());
    }

    #[test]
    fn publishing_takes_the_reservation_away_and_never_replaces() {
        let (_folder, shelf) = shelf();
        let name = Name::parse("one").unwrap();
        let lock = shelf.lock().unwrap();
        let staging = lock.stage("x", Some(&name)).unwrap();
        let published = lock.publish(staging, "one").unwrap();
        assert_eq!(fs::read_dir(&published).unwrap().count(), 0);
        let second = lock.stage("y", None).unwrap();
        let error = lock.publish(second, "one").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        drop(lock);
        assert_eq!(shelf.published().unwrap(), ["one"]);
        assert_eq!(
            names(&shelf.open().unwrap().unwrap()).unwrap(),
            [".lock", "one"]
        );
    }

    #[test]
    fn an_exchange_swaps_and_drops_what_was_there() {
        let (folder, shelf) = shelf();
        let lock = shelf.lock().unwrap();
        let first = lock.stage("x", None).unwrap();
        fs::write(first.directory().path().join("old"), b"").unwrap();
        lock.publish(first, "x").unwrap();
        let mut second = lock.stage("x", None).unwrap();
        fs::write(second.directory().path().join("new"), b"").unwrap();
        let target = lock.exchange(&mut second, "x").unwrap();
        assert!(folder.path().join("deep/shelf/x.staging/old").exists());
        drop(second);
        assert!(target.join("new").exists());
        assert_eq!(
            names(&shelf.open().unwrap().unwrap()).unwrap(),
            [".lock", "x"]
        );
    }

    #[test]
    fn an_exchange_in_steps_is_finished_after_a_crash() {
        let (folder, shelf) = shelf();
        let path = folder.path().join("deep/shelf");
        let lock = shelf.lock().unwrap();
        for name in ["x", "y"] {
            let staging = lock.stage(name, None).unwrap();
            fs::write(staging.directory().path().join("old"), b"").unwrap();
            lock.publish(staging, name).unwrap();
        }
        let second = lock.stage("x", None).unwrap();
        fs::write(path.join("x.staging/new"), b"").unwrap();
        let aside = lock.exchange_in_steps("x.staging", "x").unwrap();
        assert!(path.join("x/new").exists() && path.join(&aside).join("old").exists());
        drop(second);
        // Killed before the new one got the name, and before the old one lost it.
        fs::create_dir(path.join("y.staging")).unwrap();
        fs::write(path.join("y.staging").join(SUCCESSOR), b"").unwrap();
        drop(lock);
        shelf.sweep().unwrap();
        assert_eq!(shelf.published().unwrap(), ["x", "y"]);
        assert!(path.join("y/old").exists());
        fs::rename(path.join("y"), path.join("y.old.staging")).unwrap();
        fs::create_dir(path.join("y.staging")).unwrap();
        fs::write(path.join("y.staging").join(SUCCESSOR), b"").unwrap();
        fs::write(path.join("y.staging/new"), b"").unwrap();
        shelf.sweep().unwrap();
        let all = names(&shelf.open().unwrap().unwrap()).unwrap();
        assert_eq!(all, [".lock", "x", "y"]);
        assert!(path.join("y/new").exists() && !path.join("y").join(SUCCESSOR).exists());
    }

    #[test]
    fn what_is_being_replaced_cannot_be_retired() {
        let (_folder, shelf) = shelf();
        let lock = shelf.lock().unwrap();
        let first = lock.stage("x", None).unwrap();
        lock.publish(first, "x").unwrap();
        let second = lock.stage("x", None).unwrap();
        assert_eq!(lock.retire("x").unwrap_err().kind(), ErrorKind::Exists);
        drop(second);
        lock.retire("x").unwrap().unwrap().discard().unwrap();
        assert_eq!(names(&shelf.open().unwrap().unwrap()).unwrap(), [".lock"]);
    }
}
