//! POSIX access control lists: the form of `system.posix_acl_*` and the shorter one on disk.
//!
//! Linux' `fs/ext4/acl.h` and `uapi/linux/posix_acl_xattr.h` hold the two forms.

use super::xattr_error::XattrError;
use crate::escape::escaped;

pub(crate) const VFS_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;

pub(crate) const OWNER: u16 = 0x01;
pub(crate) const USER: u16 = 0x02;
pub(crate) const OWNING_GROUP: u16 = 0x04;
pub(crate) const GROUP: u16 = 0x08;
pub(crate) const MASK: u16 = 0x10;
pub(crate) const OTHER: u16 = 0x20;
/// The number of entries that have none, and of nobody.
pub(crate) const NO_ID: u32 = u32::MAX;

/// What every list has.
pub(crate) const BASE: [u16; 3] = [OWNER, OWNING_GROUP, OTHER];

/// Whether a list with these tags has all that it needs: a mask, too, where anybody is named.
pub(crate) fn is_whole(has: impl Fn(u16) -> bool) -> bool {
    let named = has(USER) || has(GROUP);
    BASE.into_iter().all(&has) && (!named || has(MASK))
}

/// Translates the value that `getxattr` gives into what ext4 stores: only named users and groups keep a number.
///
/// Takes what `setxattr` takes. The kernel would answer with an error wherever it met another list: entries of one tag
/// together, in this order, those of the owner, the owning group and others once each, and a mask where anybody is named.
pub(super) fn to_disk(name: &[u8], value: &[u8]) -> Result<Vec<u8>, XattrError> {
    let malformed = || XattrError::MalformedAcl {
        name: escaped(name),
    };
    let (version, entries) = value.split_first_chunk::<4>().ok_or_else(malformed)?;
    if u32::from_le_bytes(*version) != VFS_VERSION || entries.len() % 8 != 0 {
        return Err(malformed());
    }
    let mut out = DISK_VERSION.to_le_bytes().to_vec();
    let mut seen = Vec::new();
    for entry in entries.chunks_exact(8) {
        let [tag0, tag1, mode0, mode1, id @ ..] = entry else {
            return Err(malformed());
        };
        let tag = u16::from_le_bytes([*tag0, *tag1]);
        let mode = u16::from_le_bytes([*mode0, *mode1]);
        let is_named = tag == USER || tag == GROUP;
        let in_order = seen
            .last()
            .is_none_or(|last| *last < tag || is_named && *last == tag);
        if mode > 7 || !in_order || is_named && id == NO_ID.to_le_bytes() {
            return Err(malformed());
        }
        seen.push(tag);
        out.extend_from_slice(&entry[..4]);
        if is_named {
            out.extend_from_slice(id);
        }
    }
    let known = [OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER];
    if !is_whole(|tag| seen.contains(&tag)) || !seen.iter().all(|tag| known.contains(tag)) {
        return Err(malformed());
    }
    Ok(out)
}

/// Translates what [`to_disk`] gave back.
pub(super) fn from_disk(value: &[u8]) -> Vec<u8> {
    let mut out = VFS_VERSION.to_le_bytes().to_vec();
    let mut rest = value.get(4..).unwrap_or_default();
    while let Some((entry, tail)) = rest.split_at_checked(4) {
        out.extend_from_slice(entry);
        let is_named = matches!(u16::from_le_bytes([entry[0], entry[1]]), USER | GROUP);
        let (id, tail) = match tail.split_at_checked(4) {
            Some((id, tail)) if is_named => (id.to_vec(), tail),
            _ => (NO_ID.to_le_bytes().to_vec(), tail),
        };
        out.extend(id);
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_entries_keep_their_number() {
        let vfs = [
            &2_u32.to_le_bytes()[..],
            &[0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x02, 0, 6, 0, 0xe8, 3, 0, 0],
            &[0x04, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let disk = to_disk(b"system.posix_acl_access", &vfs).unwrap();
        assert_eq!(
            disk,
            [
                1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 6, 0, 0xe8, 3, 0, 0, 4, 0, 5, 0, 0x10, 0, 7, 0, 0x20,
                0, 4, 0
            ]
        );
    }

    #[test]
    fn other_versions_tags_and_lengths_are_refused() {
        for bad in [
            &[][..],
            &[1, 0, 0, 0],
            &[2, 0, 0, 0, 1],
            &[2, 0, 0, 0, 3, 0, 7, 0, 0, 0, 0, 0],
        ] {
            assert!(to_disk(b"system.posix_acl_access", bad).is_err());
        }
    }

    #[test]
    fn lists_that_the_kernel_refuses_are_refused() {
        let list = |entries: &[(u16, u16, u32)]| {
            let mut bytes = 2_u32.to_le_bytes().to_vec();
            for (tag, mode, id) in entries {
                bytes.extend(tag.to_le_bytes());
                bytes.extend(mode.to_le_bytes());
                bytes.extend(id.to_le_bytes());
            }
            to_disk(b"system.posix_acl_default", &bytes)
        };
        let (owner, group, mask, other) = (
            (1, 7, NO_ID),
            (4, 5, NO_ID),
            (0x10, 7, NO_ID),
            (0x20, 0, NO_ID),
        );
        assert!(list(&[owner, group, other]).is_ok());
        assert!(list(&[owner, (2, 7, 1), (2, 7, 2), group, (8, 1, 3), mask, other]).is_ok());
        for bad in [
            &[][..],
            &[owner, group],
            &[group, owner, other],
            &[owner, owner, group, other],
            &[owner, (2, 7, 1), group, other],
            &[owner, group, (8, 7, 1), other],
            &[owner, (2, 7, NO_ID), group, mask, other],
            &[(1, 8, NO_ID), group, other],
            &[owner, (3, 1, 1), group, mask, other],
        ] {
            assert!(list(bad).is_err(), "{bad:?}");
        }
    }
}
