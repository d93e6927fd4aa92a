//! `banger daemon`.

use std::sync::Arc;

use banger::Error;
use banger::daemon::{Socket, serve};
use banger::operation::Context;
use oci_flatten::flatten::CancellationToken;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::source::{here, spool_dir};
use super::{Global, interrupt, report};

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
        let socket = match Socket::inherited()? {
            Some(socket) => socket,
            None => Socket::bind(global.socket.as_ref().unwrap_or(&config.places.socket))?,
        };
        allow_descriptors();
        let context = Context {
            config,
            spool_dir: spool_dir(),
            foreign: true,
        };
        let quiet = global.quiet;
        let log = Arc::new(move |line: &str| {
            if !quiet {
                report::to_stderr(&format!("{}\n", report::printable(line)));
            }
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the runtime", error))?;
        let outcome = runtime.block_on(async {
            let mut signals = interrupt::Signals::listen()?;
            let stop = CancellationToken::new();
            let stopping = stop.clone();
            tokio::spawn(async move {
                signals.any().await;
                stopping.cancel();
            });
            serve(socket, context, log, stop).await
        });
        // A thread that hangs in a system call ends with the process.
        runtime.shutdown_background();
        outcome
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
