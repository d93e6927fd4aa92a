//! Extended attributes and access control lists among the PAX records of an entry.

use std::io;

use tar_events::Entry;

use super::acl::{self, AclError};
use super::libarchive;
use crate::escape::escaped;
use crate::source::{SourceError, io_error};
use crate::tree::{TreeError, Xattrs};

/// What star, bsdtar and GNU tar write, of which a later record replaces an earlier one of the same attribute.
pub(super) fn read(entry: &Entry<'_>) -> Result<Xattrs, SourceError> {
    let path = entry.path;
    let mut out = Xattrs::new();
    for (key, value) in entry.records.iter() {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            insert(&mut out, name, value, path)?;
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let malformed = || io_error("read attribute of", path, io::ErrorKind::InvalidData);
            let name = libarchive::name(name).ok_or_else(malformed)?;
            let value = libarchive::value(value).ok_or_else(malformed)?;
            insert(&mut out, &name, &value, path)?;
        } else if key == b"GNU.dumpdir" {
            let what = "a directory of an incremental backup".to_owned();
            let path = escaped(path);
            return Err(SourceError::Unsupported { path, what });
        } else if value.is_empty() {
            // An empty value means that the record is not there.
            continue;
        } else if key == b"RHT.security.selinux" {
            // As Linux has it, with a NUL at its end.
            let label = [value, b"\0"].concat();
            insert(&mut out, b"security.selinux", &label, path)?;
        } else if let Some(kind) = key.strip_prefix(b"SCHILY.acl.") {
            if kind != b"access" && kind != b"default" {
                return Err(unsupported_list(path, "is not of POSIX"));
            }
            let value = access_list(value, path)?;
            if kind == b"default" || value.len() > acl::BASE_BYTES {
                let name = [b"system.posix_acl_", kind].concat();
                insert(&mut out, &name, &value, path)?;
            }
        }
    }
    Ok(out)
}

fn insert(out: &mut Xattrs, name: &[u8], value: &[u8], path: &[u8]) -> Result<(), SourceError> {
    out.insert(name, value)
        .map_err(|source| TreeError::Xattr {
            path: escaped(path),
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
        path: escaped(path),
        what: format!("given an access control list that {why}"),
    }
}
