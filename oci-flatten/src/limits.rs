//! Bounds on everything that a layer or an image document can make this library hold or do.

pub use crate::tar::LimitExceeded;

/// The bounds of one flattening; every field may be changed, [`Limits::default`] fits every honest image known.
///
/// A bound is inclusive: what equals it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Tar entries read over all layers, and files and directories alive in the merged tree at any time.
    pub entries: u64,
    /// Components of one path (2048 are what 4095 bytes can hold).
    pub path_depth: usize,
    /// Bytes of one path, once cleaned (Linux' `PATH_MAX` less its NUL).
    pub path_bytes: usize,
    /// Memory of the merged tree in bytes: nodes, names, symlink targets, extended attributes and holes.
    pub metadata_bytes: u64,
    /// Decoded tar bytes over all layers.
    pub expanded_bytes: u64,
    /// Logical size of one file in bytes, holes included (ext4 with 4 KiB blocks ends at 16 TiB).
    pub file_bytes: u64,
    /// Bytes of one PAX or GNU extension header, and of one sparse map (Go's `archive/tar` has the same bound).
    pub extension_bytes: usize,
    /// Extension headers that may precede one entry.
    pub extension_headers: usize,
    /// Bytes of a manifest or an index.
    pub manifest_bytes: u64,
    /// Bytes of an image configuration.
    pub config_bytes: u64,
    /// Descriptors that may be looked at while an image is chosen from an index.
    pub index_entries: usize,
    /// Indexes that may be nested in one another.
    pub index_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            path_depth: 2048,
            path_bytes: 4095,
            metadata_bytes: 2 << 30,
            expanded_bytes: 64 << 30,
            file_bytes: (16 << 40) - 4096,
            extension_bytes: 1 << 20,
            extension_headers: 16,
            manifest_bytes: 4 << 20,
            config_bytes: 4 << 20,
            index_entries: 1000,
            index_depth: 4,
        }
    }
}

impl Limits {
    /// Those of the tar reader.
    pub fn tar(&self) -> crate::tar::Limits {
        let mut limits = crate::tar::Limits::default();
        limits.extension_bytes = self.extension_bytes;
        limits.extension_headers = self.extension_headers;
        limits.file_bytes = self.file_bytes;
        limits
    }
}
