//! Why the tree refuses an entry.

use super::XattrError;

/// An entry that ext4 cannot hold; the tree is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The name is longer than a directory entry holds.
    #[error("file name is {length} bytes (limit 255): {path}")]
    NameTooLong {
        /// The path, from the root.
        path: String,
        /// Length in bytes.
        length: usize,
    },
    /// The name is empty, `.`, `..`, or contains `/` or NUL.
    #[error("file name is not valid: {path}")]
    InvalidName {
        /// The path, from the root.
        path: String,
    },
    /// The directory has an entry of that name.
    #[error("name exists already: {path}")]
    Exists {
        /// The path, from the root.
        path: String,
    },
    /// There is no entry of that name.
    #[error("name does not exist: {path}")]
    NotFound {
        /// The path, from the root.
        path: String,
    },
    /// The parent is not a directory, or was removed.
    #[error("parent is not a directory: {path}")]
    NotADirectory {
        /// The path, from the root.
        path: String,
    },
    /// A directory cannot have a second name, and a removed node none.
    #[error("only files in the tree can be linked: {path}")]
    NotLinkable {
        /// The path, from the root.
        path: String,
    },
    /// The file has as many names as ext4 allows.
    #[error("file has 65000 links (limit 65000): {path}")]
    TooManyLinks {
        /// The path, from the root.
        path: String,
    },
    /// The target of a symbolic link is empty, too long or contains NUL.
    #[error("symlink target is {length} bytes or contains NUL (limits 1 and 4095): {path}")]
    InvalidTarget {
        /// The path, from the root.
        path: String,
        /// Length in bytes.
        length: usize,
    },
    /// The device number needs more than 12 and 20 bits.
    #[error("device number is {major}:{minor} (limits 4095 and 1048575): {path}")]
    DeviceNumber {
        /// The path, from the root.
        path: String,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// The mode has bits that are not permissions.
    #[error("mode is {mode:o} (limit 7777): {path}")]
    Mode {
        /// The path, from the root.
        path: String,
        /// The mode.
        mode: u16,
    },
    /// A time is outside what inodes hold; [`Timestamp::clamped`](super::Timestamp::clamped) brings it in.
    #[error("time is {seconds} s and {nanoseconds} ns from 1970 (limits 1901 to 2446): {path}")]
    Time {
        /// The path, from the root.
        path: String,
        /// Seconds from 1970.
        seconds: i64,
        /// Nanoseconds.
        nanoseconds: u32,
    },
    /// A default access control list is for directories only.
    #[error("default access control list on what is no directory: {path}")]
    DefaultAcl {
        /// The path, from the root.
        path: String,
    },
    /// An extended attribute is not valid.
    #[error("extended attribute cannot be stored: {path}")]
    Xattr {
        /// The path, from the root.
        path: String,
        /// What is wrong with it.
        source: XattrError,
    },
    /// The node is of another tree.
    #[error("node belongs to another tree")]
    ForeignNode,
    /// The node's last name was removed.
    #[error("node was removed from the tree")]
    Removed,
    /// A directory cannot be moved into itself.
    #[error("directory would be moved into itself: {path}")]
    IntoItself {
        /// The path that it would get, from the root.
        path: String,
    },
    /// Only regular files have content.
    #[error("only regular files have content: {path}")]
    NotAFile {
        /// The path, from the root.
        path: String,
    },
    /// The tree has more nodes or names than 32-bit numbers count.
    #[error("tree has more than {limit} entries: {path}")]
    TooManyEntries {
        /// The path, from the root.
        path: String,
        /// The limit.
        limit: u32,
    },
}
