//! Owner, mode and times of a file.

use super::Xattrs;
use crate::setters::setters;

/// A moment, as ext4 stores it in inodes above 128 bytes.
///
/// The kernel takes the whole range. e2fsck doubts the years 2310 to 2378, as old kernels wrote them for times
/// before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds from 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The first moment that fits: 1901-12-13 20:45:52 UTC.
    pub const MIN: Self = Self {
        seconds: -(1 << 31),
        nanoseconds: 0,
    };
    /// The last moment that fits: in May 2446.
    pub const MAX: Self = Self {
        seconds: 0x3_7fff_ffff,
        nanoseconds: 999_999_999,
    };

    /// A moment; see [`Timestamp::is_representable`] for the range.
    pub fn new(seconds: i64, nanoseconds: u32) -> Self {
        Self {
            seconds,
            nanoseconds,
        }
    }

    /// Whether ext4 can store the moment.
    pub fn is_representable(self) -> bool {
        self.nanoseconds < 1_000_000_000 && self >= Self::MIN && self <= Self::MAX
    }

    /// The nearest moment that ext4 can store.
    #[must_use]
    pub fn clamped(self) -> Self {
        let nanoseconds = self.nanoseconds.min(999_999_999);
        Self {
            nanoseconds,
            ..self
        }
        .clamp(Self::MIN, Self::MAX)
    }

    /// Bits of the on-disk pair: base seconds low, epoch and nanoseconds high.
    pub(crate) fn pack(self) -> PackedTime {
        let base = self.seconds as u32;
        // The epoch counts how often the signed 32-bit base wraps.
        let epoch = ((self.seconds - i64::from(base as i32)) >> 32) as u32 & 3;
        PackedTime {
            base,
            extra: (self.nanoseconds << 2) | epoch,
        }
    }
}

/// A [`Timestamp`] in the form of the inode's fields; half the size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackedTime {
    /// `i_mtime` and the like.
    pub(crate) base: u32,
    /// `i_mtime_extra` and the like.
    pub(crate) extra: u32,
}

impl PackedTime {
    pub(crate) fn unpack(self) -> Timestamp {
        let seconds = i64::from(self.base as i32) + (i64::from(self.extra & 3) << 32);
        Timestamp {
            seconds,
            nanoseconds: self.extra >> 2,
        }
    }
}

/// Everything about a file but its name, kind and content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Permission, set-id and sticky bits: 0 to 0o7777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation.
    pub crtime: Timestamp,
    /// Extended attributes, access control lists among them.
    pub xattrs: Xattrs,
}

setters! { Metadata:
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: Timestamp,
    atime: Timestamp,
    ctime: Timestamp,
    crtime: Timestamp,
    xattrs: Xattrs,
}

impl Metadata {
    /// Metadata with a mode and one time for all four, owned by root, without extended attributes.
    pub fn new(mode: u16, time: Timestamp) -> Self {
        Self {
            mode,
            mtime: time,
            atime: time,
            ctime: time,
            crtime: time,
            ..Self::default()
        }
    }

    pub(super) fn times(&self) -> [Timestamp; 4] {
        [self.mtime, self.atime, self.ctime, self.crtime]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_moment_in_range() {
        for (seconds, base, epoch) in [
            (-(1_i64 << 31), 0x8000_0000_u32, 0_u32),
            (-1, 0xffff_ffff, 0),
            (0, 0, 0),
            ((1 << 31) - 1, 0x7fff_ffff, 0),
            (1 << 31, 0x8000_0000, 1),
            (1 << 32, 0, 1),
            (0x3_7fff_ffff, 0x7fff_ffff, 3),
        ] {
            let time = Timestamp::new(seconds, 999_999_999);
            assert!(time.is_representable());
            assert_eq!(
                time.pack(),
                PackedTime {
                    base,
                    extra: (999_999_999 << 2) | epoch
                }
            );
            assert_eq!(time.pack().unpack(), time);
        }
    }

    #[test]
    fn what_does_not_fit_is_clamped_not_wrapped() {
        assert!(!Timestamp::new(0x3_8000_0000, 0).is_representable());
        assert!(!Timestamp::new(0, 1_000_000_000).is_representable());
        assert_eq!(Timestamp::new(i64::MAX, 5).clamped(), Timestamp::MAX);
        assert_eq!(Timestamp::new(i64::MIN, 5).clamped(), Timestamp::MIN);
        assert_eq!(
            Timestamp::new(7, u32::MAX).clamped(),
            Timestamp::new(7, 999_999_999)
        );
    }
}
