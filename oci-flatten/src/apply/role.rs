//! What a tar is read as: a layer of an image, or a root filesystem by itself.

use crate::tar::{EndMarker, EntryKind};

/// What a tar is read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TarRole {
    /// A layer of an image: changes to what is below it. Its digest says whether it is whole, so that its end need
    /// not be marked, and its root entry is passed over.
    #[default]
    Layer,
    /// A whole root filesystem. Nothing but the end marker says whether it is whole, and its root entry counts.
    RootFilesystem {
        /// Whether the end marker may be missing.
        allow_truncated: bool,
    },
}

/// Why a tar cannot be read as a root filesystem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleProblem {
    /// There are no bytes at all.
    #[error("tar archive is empty (0 bytes)")]
    Empty,
    /// The archive stops between two entries, where it may have been cut off.
    #[error("tar archive has no end marker after its {0} bytes: it may have been cut off")]
    NoEndMarker(u64),
    /// There is no archive but a directory, which holds an image.
    #[error("it is an OCI image layout, not a tar of a root filesystem")]
    OciLayout,
    /// The archive holds an image in its layout, not the files of a root filesystem.
    #[error("tar archive holds an OCI image layout, not a root filesystem")]
    OciArchive,
    /// The archive is what `docker save` writes.
    #[error("tar archive holds a Docker image, not a root filesystem")]
    DockerArchive,
}

impl TarRole {
    pub(super) fn is_root_filesystem(self) -> bool {
        matches!(self, Self::RootFilesystem { .. })
    }

    /// Judges the end of an archive of so many bytes.
    pub(super) fn check_end(self, end: EndMarker, bytes: u64) -> Result<(), RoleProblem> {
        match (self, end) {
            (Self::Layer, _) => Ok(()),
            (Self::RootFilesystem { .. }, _) if bytes == 0 => Err(RoleProblem::Empty),
            (
                Self::RootFilesystem {
                    allow_truncated: false,
                },
                EndMarker::Missing,
            ) => Err(RoleProblem::NoEndMarker(bytes)),
            (Self::RootFilesystem { .. }, _) => Ok(()),
        }
    }
}

/// Looks at the names of an archive for those of an image that was given by mistake.
#[derive(Debug, Default)]
pub(super) struct ImageSigns {
    /// `oci-layout` and `index.json`.
    layout: bool,
    index: bool,
    /// `manifest.json`, and anything that goes with it: Docker's older list of tags, a folder of blobs, or files that
    /// are called by their digests.
    manifest: bool,
    parts: bool,
}

impl ImageSigns {
    pub(super) fn see(&mut self, path: &[u8], kind: EntryKind) {
        match (path, kind) {
            (b"oci-layout", EntryKind::File) => self.layout = true,
            (b"index.json", EntryKind::File) => self.index = true,
            (b"manifest.json", EntryKind::File) => self.manifest = true,
            (b"repositories", EntryKind::File) => self.parts = true,
            _ => self.parts |= path.starts_with(b"blobs/sha256/") || is_digest(path),
        }
    }

    pub(super) fn check(&self) -> Result<(), RoleProblem> {
        // What docker itself writes today has the signs of both.
        if self.manifest && self.parts {
            Err(RoleProblem::DockerArchive)
        } else if self.layout && self.index {
            Err(RoleProblem::OciArchive)
        } else {
            Ok(())
        }
    }
}

/// Whether a path begins with the hexadecimal digits of a SHA-256, alone or behind `sha256:`.
fn is_digest(path: &[u8]) -> bool {
    let digits = path.strip_prefix(b"sha256:").unwrap_or(path);
    digits
        .first_chunk::<64>()
        .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}
