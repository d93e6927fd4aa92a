//! Trees from elsewhere: a host directory, a tar stream.

#[cfg(feature = "directory")]
mod directory;
#[cfg(feature = "directory")]
mod host_content;
#[cfg(feature = "tar")]
mod tar;

use std::io;

#[cfg(feature = "tar")]
use tar_events::TarError;

#[cfg(feature = "directory")]
pub use self::directory::{DirectoryOptions, read_directory};
#[cfg(feature = "tar")]
pub use self::tar::read_tar;
use crate::error::Error;
use crate::escape::escaped;
use crate::tree::TreeError;

/// Why a tree could not be taken from elsewhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The host or the stream failed.
    #[error("{operation} {path}")]
    Io {
        /// The verb: `open`, `read`, `list`, …
        operation: &'static str,
        /// The file, from the top of the tree.
        path: String,
        /// What the host said.
        source: io::Error,
    },
    /// The tar stream is malformed, cut short, or asks for more than the reader takes.
    #[cfg(feature = "tar")]
    #[error(transparent)]
    Archive(#[from] TarError),
    /// The tar stream stops between two entries, where it may have been cut off.
    #[error("tar archive has no end marker after its {bytes} bytes: it may have been cut off")]
    NoEndMarker {
        /// Bytes of the stream.
        bytes: u64,
    },
    /// Something changed while it was read, so that what was read may be mixed.
    #[error("file changed while it was read: {path}")]
    Changed {
        /// The file, from the top of the tree.
        path: String,
    },
    /// A name climbs out of the tree.
    #[error("path contains \"..\": {path}")]
    ParentPath {
        /// The path in the archive.
        path: String,
    },
    /// A hard link names nothing before it that can be linked.
    #[error("hard link to {target}, which is not in the archive before it: {path}")]
    LinkTarget {
        /// The path in the archive.
        path: String,
        /// The name that it links to.
        target: String,
    },
    /// A file needs what this reader, or an image of this crate, does not have.
    #[error("file is {what}, which is not supported: {path}")]
    Unsupported {
        /// The path in the archive, or from the top of the tree.
        path: String,
        /// What the file is.
        what: String,
    },
    /// ext4 cannot hold the file.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The image could not be written.
    #[error(transparent)]
    Image(#[from] Error),
}

fn io_error(operation: &'static str, path: &[u8], source: impl Into<io::Error>) -> SourceError {
    SourceError::Io {
        operation,
        path: escaped(path),
        source: source.into(),
    }
}
