//! What an entry is and what it carries, whatever archive it came from.

use std::fmt;

/// A point in time as Linux counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds after that second, below 10⁹.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The first instant that ext4 can hold: 1901-12-13 20:45:52 UTC.
    pub const EARLIEST: Self = Self {
        seconds: -(1 << 31),
        nanoseconds: 0,
    };
    /// The last instant that ext4 can hold, on 2446-05-10: 34 bits of seconds from [`Self::EARLIEST`] on.
    pub const LATEST: Self = Self {
        seconds: (1 << 34) - (1 << 31) - 1,
        nanoseconds: 999_999_999,
    };

    /// The nearest time that ext4 can hold.
    pub fn clamped(self) -> Self {
        self.clamp(Self::EARLIEST, Self::LATEST)
    }
}

impl From<crate::tar::Timestamp> for Timestamp {
    fn from(time: crate::tar::Timestamp) -> Self {
        Self {
            seconds: time.seconds,
            nanoseconds: time.nanoseconds,
        }
    }
}

/// Owner, permissions, time and extended attributes of a file of any kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission, set-id and sticky bits (`0o7777`); the file's type is not part of it.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification; access and change times are taken to be the same.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

impl Metadata {
    /// What a directory gets that no layer describes: `0755 root:root`.
    pub fn implied_directory(mtime: Timestamp) -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime,
            xattrs: Xattrs::default(),
        }
    }
}

/// Extended attributes by full name (`user.x`, `security.capability`), sorted by name, no name twice.
///
/// One word wide when empty, as it is for nearly every file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Xattrs(Option<Box<XattrList>>);

#[derive(Clone, Default, PartialEq, Eq)]
struct XattrList(Vec<Xattr>);

#[derive(Clone, PartialEq, Eq)]
struct Xattr {
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Xattrs {
    /// Sets one attribute, in place of an older one of the same name.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let list = &mut self.0.get_or_insert_default().0;
        let xattr = Xattr {
            name: name.into(),
            value: value.into(),
        };
        // Readers give attributes in order of name, so the end is the usual place and a long list stays linear.
        if list.last().is_none_or(|last| *last.name < *name) {
            list.push(xattr);
            return;
        }
        match list.binary_search_by(|old| (*old.name).cmp(name)) {
            Ok(index) => list[index] = xattr,
            Err(index) => list.insert(index, xattr),
        }
    }

    /// The value of one attribute.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Names and values, in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        let list = self.0.as_deref().map_or(&[][..], |list| &list.0);
        list.iter().map(|xattr| (&*xattr.name, &*xattr.value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory behind the one word, in bytes, as an allocator would round it.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let strings: usize = self
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum();
        let headers = self.len() * size_of::<Xattr>();
        (strings
            + headers
            + if self.is_empty() {
                0
            } else {
                size_of::<XattrList>()
            }) as u64
    }
}

impl fmt::Debug for Xattrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (
                    name.escape_ascii().to_string(),
                    value.escape_ascii().to_string(),
                )
            }))
            .finish()
    }
}

/// The numbers of a character or block device, within what ext4 and Linux' `dev_t` hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    major: u32,
    minor: u32,
}

impl DeviceNumber {
    /// The largest major number: 12 bits.
    pub const MAX_MAJOR: u32 = (1 << 12) - 1;
    /// The largest minor number: 20 bits.
    pub const MAX_MINOR: u32 = (1 << 20) - 1;

    /// Accepts numbers that fit; `None` for others.
    pub fn new(major: i64, minor: i64) -> Option<Self> {
        let major = u32::try_from(major)
            .ok()
            .filter(|&major| major <= Self::MAX_MAJOR)?;
        let minor = u32::try_from(minor)
            .ok()
            .filter(|&minor| minor <= Self::MAX_MINOR)?;
        Some(Self { major, minor })
    }

    /// Major number.
    pub fn major(self) -> u32 {
        self.major
    }

    /// Minor number.
    pub fn minor(self) -> u32 {
        self.minor
    }
}
