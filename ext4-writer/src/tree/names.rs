//! Names, entries and the table that finds them.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::NodeIndex;

/// Index of an entry; `NONE` ends a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryId(pub(super) u32);

impl EntryId {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) parent: NodeIndex,
    pub(super) node: NodeIndex,
    pub(super) previous: EntryId,
    pub(super) next: EntryId,
    /// Offset in the arena, and the length in the low byte.
    name: u64,
}

/// All entries of a tree, found by directory and name.
///
/// The table's hash is keyed at random against crafted collisions; its order reaches nobody.
#[derive(Debug)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    free: Vec<EntryId>,
    arena: Vec<u8>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            arena: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn at(&self, id: EntryId) -> &Entry {
        &self.entries[id.0 as usize]
    }

    pub(super) fn at_mut(&mut self, id: EntryId) -> &mut Entry {
        &mut self.entries[id.0 as usize]
    }

    pub(super) fn name(&self, id: EntryId) -> &[u8] {
        slice(&self.arena, self.at(id).name)
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.entries.len() >= u32::MAX as usize - 1
    }

    pub(super) fn find(&self, parent: NodeIndex, name: &[u8]) -> Option<EntryId> {
        let hash = self.hasher.hash_one((parent.0, name));
        self.table
            .find(hash, |&id| {
                let entry = &self.entries[id as usize];
                entry.parent == parent && slice(&self.arena, entry.name) == name
            })
            .map(|&id| EntryId(id))
    }

    /// Adds an entry that no list holds yet; the caller has checked that the name is new and at most 255 bytes.
    pub(super) fn add(&mut self, parent: NodeIndex, name: &[u8], node: NodeIndex) -> EntryId {
        debug_assert!(name.len() <= 255 && !self.is_full());
        let place = ((self.arena.len() as u64) << 8) | name.len() as u64;
        self.arena.extend_from_slice(name);
        let entry = Entry {
            parent,
            node,
            previous: EntryId::NONE,
            next: EntryId::NONE,
            name: place,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.0 as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                EntryId(self.entries.len() as u32 - 1)
            }
        };
        let Self {
            entries,
            arena,
            table,
            hasher,
            ..
        } = self;
        let hash = |id: &u32| {
            let entry = &entries[*id as usize];
            hasher.hash_one((entry.parent.0, slice(arena, entry.name)))
        };
        table.insert_unique(hash(&id.0), id.0, hash);
        id
    }

    /// Forgets an entry that no list holds any more.
    pub(super) fn remove(&mut self, id: EntryId) {
        let hash = self.hasher.hash_one((self.at(id).parent.0, self.name(id)));
        if let Ok(found) = self.table.find_entry(hash, |&other| other == id.0) {
            found.remove();
        }
        self.free.push(id);
    }

    /// Gives the table's memory back once names are no longer looked up.
    pub(super) fn drop_table(&mut self) {
        self.table = HashTable::new();
    }
}

fn slice(arena: &[u8], name: u64) -> &[u8] {
    let start = (name >> 8) as usize;
    &arena[start..start + (name & 0xff) as usize]
}
