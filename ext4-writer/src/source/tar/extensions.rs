//! What PAX records say: owners, times, extended attributes, access control lists, sparse maps.

use std::io;

use super::acl::{self, AclError};
use super::libarchive;
use super::pax;
use super::sparse::{self, Sparse};
use crate::source::{SourceError, io_error, shown};
use crate::tree::{Timestamp, TreeError, Xattrs};

/// What PAX records say of a file, but for its names and its size.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<Timestamp>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: Option<Sparse>,
}

/// Reads the records of the file that `path` shows in errors. An empty value leaves things as the header has them.
pub(super) fn read(records: &[u8], path: &[u8]) -> Result<Extensions, SourceError> {
    let mut out = Extensions::default();
    let failed = |error| io_error("read", path, error);
    for record in pax::records(records) {
        let (key, value) = record.map_err(failed)?;
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            insert(&mut out.xattrs, name, value, path)?;
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let malformed = || io_error("read attribute of", path, io::ErrorKind::InvalidData);
            let name = libarchive::name(name).ok_or_else(malformed)?;
            let value = libarchive::value(value).ok_or_else(malformed)?;
            insert(&mut out.xattrs, &name, &value, path)?;
        } else if key == b"RHT.security.selinux" {
            // As Linux has it, with a NUL at its end.
            let label = [value, b"\0"].concat();
            insert(&mut out.xattrs, b"security.selinux", &label, path)?;
        } else if let Some(kind) = key.strip_prefix(b"SCHILY.acl.") {
            if kind != b"access" && kind != b"default" {
                return Err(unsupported_list(path, "is not of POSIX"));
            }
            let value = access_list(value, path)?;
            if kind == b"default" || value.len() > acl::BASE_BYTES {
                let name = [b"system.posix_acl_", kind].concat();
                insert(&mut out.xattrs, &name, &value, path)?;
            }
        } else if let Some(key) = key.strip_prefix(sparse::PREFIX) {
            out.sparse
                .get_or_insert_default()
                .take(key, value)
                .map_err(|error| io_error("read sparse map of", path, error))?;
        } else if !value.is_empty() {
            match key {
                b"uid" => out.uid = Some(pax::decimal(value).map_err(failed)?),
                b"gid" => out.gid = Some(pax::decimal(value).map_err(failed)?),
                b"mtime" => {
                    let malformed = || io_error("read time of", path, io::ErrorKind::InvalidData);
                    out.modified = Some(decimal_time(value).ok_or_else(malformed)?);
                }
                _ => {}
            }
        }
    }
    Ok(out)
}

fn insert(out: &mut Xattrs, name: &[u8], value: &[u8], path: &[u8]) -> Result<(), SourceError> {
    out.insert(name, value)
        .map_err(|source| TreeError::Xattr {
            path: shown(path),
            source,
        })
        .map_err(SourceError::from)
}

fn access_list(text: &[u8], path: &[u8]) -> Result<Vec<u8>, SourceError> {
    acl::parse(text).map_err(|error| match error {
        AclError::Malformed => io_error(
            "read access control list of",
            path,
            io::ErrorKind::InvalidData,
        ),
        AclError::Name(who) => unsupported_list(path, &format!("has no number for {who}")),
    })
}

fn unsupported_list(path: &[u8], why: &str) -> SourceError {
    SourceError::Unsupported {
        path: shown(path),
        what: format!("given an access control list that {why}"),
    }
}

/// Parses `-?[0-9]+(.[0-9]*)?`; digits beyond nanoseconds are dropped towards the past.
fn decimal_time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let padded: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = padded.parse().ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp::new(seconds, nanoseconds),
        (true, 0) => Timestamp::new(-seconds, 0),
        (true, _) => Timestamp::new(-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_fractions_round_to_the_past() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("1700000000.123456789123", 1_700_000_000, 123_456_789),
            ("-1", -1, 0),
            ("-0.5", -1, 500_000_000),
            ("-1.25", -2, 750_000_000),
            ("5.", 5, 0),
        ] {
            let time = Timestamp::new(seconds, nanoseconds);
            assert_eq!(decimal_time(text.as_bytes()), Some(time), "{text}");
        }
        for text in ["", "x", "1.x", "--1", "99999999999999999999"] {
            assert_eq!(decimal_time(text.as_bytes()), None, "{text}");
        }
    }
}
