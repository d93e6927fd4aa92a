//! Writes archives, well-formed or malformed in any way, for tests and fuzz seeds.
//!
//! ```
//! use tar_events::testkit::{Archive, Entry};
//!
//! let archive = Archive::new()
//!     .entry(Entry::directory("etc").mode(0o755))
//!     .entry(Entry::file("etc/motd", "hello").mtime(1).xattr("user.note", "x"))
//!     .finish();
//! assert_eq!(archive.len() % 512, 0);
//! ```

mod header;

pub use header::{Checksum, Field, Header};

/// An archive under construction.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    #[must_use]
    pub fn entry(mut self, entry: Entry) -> Self {
        entry.write(&mut self.bytes);
        self
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The archive with its end marker.
    pub fn finish(self) -> Vec<u8> {
        self.raw(&[0; 1024]).bytes
    }

    /// The archive without an end marker.
    pub fn cut(self) -> Vec<u8> {
        self.bytes
    }
}

impl Extend<Entry> for Archive {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        for entry in entries {
            entry.write(&mut self.bytes);
        }
    }
}

/// One entry under construction, with the extension headers it needs.
///
/// Names and link targets beyond 100 bytes become PAX records.
#[derive(Debug, Clone)]
pub struct Entry {
    header: Header,
    before: Vec<u8>,
    records: Vec<u8>,
    body: Vec<u8>,
    padded: bool,
}

impl Entry {
    /// An entry of any type: `0755` for directories, `0644` for the rest, owned by root, of 1970.
    pub fn of_type(flag: u8, path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        let header = Header::new().text(Header::NAME, path).byte(156, flag);
        let mode = if flag == b'5' { 0o755 } else { 0o644 };
        let header = [
            (Header::MODE, mode),
            (Header::UID, 0),
            (Header::GID, 0),
            (Header::SIZE, 0),
            (Header::MTIME, 0),
        ]
        .into_iter()
        .fold(header, |header, (field, value)| header.number(field, value));
        let entry = Self {
            header,
            before: Vec::new(),
            records: Vec::new(),
            body: Vec::new(),
            padded: true,
        };
        if path.len() > 100 {
            entry.pax("path", path)
        } else {
            entry
        }
    }

    /// A regular file.
    pub fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'0', path).body(content)
    }

    /// A directory.
    pub fn directory(path: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'5', path)
    }

    /// A symbolic link.
    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'2', path).link(target).mode(0o777)
    }

    /// A hard link.
    pub fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'1', path).link(target)
    }

    /// A named pipe.
    pub fn fifo(path: impl AsRef<[u8]>) -> Self {
        Self::of_type(b'6', path)
    }

    /// A character device.
    pub fn char_device(path: impl AsRef<[u8]>, major: i64, minor: i64) -> Self {
        Self::of_type(b'3', path).device(major, minor)
    }

    /// A block device.
    pub fn block_device(path: impl AsRef<[u8]>, major: i64, minor: i64) -> Self {
        Self::of_type(b'4', path).device(major, minor)
    }

    fn device(self, major: i64, minor: i64) -> Self {
        self.header(|header| {
            header
                .number(Header::DEVICE_MAJOR, major)
                .number(Header::DEVICE_MINOR, minor)
        })
    }

    fn link(self, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref();
        let entry = self.header(|header| header.text(Header::LINK, target));
        if target.len() > 100 {
            entry.pax("linkpath", target)
        } else {
            entry
        }
    }

    /// Sets the permission bits.
    #[must_use]
    pub fn mode(self, mode: i64) -> Self {
        self.header(|header| header.number(Header::MODE, mode))
    }

    /// Sets owner and group.
    #[must_use]
    pub fn owner(self, uid: i64, gid: i64) -> Self {
        self.header(|header| header.number(Header::UID, uid).number(Header::GID, gid))
    }

    /// Sets the time of last modification in seconds.
    #[must_use]
    pub fn mtime(self, seconds: i64) -> Self {
        self.header(|header| header.number(Header::MTIME, seconds))
    }

    /// Sets the bytes that follow the header, and the size field.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let size = self.body.len() as i64;
        self.header(|header| header.number(Header::SIZE, size))
    }

    /// Adds a PAX record.
    #[must_use]
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.records
            .extend(pax_record(key.as_ref(), value.as_ref()));
        self
    }

    /// Adds an extended attribute.
    #[must_use]
    pub fn xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax([b"SCHILY.xattr.", name.as_ref()].concat(), value)
    }

    /// Puts another entry in front, such as a GNU long name.
    #[must_use]
    pub fn preceded_by(mut self, entry: Self) -> Self {
        entry.write(&mut self.before);
        self
    }

    /// Changes the header in any way.
    #[must_use]
    pub fn header(mut self, change: impl FnOnce(Header) -> Header) -> Self {
        self.header = change(self.header);
        self
    }

    /// Leaves out the padding behind the body.
    #[must_use]
    pub fn unpadded(mut self) -> Self {
        self.padded = false;
        self
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        if !self.records.is_empty() {
            Self::of_type(b'x', "PaxHeaders/x")
                .body(&self.records)
                .write(out);
        }
        out.extend_from_slice(&self.header.finish());
        out.extend_from_slice(&self.body);
        if self.padded {
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
}

/// One PAX record with the length that fits.
pub fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}
