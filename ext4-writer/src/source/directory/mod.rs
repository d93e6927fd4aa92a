//! A tree from a directory of the host, as `mke2fs -d` takes it.

#[cfg(target_os = "linux")]
mod host_file;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;

use std::path::Path;

#[cfg(target_os = "linux")]
use self::linux::read;
#[cfg(not(target_os = "linux"))]
use self::portable::read;
use super::SourceError;
use crate::content::Content;
use crate::device::Device;
use crate::image::ImageWriter;
use crate::setters::setters;
use crate::tree::FileTree;

/// What to take from a directory of the host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DirectoryOptions {
    /// User and group of every file, instead of the host's.
    pub owner: Option<(u32, u32)>,
    /// Whether to take extended attributes; one that ext4 cannot hold is an error then.
    pub xattrs: bool,
}

setters! { DirectoryOptions:
    owner: Option<(u32, u32)>,
    xattrs: bool,
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            owner: None,
            xattrs: true,
        }
    }
}

/// Stores everything below `path` and returns the tree, to be finished as it is or changed before.
///
/// Symbolic links are taken as such, never followed. All four times of a file are its time of modification,
/// as the others change by reading. Holes stay holes, hard links stay links.
///
/// Elsewhere than on Linux, files are read by their paths, without extended attributes, and devices are refused; where the host has no
/// modes either, directories have 0755 and files 0644.
///
/// # Errors
/// Where the host fails, ext4 cannot hold a file, or something changed while it was read.
///
/// ```
/// use ext4_writer::{DirectoryOptions, FormatOptions, ImageWriter, MemoryDevice, read_directory};
///
/// let host = tempfile::tempdir()?;
/// std::fs::write(host.path().join("hello"), "hello\n")?;
/// let device = MemoryDevice::new();
/// let mut image = ImageWriter::new(&device, FormatOptions::default())?;
/// let options = DirectoryOptions::default().owner(Some((0, 0)));
/// let tree = read_directory(&mut image, host.path(), &options)?;
/// assert!(tree.lookup(tree.root(), b"hello").is_some());
/// image.finish(tree)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_directory<D: Device>(
    image: &mut ImageWriter<D>,
    path: &Path,
    options: &DirectoryOptions,
) -> Result<FileTree<Content>, SourceError> {
    read(image, path, options)
}
