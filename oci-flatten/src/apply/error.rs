use super::role::RoleProblem;
use crate::limits::LimitExceeded;
use crate::path::PathError;
use crate::rootfs::MergeError;
use crate::tar::{TarError, TarProblem};
use crate::whiteout::InvalidWhiteout;

/// Why a layer cannot be applied; the tree is then of no further use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError<E: std::error::Error + 'static> {
    /// The bytes are no tar archive, or a broken one.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry's name is no path.
    #[error(transparent)]
    Path(PathError),
    /// An entry asks for something that cannot be.
    #[error("{problem}: {path}")]
    Entry {
        /// The entry's path, escaped.
        path: String,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// A whiteout that waited for its directory until the layer's end cannot be applied.
    #[error("whiteouts of the layer: {0}")]
    LayerEnd(MergeError),
    /// The tar is no root filesystem, or not a whole one.
    #[error(transparent)]
    Role(#[from] RoleProblem),
    /// The image passes a limit.
    #[error(transparent)]
    Limit(LimitExceeded),
    /// The sink failed.
    #[error(transparent)]
    Sink(E),
}

impl<E: std::error::Error + 'static> ApplyError<E> {
    /// The limit that was passed, if that is what happened.
    pub fn limit(&self) -> Option<LimitExceeded> {
        match self {
            Self::Limit(limit)
            | Self::Tar(TarError {
                problem: TarProblem::Limit(limit),
                ..
            })
            | Self::LayerEnd(MergeError::Limit(limit))
            | Self::Entry {
                problem: EntryProblem::Limit(limit),
                ..
            }
            | Self::Entry {
                problem: EntryProblem::Merge(MergeError::Limit(limit)),
                ..
            } => Some(*limit),
            _ => None,
        }
    }
}

/// What can be wrong with an entry of a well-formed archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// The tree does not allow it.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A whiteout of nothing, `.` or `..`.
    #[error(transparent)]
    Whiteout(#[from] InvalidWhiteout),
    /// A path longer or deeper than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A hard link's target is no path.
    #[error("hard link target: {0}")]
    LinkTarget(PathError),
    /// A symbolic link to nothing.
    #[error("symbolic link without a target")]
    EmptySymlink,
    /// A symbolic link's target does not fit Linux' `PATH_MAX`.
    #[error("symbolic link target is {0} bytes (limit {limit})", limit = SYMLINK_MAX)]
    LongSymlink(usize),
    /// An owner or group that is negative, above 32 bits, or 2³²−1, which system calls take for "no change".
    #[error("{what} {value} does not fit 32 bits")]
    Id {
        /// `user id` or `group id`.
        what: &'static str,
        /// As the layer has it.
        value: i64,
    },
    /// A device number beyond 12 bits of major and 20 bits of minor.
    #[error("device number {major}:{minor} is beyond 4095:1048575")]
    Device {
        /// As the layer has it.
        major: i64,
        /// As the layer has it.
        minor: i64,
    },
    /// An extended attribute's name is longer than Linux allows.
    #[error("extended attribute name is {0} bytes (limit {limit})", limit = XATTR_NAME_MAX)]
    LongXattrName(usize),
    /// An extended attribute's value is longer than Linux allows.
    #[error("extended attribute {name:?} is {length} bytes (limit {limit})", limit = XATTR_VALUE_MAX)]
    LongXattrValue {
        /// The attribute.
        name: String,
        /// Bytes of its value.
        length: usize,
    },
    /// The names of all extended attributes are longer than Linux lists.
    #[error("extended attributes have {0} bytes of names (limit {limit})", limit = XATTR_LIST_MAX)]
    LongXattrList(usize),
    /// A type flag that is not known.
    #[error("tar entry type {:?} is not supported", char::from(*.0))]
    UnknownType(u8),
}

/// `PATH_MAX` less its NUL: the longest target that `readlink` gives.
pub(super) const SYMLINK_MAX: usize = 4095;
/// `XATTR_NAME_MAX` of Linux.
pub(super) const XATTR_NAME_MAX: usize = 255;
/// `XATTR_SIZE_MAX` of Linux.
pub(super) const XATTR_VALUE_MAX: usize = 65_536;
/// `XATTR_LIST_MAX` of Linux.
pub(super) const XATTR_LIST_MAX: usize = 65_536;
