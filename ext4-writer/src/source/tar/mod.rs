//! A tree from a tar stream: what its entries say, as files of an image.

mod acl;
mod attributes;
mod builder;
mod libarchive;

use std::io::{self, Read};

use tar_events::{EndMarker, Limits, TarReader};

use self::builder::Builder;
use super::{SourceError, io_error};
use crate::content::Content;
use crate::device::Device;
use crate::image::ImageWriter;
use crate::tree::FileTree;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Stores the contents of an uncompressed tar stream and returns the tree, to be finished as it is or changed before.
///
/// Owners, modes, times to the nanosecond, devices, hard links and extended attributes (`SCHILY.xattr.*`,
/// `LIBARCHIVE.xattr.*`, `RHT.security.selinux`) are taken from the archive. A later entry of a name replaces an earlier one, but a
/// directory keeps what is in it. Parents that the archive lacks become directories of root with mode 0755 and time 0. All four times are the time of modification.
///
/// Sparse files are taken in GNU and in PAX format. Access control lists are taken as attributes
/// (`SCHILY.xattr.system.posix_acl_access`) and in text form (`SCHILY.acl.*`, from `tar --acls`). A text that gives a
/// user or a group no number, as GNU tar's does for names of the machine that wrote it, is refused, not dropped.
///
/// # Errors
/// Where the stream is malformed or ends before its end marker (a block of zeros), an entry climbs out of the tree or
/// passes through what is no directory, a hard link's target is missing, or ext4 cannot hold an entry. To accept a
/// stream whose writer leaves the marker out, chain one behind it: `stream.chain(&[0; 1024][..])`.
///
/// ```
/// use ext4_writer::{FormatOptions, ImageWriter, MemoryDevice, read_tar};
///
/// let mut archive = tar::Builder::new(Vec::new());
/// let mut header = tar::Header::new_gnu();
/// header.set_size(6);
/// header.set_mode(0o644);
/// header.set_uid(0);
/// header.set_gid(0);
/// header.set_mtime(1_700_000_000);
/// archive.append_data(&mut header, "etc/hello", &b"hello\n"[..])?;
/// let archive = archive.into_inner()?;
///
/// let device = MemoryDevice::new();
/// let mut image = ImageWriter::new(&device, FormatOptions::default())?;
/// let tree = read_tar(&mut image, archive.as_slice())?;
/// image.finish(tree)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_tar<D: Device, R: Read>(
    image: &mut ImageWriter<D>,
    mut stream: R,
) -> Result<FileTree<Content>, SourceError> {
    let mut reader = TarReader::new(&Limits::default());
    let mut builder = Builder::new(image)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_error("read", b"archive", error)),
        };
        let mut bytes = &buffer[..count];
        while let Some(event) = reader.next_event(&mut bytes)? {
            builder.take(event)?;
        }
    }
    match reader.finish()? {
        EndMarker::Present => Ok(builder.into_tree()),
        EndMarker::Missing => Err(SourceError::NoEndMarker {
            bytes: reader.offset(),
        }),
    }
}
