//! PAX records with metadata that engines do not take from a layer, and so neither do we.

use super::{ContentSink, Merger};
use crate::path::EntryPath;
use crate::tar::Entry;
use crate::warning::Warning;

impl<S: ContentSink> Merger<'_, S> {
    /// Warns of every record that says something about the file and is left out.
    pub(super) fn report_records(&mut self, entry: &Entry<'_>, path: &EntryPath<'_>) {
        for (key, value) in entry.records.iter() {
            let path = || path.clone().into_owned();
            let warning = match Meaning::of(key, value, entry) {
                Meaning::Taken => continue,
                Meaning::Label if self.skip_selinux => continue,
                Meaning::Label | Meaning::LeftOut => Warning::RecordLeftOut {
                    path: path(),
                    key: key.to_vec(),
                },
                Meaning::Incremental => Warning::IncrementalDirectory { path: path() },
            };
            self.report.warnings.push(warning);
        }
    }
}

/// What a record is to us.
enum Meaning {
    /// Part of the entry, also by another record, or nothing that a file keeps.
    Taken,
    /// An SELinux label.
    Label,
    /// Other metadata of the file.
    LeftOut,
    /// The names in a directory of a GNU incremental backup.
    Incremental,
}

impl Meaning {
    fn of(key: &[u8], value: &[u8], entry: &Entry<'_>) -> Self {
        let has = |name: &[u8]| entry.xattrs.iter().any(|(other, _)| other == name);
        if key == b"GNU.dumpdir" {
            Self::Incremental
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            // bsdtar writes each attribute both ways, unless it is told otherwise.
            match percent_decoded(name) {
                Some(name) if has(&name) => Self::Taken,
                Some(name) if name == b"security.selinux" => Self::Label,
                _ => Self::LeftOut,
            }
        } else if value.is_empty() {
            Self::Taken
        } else if key == b"RHT.security.selinux" {
            if has(b"security.selinux") {
                Self::Taken
            } else {
                Self::Label
            }
        } else if key.starts_with(b"SCHILY.acl.") || key == b"SCHILY.fflags" {
            Self::LeftOut
        } else {
            Self::Taken
        }
    }
}

/// A name as libarchive encodes it; `None` where it is malformed.
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = text.split(|&byte| byte == b'%');
    let mut name = pieces.next()?.to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        name.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        name.extend_from_slice(rest);
    }
    Some(name)
}
