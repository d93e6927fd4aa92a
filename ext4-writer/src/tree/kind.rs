//! What a file is.

/// Kind of a file, with what only that kind has. `C` is whatever stands for a regular file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind<C> {
    /// A regular file.
    File(C),
    /// A directory, empty when inserted.
    Directory,
    /// A symbolic link and its target: 1 to 4,095 bytes, any but NUL.
    Symlink(Box<[u8]>),
    /// A character device.
    CharacterDevice {
        /// At most 4,095.
        major: u32,
        /// At most 1,048,575.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// At most 4,095.
        major: u32,
        /// At most 1,048,575.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Kind of a file without what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileType {
    /// The kind that the type bits of `i_mode` say, where there is one.
    #[cfg(feature = "reader")]
    pub(crate) fn from_mode(mode: u16) -> Option<Self> {
        [
            Self::Fifo,
            Self::CharacterDevice,
            Self::Directory,
            Self::BlockDevice,
            Self::Regular,
            Self::Symlink,
            Self::Socket,
        ]
        .into_iter()
        .find(|kind| kind.mode_bits() == mode & 0xf000)
    }

    /// The type bits of `i_mode`.
    pub(crate) fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0x1000,
            Self::CharacterDevice => 0x2000,
            Self::Directory => 0x4000,
            Self::BlockDevice => 0x6000,
            Self::Regular => 0x8000,
            Self::Symlink => 0xa000,
            Self::Socket => 0xc000,
        }
    }

    /// `file_type` of directory entries.
    pub(crate) fn entry_code(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharacterDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// A device number that fits the 12 and 20 bits of Linux' encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNumber {
    major: u16,
    minor: u32,
}

impl DeviceNumber {
    pub(super) fn new(major: u32, minor: u32) -> Option<Self> {
        (major < 1 << 12 && minor < 1 << 20).then_some(Self {
            major: major as u16,
            minor,
        })
    }

    pub(super) fn major(self) -> u32 {
        self.major.into()
    }

    pub(super) fn minor(self) -> u32 {
        self.minor
    }

    /// The first two words of `i_block`: the old encoding where it fits, the new one else.
    pub(crate) fn words(self) -> [u32; 2] {
        let major = u32::from(self.major);
        if major < 256 && self.minor < 256 {
            [(major << 8) | self.minor, 0]
        } else {
            [
                0,
                (self.minor & 0xff) | (major << 8) | ((self.minor & !0xff) << 12),
            ]
        }
    }
}
