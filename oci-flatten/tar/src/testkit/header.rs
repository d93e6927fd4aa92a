/// A raw header block.
#[derive(Debug, Clone)]
pub struct Header {
    block: [u8; 512],
    checksum: Checksum,
}

/// How a header's checksum is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The sum of bytes without a sign, as POSIX says.
    Unsigned,
    /// The sum of bytes with a sign, as some early tars had it.
    Signed,
    /// Whatever is in the field.
    Raw,
}

/// A field of a header: where it starts and how many bytes it has.
pub type Field = (usize, usize);

impl Header {
    /// The name.
    pub const NAME: Field = (0, 100);
    /// Permissions.
    pub const MODE: Field = (100, 8);
    /// Owner.
    pub const UID: Field = (108, 8);
    /// Group.
    pub const GID: Field = (116, 8);
    /// Bytes in the body.
    pub const SIZE: Field = (124, 12);
    /// Modification time.
    pub const MTIME: Field = (136, 12);
    /// The checksum, for [`Checksum::Raw`].
    pub const CHECKSUM: Field = (148, 8);
    /// A link's target.
    pub const LINK: Field = (157, 100);
    /// Magic and version together.
    pub const MAGIC: Field = (257, 8);
    /// Major device number.
    pub const DEVICE_MAJOR: Field = (329, 8);
    /// Minor device number.
    pub const DEVICE_MINOR: Field = (337, 8);
    /// The front of a long name, in ustar.
    pub const PREFIX: Field = (345, 155);

    /// An empty ustar header.
    pub fn new() -> Self {
        Self {
            block: [0; 512],
            checksum: Checksum::Unsigned,
        }
        .bytes(Self::MAGIC, b"ustar\x0000")
    }

    /// Writes a string, cut to the field, padded with NULs.
    #[must_use]
    pub fn text(self, (start, length): Field, text: &[u8]) -> Self {
        let text = &text[..text.len().min(length)];
        let mut padded = text.to_vec();
        padded.resize(length, 0);
        self.bytes((start, length), &padded)
    }

    /// Writes a number: octal, or base-256 where octal does not do.
    #[must_use]
    pub fn number(self, field: Field, value: i64) -> Self {
        let digits = field.1 - 1;
        let octal = format!("{value:0digits$o}");
        if value >= 0 && octal.len() == digits {
            self.text(field, octal.as_bytes())
        } else {
            self.binary(field, value)
        }
    }

    /// Writes a number in base-256.
    #[must_use]
    pub fn binary(self, (start, length): Field, value: i64) -> Self {
        let fill = if value < 0 { 0xff } else { 0 };
        let mut bytes = vec![fill; length];
        let number = value.to_be_bytes();
        let count = length.min(number.len());
        bytes[length - count..].copy_from_slice(&number[number.len() - count..]);
        bytes[0] |= 0x80;
        self.bytes((start, length), &bytes)
    }

    /// Writes bytes at the start of a field.
    #[must_use]
    pub fn bytes(mut self, (start, _): Field, bytes: &[u8]) -> Self {
        self.block[start..start + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Writes one byte anywhere.
    #[must_use]
    pub fn byte(mut self, at: usize, byte: u8) -> Self {
        self.block[at] = byte;
        self
    }

    /// Makes it a header of GNU tar.
    #[must_use]
    pub fn gnu(self) -> Self {
        self.bytes(Self::MAGIC, b"ustar  \0")
    }

    /// Makes it a header of version 7 Unix.
    #[must_use]
    pub fn v7(self) -> Self {
        self.bytes(Self::MAGIC, &[0; 8])
    }

    /// Chooses the checksum.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// The block, with its checksum.
    pub fn finish(&self) -> [u8; 512] {
        let mut block = self.block;
        if self.checksum == Checksum::Raw {
            return block;
        }
        block[148..156].fill(b' ');
        let sum: i64 = block
            .iter()
            .map(|&byte| match self.checksum {
                Checksum::Signed => i64::from(byte.cast_signed()),
                _ => i64::from(byte),
            })
            .sum();
        let text = format!("{:06o}\0 ", sum.rem_euclid(1 << 18));
        block[148..156].copy_from_slice(text.as_bytes());
        block
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::new()
    }
}
