//! Structures as they lie on disk, without policy. Field names are the kernel's, without prefix.
//!
//! <https://docs.kernel.org/filesystems/ext4/globals.html>

pub(crate) mod dir_entry;
pub(crate) mod extent;
pub(crate) mod group_descriptor;
pub(crate) mod htree;
pub(crate) mod inode;
pub(crate) mod journal;
pub(crate) mod orphan_file;
pub(crate) mod quota;
pub(crate) mod superblock;
pub(crate) mod xattr;
