//! What a file must be to enter the tree.

use super::{DeviceNumber, MAX_TARGET_BYTES, Metadata, Timestamp, TreeError};

pub(super) fn check_metadata(
    metadata: &Metadata,
    is_directory: bool,
    path: impl Fn() -> String,
) -> Result<(), TreeError> {
    if metadata.mode > 0o7777 {
        return Err(TreeError::Mode {
            path: path(),
            mode: metadata.mode,
        });
    }
    if let Some(time) = metadata
        .times()
        .into_iter()
        .find(|time| !time.is_representable())
    {
        let Timestamp {
            seconds,
            nanoseconds,
        } = time;
        return Err(TreeError::Time {
            path: path(),
            seconds,
            nanoseconds,
        });
    }
    if !is_directory && metadata.xattrs.has_default_acl() {
        return Err(TreeError::DefaultAcl { path: path() });
    }
    Ok(())
}

pub(super) fn check_target(
    target: Box<[u8]>,
    path: impl Fn() -> String,
) -> Result<Box<[u8]>, TreeError> {
    if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) {
        return Err(TreeError::InvalidTarget {
            path: path(),
            length: target.len(),
        });
    }
    Ok(target)
}

pub(super) fn check_device(
    major: u32,
    minor: u32,
    path: impl Fn() -> String,
) -> Result<DeviceNumber, TreeError> {
    DeviceNumber::new(major, minor).ok_or_else(|| TreeError::DeviceNumber {
        path: path(),
        major,
        minor,
    })
}
