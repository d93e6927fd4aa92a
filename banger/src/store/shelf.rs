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

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;

use super::name::{Name, STAGING_SUFFIX};
use crate::artifact::{failed, remove_tree, sync_directory, write_new};
use crate::error::{Error, ErrorKind};

/// In a staging directory: the name that it will publish under. Gone once it has.
const RESERVATION: &str = ".name";

/// A directory of published directories.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
}

impl Shelf {
    /// The shelf at `path`, which need not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the shelf is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the published directories, sorted; none when the shelf does not exist.
    pub(crate) fn published(&self) -> Result<Vec<String>, Error> {
        let mut names = self.names()?;
        names.retain(|name| !name.starts_with('.') && !name.ends_with(STAGING_SUFFIX));
        Ok(names)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.path, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", &self.path, error))?;
            // Nothing banger makes has a name that is not UTF-8.
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes the shelf where it is missing and takes its lock, waiting for whoever holds it.
    pub(crate) fn lock(&self) -> Result<ShelfLock<'_>, Error> {
        self.make()?;
        let path = self.path.join(".lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed("lock", &path, error))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => {
                    return Ok(ShelfLock {
                        shelf: self,
                        _file: file,
                    });
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed("lock", &path, error.into())),
            }
        }
    }

    /// Makes the shelf and what is missing above it, durably.
    fn make(&self) -> Result<(), Error> {
        let missing: Vec<&Path> = self
            .path
            .ancestors()
            .take_while(|path| !path.exists())
            .collect();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| failed("create", &self.path, error))?;
        for made in missing {
            if let Some(parent) = made
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                sync_directory(parent)?;
            }
        }
        Ok(())
    }

    /// Removes what killed runs have left. What cannot be removed now is tried again next time.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        let dead = self.find_dead()?;
        for (path, _held) in &dead {
            // A directory that resists must not keep its user from working.
            let _ = remove_tree(path);
        }
        Ok(())
    }

    /// What killed runs have left, held by us, and no longer in the way of anyone who wants its name.
    fn find_dead(&self) -> Result<Vec<(PathBuf, File)>, Error> {
        let lock = self.lock()?;
        let dead = lock.scan()?.dead;
        for (path, _held) in &dead {
            // A lock says "alive" to others, ours too.
            let _ = fs::remove_file(path.join(RESERVATION));
        }
        Ok(dead)
    }
}

/// The shelf while nobody else may publish, stage, retire or rename.
pub(crate) struct ShelfLock<'a> {
    shelf: &'a Shelf,
    _file: File,
}

/// The staging directories by whether their makers live.
struct Scan {
    /// The names that the live ones are to publish under.
    reserved: Vec<String>,
    /// Directories that nobody makes any more, held by us.
    dead: Vec<(PathBuf, File)>,
}

impl ShelfLock<'_> {
    /// Makes `<stem>.staging`, alive until the result is dropped or published.
    pub(crate) fn stage(&self, stem: &str, reservation: Option<&Name>) -> Result<Staging, Error> {
        let path = self.staging_path(stem);
        if path.exists() {
            // Left by a killed run that used the same stem; a live one is seen by its lock.
            let Some(_held) = hold(&path)? else {
                return Err(in_use(stem));
            };
            remove_tree(&path)?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| failed("create", &path, error))?;
        let Some(held) = hold(&path)? else {
            return Err(in_use(stem));
        };
        let staging = Staging {
            path,
            held: Some(held),
        };
        if let Some(name) = reservation {
            write_new(&staging.path.join(RESERVATION), name.as_str().as_bytes())?;
        }
        Ok(staging)
    }

    /// Whether a live staging directory is to publish under `name`.
    pub(crate) fn is_reserved(&self, name: &Name) -> Result<bool, Error> {
        let reserved = self.scan()?.reserved;
        Ok(reserved.iter().any(|taken| taken == name.as_str()))
    }

    /// Gives a finished staging directory its name. The caller has synced what is in it.
    pub(crate) fn publish(&self, mut staging: Staging, entry: &str) -> Result<PathBuf, Error> {
        staging.settle()?;
        let target = self.shelf.path.join(entry);
        rustix::fs::renameat_with(CWD, &staging.path, CWD, &target, RenameFlags::NOREPLACE)
            .map_err(|error| failed("publish", &target, error.into()))?;
        staging.held = None;
        sync_directory(&self.shelf.path)?;
        Ok(target)
    }

    /// Puts a finished staging directory in the place of the published `entry`, in one step. What was
    /// there is then in the staging directory and goes with it.
    pub(crate) fn exchange(&self, staging: &mut Staging, entry: &str) -> Result<PathBuf, Error> {
        staging.settle()?;
        let target = self.shelf.path.join(entry);
        // The guard must now hold what was published: it is what is to be removed.
        let Some(held) = hold(&target)? else {
            return Err(in_use(entry));
        };
        rustix::fs::renameat_with(CWD, &staging.path, CWD, &target, RenameFlags::EXCHANGE)
            .map_err(|error| failed("publish", &target, error.into()))?;
        staging.held = Some(held);
        sync_directory(&self.shelf.path)?;
        Ok(target)
    }

    /// Takes a published directory out of sight. Its space comes back when the result is dropped.
    pub(crate) fn retire(&self, entry: &str) -> Result<Staging, Error> {
        let (from, path) = (self.shelf.path.join(entry), self.staging_path(entry));
        let Some(held) = hold(&from)? else {
            return Err(in_use(entry));
        };
        rustix::fs::renameat_with(CWD, &from, CWD, &path, RenameFlags::NOREPLACE).map_err(
            |error| match error {
                Errno::EXIST => in_use(entry),
                other => failed("remove", &from, other.into()),
            },
        )?;
        sync_directory(&self.shelf.path)?;
        Ok(Staging {
            path,
            held: Some(held),
        })
    }

    fn staging_path(&self, stem: &str) -> PathBuf {
        self.shelf.path.join(format!("{stem}{STAGING_SUFFIX}"))
    }

    fn scan(&self) -> Result<Scan, Error> {
        let mut scan = Scan {
            reserved: Vec::new(),
            dead: Vec::new(),
        };
        for name in self.shelf.names()? {
            if !name.ends_with(STAGING_SUFFIX) {
                continue;
            }
            let path = self.shelf.path.join(&name);
            match hold(&path) {
                Ok(Some(held)) => scan.dead.push((path, held)),
                Ok(None) => {
                    scan.reserved
                        .extend(fs::read_to_string(path.join(RESERVATION)));
                }
                // Gone meanwhile, or another user's: nothing that could be removed from here.
                Err(_) => {}
            }
        }
        Ok(scan)
    }
}

/// A directory in the making, or on its way out. Removed when dropped, unless it was published.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    /// The open directory, locked; none once published.
    held: Option<File>,
}

impl Staging {
    /// Where to put things.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory now, telling what goes wrong.
    pub(crate) fn discard(mut self) -> Result<(), Error> {
        let held = self.held.take();
        let removed = remove_tree(&self.path);
        drop(held);
        removed
    }

    /// Takes the reservation away and makes the directory itself durable.
    fn settle(&mut self) -> Result<(), Error> {
        let reservation = self.path.join(RESERVATION);
        match fs::remove_file(&reservation) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("remove", &reservation, error)),
        }
        sync_directory(&self.path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.held.is_some() {
            // Nothing can be told from here; the next sweep finds what resists.
            let _ = remove_tree(&self.path);
        }
    }
}

/// Opens and locks a directory; none when another process or thread holds it.
fn hold(path: &Path) -> Result<Option<File>, Error> {
    let directory = File::open(path).map_err(|error| failed("lock", path, error))?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed("lock", path, error.into())),
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
        assert!(live.path().is_dir());
        assert!(!dead.exists());
        let lock = shelf.lock().unwrap();
        assert!(lock.is_reserved(&name).unwrap());
        assert!(!lock.is_reserved(&Name::parse("other").unwrap()).unwrap());
        drop(lock);
        drop(live);
        assert!(!shelf.lock().unwrap().is_reserved(&name).unwrap());
        assert_eq!(shelf.names().unwrap(), [".lock"]);
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
        assert_eq!(shelf.names().unwrap(), [".lock", "one"]);
    }

    #[test]
    fn an_exchange_swaps_and_drops_what_was_there() {
        let (_folder, shelf) = shelf();
        let lock = shelf.lock().unwrap();
        let first = lock.stage("x", None).unwrap();
        fs::write(first.path().join("old"), b"").unwrap();
        lock.publish(first, "x").unwrap();
        let mut second = lock.stage("x", None).unwrap();
        fs::write(second.path().join("new"), b"").unwrap();
        let target = lock.exchange(&mut second, "x").unwrap();
        assert!(second.path().join("old").exists());
        drop(second);
        assert!(target.join("new").exists());
        assert_eq!(shelf.names().unwrap(), [".lock", "x"]);
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
        lock.retire("x").unwrap().discard().unwrap();
        assert_eq!(shelf.names().unwrap(), [".lock"]);
    }
}
