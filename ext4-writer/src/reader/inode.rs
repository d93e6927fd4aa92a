//! One inode: <https://docs.kernel.org/filesystems/ext4/inodes.html>.

use zerocopy::FromBytes;

use super::{ImageReader, ReadAt, ReadError};
use crate::checksum::raw;
use crate::disk::inode::{self as disk, flags};
use crate::tree::{FileType, PackedTime, Timestamp};

/// `i_flags` that only readers of foreign images meet.
const ENCRYPTED: u32 = 0x800;
const ROOT: u32 = 2;

/// An inode of an image that is being read.
#[derive(Clone, Debug)]
pub struct Inode {
    pub(super) number: u32,
    pub(super) raw: disk::Inode,
    pub(super) file_type: FileType,
    /// The inode's attributes, for the data that lies among them.
    pub(super) attributes: Box<[u8]>,
}

/// Owner, mode, size and times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InodeMetadata {
    /// What it is.
    pub file_type: FileType,
    /// Permission, set-id and sticky bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of the file.
    pub links: u16,
    /// Length of the content in bytes, as the inode claims it.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
}

impl Inode {
    /// The number of the inode, counted from 1. Two names with one number are one file.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What it is.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Length of the content in bytes, as the inode claims it.
    pub fn size(&self) -> u64 {
        let high = match self.file_type {
            FileType::Regular | FileType::Directory => self.raw.size_high.get(),
            _ => 0,
        };
        u64::from(self.raw.size_lo.get()) | u64::from(high) << 32
    }

    /// Owner, mode, size and times.
    pub fn metadata(&self) -> InodeMetadata {
        let raw = &self.raw;
        let wide = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        // `i_mtime_extra` is only there where `i_extra_isize` covers it.
        let has_extra = raw.extra_isize.get() >= 12;
        let mtime = PackedTime {
            base: raw.mtime.get(),
            extra: if has_extra { raw.mtime_extra.get() } else { 0 },
        };
        InodeMetadata {
            file_type: self.file_type,
            mode: raw.mode.get() & 0o7777,
            uid: wide(raw.uid.get(), raw.uid_high.get()),
            gid: wide(raw.gid.get(), raw.gid_high.get()),
            links: raw.links_count.get(),
            size: self.size(),
            mtime: mtime.unpack(),
            device: self.device(),
        }
    }

    /// The old encoding in the first word of `i_block`, or the new one in the second (`ext4_iget`).
    fn device(&self) -> Option<(u32, u32)> {
        if !matches!(
            self.file_type,
            FileType::CharacterDevice | FileType::BlockDevice
        ) {
            return None;
        }
        let word = |index: usize| {
            let bytes = self.raw.block[index * 4..].first_chunk();
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        Some(match word(0) {
            0 => {
                let new = word(1);
                (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
            }
            old => (old >> 8 & 0xff, old & 0xff),
        })
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.raw.flags.get() & flag != 0
    }

    /// Whether the content lies in the inode, in `i_block` and among the attributes.
    pub(super) fn is_inline(&self) -> bool {
        self.has(flags::INLINE_DATA)
    }

    /// Content that is not in the inode is in clear text.
    pub(super) fn check_readable(&self) -> Result<(), ReadError> {
        match self.has(ENCRYPTED) {
            true => Err(ReadError::Unsupported(format!(
                "inode {}, which is encrypted,",
                self.number
            ))),
            false => Ok(()),
        }
    }

    /// Starts the checksum of a block that belongs to the inode.
    pub(super) fn seed(&self, filesystem: u32) -> u32 {
        let number = raw(filesystem, &self.number.to_le_bytes());
        raw(number, &self.raw.generation.get().to_le_bytes())
    }

    pub(super) fn corrupt(&self, problem: impl std::fmt::Display) -> ReadError {
        ReadError::corrupt(format!("inode {} {problem}", self.number))
    }
}

impl<S: ReadAt> ImageReader<'_, S> {
    /// The root directory.
    ///
    /// # Errors
    /// As for [`ImageReader::inode`].
    pub fn root(&self) -> Result<Inode, ReadError> {
        self.inode(ROOT)
    }

    /// Reads an inode by its number.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] where there is no such inode, it is not in use, or its checksum is wrong; and what reading gives.
    pub fn inode(&self, number: u32) -> Result<Inode, ReadError> {
        self.budget.entry()?;
        let (block, offset) = self.inode_place(number)?;
        let size = usize::from(self.geometry.inode_size);
        let block = self.block(block)?;
        let bytes = &block[offset..offset + size];
        let mut fixed = [0; disk::BYTES];
        let length = fixed.len().min(size);
        fixed[..length].copy_from_slice(&bytes[..length]);
        let raw = disk::Inode::read_from_bytes(&fixed)
            .map_err(|_| ReadError::corrupt("an inode is cut short"))?;
        let file_type = FileType::from_mode(raw.mode.get()).ok_or_else(|| {
            let mode = raw.mode.get();
            ReadError::corrupt(format!("inode {number} has mode {mode:#o}"))
        })?;
        // What the fields beyond the first version cover; attributes follow.
        let extra = usize::from(raw.extra_isize.get());
        let attributes = bytes
            .get(disk::GOOD_OLD_BYTES + extra..)
            .unwrap_or_default();
        let inode = Inode {
            number,
            raw,
            file_type,
            attributes: match size > disk::GOOD_OLD_BYTES {
                true => attributes.into(),
                false => Box::default(),
            },
        };
        self.check_checksum(&inode, bytes)?;
        Ok(inode)
    }

    fn check_checksum(&self, inode: &Inode, bytes: &[u8]) -> Result<(), ReadError> {
        const LOW: usize = std::mem::offset_of!(disk::Inode, checksum_lo);
        const HIGH: usize = std::mem::offset_of!(disk::Inode, checksum_hi);
        let Some(seed) = self.geometry.checksum_seed else {
            return Ok(());
        };
        // The upper half is only there where `i_extra_isize` covers it.
        let has_high = bytes.len() > disk::GOOD_OLD_BYTES && inode.raw.extra_isize.get() >= 4;
        let mut covered = bytes.to_vec();
        covered[LOW..LOW + 2].fill(0);
        if has_high {
            covered[HIGH..HIGH + 2].fill(0);
        }
        let computed = raw(inode.seed(seed), &covered);
        let low = u32::from(inode.raw.checksum_lo.get());
        let matches = match has_high {
            true => computed == low | u32::from(inode.raw.checksum_hi.get()) << 16,
            false => computed & 0xffff == low,
        };
        match matches {
            true => Ok(()),
            false => Err(inode.corrupt("has a wrong checksum")),
        }
    }
}
