//! Where operations run: in this process, or in the daemon.

use std::path::{Path, PathBuf};

use banger::daemon::Client;
use banger::operation::{Context, Operation, Pace};
use banger::{Error, ErrorKind};

use super::progress::Display;
use super::source::{here, spool_dir};
use super::{Global, interrupt};

/// Where operations run.
pub(super) struct Backend {
    context: Context,
    /// The socket of the daemon, where that is to run them.
    daemon: Option<PathBuf>,
}

impl Backend {
    /// As arguments and configuration have it.
    pub(super) fn of(global: &Global) -> Result<Self, Error> {
        let config = here()?;
        let asked =
            global.daemon || global.socket.is_some() || config.use_daemon && !global.no_daemon;
        let socket = global.socket.as_ref().unwrap_or(&config.places.socket);
        Ok(Self {
            daemon: asked.then(|| socket.clone()),
            context: Context {
                config,
                spool_dir: spool_dir(),
            },
        })
    }

    /// Runs an operation. One that takes something of this process, such as its standard input, runs here
    /// whoever is asked: the store is the same.
    pub(super) fn call<O: Operation>(
        self,
        operation: O,
        global: &Global,
    ) -> Result<O::Reply, Error> {
        let Self { context, daemon } = self;
        let has_layers = O::PACE == Pace::Fetch;
        let display = Display::new(global.progress, global.quiet, has_layers);
        match daemon.filter(|_| operation.check_portable().is_ok()) {
            Some(socket) => interrupt::run(display, async |watch| {
                let mut client = Client::connect(&socket).await?;
                client.call(&operation, &watch).await
            }),
            None => interrupt::run(display, |watch| {
                interrupt::blocking(move || operation.run(&context, &watch))
            }),
        }
    }
}

/// The path in full, so that it means the same in every process.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        Error::new(
            ErrorKind::Usage,
            format!("{:?} is no path", path.display().to_string()),
        )
        .with_source(error)
    })
}

/// The same for one that may be given.
pub(super) fn absolute_option(path: Option<PathBuf>) -> Result<Option<PathBuf>, Error> {
    path.map(|path| absolute(&path)).transpose()
}
