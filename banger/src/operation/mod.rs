//! What banger can be asked to do with its store, its kernels and its cache, as values.
//!
//! An operation is a struct: its fields are the parameters, [`Operation::METHOD`] is its name, and
//! [`Operation::Reply`] what comes back. The command line runs operations in its own process, or hands
//! them to the daemon, which runs them for its clients; so both do the same.
//!
//! ```text
//! command line ──▶ Operation ──▶ run ──▶ Reply ──▶ text or JSON
//!                      │                   ▲
//!                      ▼ JSON              │ JSON
//!                  daemon::client ──▶ daemon::server ──▶ run
//! ```

mod cache;
mod image;
mod kernel;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

use oci_flatten::flatten::CancellationToken;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use cache::{
    CacheContents, CachePrune, CachePruned, CacheShow, CacheVerified, CacheVerify, CachedImage,
    DamagedBlob, IncompleteImage, RemovedFile,
};
pub use image::{
    ImageBootConfig, ImageBootConfigured, ImageList, ImageListed, ImageMade, ImagePromote,
    ImagePull, ImageRegister, ImageRemove, ImageRename, ImageShow, ImagesRemoved, UnreadableImage,
};
pub use kernel::{
    KernelFiles, KernelImport, KernelList, KernelListed, KernelParameters, KernelRemove,
    KernelShow, KernelsRemoved, UnreadableKernel,
};
pub use source::{Pull, SourceParameters};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::kernel::Catalog;
use crate::progress::Observer;
use crate::store::Store;

/// Something that banger can be asked to do. It is a JSON object as a parameter, and so is its reply.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// The name by which the daemon is asked for it.
    const METHOD: &'static str;
    /// Whether it may take long: it fetches, copies or reads much, and can be cancelled.
    const LONG: bool = false;
    /// Whether it tells how far it is.
    const HAS_PROGRESS: bool = false;
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// Does it. Long ones block for long, and must be called within a tokio runtime on a thread that
    /// may, such as in `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// What the operation runs into; [`ErrorKind::Interrupted`] soon after it is cancelled.
    fn run(self, context: &Context, watch: &Watch) -> Result<Self::Reply, Error>;
}

/// Where operations work.
#[derive(Clone, Debug)]
pub struct Context {
    /// Places, and how registries are spoken to.
    pub config: Config,
    /// Folder for archives that come through a pipe.
    pub spool_dir: PathBuf,
    /// Whether operations come from another process, whose working directory and standard input are
    /// not ours: relative paths and `-` are refused then.
    pub foreign: bool,
}

impl Context {
    /// The store.
    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(self.config.places.images.clone())
    }

    /// The kernels.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        Catalog::new(self.config.places.kernels.clone())
    }

    /// Refuses a path that means something else here than it does to who named it.
    fn check_path(&self, parameter: &str, path: Option<&PathBuf>) -> Result<(), Error> {
        match path {
            Some(path) if self.foreign && path.is_relative() => Err(Error::new(
                ErrorKind::Usage,
                format!("{parameter} is not an absolute path: {}", path.display()),
            )),
            _ => Ok(()),
        }
    }
}

/// Who watches an operation, and may end it.
#[derive(Clone)]
pub struct Watch {
    /// Who is told how far it is.
    pub progress: Arc<dyn Observer>,
    /// Ends it, soon after it is cancelled.
    pub cancellation: CancellationToken,
}

impl Watch {
    /// Nobody watches; `cancellation` ends the operation.
    #[must_use]
    pub fn silent(cancellation: CancellationToken) -> Self {
        Self {
            progress: Arc::new(()),
            cancellation,
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }
}
