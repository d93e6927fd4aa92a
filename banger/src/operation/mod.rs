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
mod config;
mod files;
mod filesystem;
mod image;
mod inspect;
mod kernel;
mod source;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use cache::{
    CacheContents, CachePrune, CachePruned, CacheShow, CacheVerified, CacheVerify, CachedImage,
    DamagedBlob, IncompleteImage, RemovedFile,
};
pub use config::{ConfigShow, ConfigShown};
pub use files::{FileContent, FilesCopied, FilesListed, ImageCopyOut, ImageFiles, ImageReadFile};
pub use filesystem::{FilesystemParameters, Profile};
pub use image::{
    ImageBootConfig, ImageBootConfigured, ImageList, ImageListed, ImageMade, ImagePromote,
    ImagePull, ImageRegister, ImageRemove, ImageRename, ImageShow, ImagesRemoved, ListedImage,
    UnreadableImage,
};
pub use inspect::{InspectedLayer, OfferedPlatform, SourceInspect, SourceInspected};
pub use kernel::{
    KernelFiles, KernelImport, KernelList, KernelListed, KernelParameters, KernelRemove,
    KernelShow, KernelsRemoved, UnreadableKernel,
};
pub use source::{Pull, SourceParameters};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::kernel::Catalog;
use crate::store::Store;
pub use crate::watch::Watch;

/// Something that banger can be asked to do. It is a JSON object as a parameter, and so is its reply.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// The name by which the daemon is asked for it.
    const METHOD: &'static str;
    /// How long it may take.
    const PACE: Pace = Pace::Quick;
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + JsonSchema + Send + 'static;

    /// Refuses parameters that mean something else in another process than in the caller's: standard
    /// input, relative paths, and files that are of one process alone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`], with the parameter and the path.
    fn check_portable(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Does it. Long ones block for long, and must be called within a tokio runtime on a thread that
    /// may, such as in `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// What the operation runs into; [`ErrorKind::Interrupted`] soon after it is cancelled.
    fn run(self, context: &Context, watch: &Watch) -> Result<Self::Reply, Error>;
}

/// How long an operation may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// It is done soon.
    Quick,
    /// It copies or reads much, and looks whether it is cancelled.
    Long,
    /// It waits for others, such as a registry, and tells how far it is.
    Fetch,
}

/// Where operations work.
#[derive(Clone, Debug)]
pub struct Context {
    /// Places, and how registries are spoken to.
    pub config: Config,
    /// Folder for archives that come through a pipe.
    pub spool_dir: PathBuf,
}

impl Context {
    /// The store, for an operation that is watched.
    #[must_use]
    pub fn store(&self, watch: &Watch) -> Store {
        Store::new(self.config.places.images.clone()).waiting_as(watch.waiter())
    }

    /// The kernels, for an operation that is watched.
    #[must_use]
    pub fn catalog(&self, watch: &Watch) -> Catalog {
        Catalog::new(self.config.places.kernels.clone()).waiting_as(watch.waiter())
    }
}

/// Refuses a path that means something else in another process, or cannot be told to it.
fn portable(parameter: &str, path: &Path) -> Result<(), Error> {
    let own = [
        "/proc",
        "/dev/fd",
        "/dev/stdin",
        "/dev/stdout",
        "/dev/stderr",
    ];
    let problem = if path.to_str().is_none() {
        "is not UTF-8"
    } else if path.is_relative() {
        "is not an absolute path"
    } else if own.iter().any(|own| path.starts_with(own)) {
        "is of one process alone"
    } else {
        return Ok(());
    };
    let path = path.display();
    Err(Error::new(
        ErrorKind::Usage,
        format!("{parameter} {problem}: {path}"),
    ))
}

/// The same for paths that may be given.
fn all_portable<'a>(
    paths: impl IntoIterator<Item = (&'a str, Option<&'a PathBuf>)>,
) -> Result<(), Error> {
    for (parameter, path) in paths {
        path.map_or(Ok(()), |path| portable(parameter, path))?;
    }
    Ok(())
}
