//! Where operations run: in this process, or in the daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger::config::Config;
use banger::daemon::Client;
use banger::operation::{Context, Operation, Watch};
use banger::{Error, ErrorKind};
use oci_flatten::flatten::CancellationToken;

use super::source::{here, spool_dir};
use super::{Global, interrupt, progress};

/// Where operations run.
pub(super) enum Backend {
    /// In this process.
    Here(Box<Context>),
    /// In the daemon that listens on the socket.
    Daemon(PathBuf),
}

impl Backend {
    /// As arguments and configuration have it.
    pub(super) fn of(global: &Global) -> Result<Self, Error> {
        let config = here()?;
        let asked = global.daemon || global.socket.is_some() || config.use_daemon;
        if asked {
            let socket = global.socket.clone();
            return Ok(Self::Daemon(socket.unwrap_or(config.places.socket)));
        }
        Ok(Self::with(config))
    }

    /// This process.
    pub(super) fn here() -> Result<Self, Error> {
        here().map(Self::with)
    }

    fn with(config: Config) -> Self {
        Self::Here(Box::new(Context {
            config,
            spool_dir: spool_dir(),
            foreign: false,
        }))
    }

    /// Runs an operation.
    pub(super) fn call<O: Operation>(
        self,
        operation: O,
        global: &Global,
    ) -> Result<O::Reply, Error> {
        let watch = Watch {
            progress: match O::HAS_PROGRESS {
                true => progress::observer(global.progress, global.quiet),
                false => Arc::new(()),
            },
            cancellation: CancellationToken::new(),
        };
        let cancellation = watch.cancellation.clone();
        match self {
            Self::Here(context) if O::LONG => interrupt::run(&cancellation, async {
                interrupt::blocking(move || operation.run(&context, &watch)).await
            }),
            Self::Here(context) => operation.run(&context, &watch),
            Self::Daemon(socket) => interrupt::run(&cancellation, async {
                let mut client = Client::connect(&socket).await?;
                client.call(&operation, &watch).await
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
