//! The listener: bound, taken over where it is stale, or inherited.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use oci_flatten::directory::{Directory, FileKind};
use rustix::net::sockopt::socket_acceptconn;

use crate::error::{Error, ErrorKind};

/// Bytes of a socket's path. unix(7) has 108, the last of them zero; the rest is for the folder in which
/// the socket is until it is complete.
const PATH_LIMIT: usize = 92;

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    bound: Option<Bound>,
}

/// A socket of our own making, which goes when we go.
#[derive(Debug)]
struct Bound {
    path: PathBuf,
    folder: Directory,
    /// Device and inode: what is at the path later may be another's.
    identity: (u64, u64),
    /// Held for as long as we listen.
    _lock: File,
}

impl Socket {
    /// Binds `path`, for this user alone, and makes its folder. A socket on which nobody answers any
    /// more is replaced in one step.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`] where another daemon listens, or something else has the path;
    /// [`ErrorKind::Usage`] for a path that is too long for a socket; the folder cannot be written.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let length = path.as_os_str().as_bytes().len();
        if length > PATH_LIMIT {
            let message = format!(
                "the socket's path is {length} bytes (limit {PATH_LIMIT}): {}",
                path.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let folder = Directory::open_or_create(folder)
            .map_err(|error| Error::io(format!("make {}", folder.display()), error))?;
        let name = path.file_name().unwrap_or_default();
        let lock = lock(&folder, path, name)?;
        refuse_occupied(&folder, path, name)?;
        let failed = |error| Error::io(format!("listen on {}", path.display()), error);
        let (listener, identity) = bind(&folder, name).map_err(failed)?;
        Ok(Self {
            listener,
            bound: Some(Bound {
                path: path.to_owned(),
                folder,
                identity,
                _lock: lock,
            }),
        })
    }

    /// The socket that systemd hands over (sd_listen_fds(3)); none where it hands none.
    ///
    /// # Errors
    ///
    /// What is handed over is no listening unix socket.
    pub fn inherited() -> Result<Option<Self>, Error> {
        let failed = |error| Error::io("take the socket that was handed over", error);
        let Some(listener) = ListenFd::from_env().take_unix_listener(0).map_err(failed)? else {
            return Ok(None);
        };
        match socket_acceptconn(&listener) {
            Ok(true) => Ok(Some(Self {
                listener,
                bound: None,
            })),
            Ok(false) => Err(failed(io::Error::other("it does not listen"))),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The listener, as asynchronous runtimes want it.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            Some(bound) => bound.path.display().fmt(formatter),
            None => formatter.write_str("an inherited socket"),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let name = self.path.file_name().unwrap_or_default();
        let found = self.folder.facts(name);
        if found.is_ok_and(|found| found.identity == self.identity) {
            // The next daemon takes over what cannot be removed.
            let _ = self.folder.remove_file(name);
        }
    }
}

/// Makes the socket, in place of a stale one; also gives its device and inode.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket is bound and its mode set by path: one in a folder that nobody else may enter, so               that nobody meets it before its mode is set"
)]
fn bind(folder: &Directory, name: &OsStr) -> io::Result<(UnixListener, (u64, u64))> {
    use std::os::unix::fs::PermissionsExt;
    let closed = tempfile::Builder::new().tempdir_in(folder.path())?;
    let unfinished = closed.path().join("s");
    let listener = UnixListener::bind(&unfinished)?;
    std::fs::set_permissions(&unfinished, PermissionsExt::from_mode(0o600))?;
    let inside = Directory::open(closed.path())?;
    let identity = inside.facts("s")?.identity;
    inside.rename_into("s", folder, name)?;
    Ok((listener, identity))
}

/// Holds the right to the path. The lock goes with the process, however it ends; its file stays.
fn lock(folder: &Directory, path: &Path, name: &OsStr) -> Result<File, Error> {
    let mut lock = OsString::from(name);
    lock.push(".lock");
    let failed = |error| Error::io(format!("lock {}", folder.path_of(&lock).display()), error);
    let file = folder.open_file_or_create(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(occupied(path, "another daemon listens there")),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Refuses a path at which there is something else than a stale socket.
fn refuse_occupied(folder: &Directory, path: &Path, name: &OsStr) -> Result<(), Error> {
    match folder.facts(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io(format!("read {}", path.display()), error)),
        Ok(found) if found.kind != FileKind::Socket => Err(occupied(path, "it is no socket")),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Ok(_) => Err(occupied(path, "another program listens there")),
            Err(error) => Err(occupied(path, &error.to_string())),
        },
    }
}

fn occupied(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!("{} is taken: {why}", path.display()),
    )
    .with_hint("stop it first, or give another --socket")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_stale_socket_is_taken_over_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/banger.sock");
        fs::create_dir(folder.path().join("run")).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        let socket = Socket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "precious").unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        assert_eq!(Socket::bind(&path).unwrap_err().kind(), ErrorKind::Exists);
        drop(other);
        fs::remove_file(&path).unwrap();
        let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert_eq!(Socket::bind(&path).unwrap_err().kind(), ErrorKind::Exists);
        drop(datagrams);
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.path().join("s.lock")).unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join("s.lock")).unwrap();
        Socket::bind(&path).unwrap_err();
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_by_its_length() {
        let path = Path::new("/tmp").join("s".repeat(PATH_LIMIT));
        let error = Socket::bind(&path).unwrap_err();
        assert!(error.to_string().contains("97 bytes (limit 92)"), "{error}");
    }
}
