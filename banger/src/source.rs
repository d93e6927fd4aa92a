//! Where an image comes from, as the user names it: parsed, checked and opened.

use std::path::PathBuf;
use std::sync::Arc;

use oci_flatten::limits::Limits;
use oci_flatten::platform::Platform;
use oci_flatten::source::{OpenOptions, Source, SourceName, open_local};

use crate::error::{Error, ErrorKind};

/// How sources are opened.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The platform to choose where there is a choice.
    pub platform: Platform,
    /// Bounds on documents.
    pub limits: Limits,
    /// Folder for an archive that comes through a pipe; it is kept there in a file without a name.
    pub spool_dir: PathBuf,
}

impl Default for SourceOptions {
    /// Linux on this machine's architecture, the default limits, `/var/tmp`.
    fn default() -> Self {
        Self {
            platform: Platform::linux_here(),
            limits: Limits::default(),
            spool_dir: PathBuf::from("/var/tmp"),
        }
    }
}

/// Opens the image that `name` stands for.
///
/// # Errors
///
/// [`NotFound`](crate::ErrorKind::NotFound) for a missing file, layout, tag or platform;
/// [`Integrity`](crate::ErrorKind::Integrity) for documents that are malformed or differ from their
/// digests.
pub async fn open(name: &SourceName, options: &SourceOptions) -> Result<Arc<dyn Source>, Error> {
    let open_options = OpenOptions {
        platform: options.platform.clone(),
        limits: options.limits.clone(),
        spool_dir: options.spool_dir.clone(),
    };
    match name {
        SourceName::Registry(reference) => Err(Error::new(
            ErrorKind::Usage,
            format!("{reference} is in a registry, and this version reads local images only"),
        )
        .with_hint(format!(
            "copy it first: skopeo copy docker://{reference} oci:image"
        ))),
        SourceName::Local(local) => open_local(local, &open_options)
            .await
            .map(Arc::from)
            .map_err(Error::from),
    }
}
