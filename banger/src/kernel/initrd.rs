//! Whether a file can be an initial RAM disk.

use std::io::Read;
use std::path::Path;

use super::facts::Compression;
use crate::artifact::{failed, open_regular};
use crate::error::Error;

/// Looks at an initrd: a cpio archive, or one compressed with something the kernel may read
/// (Documentation/driver-api/early-userspace/buffer-format.rst). Returns a warning when it is neither.
pub(super) fn check(path: &Path) -> Result<Option<String>, Error> {
    let mut head = Vec::new();
    let (file, _) = open_regular(path)?;
    file.take(16)
        .read_to_end(&mut head)
        .map_err(|error| failed("read", path, error))?;
    let is_cpio = head.starts_with(b"070701") || head.starts_with(b"070702");
    let known = is_cpio || Compression::sniff(&head) != Compression::None;
    Ok((!known).then(|| format!("{} does not look like an initrd", path.display())))
}
