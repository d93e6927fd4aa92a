//! Runs what may take a while: its progress is shown, and signals end it, with exit code 130.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use banger::operation::Watch;
use banger::{Error, ErrorKind};
use oci_flatten::flatten::CancellationToken;
use oci_flatten::process_limits;
use oci_flatten::threads;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::progress::Display;

/// How long the work may take to notice that it is cancelled: it ends within two seconds of the signal.
/// Only a system call that nothing can interrupt outlasts this.
const GRACE: Duration = Duration::from_millis(1500);

/// Files that a command may have open at a time: the runtime's, its input's and its output's.
const FILES: usize = 24;

/// Threads that work for one another at a time: with fewer, one would wait for another that cannot start.
const THREADS: usize = 6;

/// How often a display shows that time passes.
const TICK: Duration = Duration::from_millis(200);

/// How long a thread of the pool waits for work: where few are allowed, it might not come back.
const KEEP_ALIVE: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs `work` to its end. SIGINT, SIGTERM and SIGHUP cancel it, and a work that does not notice is
/// dropped, which removes what it had half-made. The screen is free for the result by then.
pub(crate) fn run<T, W>(display: Display, work: impl FnOnce(Watch) -> W) -> Result<T, Error>
where
    W: Future<Output = Result<T, Error>>,
{
    process_limits::check(FILES, THREADS)?;
    // One thread is enough for what waits, and what computes has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(KEEP_ALIVE)
        .build()
        .map_err(|error| Error::io("start the runtime", error))?;
    let cancellation = CancellationToken::new();
    let watch = Watch::new(display.observer(), cancellation.clone());
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut work = pin!(work(watch));
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                () = signals.any() => break,
                _ = ticks.tick() => display.tick(),
            }
        }
        display.freeze();
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

/// What a process gets that writes beyond `ulimit -f`.
pub(crate) const FILE_SIZE: rustix::process::Signal = rustix::process::Signal::XFSZ;

struct Signals {
    /// Where files may not grow further, a write is to fail, and not to end the program.
    _file_size: Signal,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Error> {
        Ok(Self {
            _file_size: listen(SignalKind::from_raw(FILE_SIZE.as_raw()))?,
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
    threads::run("work", work).await?
}
