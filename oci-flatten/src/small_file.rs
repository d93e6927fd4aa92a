//! Files that are read whole, and have no reason to be large: certificates, credentials, lists.
//!
//! Whoever names such a file may not be who reads it. A fifo without a writer would hold the reader for
//! ever, and `/dev/zero` would take all its memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::error::{Error, ErrorKind};

/// Reads a regular file of at most `limit` bytes, or what a pipe gives that the process was started with:
/// shells name it as `/dev/fd/N` for `<(COMMAND)`. A pipe is waited for until its end.
///
/// # Errors
///
/// The file cannot be opened or read, is none, or is longer. [`Error::io`] gives the last one the kind
/// [`ErrorKind::LimitExceeded`]; the path is the caller's to name.
#[expect(clippy::disallowed_methods, reason = "the user names the path")]
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a fifo would wait for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    let is_wanted = kind.is_file() || kind.is_fifo() && is_own_descriptor(path);
    if !is_wanted {
        let message = "not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    read_open(file, limit)
}

/// Reads what is open, of at most `limit` bytes.
pub(crate) fn read_open(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    match length > limit {
        true => Err(too_long(format!("{length} bytes"), limit)),
        false => read_all(file, limit),
    }
}

/// Whether `path` is the name of an open file of this process.
fn is_own_descriptor(path: &Path) -> bool {
    let folders = ["/dev/fd", "/proc/self/fd"].map(Path::new);
    path == Path::new("/dev/stdin") || path.parent().is_some_and(|at| folders.contains(&at))
}

/// Files of `/proc` have no length, and others may grow.
fn read_all(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(too_long(format!("more than {limit} bytes"), limit)),
        false => Ok(bytes),
    }
}

fn too_long(length: String, limit: u64) -> io::Error {
    Error::new(
        ErrorKind::LimitExceeded,
        format!("file is {length} (limit {limit})"),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::path::PathBuf;

    use super::*;

    fn file(length: usize) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![b'x'; length]).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let (_folder, path) = file(8);
        assert_eq!(read(&path, 8).unwrap(), b"xxxxxxxx");
        let error = Error::io("read it", read(&path, 7).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.to_string(), "read it: file is 8 bytes (limit 7)");
        let grown = read_all(File::open(&path).unwrap(), 7).unwrap_err();
        assert_eq!(grown.to_string(), "file is more than 7 bytes (limit 7)");
    }

    #[test]
    fn nothing_else_is_opened_for_long() {
        let (folder, _) = file(0);
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [&fifo, folder.path(), Path::new("/dev/zero")] {
            let error = read(path, 8).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file");
        }
    }

    #[test]
    fn a_pipe_of_our_own_is_an_argument() {
        let named = |pipe: &io::PipeReader| PathBuf::from(format!("/dev/fd/{}", pipe.as_raw_fd()));
        let (pipe, mut writer) = io::pipe().unwrap();
        let path = named(&pipe);
        let slow = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            writer.write_all(b"a list").unwrap();
        });
        assert_eq!(read(&path, 8).unwrap(), b"a list");
        slow.join().unwrap();
        let (pipe, mut writer) = io::pipe().unwrap();
        writer.write_all(b"too long a list").unwrap();
        let error = read(&named(&pipe), 8).unwrap_err();
        assert_eq!(error.to_string(), "file is more than 8 bytes (limit 8)");
    }
}
