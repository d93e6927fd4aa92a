//! Why an extended attribute cannot be stored.

/// The longest attribute name that Linux accepts, prefix included (`XATTR_NAME_MAX`).
pub(super) const MAX_NAME_BYTES: usize = 255;
/// The longest value that Linux accepts (`XATTR_SIZE_MAX`).
pub(super) const MAX_VALUE_BYTES: usize = 65_536;

/// Why an attribute cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XattrError {
    /// ext4 stores `user.`, `trusted.`, `security.` and `system.` names only.
    #[error("extended attribute has no namespace of ext4: {name}")]
    UnknownNamespace {
        /// The attribute.
        name: String,
    },
    /// The name is too long.
    #[error("extended attribute name is {length} bytes (limit {MAX_NAME_BYTES}): {name}")]
    NameTooLong {
        /// The attribute.
        name: String,
        /// Length in bytes.
        length: usize,
    },
    /// The name holds a NUL byte.
    #[error("extended attribute name contains a NUL byte: {name}")]
    NulInName {
        /// The attribute.
        name: String,
    },
    /// The value is too long.
    #[error("extended attribute value is {length} bytes (limit {MAX_VALUE_BYTES}): {name}")]
    ValueTooLong {
        /// The attribute.
        name: String,
        /// Length in bytes.
        length: usize,
    },
    /// The value is not a list that `setxattr` would take.
    #[error("access control list is malformed: {name}")]
    MalformedAcl {
        /// The attribute.
        name: String,
    },
}
