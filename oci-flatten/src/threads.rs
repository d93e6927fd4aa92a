//! Threads of our own, of which a user or a container may be allowed few (`ulimit -u`, `pids.max`).
//!
//! What cannot do without a thread says so; what only gains by one does without. Nothing that waits for other work
//! of ours is given to tokio's pool, where it could take the last thread from what it waits for.

use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

/// How often a thread is asked for: one that has just ended is counted for a moment longer.
const ATTEMPTS: u32 = 25;
/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs `work` on a thread of its own, within the caller's tokio runtime where there is one. Dropping the future does
/// not stop it. A panic goes on in the caller.
///
/// # Errors
///
/// [`ErrorKind::Io`] when no thread is to be had, with the limit.
pub async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (ended, end) = oneshot::channel::<()>();
    let runtime = Handle::try_current().ok();
    let thread = start(name, move || {
        let (_ended, _entered) = (ended, runtime.as_ref().map(Handle::enter));
        work()
    })?;
    // Nothing is ever sent: it is dropped at the end, or by a panic.
    let _ = end.await;
    thread.join().or_else(|panic| resume_unwind(panic))
}

/// Starts a thread, for which it may wait a moment.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    // A thread that does not start takes its work with it.
    let work = Arc::new(Mutex::new(Some(work)));
    let mut attempt = 0;
    loop {
        let work = work.clone();
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
            work.expect("only one thread starts")()
        });
        match started {
            Ok(thread) => return Ok(thread),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && attempt < ATTEMPTS => {
                attempt += 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(refused(&error)),
        }
    }
}

/// Makes sure that tokio's pool has a thread, without which it would panic; it keeps the one that it has.
///
/// # Errors
///
/// [`ErrorKind::Io`] when no thread is to be had, with the limit.
#[cfg(feature = "registry")]
pub(crate) async fn warm_up_pool() -> Result<()> {
    run("pool", || ()).await?;
    tokio::task::spawn_blocking(|| ())
        .await
        .or_else(|error| resume_unwind(error.into_panic()))
}

pub(crate) fn refused(error: &io::Error) -> Error {
    let limit = match getrlimit(Resource::Nproc).current {
        Some(limit) => format!("this user may have {limit} processes and threads (ulimit -u)"),
        None => "the container's limit of processes and threads may be reached".to_owned(),
    };
    let message = format!("no further thread can be started: {error}; {limit}");
    Error::new(ErrorKind::Io, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_comes_back_and_panics_go_on() {
        assert_eq!(run("test", || 7).await.unwrap(), 7);
        let panicking = tokio::spawn(run("test", || panic!("on purpose")));
        assert!(panicking.await.unwrap_err().is_panic());
    }
}
