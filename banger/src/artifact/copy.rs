//! One regular file: shared blocks where the filesystem can, else its data without its holes.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};

use oci_flatten::directory::Directory;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::{Origin, failed_in};
use crate::error::{Error, ErrorKind};

/// Bytes moved by one read and write where the kernel cannot copy by itself.
const BUFFER_BYTES: usize = 256 << 10;

/// Bytes copied between two looks at whether to go on.
const RANGE_BYTES: u64 = 16 << 20;

/// How a copy came to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CopyMethod {
    /// The copy shares the blocks of the source (`FICLONE`).
    Reflink,
    /// The data was copied; holes of the source are holes of the copy.
    Data,
}

/// Copies a regular file into a directory of ours under a name that nothing has, with its permission bits, and
/// syncs it. `is_cancelled` is asked before and every few MiB.
///
/// # Errors
///
/// The source is not a regular file or cannot be read, the target exists, or the disk is full;
/// [`ErrorKind::Interrupted`] when cancelled.
pub fn copy_file(
    source: Origin<'_>,
    target: &Directory,
    name: &str,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<CopyMethod, Error> {
    let (writer, method) = copy_unsynced(source, target, name.as_ref(), is_cancelled)?;
    writer
        .sync_all()
        .map_err(|error| failed_in("sync", target, name, error))?;
    Ok(method)
}

/// [`copy_file`] whose caller does the syncing.
fn copy_unsynced(
    source: Origin<'_>,
    target: &Directory,
    name: &OsStr,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(File, CopyMethod), Error> {
    if is_cancelled() {
        return Err(interrupted(source));
    }
    let (reader, _) = source.open_file()?;
    copy_open(&reader, target, name, is_cancelled).map_err(|failure| match failure {
        Failure::Io(error) => {
            let verb = format!("copy {} to", source.path().display());
            failed_in(&verb, target, name, error)
        }
        Failure::Cancelled => interrupted(source),
    })
}

/// Copies what is open.
pub(super) fn copy_open(
    reader: &File,
    target: &Directory,
    name: &OsStr,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(File, CopyMethod), Failure> {
    let metadata = reader.metadata()?;
    let writer = target.create_file(name)?;
    let method = match rustix::fs::ioctl_ficlone(&writer, reader) {
        Ok(()) => CopyMethod::Reflink,
        Err(_) => {
            copy_data(reader, &writer, metadata.len(), is_cancelled)?;
            CopyMethod::Data
        }
    };
    let mode = super::copied_mode(metadata.permissions().mode());
    writer.set_permissions(PermissionsExt::from_mode(mode))?;
    Ok((writer, method))
}

fn interrupted(source: Origin<'_>) -> Error {
    let message = format!("the copy of {} was interrupted", source.path().display());
    Error::new(ErrorKind::Interrupted, message)
}

#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    Cancelled,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn copy_data(
    reader: &File,
    writer: &File,
    length: u64,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    writer.set_len(length)?;
    let mut position = 0;
    while let Some((start, end)) = next_data(reader, position, length)? {
        if is_cancelled() {
            return Err(Failure::Cancelled);
        }
        position = end.min(start.saturating_add(RANGE_BYTES));
        copy_range(reader, writer, start, position)?;
    }
    Ok(())
}

/// The next range of data at or after `position`, or none when only a hole is left.
fn next_data(reader: &File, position: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if position >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(reader, SeekFrom::Data(position)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // The filesystem knows nothing of holes: everything is data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((position, length))),
        Err(error) => return Err(error.into()),
    };
    let end = rustix::fs::seek(reader, SeekFrom::Hole(start))?.min(length);
    Ok((start < end).then_some((start, end)))
}

fn copy_range(reader: &File, writer: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let wanted = usize::try_from(end - from).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(reader, Some(&mut from), writer, Some(&mut to), wanted) {
            Ok(0)
            | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return copy_by_hand(reader, writer, from, end);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(reader: &File, writer: &File, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut position = start;
    while position < end {
        let wanted = usize::try_from(end - position).map_or(BUFFER_BYTES, |n| n.min(BUFFER_BYTES));
        match reader.read_at(&mut buffer[..wanted], position) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the source shrank to {position} bytes while it was copied"),
                ));
            }
            Ok(count) => {
                writer.write_all_at(&buffer[..count], position)?;
                position += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::*;

    /// Copies one file of a folder to another.
    fn copy(
        source: &Path,
        target: &Path,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<CopyMethod, Error> {
        let folder = Directory::open(target.parent().unwrap()).unwrap();
        let name = target.file_name().unwrap().to_str().unwrap();
        copy_file(Origin::Named(source), &folder, name, is_cancelled)
    }

    /// A file of 64 MiB with data at its start, in its middle and in its last bytes.
    fn sparse_file(path: &Path) -> Vec<(u64, &'static [u8])> {
        let parts: Vec<(u64, &[u8])> = vec![
            (0, b"start"),
            (32 << 20, b"middle"),
            ((64 << 20) - 3, b"end"),
        ];
        let file = File::create(path).unwrap();
        file.set_len(64 << 20).unwrap();
        for (offset, bytes) in &parts {
            file.write_all_at(bytes, *offset).unwrap();
        }
        parts
    }

    #[test]
    fn a_copy_has_the_bytes_the_mode_and_the_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        let parts = sparse_file(&source);
        fs::set_permissions(&source, fs::Permissions::from_mode(0o444)).unwrap();
        copy(&source, &target, &|| false).unwrap();
        let copy = File::open(&target).unwrap();
        for (offset, bytes) in parts {
            let mut read = vec![0; bytes.len()];
            copy.read_exact_at(&mut read, offset).unwrap();
            assert_eq!(read, bytes);
        }
        let metadata = copy.metadata().unwrap();
        assert_eq!(metadata.len(), 64 << 20);
        assert_eq!(metadata.mode() & 0o7777, 0o444);
        assert!(
            metadata.blocks() * 512 < 1 << 20,
            "{} blocks of 512 bytes on disk",
            metadata.blocks()
        );
        assert_eq!(fs::read(&source).unwrap(), fs::read(&target).unwrap());
    }

    #[test]
    fn the_fallback_copies_what_the_kernel_would() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        let bytes: Vec<u8> = (0..3 * BUFFER_BYTES + 7).map(|n| (n % 251) as u8).collect();
        fs::write(&source, &bytes).unwrap();
        let (reader, writer) = (File::open(&source).unwrap(), File::create(&target).unwrap());
        copy_by_hand(&reader, &writer, 0, bytes.len() as u64).unwrap();
        assert_eq!(fs::read(&target).unwrap(), bytes);
        let error = copy_by_hand(&reader, &writer, 0, bytes.len() as u64 + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_fifo_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let error = copy(&fifo, &folder.path().join("copy"), &|| false).unwrap_err();
        assert!(
            error.to_string().ends_with("is not a regular file"),
            "{error}"
        );
        assert!(!folder.path().join("copy").exists());
    }

    #[test]
    fn a_cancelled_copy_is_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&source, vec![1; 1 << 20]).unwrap();
        let error = copy(&source, &target, &|| true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(!target.exists());
        let (reader, writer) = (File::open(&source).unwrap(), File::create(&target).unwrap());
        let failure = copy_data(&reader, &writer, 1 << 20, &|| true).unwrap_err();
        assert!(matches!(failure, Failure::Cancelled));
    }

    #[test]
    fn an_existing_target_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&source, b"new").unwrap();
        fs::write(&target, b"old").unwrap();
        let error = copy(&source, &target, &|| false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert_eq!(fs::read(&target).unwrap(), b"old");
    }
}
