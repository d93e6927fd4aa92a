//! Extended attributes, valid by construction.
//!
//! <https://docs.kernel.org/filesystems/ext4/attributes.html>

use super::acl;

/// The longest attribute name that Linux accepts, prefix included (`XATTR_NAME_MAX`).
const MAX_NAME_BYTES: usize = 255;
/// The longest value that Linux accepts (`XATTR_SIZE_MAX`).
const MAX_VALUE_BYTES: usize = 65_536;

const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;
const SYSTEM: u8 = 7;

/// Prefixes that ext4 stores as a number; the first two are whole names.
const NAMESPACES: [(&[u8], u8); 6] = [
    (b"system.posix_acl_access", ACL_ACCESS),
    (b"system.posix_acl_default", ACL_DEFAULT),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
    (b"system.", SYSTEM),
];

/// An attribute as ext4 names and stores it. Ordered as the kernel looks it up in a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Xattr {
    /// Number of the namespace (`e_name_index`).
    pub(crate) index: u8,
    /// The name without the namespace's prefix.
    pub(crate) name: Box<[u8]>,
    /// The value on disk, access control lists translated.
    pub(crate) value: Box<[u8]>,
}

impl Xattr {
    fn key(&self) -> (u8, usize, &[u8]) {
        (self.index, self.name.len(), &self.name)
    }
}

/// The extended attributes of one file, in the order of ext4's blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Xattrs {
    sorted: Vec<Xattr>,
}

impl Xattrs {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute by its full name as `setxattr` takes it, replacing an earlier value.
    ///
    /// `system.posix_acl_access` and `system.posix_acl_default` are translated to ext4's own form, so that
    /// `getfacl` sees them.
    ///
    /// # Errors
    /// Where ext4 has no namespace for the name, or name, value or access control list are not valid.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) -> Result<(), XattrError> {
        let (index, suffix) = split(name)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(XattrError::ValueTooLong {
                name: display(name),
                length: value.len(),
            });
        }
        let value = match index {
            ACL_ACCESS | ACL_DEFAULT => acl::to_disk(name, value)?.into_boxed_slice(),
            _ => value.into(),
        };
        let new = Xattr {
            index,
            name: suffix.into(),
            value,
        };
        match self
            .sorted
            .binary_search_by(|old| old.key().cmp(&new.key()))
        {
            Ok(at) => self.sorted[at] = new,
            Err(at) => self.sorted.insert(at, new),
        }
        Ok(())
    }

    /// Number of attributes.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The attributes in the order that blocks need.
    pub(crate) fn sorted(&self) -> &[Xattr] {
        &self.sorted
    }

    pub(super) fn has_default_acl(&self) -> bool {
        self.sorted
            .iter()
            .any(|attribute| attribute.index == ACL_DEFAULT)
    }
}

/// The namespace number and the rest of a full name.
fn split(name: &[u8]) -> Result<(u8, &[u8]), XattrError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(XattrError::NameTooLong {
            name: display(name),
            length: name.len(),
        });
    }
    if name.contains(&0) {
        return Err(XattrError::NulInName {
            name: display(name),
        });
    }
    let unknown = || XattrError::UnknownNamespace {
        name: display(name),
    };
    let (prefix, index) = NAMESPACES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))
        .ok_or_else(unknown)?;
    let suffix = &name[prefix.len()..];
    let whole_name = matches!(*index, ACL_ACCESS | ACL_DEFAULT);
    // `system.data` is how the kernel marks inline data; it is no attribute of a file.
    if whole_name != suffix.is_empty() || (*index == SYSTEM && suffix == b"data") {
        return Err(unknown());
    }
    Ok((*index, suffix))
}

/// Why an attribute cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XattrError {
    /// ext4 stores `user.`, `trusted.`, `security.` and `system.` names only.
    #[error("extended attribute has no namespace of ext4: {name}")]
    UnknownNamespace {
        /// The attribute.
        name: String,
    },
    /// The name is too long.
    #[error("extended attribute name is {length} bytes (limit {MAX_NAME_BYTES}): {name}")]
    NameTooLong {
        /// The attribute.
        name: String,
        /// Length in bytes.
        length: usize,
    },
    /// The name holds a NUL byte.
    #[error("extended attribute name contains a NUL byte: {name}")]
    NulInName {
        /// The attribute.
        name: String,
    },
    /// The value is too long.
    #[error("extended attribute value is {length} bytes (limit {MAX_VALUE_BYTES}): {name}")]
    ValueTooLong {
        /// The attribute.
        name: String,
        /// Length in bytes.
        length: usize,
    },
    /// The value is not a list that `setxattr` would take.
    #[error("access control list is malformed: {name}")]
    MalformedAcl {
        /// The attribute.
        name: String,
    },
}

/// A name for a message: printable, and of bounded length.
pub(super) fn display(name: &[u8]) -> String {
    const SHOWN: usize = 255;
    let shown = &name[..name.len().min(SHOWN)];
    let dots = if name.len() > SHOWN { "…" } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_ordered_by_index_then_length_then_name() {
        let mut xattrs = Xattrs::new();
        for name in [
            &b"security.capability"[..],
            b"user.bb",
            b"user.a",
            b"user.aa",
            b"trusted.z",
        ] {
            xattrs.insert(name, b"v").unwrap();
        }
        let names: Vec<_> = xattrs
            .sorted()
            .iter()
            .map(|x| (x.index, &*x.name))
            .collect();
        assert_eq!(
            names,
            [
                (1, &b"a"[..]),
                (1, b"aa"),
                (1, b"bb"),
                (4, b"z"),
                (6, b"capability")
            ]
        );
    }

    #[test]
    fn a_later_value_replaces_the_earlier_one() {
        let mut xattrs = Xattrs::new();
        xattrs.insert(b"user.a", b"1").unwrap();
        xattrs.insert(b"user.a", b"2").unwrap();
        assert_eq!(xattrs.len(), 1);
        assert_eq!(&*xattrs.sorted()[0].value, b"2");
    }

    #[test]
    fn names_that_ext4_cannot_say_are_refused() {
        let mut xattrs = Xattrs::new();
        for name in [
            &b"unknown.x"[..],
            b"user.",
            b"system.data",
            b"system.posix_acl_accessx",
            b"",
            b"user.a\0",
        ] {
            assert!(xattrs.insert(name, b"").is_err(), "{name:?}");
        }
        assert!(
            xattrs
                .insert(&[b"user.", &[b'a'; 251][..]].concat(), b"")
                .is_err()
        );
        assert!(
            xattrs
                .insert(&[b"user.", &[b'a'; 250][..]].concat(), b"")
                .is_ok()
        );
        assert!(xattrs.insert(b"user.long", &[0; 65_537]).is_err());
    }
}
