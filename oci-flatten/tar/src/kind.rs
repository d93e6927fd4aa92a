/// What an entry asks for; contents, link targets and numbers come beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file: types `0`, NUL, `7` (contiguous) and `S` (sparse).
    File,
    /// A further name of a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A GNU volume label: not a file at all.
    VolumeLabel,
    /// Any other type flag.
    Unknown(u8),
}

impl EntryKind {
    /// The kind that a tar type flag stands for. A NUL is a file here; v7's trailing slash is the reader's to see.
    pub fn from_type_flag(flag: u8) -> Self {
        match flag {
            b'0' | b'7' | b'S' | 0 => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' => Self::CharDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            b'V' => Self::VolumeLabel,
            other => Self::Unknown(other),
        }
    }

    /// Whether such an entry has no body, whatever its size field says.
    pub fn is_header_only(self) -> bool {
        matches!(
            self,
            Self::HardLink
                | Self::Symlink
                | Self::CharDevice
                | Self::BlockDevice
                | Self::Directory
                | Self::Fifo
        )
    }
}
