//! `banger daemon`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use banger::Error;
use banger::daemon::{Socket, serve};
use banger::operation::Context;
use banger::text::printable;
use oci_flatten::flatten::CancellationToken;
use oci_flatten::process_limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::SignalKind;

use super::source::{here, spool_dir};
use super::{Global, interrupt, screen};

/// Serve the image, kernel and cache commands over a socket
///
/// Speaks JSON-RPC 2.0, one object a line; the method rpc.discover describes all others. Serves this user
/// and root. Commands use it when given --daemon; others may work on the store at the same time.
///
/// On SIGTERM and SIGINT, running operations are cancelled, what they had half-made is removed, and the
/// daemon ends.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let config = here()?;
        allow_descriptors();
        process_limits::check(FILES, THREADS)?;
        let log = Log::start(global.quiet);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the runtime", error))?;
        let outcome = runtime.block_on(async {
            // Before there is a socket, so that no signal leaves one behind.
            let mut interrupt = interrupt::listen(SignalKind::interrupt())?;
            let mut terminate = interrupt::listen(SignalKind::terminate())?;
            let file_size = SignalKind::from_raw(interrupt::FILE_SIZE.as_raw());
            let _file_size = interrupt::listen(file_size)?;
            let socket = match Socket::inherited()? {
                Some(socket) => socket,
                None => Socket::bind(global.socket.as_ref().unwrap_or(&config.places.socket))?,
            };
            let context = Context {
                config,
                spool_dir: spool_dir(),
            };
            let stop = CancellationToken::new();
            let stopping = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                stopping.cancel();
            });
            serve(socket, context, log.lines(), stop).await
        });
        // A thread that hangs in a system call ends with the process.
        runtime.shutdown_background();
        log.finish();
        outcome
    }
}

/// Files that the daemon and one operation may have open at a time.
const FILES: usize = 48;

/// Threads that the daemon and one operation need, besides one for each processor.
const THREADS: usize = 16;

/// Lines of the log that wait to be written; when nobody reads them, further ones are lost, and counted.
const LOG_LINES: usize = 1024;

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A thread that writes the log to standard error, so that nothing else waits for its reader.
struct Log {
    lines: SyncSender<String>,
    lost: Arc<AtomicU64>,
    quiet: bool,
    written: Receiver<()>,
}

impl Log {
    fn start(quiet: bool) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<String>(LOG_LINES);
        let (ended, written) = mpsc::channel::<()>();
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        thread::spawn(move || {
            // Dropped when everything is written.
            let _ended = ended;
            while let Ok(line) = waiting.recv() {
                match counted.swap(0, Ordering::Relaxed) {
                    0 => {}
                    count => screen::write(&format!("{count} lines of the log are lost\n")),
                }
                screen::write(&format!("{}\n", printable(&line)));
            }
        });
        Self {
            lines,
            lost,
            quiet,
            written,
        }
    }

    fn lines(&self) -> banger::daemon::Log {
        let (lines, lost, quiet) = (self.lines.clone(), self.lost.clone(), self.quiet);
        Arc::new(move |line: &str| {
            if !quiet && lines.try_send(line.to_owned()).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    fn finish(self) {
        drop(self.lines);
        // Nothing is ever sent: it ends with the thread, or is not waited for.
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// Raises the limit of open files as far as it may be: every connection is one.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // What is allowed already will do for most.
    let _ = setrlimit(Resource::Nofile, raised);
}
