//! Waiting for a lock that another run holds.
//!
//! All locks are `flock`s, which the kernel drops when their holder dies, however it dies.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::progress::{Event, Observer, Silent};

/// How often it is looked whether a lock is free.
const LOOK: Duration = Duration::from_millis(20);

/// A wait that is longer is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Who waits for locks, is told when that takes long, and may give up.
#[derive(Clone)]
pub struct Waiter {
    /// Is told of a wait of more than a second.
    pub observer: Arc<dyn Observer>,
    /// Ends a wait.
    pub cancellation: CancellationToken,
}

/// Waits as long as it takes, and nobody is told.
impl Default for Waiter {
    fn default() -> Self {
        Self {
            observer: Arc::new(Silent),
            cancellation: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl Waiter {
    /// Takes an exclusive lock on an open file, whose `path` is only for messages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`](crate::error::ErrorKind::Cancelled), or
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) on a filesystem without locks.
    pub fn lock(&self, file: &File, path: &Path) -> Result<()> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::io(format!("lock {}", path.display()), error.into()));
                }
            }
            self.pause(path, begun, &mut told)?;
        }
    }

    /// Waits a little before the next look at `path`, for which it has waited since `begun`.
    pub(crate) fn pause(&self, path: &Path, begun: Instant, told: &mut bool) -> Result<()> {
        if self.cancellation.is_cancelled() {
            return Err(Error::cancelled());
        }
        if !*told && begun.elapsed() >= PATIENCE {
            *told = true;
            self.tell(path);
        }
        sleep(LOOK);
        Ok(())
    }

    /// Tells that somebody else is waited for.
    pub(crate) fn tell(&self, path: &Path) {
        self.observer.observe(Event::Waiting {
            path: path.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_long_wait_is_told_once_and_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (first, second) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        Waiter::default().lock(&first, &path).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (cancellation, seen) = (CancellationToken::new(), told.clone());
        let waiter = Waiter {
            cancellation: cancellation.clone(),
            observer: Arc::new(move |event| {
                seen.lock().unwrap().push(event);
                cancellation.cancel();
            }),
        };
        let error = waiter.lock(&second, &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let waiting = Event::Waiting { path: path.clone() };
        assert_eq!(*told.lock().unwrap(), [waiting]);
        drop(first);
        Waiter::default().lock(&second, &path).unwrap();
    }
}
