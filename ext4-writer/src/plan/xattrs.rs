//! Where extended attributes go: into the inode, or into a block that files with the same set share.

use super::geometry::Geometry;
use crate::error::Error;
use crate::number::{Fit, Widen};
use crate::options::{Features, FormatOptions};
use crate::tree::{FileTree, NodeIndex, Xattr, XattrSetId};

/// The most files that share a block (`EXT4_XATTR_REFCOUNT_MAX`).
pub(crate) const MAX_SHARES: u32 = 1024;
/// Bytes of a block's header.
pub(crate) const BLOCK_HEADER_BYTES: usize = 32;
/// The empty entry that ends a list.
const END_BYTES: usize = 4;
/// The `system.data` entry that every inode with inline data has.
const INLINE_ENTRY_BYTES: usize = 20;

/// Bytes of an entry without its value.
pub(crate) fn entry_bytes(attribute: &Xattr) -> usize {
    16 + attribute.name.len().next_multiple_of(4)
}

/// Bytes of a value where it lies.
pub(crate) fn value_bytes(attribute: &Xattr) -> usize {
    attribute.value.len().next_multiple_of(4)
}

/// Where one attribute's value lies, and its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Inode,
    Block,
    /// The entry lies in the block, the value in an inode of its own (`ea_inode`): its index among all of them.
    Value(u32),
}

/// The homes of one set's attributes and the blocks that hold it.
#[derive(Debug, Default)]
pub(crate) struct SetPlan {
    pub(crate) homes: Vec<Home>,
    /// Index of the set's first block among all; `None` where the inode holds everything.
    pub(crate) first_block: Option<u64>,
    /// Files that have the set.
    pub(crate) users: u32,
    /// Blocks of the values that lie in inodes of their own, counted in every owner.
    pub(crate) value_blocks: u64,
}

impl SetPlan {
    /// Values that lie in inodes of their own.
    pub(crate) fn values(&self) -> u64 {
        let values = self
            .homes
            .iter()
            .filter(|home| matches!(home, Home::Value(_)));
        values.count().to_u64()
    }

    /// Files that share the `index`th block of the set.
    pub(crate) fn shares(&self, index: u32) -> u32 {
        (self.users - index * MAX_SHARES).min(MAX_SHARES)
    }
}

/// A value that lies in an inode of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueInode {
    pub(crate) set: XattrSetId,
    pub(crate) attribute: u32,
    pub(crate) blocks: u64,
    /// Entries that refer to it.
    pub(crate) references: u32,
}

/// The plan for all sets of a tree.
#[derive(Debug, Default)]
pub(crate) struct XattrPlan {
    sets: Vec<SetPlan>,
    pub(crate) blocks: u64,
    pub(crate) values: Vec<ValueInode>,
}

impl XattrPlan {
    pub(crate) fn set(&self, id: XattrSetId) -> Option<&SetPlan> {
        self.sets.get(id.0.to_usize().checked_sub(1)?)
    }

    /// Decides for every set that a live file has.
    pub(crate) fn new<C>(
        tree: &FileTree<C>,
        options: &FormatOptions,
        geometry: Geometry,
    ) -> Result<Self, Error> {
        let mut plan = Self::default();
        plan.sets
            .resize_with(tree.xattr_sets().len(), SetPlan::default);
        for node in tree.slots() {
            if node.xattrs.0 > 0 && node.file_type().is_some() {
                plan.sets[node.xattrs.0.to_usize() - 1].users += 1;
            }
        }
        let limits = Limits::new(options, geometry);
        for index in 0..plan.sets.len() {
            let id = XattrSetId(index.fit_u32() + 1);
            let Some(set) = tree.xattr_sets().set(id) else {
                continue;
            };
            if plan.sets[index].users == 0 {
                continue;
            }
            let homes = limits.distribute(set.sorted()).map_err(|needed| {
                let owner = (0..tree.node_slots().fit_u32())
                    .map(NodeIndex)
                    .find(|&node| {
                        tree.slot(node).xattrs == id && tree.slot(node).file_type().is_some()
                    });
                let path = owner.map_or_else(String::new, |node| tree.some_path(node));
                Error::XattrsTooLarge {
                    path,
                    needed: needed.to_u64(),
                    limit: limits.block.to_u64(),
                }
            })?;
            plan.place(index, homes, set.sorted(), u64::from(geometry.block_size));
        }
        Ok(plan)
    }

    fn place(&mut self, index: usize, homes: Vec<Home>, attributes: &[Xattr], block_size: u64) {
        let set = &mut self.sets[index];
        set.homes = homes;
        if set.homes.iter().all(|home| *home == Home::Inode) {
            return;
        }
        set.first_block = Some(self.blocks);
        let copies = set.users.div_ceil(MAX_SHARES);
        self.blocks += u64::from(copies);
        for (attribute, home) in set.homes.iter_mut().enumerate() {
            if let Home::Value(number) = home {
                *number = self.values.len().fit_u32();
                let blocks = attributes[attribute]
                    .value
                    .len()
                    .to_u64()
                    .div_ceil(block_size);
                set.value_blocks += blocks;
                self.values.push(ValueInode {
                    set: XattrSetId(index.fit_u32() + 1),
                    attribute: attribute.fit_u32(),
                    blocks,
                    references: copies,
                });
            }
        }
    }
}

/// Room for attributes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    inode: usize,
    block: usize,
    value_inodes: bool,
}

impl Limits {
    fn new(options: &FormatOptions, geometry: Geometry) -> Self {
        let inline = options.features.contains(Features::INLINE_DATA);
        let taken = END_BYTES + if inline { INLINE_ENTRY_BYTES } else { 0 };
        Self {
            inode: geometry.inode_xattr_bytes().saturating_sub(taken),
            block: geometry.block_size.to_usize() - BLOCK_HEADER_BYTES - END_BYTES,
            value_inodes: options.features.contains(Features::EA_INODE),
        }
    }

    /// Fills the inode in order with what fits, puts the rest into a block and, where permitted, the longest
    /// values elsewhere. Fails with the bytes that the block would need.
    fn distribute(self, attributes: &[Xattr]) -> Result<Vec<Home>, usize> {
        let whole = |a: &Xattr| entry_bytes(a) + value_bytes(a);
        let (mut in_inode, mut in_block) = (0, 0);
        let mut homes = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let bytes = whole(attribute);
            if in_inode + bytes <= self.inode {
                in_inode += bytes;
                homes.push(Home::Inode);
            } else {
                in_block += bytes;
                homes.push(Home::Block);
            }
        }
        if !self.value_inodes {
            return if in_block <= self.block {
                Ok(homes)
            } else {
                Err(in_block)
            };
        }
        while in_block > self.block {
            let longest = (0..attributes.len())
                .filter(|&at| homes[at] == Home::Block && !attributes[at].value.is_empty())
                .max_by_key(|&at| (attributes[at].value.len(), std::cmp::Reverse(at)));
            let Some(longest) = longest else {
                return Err(in_block);
            };
            in_block -= value_bytes(&attributes[longest]);
            homes[longest] = Home::Value(0);
        }
        Ok(homes)
    }
}
