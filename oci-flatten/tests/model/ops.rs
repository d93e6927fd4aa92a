//! What a layer of the model can say, and the paths it says it of.

use std::collections::BTreeMap;

use oci_flatten::testkit::Entry;

#[derive(Debug, Clone)]
pub(crate) enum Op {
    File {
        path: String,
        content: u8,
        metadata: Metadata,
    },
    Directory {
        path: String,
        metadata: Metadata,
    },
    Symlink {
        path: String,
        target: String,
    },
    HardLink {
        path: String,
        target: String,
        metadata: Metadata,
    },
    Whiteout {
        path: String,
    },
    Opaque {
        path: String,
    },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    pub(crate) mode: u16,
    pub(crate) mtime: i64,
    /// Numbers for names and values.
    pub(crate) xattrs: BTreeMap<u8, u8>,
}

impl Op {
    pub(crate) fn entry(&self) -> Entry {
        let describe = |entry: Entry, metadata: &Metadata| {
            let entry = entry.mode(i64::from(metadata.mode)).mtime(metadata.mtime);
            metadata.xattrs.iter().fold(entry, |entry, (name, value)| {
                entry.xattr(format!("security.{name}"), value.to_string())
            })
        };
        match self {
            Self::File {
                path,
                content,
                metadata,
            } => describe(Entry::file(path, content.to_string()), metadata),
            Self::Directory { path, metadata } => describe(Entry::directory(path), metadata),
            Self::Symlink { path, target } => Entry::symlink(path, target),
            Self::HardLink {
                path,
                target,
                metadata,
            } => describe(Entry::hard_link(path, target), metadata),
            Self::Whiteout { path } => {
                let (directory, name) = split(path);
                Entry::file(join(directory, &format!(".wh.{name}")), "")
            }
            Self::Opaque { path } => Entry::file(join(path, ".wh..wh..opq"), ""),
        }
    }
}

pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

pub(super) fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}
