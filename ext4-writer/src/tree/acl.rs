//! POSIX access control lists: the form of `system.posix_acl_*` and the shorter one on disk.
//!
//! Linux' `fs/ext4/acl.h` and `uapi/linux/posix_acl_xattr.h` hold the two forms.

use super::XattrError;

const VFS_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;

const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
/// Owner, named user, owning group, named group, mask, others.
const KNOWN_TAGS: [u16; 6] = [0x01, USER, 0x04, GROUP, 0x10, 0x20];

/// Translates the value that `getxattr` gives into what ext4 stores: only named users and groups keep a number.
pub(super) fn to_disk(name: &[u8], value: &[u8]) -> Result<Vec<u8>, XattrError> {
    let malformed = || XattrError::MalformedAcl {
        name: super::xattrs::display(name),
    };
    let (version, entries) = value.split_first_chunk::<4>().ok_or_else(malformed)?;
    if u32::from_le_bytes(*version) != VFS_VERSION || entries.len() % 8 != 0 {
        return Err(malformed());
    }
    let mut out = DISK_VERSION.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        if !KNOWN_TAGS.contains(&tag) {
            return Err(malformed());
        }
        out.extend_from_slice(&entry[..4]);
        if tag == USER || tag == GROUP {
            out.extend_from_slice(&entry[4..]);
        }
    }
    Ok(out)
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
            &[0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let disk = to_disk(b"system.posix_acl_access", &vfs).unwrap();
        assert_eq!(
            disk,
            [
                1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 6, 0, 0xe8, 3, 0, 0, 0x20, 0, 4, 0
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
}
