//! Signals: the work is told to stop, cleans up after itself, and the program ends with 130.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use banger::{Error, ErrorKind};
use oci_flatten::flatten::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the work may take to notice. It looks between buffers; only a read from a silent pipe or a
/// flush to a slow disk outlasts this.
const GRACE: Duration = Duration::from_secs(3);

/// Runs `work` to its end. SIGINT, SIGTERM and SIGHUP cancel it through `cancellation`, and a work that
/// does not notice is dropped, which removes what it had half-made.
pub(crate) fn run<T>(
    cancellation: &CancellationToken,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start the runtime", error))?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut work = pin!(work);
        tokio::select! {
            outcome = &mut work => return outcome,
            () = signals.any() => {}
        }
        cancellation.cancel();
        match tokio::time::timeout(GRACE, work).await {
            // It was done before it noticed: what is published stays published.
            Ok(Ok(value)) => Ok(value),
            _ => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
        }
    });
    // A thread that hangs in a system call ends with the process.
    runtime.shutdown_background();
    outcome
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Listens for one signal from now on.
pub(crate) fn listen(kind: SignalKind) -> Result<Signal, Error> {
    signal(kind).map_err(|error| Error::io("listen for signals", error))
}

/// Runs what waits for a disk on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
