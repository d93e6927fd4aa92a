//! What the host's files can do beyond reading and writing: have holes, and tell where they are.
//!
//! Elsewhere than on Linux, nothing is asked of them, and zeros are written.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;

#[cfg(all(target_os = "linux", feature = "directory"))]
pub(crate) use self::linux::next_data;
#[cfg(target_os = "linux")]
pub(crate) use self::linux::{punch_hole, zero_range};
#[cfg(all(not(target_os = "linux"), feature = "directory"))]
pub(crate) use self::portable::next_data;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::portable::{punch_hole, zero_range};

use std::fs::File;
use std::io;

/// Writes all of `bytes` at `offset`; the file's own position is of no use afterwards.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match write_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `bytes` with what is at `offset`, and with zeros beyond the file's end.
pub(crate) fn read_or_zero_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match read_at(file, &mut bytes[done..], offset + done as u64) {
            Ok(0) => {
                bytes[done..].fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `bytes` with what is at `offset`; an error where the file ends before.
#[cfg(feature = "reader")]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match read_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
use std::os::unix::fs::FileExt;

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(bytes, offset)
}

#[cfg(windows)]
use std::os::windows::fs::FileExt;

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(bytes, offset)
}

#[cfg(all(test, target_os = "linux", feature = "directory"))]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_portable_way_gives_the_same_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        assert!(!portable::punch_hole(&file, 0..4096).unwrap());
        assert!(!portable::zero_range(&file, 0..4096).unwrap());
        assert_eq!(portable::next_data(&file, 5, 100_000).unwrap(), 5..100_000);
        // What Linux knows lies within it.
        let known = linux::next_data(&file, 5, 100_000).unwrap();
        assert!(known.start >= 5 && known.end <= 100_000);
        write_all_at(&file, b"end", 200_000).unwrap();
        let mut bytes = [1; 5];
        read_or_zero_at(&file, &mut bytes, 199_999).unwrap();
        assert_eq!(&bytes, b"\0end\0");
    }
}
