//! Extended attributes, valid by construction.
//!
//! <https://docs.kernel.org/filesystems/ext4/attributes.html>

use std::borrow::Cow;

use super::acl;
use super::xattr_error::{MAX_NAME_BYTES, MAX_VALUE_BYTES, XattrError};
use crate::escape::escaped;

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

    fn full_name(&self) -> Vec<u8> {
        let known = NAMESPACES.iter().find(|(_, index)| *index == self.index);
        let prefix = known.map_or(&b""[..], |(prefix, _)| prefix);
        [prefix, &self.name].concat()
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
                name: escaped(name),
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

    /// The attributes by their full names, with the values that `getxattr` gives: access control lists are translated back.
    ///
    /// ```
    /// let mut xattrs = ext4_writer::Xattrs::new();
    /// xattrs.insert(b"user.note", b"value")?;
    /// let (name, value) = xattrs.iter().next().expect("there is one");
    /// assert_eq!((&name[..], &value[..]), (&b"user.note"[..], &b"value"[..]));
    /// # Ok::<(), ext4_writer::XattrError>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (Vec<u8>, Cow<'_, [u8]>)> {
        self.sorted.iter().map(|attribute| {
            let value = match attribute.index {
                ACL_ACCESS | ACL_DEFAULT => Cow::Owned(acl::from_disk(&attribute.value)),
                _ => Cow::Borrowed(&*attribute.value),
            };
            (attribute.full_name(), value)
        })
    }

    /// The value of an attribute by its full name, as [`Xattrs::iter`] gives it.
    pub fn get(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut all = self.iter();
        all.find(|(full, _)| full == name).map(|(_, value)| value)
    }

    /// Removes an attribute by its full name; says whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.sorted.len();
        self.sorted
            .retain(|attribute| attribute.full_name() != name);
        self.sorted.len() < before
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
            name: escaped(name),
            length: name.len(),
        });
    }
    if name.contains(&0) {
        return Err(XattrError::NulInName {
            name: escaped(name),
        });
    }
    let unknown = || XattrError::UnknownNamespace {
        name: escaped(name),
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
    fn what_was_inserted_comes_back() {
        let acl = [
            &2_u32.to_le_bytes()[..],
            &[1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
            &[2, 0, 6, 0, 0xe8, 3, 0, 0],
            &[4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let all = [
            (&b"user.a"[..], &b"1"[..]),
            (b"user.bb", b""),
            (b"system.posix_acl_access", &acl),
            (b"system.posix_acl_default", &acl),
            (b"trusted.overlay.opaque", b"y"),
            (b"security.selinux", b"label\0"),
            (b"system.other", b"x"),
        ];
        let mut xattrs = Xattrs::new();
        for (name, value) in all {
            xattrs.insert(name, value).unwrap();
        }
        assert_eq!(xattrs.iter().count(), all.len());
        for (name, value) in all {
            assert_eq!(xattrs.get(name).as_deref(), Some(value));
            assert!(xattrs.remove(name) && !xattrs.remove(name));
        }
        assert!(xattrs.is_empty());
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
