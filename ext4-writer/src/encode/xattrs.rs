//! Extended attributes in inodes, in shared blocks, and values in inodes of their own.

use zerocopy::IntoBytes;

use super::{BlockSink, Source, Walker};
use crate::disk::xattr::{CHECKSUM_OFFSET, ENTRY_BYTES, Entry, Header, MAGIC};
use crate::error::Error;
use crate::ids::BlockNumber;
use crate::number::{Fit, Widen};
use crate::plan::{BLOCK_HEADER_BYTES, Home, xattr_entry_bytes, xattr_value_bytes};
use crate::tree::{Xattr, XattrSetId};

/// Writes entries upwards and values downwards into `bytes`; value offsets count from `base` bytes before it.
struct Packer<'a> {
    bytes: &'a mut [u8],
    base: usize,
    entries: usize,
    values: usize,
}

/// What the entry says about the value.
struct ValueInfo {
    inode: u32,
    hash: u32,
}

impl<'a> Packer<'a> {
    fn new(bytes: &'a mut [u8], base: usize) -> Self {
        let values = bytes.len();
        Self {
            bytes,
            base,
            entries: 0,
            values,
        }
    }

    fn add(&mut self, attribute: &Xattr, info: &ValueInfo) {
        let length = attribute.value.len();
        let mut offset = 0;
        if info.inode == 0 && length > 0 {
            self.values -= xattr_value_bytes(attribute);
            self.bytes[self.values..self.values + length].copy_from_slice(&attribute.value);
            offset = self.base + self.values;
        }
        let entry = Entry {
            name_len: attribute.name.len().fit_u8(),
            name_index: attribute.index,
            value_offs: offset.fit_u16().into(),
            value_inum: info.inode.into(),
            value_size: length.fit_u32().into(),
            hash: info.hash.into(),
        };
        let name = self.entries + ENTRY_BYTES;
        self.bytes[self.entries..name].copy_from_slice(entry.as_bytes());
        self.bytes[name..name + attribute.name.len()].copy_from_slice(&attribute.name);
        self.entries += xattr_entry_bytes(attribute);
    }
}

/// `e_hash`: over the name as unsigned characters, then the value's words.
fn entry_hash(attribute: &Xattr, words: impl Iterator<Item = u32>) -> u32 {
    let name = attribute
        .name
        .iter()
        .fold(0_u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
    words.fold(name, |hash, word| hash.rotate_left(16) ^ word)
}

fn value_words(value: &[u8]) -> impl Iterator<Item = u32> {
    value.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    })
}

/// `h_hash`: over all entries' hashes, 0 where one is 0, which keeps the kernel from sharing the block.
fn block_hash(hashes: &[u32]) -> u32 {
    if hashes.contains(&0) {
        return 0;
    }
    hashes
        .iter()
        .fold(0_u32, |hash, &entry| hash.rotate_left(16) ^ entry)
}

/// The attributes of a set that live in `home`, with the index of a value's inode.
fn members<'a>(
    source: Source<'a>,
    id: XattrSetId,
) -> impl Iterator<Item = (&'a Xattr, Home)> + use<'a> {
    let set = source.tree.xattr_sets().set(id);
    let plan = source.plan.census.xattrs.set(id);
    let attributes = set.map_or(&[][..], |set| set.sorted());
    let homes = plan.map_or(&[][..], |plan| &plan.homes);
    attributes.iter().zip(homes.iter().copied())
}

/// Fills the part of an inode after its fields with the attributes that live there.
pub(super) fn fill_inode(source: Source<'_>, id: XattrSetId, inline_data: bool, area: &mut [u8]) {
    let any = members(source, id).any(|(_, home)| home == Home::Inode);
    if !any && !inline_data {
        return;
    }
    let Some((magic, rest)) = area.split_first_chunk_mut::<4>() else {
        return;
    };
    *magic = MAGIC.to_le_bytes();
    let mut packer = Packer::new(rest, 0);
    let none = ValueInfo { inode: 0, hash: 0 };
    if inline_data {
        // Names the data in `i_block`; its value would be what does not fit there.
        let marker = Xattr {
            index: 7,
            name: b"data".as_slice().into(),
            value: Box::default(),
        };
        packer.add(&marker, &none);
    }
    for (attribute, home) in members(source, id) {
        if home == Home::Inode {
            packer.add(attribute, &none);
        }
    }
}

/// The block of the `user`th file that has a set.
pub(super) fn block_of(source: Source<'_>, id: XattrSetId, user: u32) -> Option<BlockNumber> {
    let first = source.plan.census.xattrs.set(id)?.first_block?;
    let index = first + u64::from(user / crate::plan::MAX_SHARES);
    let backups = source.plan.backups();
    Some(backups.next_usable(backups.after(source.plan.layout().xattrs, index)))
}

pub(super) fn encode_blocks(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let mut walker = Walker::new(source.plan.backups(), source.plan.layout().xattrs);
    for index in 0..source.tree.xattr_sets().len().fit_u32() {
        let id = XattrSetId(index + 1);
        let Some(plan) = source.plan.census.xattrs.set(id) else {
            continue;
        };
        if plan.first_block.is_none() {
            continue;
        }
        let template = block(source, id);
        for copy in 0..plan.users.div_ceil(crate::plan::MAX_SHARES) {
            let address = walker.next();
            let mut bytes = template.clone();
            bytes[4..8].copy_from_slice(&plan.shares(copy).to_le_bytes());
            let checksum = source.plan.checksums.xattr_block(address, &bytes);
            bytes[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 4].copy_from_slice(&checksum.to_le_bytes());
            sink.put(address, &bytes)?;
        }
    }
    Ok(())
}

/// A block without its reference count and checksum.
fn block(source: Source<'_>, id: XattrSetId) -> Vec<u8> {
    let mut bytes = vec![0; source.plan.geometry().block_size.to_usize()];
    let (header, rest) = bytes.split_at_mut(BLOCK_HEADER_BYTES);
    let mut packer = Packer::new(rest, BLOCK_HEADER_BYTES);
    let mut hashes = Vec::new();
    for (attribute, home) in members(source, id) {
        let info = match home {
            Home::Inode => continue,
            Home::Block => ValueInfo {
                inode: 0,
                hash: entry_hash(attribute, value_words(&attribute.value)),
            },
            Home::Value(index) => ValueInfo {
                inode: source.plan.census.value_inode(index).0,
                hash: entry_hash(attribute, std::iter::once(value_hash(source, attribute))),
            },
        };
        hashes.push(info.hash);
        packer.add(attribute, &info);
    }
    let fields = Header {
        magic: MAGIC.into(),
        refcount: 0.into(),
        blocks: 1.into(),
        hash: block_hash(&hashes).into(),
        checksum: 0.into(),
        reserved: [0.into(); 3],
    };
    header.copy_from_slice(fields.as_bytes());
    bytes
}

/// Hash of a value that lies in an inode of its own.
pub(super) fn value_hash(source: Source<'_>, attribute: &Xattr) -> u32 {
    source
        .plan
        .checksums
        .xattr_value(source.options.uuid.as_bytes(), &attribute.value)
}

/// The attribute whose value the `index`th inode of values holds.
pub(super) fn value_of<'a>(
    source: Source<'a>,
    set: XattrSetId,
    attribute: u32,
) -> Option<&'a Xattr> {
    source
        .tree
        .xattr_sets()
        .set(set)?
        .sorted()
        .get(attribute.to_usize())
}

pub(super) fn encode_values(source: Source<'_>, sink: &mut impl BlockSink) -> Result<(), Error> {
    let mut walker = Walker::new(source.plan.backups(), source.plan.layout().values);
    for value in &source.plan.census.xattrs.values {
        let Some(attribute) = value_of(source, value.set, value.attribute) else {
            continue;
        };
        for chunk in attribute
            .value
            .chunks(source.plan.geometry().block_size.to_usize())
        {
            sink.put(walker.next(), chunk)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_zero_keeps_the_block_from_being_shared() {
        assert_eq!(block_hash(&[1, 0, 2]), 0);
        assert_eq!(block_hash(&[1, 2]), 0x0001_0000 ^ 2);
    }
}
