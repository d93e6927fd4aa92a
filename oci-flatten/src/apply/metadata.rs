//! An entry's numbers and attributes, judged.

use super::error::{EntryProblem, SYMLINK_MAX, XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_VALUE_MAX};
use super::{ContentSink, Merger};
use crate::entry::{DeviceNumber, Metadata, Timestamp, Xattrs};
use crate::path::EntryPath;
use crate::tar::{Entry, EntryKind};
use crate::warning::Warning;

impl<S: ContentSink> Merger<'_, S> {
    pub(super) fn metadata(
        &mut self,
        entry: &Entry<'_>,
        path: &EntryPath<'_>,
    ) -> Result<Metadata, EntryProblem> {
        let mode = match entry.kind {
            EntryKind::Symlink => 0o777,
            // Seventeen bits at most are left, of which the mask keeps twelve.
            _ => (entry.mode & 0o7777) as u16,
        };
        self.report_records(entry, path);
        Ok(Metadata {
            mode,
            uid: id("user id", entry.uid)?,
            gid: id("group id", entry.gid)?,
            mtime: self.mtime(entry, path),
            xattrs: self.xattrs(entry, path)?,
        })
    }

    fn mtime(&mut self, entry: &Entry<'_>, path: &EntryPath<'_>) -> Timestamp {
        let given = Timestamp::from(entry.mtime);
        let mtime = given.clamped();
        if mtime != given {
            let path = path.clone().into_owned();
            let seconds = entry.mtime.seconds;
            self.report
                .warnings
                .push(Warning::TimeOutOfRange { path, seconds });
        }
        mtime
    }

    fn xattrs(&mut self, entry: &Entry<'_>, path: &EntryPath<'_>) -> Result<Xattrs, EntryProblem> {
        let mut xattrs = Xattrs::default();
        // The names of a list are apart by NULs.
        let names: usize = entry.xattrs.iter().map(|(name, _)| name.len() + 1).sum();
        if names > XATTR_LIST_MAX {
            return Err(EntryProblem::LongXattrList(names));
        }
        for (name, value) in entry.xattrs.iter() {
            if self.skip_selinux && name == b"security.selinux" {
                continue;
            }
            if name.len() > XATTR_NAME_MAX {
                return Err(EntryProblem::LongXattrName(name.len()));
            }
            if value.len() > XATTR_VALUE_MAX {
                return Err(EntryProblem::LongXattrValue {
                    name: name.escape_ascii().to_string(),
                    length: value.len(),
                });
            }
            let warning = match XattrUse::of(name, entry.kind) {
                XattrUse::Keep => {
                    xattrs.set(name, value);
                    continue;
                }
                XattrUse::Skip => continue,
                XattrUse::Overlay => Warning::OverlayXattr {
                    path: path.clone().into_owned(),
                    name: name.to_vec(),
                },
                XattrUse::Unknown => Warning::UnknownXattr {
                    path: path.clone().into_owned(),
                    name: name.to_vec(),
                },
            };
            self.report.warnings.push(warning);
        }
        Ok(xattrs)
    }
}

/// What becomes of an extended attribute.
enum XattrUse {
    Keep,
    Skip,
    Overlay,
    Unknown,
}

impl XattrUse {
    fn of(name: &[u8], kind: EntryKind) -> Self {
        let has = |prefix: &[u8]| name.len() > prefix.len() && name.starts_with(prefix);
        if has(b"trusted.overlay.") {
            Self::Overlay
        } else if has(b"user.") {
            // Linux keeps them on files and directories only. What a hard link names is known when it is merged.
            let can_have = matches!(
                kind,
                EntryKind::File | EntryKind::Directory | EntryKind::HardLink
            );
            if can_have { Self::Keep } else { Self::Skip }
        } else if matches!(
            name,
            b"system.posix_acl_access" | b"system.posix_acl_default"
        ) {
            if kind == EntryKind::Symlink {
                Self::Unknown
            } else {
                Self::Keep
            }
        } else if has(b"security.") || has(b"trusted.") {
            Self::Keep
        } else {
            Self::Unknown
        }
    }
}

pub(super) fn symlink_target(entry: &Entry<'_>) -> Result<Box<[u8]>, EntryProblem> {
    match entry.link.len() {
        0 => Err(EntryProblem::EmptySymlink),
        1..=SYMLINK_MAX => Ok(entry.link.into()),
        length => Err(EntryProblem::LongSymlink(length)),
    }
}

pub(super) fn device_number(entry: &Entry<'_>) -> Result<DeviceNumber, EntryProblem> {
    let (major, minor) = (entry.device_major, entry.device_minor);
    DeviceNumber::new(major, minor).ok_or(EntryProblem::Device { major, minor })
}

fn id(what: &'static str, value: i64) -> Result<u32, EntryProblem> {
    let id = u32::try_from(value).ok().filter(|&id| id != u32::MAX);
    id.ok_or(EntryProblem::Id { what, value })
}
