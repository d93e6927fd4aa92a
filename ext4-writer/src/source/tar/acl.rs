//! Access control lists in text form, as `tar --acls` and star write them.
//!
//! Entries are apart by commas or new lines: `user:daemon:r--`, with the number in a fourth field where the writer was star
//! or bsdtar ([star's manual](https://codeberg.org/schilytools/schilytools), `SCHILY.acl.access`). The text is turned
//! into the value of `system.posix_acl_*` (Linux' `uapi/linux/posix_acl_xattr.h`).

use crate::tree::acl::{
    BASE, GROUP, MASK, NO_ID, OTHER, OWNER, OWNING_GROUP, USER, VFS_VERSION, is_whole,
};

/// Why a list cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AclError {
    Malformed,
    /// A user or group has a name, whose number only the machine that wrote it knew.
    Name(String),
}

/// An attribute of this length says no more than a file's mode does.
pub(super) const BASE_BYTES: usize = 4 + 8 * BASE.len();

/// The value of the attribute.
pub(super) fn parse(text: &[u8]) -> Result<Vec<u8>, AclError> {
    let text = std::str::from_utf8(text).map_err(|_| AclError::Malformed)?;
    let mut entries = Vec::new();
    for line in text.split([',', '\n']).filter(|line| !line.is_empty()) {
        entries.push(entry(line)?);
    }
    entries.sort_unstable();
    let distinct = entries
        .windows(2)
        .all(|pair| (pair[0].tag, pair[0].id) != (pair[1].tag, pair[1].id));
    let has = |tag| entries.iter().any(|entry| entry.tag == tag);
    if !distinct || !is_whole(has) {
        return Err(AclError::Malformed);
    }
    let mut value = VFS_VERSION.to_le_bytes().to_vec();
    for entry in entries {
        value.extend_from_slice(&entry.tag.to_le_bytes());
        value.extend_from_slice(&entry.permissions.to_le_bytes());
        value.extend_from_slice(&entry.id.to_le_bytes());
    }
    Ok(value)
}

/// In the order in which the kernel wants them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    permissions: u16,
}

fn entry(line: &str) -> Result<Entry, AclError> {
    let fields: Vec<&str> = line.split(':').map(str::trim).collect();
    let (kind, name, mode, number) = match *fields.as_slice() {
        [kind @ ("mask" | "other"), mode] => (kind, "", mode, None),
        [kind, name, mode] => (kind, name, mode, None),
        [kind, name, mode, number] => (kind, name, mode, Some(number)),
        _ => return Err(AclError::Malformed),
    };
    let tag = match (kind, name.is_empty()) {
        ("user", true) => OWNER,
        ("user", false) => USER,
        ("group", true) => OWNING_GROUP,
        ("group", false) => GROUP,
        ("mask", true) => MASK,
        ("other", true) => OTHER,
        _ => return Err(AclError::Malformed),
    };
    let id = match (tag, number) {
        (USER | GROUP, None) => name
            .parse()
            .map_err(|_| AclError::Name(format!("{kind} {name}")))?,
        (USER | GROUP, Some(number)) => number.parse().map_err(|_| AclError::Malformed)?,
        _ => NO_ID,
    };
    Ok(Entry {
        tag,
        id,
        permissions: permissions(mode)?,
    })
}

/// `rwx`, with `-` for what is not permitted.
fn permissions(mode: &str) -> Result<u16, AclError> {
    let &[read, write, execute] = mode.as_bytes() else {
        return Err(AclError::Malformed);
    };
    [(read, b'r', 4), (write, b'w', 2), (execute, b'x', 1)]
        .into_iter()
        .try_fold(0, |bits, (given, letter, bit)| match given {
            b'-' => Ok(bits),
            _ if given == letter => Ok(bits | bit),
            _ => Err(AclError::Malformed),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_become_one_attribute() {
        let value = [
            &2_u32.to_le_bytes()[..],
            &[1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff],
            &[2, 0, 4, 0, 1, 0, 0, 0],
            &[2, 0, 6, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
            &[8, 0, 7, 0, 0x31, 0xd4, 0, 0],
            &[0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
            &[0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        for text in [
            "user::rw-,group::r--,other::r--,user:daemon:r--:1,user:me:rw-:1000,group:54321:rwx,mask::rwx",
            "user::rw-\nuser:1000:rw-\nuser:1:r--\ngroup::r--\ngroup:54321:rwx\nmask::rwx\nother::r--\n",
            "user::rw-,user:1:r--,user:1000:rw-,group::r--,group:54321:rwx,mask:rwx,other:r--",
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(value.clone()), "{text}");
        }
    }

    #[test]
    fn a_list_that_repeats_the_mode_is_short() {
        let value = parse(b"user::rw-,group::r--,other::---").unwrap();
        assert_eq!(value.len(), BASE_BYTES);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let base = "user::rw-,group::r--,other::r--";
        for bad in [
            "",
            "user::rw-,group::r--",
            &format!("{base},user:1:rw-"),
            &format!("{base},mask::rwx,user:1:rw-,user:1:r--"),
            &format!("{base},mask::rwx,mask::rwx"),
            &format!("{base},mask::rwxx"),
            &format!("{base},mask::xwr"),
            &format!("{base},mask::rwx,user:me:rw-:many"),
            &format!("{base},mask:me:rwx"),
            &format!("{base},role::rwx"),
            &format!("{base},user"),
            "user::rw-,group::r--,other::\u{e9}",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(AclError::Malformed), "{bad}");
        }
        assert_eq!(parse(b"\xff"), Err(AclError::Malformed));
        let named = format!("{base},mask::rwx,user:daemon:rw-");
        let error = AclError::Name("user daemon".into());
        assert_eq!(parse(named.as_bytes()), Err(error));
    }
}
