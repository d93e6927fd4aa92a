//! Whiteouts: entries whose names, not their types, take files of lower layers away
//! (OCI image specification, `layer.md`, "Whiteouts").

/// What every whiteout's name starts with.
pub const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The name of the marker that hides all that lower layers put into its directory.
pub const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// What the names of AUFS' own files start with; they mean something only at the root.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
/// The directory in which AUFS kept the contents of hard-linked files.
const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

/// The meaning of a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteout<'a> {
    /// Hides this name in the same directory of lower layers.
    Name(&'a [u8]),
    /// Hides everything that lower layers have in the directory.
    Opaque,
}

/// A whiteout that would take away `.`, `..` or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("whiteout names no file")]
pub struct InvalidWhiteout;

impl<'a> Whiteout<'a> {
    /// Reads a path's last component; `None` for an ordinary name.
    pub fn parse(name: &'a [u8]) -> Result<Option<Self>, InvalidWhiteout> {
        if name == OPAQUE_MARKER {
            return Ok(Some(Self::Opaque));
        }
        match name.strip_prefix(WHITEOUT_PREFIX) {
            None => Ok(None),
            Some(b"" | b"." | b"..") => Err(InvalidWhiteout),
            Some(target) => Ok(Some(Self::Name(target))),
        }
    }
}

/// What AUFS left at the root of a layer, which is no part of the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AufsEntry<'a> {
    /// A file that hard links of the layer may name as their target.
    LinkSource(&'a [u8]),
    /// Anything else.
    Bookkeeping,
}

impl<'a> AufsEntry<'a> {
    /// Reads a cleaned path; `None` if it is no AUFS name at the root.
    pub(crate) fn parse(path: &'a [u8]) -> Option<Self> {
        if path == OPAQUE_MARKER || !path.starts_with(AUFS_PREFIX) {
            return None;
        }
        let name = path
            .strip_prefix(AUFS_LINKS)
            .and_then(|rest| rest.strip_prefix(b"/"));
        Some(name.map_or(Self::Bookkeeping, Self::LinkSource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names() {
        assert_eq!(Whiteout::parse(b"file"), Ok(None));
        assert_eq!(
            Whiteout::parse(b".wh.file"),
            Ok(Some(Whiteout::Name(b"file")))
        );
        assert_eq!(Whiteout::parse(b".wh..wh..opq"), Ok(Some(Whiteout::Opaque)));
        assert_eq!(
            Whiteout::parse(b".wh..wh.x"),
            Ok(Some(Whiteout::Name(b".wh.x")))
        );
        assert_eq!(
            Whiteout::parse(b".wh...."),
            Ok(Some(Whiteout::Name(b"...")))
        );
        for name in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(Whiteout::parse(name), Err(InvalidWhiteout));
        }
    }

    #[test]
    fn reads_aufs_names() {
        assert_eq!(AufsEntry::parse(b".wh..wh..opq"), None);
        assert_eq!(AufsEntry::parse(b"d/.wh..wh.plnk"), None);
        assert_eq!(
            AufsEntry::parse(b".wh..wh.aufs"),
            Some(AufsEntry::Bookkeeping)
        );
        assert_eq!(
            AufsEntry::parse(b".wh..wh.plnk"),
            Some(AufsEntry::Bookkeeping)
        );
        assert_eq!(
            AufsEntry::parse(b".wh..wh.plnk/1.2"),
            Some(AufsEntry::LinkSource(b"1.2"))
        );
    }
}
