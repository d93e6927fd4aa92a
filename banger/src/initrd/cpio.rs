//! cpio archives in the "newc" format, of which an initrd consists
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;

/// Writes an archive. Owner and times are zero, inode numbers count up: the same entries give the same bytes.
pub(super) struct Archive<W> {
    to: W,
    entries: u32,
}

/// What the fixed header says of an entry.
struct Header {
    mode: u32,
    device: (u32, u32),
    size: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, entries: 0 }
    }

    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        let header = Header {
            mode: DIRECTORY | 0o755,
            device: (0, 0),
            size: 0,
        };
        self.header(path, &header)
    }

    pub(super) fn character_device(&mut self, path: &str, device: (u32, u32)) -> io::Result<()> {
        let header = Header {
            mode: CHARACTER_DEVICE | 0o600,
            device,
            size: 0,
        };
        self.header(path, &header)
    }

    pub(super) fn file(&mut self, path: &str, permissions: u32, bytes: &[u8]) -> io::Result<()> {
        let size = u32::try_from(bytes.len()).map_err(|_| {
            io::Error::other(format!(
                "{path} has {} bytes, cpio ends at 4 GiB",
                bytes.len()
            ))
        })?;
        let header = Header {
            mode: REGULAR | permissions,
            device: (0, 0),
            size,
        };
        self.header(path, &header)?;
        self.to.write_all(bytes)?;
        self.pad(bytes.len())
    }

    /// Writes the end and gives the writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entries = u32::MAX;
        let header = Header {
            mode: 0,
            device: (0, 0),
            size: 0,
        };
        self.header("TRAILER!!!", &header)?;
        Ok(self.to)
    }

    fn header(&mut self, path: &str, header: &Header) -> io::Result<()> {
        self.entries = self.entries.wrapping_add(1);
        let name_size = u32::try_from(path.len() + 1).map_err(io::Error::other)?;
        let links = if header.mode & DIRECTORY == DIRECTORY {
            2
        } else {
            1
        };
        // ino, mode, uid, gid, nlink, mtime, filesize, dev major, minor, rdev major, minor, namesize, check
        let fields = [
            self.entries,
            header.mode,
            0,
            0,
            links,
            0,
            header.size,
            0,
            0,
            header.device.0,
            header.device.1,
            name_size,
            0,
        ];
        self.to.write_all(b"070701")?;
        for field in fields {
            write!(self.to, "{field:08x}")?;
        }
        self.to.write_all(path.as_bytes())?;
        self.to.write_all(b"\0")?;
        self.pad(110 + path.len() + 1)
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        let padding = length.next_multiple_of(4) - length;
        self.to.write_all(&[0; 3][..padding])
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn archive() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.directory("dev").unwrap();
        archive.character_device("dev/console", (5, 1)).unwrap();
        archive.file("init", 0o755, b"four").unwrap();
        archive.file("odd", 0o644, b"x").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn the_bytes_are_always_the_same_and_aligned() {
        let bytes = archive();
        assert_eq!(bytes, archive());
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"0707010000000100"));
    }

    #[test]
    fn cpio_reads_it() {
        let Ok(mut cpio) = Command::new("cpio")
            .args(["-t", "-v", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            assert!(std::env::var_os("CI").is_none(), "cpio is missing");
            return;
        };
        cpio.stdin.take().unwrap().write_all(&archive()).unwrap();
        let output = cpio.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(output.status.success(), "{text}");
        assert!(
            lines[0].starts_with("drwxr-xr-x") && lines[0].ends_with(" dev"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("crw-------") && lines[1].contains("5,   1"),
            "{text}"
        );
        assert!(
            lines[2].starts_with("-rwxr-xr-x") && lines[2].ends_with(" init"),
            "{text}"
        );
        assert_eq!(lines.len(), 4);
    }
}
