//! A dm-verity hash tree behind a finished image.
//!
//! <https://docs.kernel.org/admin-guide/device-mapper/verity.html> and cryptsetup's description of the superblock
//! that `veritysetup` reads.

use std::ops::Range;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::device::{Access, Device, RunWriter};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::setters::setters;

/// Size of data and hash blocks in bytes.
const BLOCK_BYTES: u32 = 4096;
const DIGEST_BYTES: usize = 32;
const DIGESTS_PER_BLOCK: u64 = BLOCK_BYTES as u64 / DIGEST_BYTES as u64;
/// The longest salt that the superblock holds.
const MAX_SALT_BYTES: usize = 256;

/// How the hash tree is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerityOptions {
    /// Bytes hashed before every block: at most 256, none by default.
    pub salt: Vec<u8>,
    /// Identity of the hash tree.
    pub uuid: Uuid,
}

setters! { VerityOptions:
    salt: Vec<u8>,
    uuid: Uuid,
}

impl VerityOptions {
    /// A tree with an identity and no salt.
    pub fn new(uuid: Uuid) -> Self {
        Self {
            salt: Vec::new(),
            uuid,
        }
    }
}

/// What is needed to open an image with `veritysetup` or `dm-mod.create`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerityTree {
    /// SHA-256 of the top of the tree: what the image's integrity is known by.
    pub root_hash: [u8; DIGEST_BYTES],
    /// Where the tree's superblock lies, in bytes: `--hash-offset`.
    pub hash_offset: u64,
    /// Blocks of 4,096 bytes that the tree covers.
    pub data_blocks: u64,
    /// Length of image and tree together in bytes.
    pub total_bytes: u64,
}

/// Appends a dm-verity hash tree (SHA-256, format 1) to an image of `image_bytes` bytes.
///
/// Memory does not depend on the image's size. The image must not change afterwards: mount it read-only.
///
/// # Errors
/// Where the salt is too long, or the device fails.
///
/// ```
/// use ext4_writer::{FileTree, FormatOptions, ImageWriter, MemoryDevice, Metadata, Timestamp};
/// use ext4_writer::{VerityOptions, append_verity};
///
/// let device = MemoryDevice::new();
/// let options = FormatOptions::read_only();
/// let uuid = options.uuid;
/// let tree = FileTree::new(Metadata::new(0o755, Timestamp::default()))?;
/// let summary = ImageWriter::new(&device, options)?.finish(tree)?;
/// let verity = append_verity(&device, summary.size_bytes, &VerityOptions::new(uuid))?;
/// assert_eq!(verity.hash_offset, summary.size_bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn append_verity<D: Device>(
    device: D,
    image_bytes: u64,
    options: &VerityOptions,
) -> Result<VerityTree, Error> {
    if options.salt.len() > MAX_SALT_BYTES {
        return Err(Error::Limit {
            what: "length of the salt in bytes",
            value: options.salt.len() as u64,
            limit: MAX_SALT_BYTES as u64,
        });
    }
    let access = Access::new(device, BLOCK_BYTES);
    let data_blocks = image_bytes.div_ceil(u64::from(BLOCK_BYTES));
    let levels = levels(data_blocks);
    let end = levels.last().map_or(data_blocks + 1, |_| levels[0].end);
    access.set_len(end * u64::from(BLOCK_BYTES))?;
    let mut hasher = Hasher::new(&options.salt);
    let mut below = 0..data_blocks;
    for level in &levels {
        hasher.level(&access, below, level.start)?;
        below = level.clone();
    }
    let mut top = vec![0; BLOCK_BYTES as usize];
    access.read(BlockNumber(below.start), &mut top)?;
    let root_hash = hasher.hash(&top);
    access.write(BlockNumber(data_blocks), &superblock(data_blocks, options))?;
    access.sync()?;
    Ok(VerityTree {
        root_hash,
        hash_offset: data_blocks * u64::from(BLOCK_BYTES),
        data_blocks,
        total_bytes: end * u64::from(BLOCK_BYTES),
    })
}

/// Blocks of each level from the lowest; the highest lies first, behind the tree's superblock.
fn levels(data_blocks: u64) -> Vec<Range<u64>> {
    let mut lengths = Vec::new();
    let mut blocks = data_blocks;
    while blocks > 1 {
        blocks = blocks.div_ceil(DIGESTS_PER_BLOCK);
        lengths.push(blocks);
    }
    let mut start = data_blocks + 1;
    let mut levels: Vec<_> = lengths
        .into_iter()
        .rev()
        .map(|length| {
            let level = start..start + length;
            start = level.end;
            level
        })
        .collect();
    levels.reverse();
    levels
}

struct Hasher {
    salted: Sha256,
    /// Digest of a block of zeros, of which sparse images have many.
    zeros: [u8; DIGEST_BYTES],
}

impl Hasher {
    fn new(salt: &[u8]) -> Self {
        let salted = Sha256::new_with_prefix(salt);
        let zeros = salted
            .clone()
            .chain_update([0; BLOCK_BYTES as usize])
            .finalize()
            .into();
        Self { salted, zeros }
    }

    fn hash(&self, block: &[u8]) -> [u8; DIGEST_BYTES] {
        if block.iter().all(|&byte| byte == 0) {
            return self.zeros;
        }
        self.salted.clone().chain_update(block).finalize().into()
    }

    /// Writes the digests of `blocks` from block `to` on.
    fn level<D: Device>(
        &mut self,
        access: &Access<D>,
        blocks: Range<u64>,
        to: u64,
    ) -> Result<(), Error> {
        let mut writer = RunWriter::new(BLOCK_BYTES);
        let mut bytes = vec![0; (DIGESTS_PER_BLOCK * u64::from(BLOCK_BYTES)) as usize];
        let mut target = BlockNumber(to);
        let mut at = blocks.start;
        while at < blocks.end {
            let count = (blocks.end - at).min(DIGESTS_PER_BLOCK);
            let data = &mut bytes[..(count * u64::from(BLOCK_BYTES)) as usize];
            access.read(BlockNumber(at), data)?;
            let digests: Vec<u8> = data
                .chunks(BLOCK_BYTES as usize)
                .flat_map(|block| self.hash(block))
                .collect();
            writer.put(access, target, &digests)?;
            target = target.plus(1);
            at += count;
        }
        writer.flush(access)
    }
}

/// `struct verity_sb`.
fn superblock(data_blocks: u64, options: &VerityOptions) -> Vec<u8> {
    let mut out = Vec::with_capacity(BLOCK_BYTES as usize);
    out.extend_from_slice(b"verity\0\0");
    // Version and hash type: both 1.
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.extend_from_slice(options.uuid.as_bytes());
    let mut algorithm = [0; 32];
    algorithm[..6].copy_from_slice(b"sha256");
    out.extend_from_slice(&algorithm);
    out.extend_from_slice(&BLOCK_BYTES.to_le_bytes());
    out.extend_from_slice(&BLOCK_BYTES.to_le_bytes());
    out.extend_from_slice(&data_blocks.to_le_bytes());
    // At most 256, as was checked.
    out.extend_from_slice(&(options.salt.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&options.salt);
    out.resize(BLOCK_BYTES as usize, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_lies_first() {
        assert_eq!(levels(1), []);
        assert!(levels(128).into_iter().eq(std::iter::once(129..130)));
        assert_eq!(levels(129), [131..133, 130..131]);
        assert_eq!(
            levels(128 * 128 + 1),
            [16_389..16_518, 16_387..16_389, 16_386..16_387]
        );
    }
}
