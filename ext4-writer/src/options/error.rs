//! Why options are refused.

/// Options that contradict one another or the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// One feature is useless or invalid without another.
    #[error("feature {feature} needs {needed}")]
    Needs {
        /// The feature asked for.
        feature: &'static str,
        /// What must be on too.
        needed: &'static str,
    },
    /// Two features exclude one another.
    #[error("features {first} and {second} exclude one another")]
    Excludes {
        /// One of the two.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// The label does not fit the superblock.
    #[error("label is {length} bytes (limit 16, without NUL)")]
    Label {
        /// Its length in bytes.
        length: usize,
    },
    /// The UUID is all zeros, which readers take for a missing one.
    #[error("uuid is nil")]
    NilUuid,
    /// The journal is outside what the kernel and mke2fs accept.
    #[error("journal is {blocks} blocks (limits 1024 and 10240000)")]
    JournalSize {
        /// Its length in blocks.
        blocks: u64,
    },
    /// The inode ratio is outside what mke2fs accepts, or inodes would take more than half of the filesystem.
    #[error("inode ratio is {ratio} bytes (limits {least} and 64 MiB)")]
    InodeRatio {
        /// Bytes for each inode.
        ratio: u64,
        /// The least ratio: one block or two inodes.
        least: u64,
    },
    /// The factor of the size rule is unusable.
    #[error("size factor is {percent} % (limits 100 and 100000)")]
    SizeFactor {
        /// Percent of the content.
        percent: u32,
    },
    /// A number is beyond its limit.
    #[error("{what} is {value} (limit {limit})")]
    OutOfRange {
        /// The number's meaning.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// A time is outside 1901 to 2446 or its nanoseconds are beyond a second.
    #[error("time is outside the years 1901 to 2446")]
    Time,
    /// The time of what the tree does not hold is beyond 2038, which inodes of 128 bytes cannot store.
    #[error("time of {seconds} s from 1970 does not fit inodes of 128 bytes")]
    SmallInodeTime {
        /// Seconds from 1970.
        seconds: i64,
    },
}
