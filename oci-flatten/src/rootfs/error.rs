use super::tree::TreeFull;
use crate::limits::LimitExceeded;

/// Why an entry cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// More symbolic links on the path than Linux follows, mostly a loop.
    #[error("too many symbolic links on the path")]
    TooManyLinks,
    /// A symbolic link on the path leads through a name that no filesystem can hold.
    #[error("symbolic link on the path names a file of {0} bytes (limit 255)")]
    NameTooLong(usize),
    /// The root can only be a directory.
    #[error("root directory cannot be replaced")]
    Root,
    /// A hard link's target is not there, or comes later.
    #[error("hard link to a file that no earlier entry has")]
    LinkTargetMissing,
    /// A hard link's target is hidden by a whiteout of the same layer.
    #[error("hard link to a file that this layer removes")]
    LinkTargetRemoved,
    /// A hard link's target is a directory.
    #[error("hard link to a directory")]
    LinkToDirectory,
    /// A hard link's target is its own name.
    #[error("hard link to itself")]
    LinkToSelf,
    /// A hard link takes the place of a directory that holds its target, and so of the target itself.
    #[error("hard link replaces the directory that its target is in")]
    LinkReplacesTarget,
    /// The tree has more entries, names or layers than its indices reach.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl From<TreeFull> for MergeError {
    fn from(_: TreeFull) -> Self {
        let limit = u64::from(u32::MAX);
        Self::Limit(LimitExceeded {
            what: "merged tree",
            value: limit + 1,
            unit: "entries",
            limit,
        })
    }
}
