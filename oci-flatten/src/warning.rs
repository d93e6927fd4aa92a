//! What a user should know about an image that was flattened all the same.

use std::fmt;

use crate::path::EntryPath;

/// One thing that a layer says and that was passed over, changed or may surprise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A character device 0:0, which overlay filesystems take for a whiteout; kept as a device.
    ZeroDevice {
        /// The device.
        path: EntryPath<'static>,
    },
    /// A whiteout of a name that its own layer writes; whiteouts act on lower layers only, so the file stays.
    WhiteoutOfOwnLayer {
        /// The file that stays.
        path: EntryPath<'static>,
    },
    /// An overlay filesystem's own attribute (`trusted.overlay.*`), left out.
    OverlayXattr {
        /// The file.
        path: EntryPath<'static>,
        /// The attribute's name.
        name: Vec<u8>,
    },
    /// A PAX record with an access control list, an attribute or flags in a form that engines do not read, left out.
    RecordLeftOut {
        /// The file.
        path: EntryPath<'static>,
        /// The record's key.
        key: Vec<u8>,
    },
    /// A directory of a GNU incremental backup, which lists the names that were in it; those that are there no more
    /// are not removed.
    IncrementalDirectory {
        /// The directory.
        path: EntryPath<'static>,
    },
    /// An attribute outside `user.`, `trusted.`, `security.` and POSIX ACLs, left out.
    UnknownXattr {
        /// The file.
        path: EntryPath<'static>,
        /// The attribute's name.
        name: Vec<u8>,
    },
    /// A modification time that ext4 cannot hold; the nearest that it can was taken.
    TimeOutOfRange {
        /// The file.
        path: EntryPath<'static>,
        /// The time's seconds since 1970, as the layer has them.
        seconds: i64,
    },
    /// The entry of the root directory itself, which says nothing in a layer, left out.
    RootEntry {
        /// Its mode.
        mode: u16,
        /// How many extended attributes it has.
        xattrs: usize,
    },
    /// An entry without a name, left out.
    EmptyName,
    /// A GNU volume label, left out.
    VolumeLabel {
        /// The label.
        label: Vec<u8>,
    },
    /// A layer whose bytes are not what its media type says; the bytes were believed.
    MediaType {
        /// The media type as the manifest has it.
        declared: String,
        /// What the bytes are.
        found: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::path::Escaped;
        match self {
            Self::ZeroDevice { path } => write!(f, "character device 0:0 kept as a device: {path}"),
            Self::WhiteoutOfOwnLayer { path } => {
                write!(f, "whiteout of a file of its own layer ignored: {path}")
            }
            Self::OverlayXattr { path, name } | Self::UnknownXattr { path, name } => {
                write!(f, "extended attribute {} left out: {path}", Escaped(name))
            }
            Self::RecordLeftOut { path, key } => {
                write!(f, "PAX record {} left out: {path}", Escaped(key))
            }
            Self::IncrementalDirectory { path } => {
                write!(
                    f,
                    "list of an incremental backup left out, so files deleted since the backup before may be there: {path}"
                )
            }
            Self::TimeOutOfRange { path, seconds } => {
                write!(
                    f,
                    "time {seconds} moved to the nearest that ext4 holds: {path}"
                )
            }
            Self::RootEntry { mode, xattrs } => write!(
                f,
                "entry of the root directory left out (mode {mode:04o}, {xattrs} extended attributes)"
            ),
            Self::EmptyName => f.write_str("entry without a name left out"),
            Self::VolumeLabel { label } => write!(f, "volume label left out: {}", Escaped(label)),
            Self::MediaType { declared, found } => {
                write!(
                    f,
                    "layer is {found}, its media type says {}",
                    Escaped(declared.as_bytes())
                )
            }
        }
    }
}

/// The warnings of one layer, in order; beyond [`Warnings::KEPT`] only their number is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    kept: Vec<Warning>,
    total: u64,
}

impl Warnings {
    /// How many warnings are kept: enough to see what is wrong, whatever a hostile layer does.
    pub const KEPT: usize = 100;

    /// Adds one.
    pub fn push(&mut self, warning: Warning) {
        self.total += 1;
        if self.kept.len() < Self::KEPT {
            self.kept.push(warning);
        }
    }

    /// The kept ones, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Warning> {
        self.kept.iter()
    }

    /// How many there were, kept or not.
    pub fn total(&self) -> u64 {
        self.total
    }
}

impl<'a> IntoIterator for &'a Warnings {
    type Item = &'a Warning;
    type IntoIter = std::slice::Iter<'a, Warning>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
