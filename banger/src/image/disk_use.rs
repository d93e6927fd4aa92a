//! What an image occupies on disk.

use std::io;
use std::os::unix::fs::MetadataExt;

use oci_flatten::directory::{Directory, FileKind};

use crate::store::Image;

/// Bytes that the files of an image occupy: all in its directory, or the root filesystem alone where the
/// files are not the store's. None when they cannot be looked at.
#[must_use]
pub fn disk_bytes(image: &Image) -> Option<u64> {
    match image.record().managed {
        true => tree_bytes(image.open_directory().ok()?).ok(),
        false => rootfs_bytes(image),
    }
}

/// Bytes that the root filesystem of an image occupies.
pub(super) fn rootfs_bytes(image: &Image) -> Option<u64> {
    let metadata = image.open_rootfs().ok()?.metadata().ok()?;
    Some(metadata.blocks().saturating_mul(512))
}

fn tree_bytes(root: Directory) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut waiting = vec![root];
    while let Some(directory) = waiting.pop() {
        for entry in directory.entries()? {
            bytes = bytes.saturating_add(entry.facts.disk_bytes);
            if entry.facts.kind == FileKind::Directory {
                waiting.push(directory.directory(&entry.name)?);
            }
        }
    }
    Ok(bytes)
}
