//! What the system allows this process: errors that name the limit, and a look before work begins that would hang or
//! fail half-way.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, ErrorKind, Result};

/// The most bytes that a file may have (`ulimit -f`).
#[must_use]
pub fn file_bytes() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Adds the limit to an error that comes from one.
#[must_use]
pub fn explain(error: io::Error) -> io::Error {
    let code = error.raw_os_error();
    let is = |errno: Errno| code == Some(errno.raw_os_error());
    let limit = if is(Errno::MFILE) {
        getrlimit(Resource::Nofile)
            .current
            .map(|limit| format!("this process may have {limit} files open (ulimit -n)"))
    } else if is(Errno::FBIG) {
        file_bytes().map(|limit| format!("files may have {limit} bytes (ulimit -f)"))
    } else {
        None
    };
    match limit {
        Some(limit) => io::Error::new(error.kind(), format!("{error}; {limit}")),
        None => error,
    }
}

/// Whether so many further files can be opened and so many threads started, all at the same time.
///
/// # Errors
///
/// [`ErrorKind::Io`], with the limit.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is read: only the number of descriptors counts"
)]
pub fn check(files: usize, threads: usize) -> Result<()> {
    let opened: io::Result<Vec<File>> = (0..files).map(|_| File::open("/")).collect();
    if let Err(error) = opened {
        let message = format!("{files} files cannot be open at a time");
        return Err(Error::new(ErrorKind::Io, message).with_source(explain(error)));
    }
    let (release, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let mut started = Vec::new();
    let mut refused = None;
    for _ in 0..threads {
        let wait = wait.clone();
        let waiting = move || {
            // Nothing is sent: it ends when the sender is dropped.
            let wait = wait.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = wait.recv();
        };
        match thread::Builder::new().spawn(waiting) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                refused = Some(crate::threads::refused(&error));
                break;
            }
        }
    }
    drop(release);
    for thread in started {
        // They do nothing that could panic.
        let _ = thread.join();
    }
    refused.map_or(Ok(()), |error| {
        let message = format!("{threads} threads cannot run at a time");
        Err(Error::new(ErrorKind::Io, message).with_source(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_and_what_is_allowed_passes() {
        check(4, 2).unwrap();
        let error = explain(io::Error::from_raw_os_error(Errno::MFILE.raw_os_error()));
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        let other = explain(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(other.kind(), io::ErrorKind::NotFound);
    }
}
