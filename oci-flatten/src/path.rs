//! Paths of entries: bytes, cleaned once, with no way out of the root.

use std::borrow::Cow;
use std::fmt;

/// The longest file name that Linux and ext4 accept, in bytes.
pub const NAME_MAX: usize = 255;

/// A path inside the root filesystem: no leading slash, no empty, `.` or `..` component, no NUL; empty for the root.
///
/// This is the only way by which a name from an archive gets in. Names are bytes; they need not be UTF-8.
/// `Display` escapes what could upset a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath<'a>(Cow<'a, [u8]>);

/// Why a name is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// A NUL byte, which no system call could pass on.
    #[error("path holds a NUL byte: {}", Escaped(.0))]
    Nul(Vec<u8>),
    /// More `..` than there are directories above.
    #[error("path leaves the root: {}", Escaped(.0))]
    Escapes(Vec<u8>),
    /// A component longer than [`NAME_MAX`].
    #[error("file name is {length} bytes (limit {NAME_MAX}): {}", Escaped(.path))]
    NameTooLong {
        /// The whole path.
        path: Vec<u8>,
        /// The component's length in bytes.
        length: usize,
    },
}

impl<'a> EntryPath<'a> {
    /// The root itself.
    pub const ROOT: EntryPath<'static> = EntryPath(Cow::Borrowed(&[]));

    /// Cleans a name as it stands in an archive: slashes at both ends, empty and `.` components are dropped and
    /// `..` takes back the component before it, all before any symlink is looked at.
    ///
    /// Borrows unless something in the middle had to go.
    pub fn parse(name: &'a [u8]) -> Result<Self, PathError> {
        if name.contains(&0) {
            return Err(PathError::Nul(name.to_vec()));
        }
        let mut rest = name;
        while let [b'/', tail @ ..] | [b'.', b'/', tail @ ..] = rest {
            rest = tail;
        }
        while let [head @ .., b'/'] | [head @ .., b'/', b'.'] = rest {
            rest = head;
        }
        let mut clean = true;
        for component in rest.split(|&byte| byte == b'/') {
            clean &= !matches!(component, b"" | b"." | b"..");
            if component.len() > NAME_MAX {
                return Err(PathError::NameTooLong {
                    path: name.to_vec(),
                    length: component.len(),
                });
            }
        }
        if clean || rest.is_empty() {
            return Ok(Self(Cow::Borrowed(rest)));
        }
        rebuild(rest)
            .map(|bytes| Self(Cow::Owned(bytes)))
            .ok_or_else(|| PathError::Escapes(name.to_vec()))
    }

    /// The path's bytes, components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory's path and the last component; `None` for the root.
    pub fn split_last(&self) -> Option<(&[u8], &[u8])> {
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Some((&self.0[..slash], &self.0[slash + 1..])),
            None if self.is_root() => None,
            None => Some((&[], &self.0)),
        }
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
    }

    /// How many components there are.
    pub fn depth(&self) -> usize {
        if self.is_root() {
            0
        } else {
            1 + self.0.iter().filter(|&&byte| byte == b'/').count()
        }
    }

    /// The same path with its own memory.
    pub fn into_owned(self) -> EntryPath<'static> {
        EntryPath(Cow::Owned(self.0.into_owned()))
    }
}

/// Resolves empty, `.` and `..` components; `None` where `..` passes the root.
fn rebuild(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if bytes.is_empty() => return None,
            b".." => {
                let parent = bytes.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                bytes.truncate(parent);
            }
            _ => {
                if !bytes.is_empty() {
                    bytes.push(b'/');
                }
                bytes.extend_from_slice(component);
            }
        }
    }
    Some(bytes)
}

impl fmt::Display for EntryPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            f.write_str("/")
        } else {
            Escaped(&self.0).fmt(f)
        }
    }
}

impl fmt::Debug for EntryPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Shows bytes from an archive to a person: UTF-8 as it is, control characters and stray bytes escaped.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || character == '\\' {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(name: &str) -> String {
        EntryPath::parse(name.as_bytes())
            .map_or_else(|error| error.to_string(), |path| path.to_string())
    }

    #[test]
    fn cleans_lexically() {
        for (name, expected) in [
            ("a/b", "a/b"),
            ("./a", "a"),
            ("/a", "a"),
            ("//a//b//", "a/b"),
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("a/b/..", "a"),
            ("a/b/../../c", "c"),
            ("", "/"),
            (".", "/"),
            ("./", "/"),
            ("./.", "/"),
            ("/", "/"),
            ("a/..", "/"),
            ("a/.", "a"),
            ("..a/b..", "..a/b.."),
            ("...", "..."),
            ("..", "path leaves the root: .."),
            ("../a", "path leaves the root: ../a"),
            ("a/../../b", "path leaves the root: a/../../b"),
            ("/../a", "path leaves the root: /../a"),
            ("a\0b", "path holds a NUL byte: a\\u{0}b"),
        ] {
            assert_eq!(clean(name), expected, "{name:?}");
        }
    }

    #[test]
    fn borrows_what_is_clean() {
        for name in ["usr/bin/env", "./usr/bin/env", "usr/bin/env/"] {
            let path = EntryPath::parse(name.as_bytes()).expect("valid");
            assert!(matches!(path.0, Cow::Borrowed(b"usr/bin/env")), "{name}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        assert!(EntryPath::parse(&[b'a'; 255]).is_ok());
        let error = EntryPath::parse(&[b'a'; 256]).expect_err("too long");
        assert!(
            error
                .to_string()
                .starts_with("file name is 256 bytes (limit 255): aaa")
        );
    }

    #[test]
    fn splits_and_counts() {
        let path = EntryPath::parse(b"a/b/c").expect("valid");
        assert_eq!(path.split_last(), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(path.depth(), 3);
        assert_eq!(path.components().count(), 3);
        assert_eq!(
            EntryPath::parse(b"a").expect("valid").split_last(),
            Some((&b""[..], &b"a"[..]))
        );
        assert_eq!(EntryPath::ROOT.split_last(), None);
        assert_eq!(EntryPath::ROOT.depth(), 0);
    }

    #[test]
    fn display_escapes_terminals() {
        let path = EntryPath::parse(b"caf\xc3\xa9/\x1b[31m\xff").expect("valid");
        assert_eq!(path.to_string(), "café/\\u{1b}[31m\\xff");
    }
}
