//! How the plan and the encoder go through a tree.

use super::names::EntryId;
use super::{Directory, FileTree, Node, NodeId, NodeKind, XattrSets};

/// A name and its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) node: NodeId,
}

impl<C> FileTree<C> {
    /// Number of nodes ever made, which bounds every [`NodeId`].
    pub(crate) fn node_slots(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn slot(&self, id: NodeId) -> &Node<C> {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn slot_mut(&mut self, id: NodeId) -> &mut Node<C> {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Node<C>> {
        self.nodes.iter()
    }

    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Node<C>> {
        self.nodes.iter_mut()
    }

    pub(crate) fn project(&self, id: NodeId) -> u32 {
        self.projects.get(&id).copied().unwrap_or(0)
    }

    /// The projects of the tree's files; that of the root among them, so never none.
    pub(crate) fn projects(&self) -> impl Iterator<Item = u32> {
        let live = self
            .projects
            .iter()
            .filter(|(id, _)| self.slot(**id).file_type().is_some());
        // Some file is always in project 0: lost+found is, or the files of the filesystem itself.
        std::iter::once(0).chain(live.map(|(_, &project)| project))
    }

    pub(crate) fn xattr_sets(&self) -> &XattrSets {
        &self.xattrs
    }

    /// The entries of a directory in list order: of insertion, or as [`FileTree::sort_children`] left them.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = Child<'_>> {
        let mut at = self
            .directory(id)
            .map_or(EntryId::NONE, |directory| directory.first);
        std::iter::from_fn(move || {
            let id = at.some()?;
            let entry = self.entries.at(id);
            at = entry.next;
            Some(Child {
                name: self.entries.name(id),
                node: entry.node,
            })
        })
    }

    /// The node that holds a directory; the root holds itself.
    pub(crate) fn parent_of(&self, directory: &Directory) -> NodeId {
        match directory.entry.some() {
            Some(entry) => self.entries.at(entry).parent,
            None => NodeId(0),
        }
    }

    /// Some path of a node, for a message.
    pub(crate) fn some_path(&self, id: NodeId) -> String {
        if matches!(self.slot(id).kind, NodeKind::Directory(_)) {
            return self.path(id);
        }
        let named = (0..self.nodes.len() as u32).map(NodeId).find_map(|parent| {
            self.children(parent)
                .find(|c| c.node == id)
                .map(|c| (parent, c))
        });
        match named {
            Some((parent, child)) => self.path_of(parent, child.name),
            None => String::new(),
        }
    }

    /// Relinks the entries of a directory in the order of `key`, which must be total over distinct names.
    pub(crate) fn sort_children<K: Ord>(
        &mut self,
        id: NodeId,
        scratch: &mut Vec<(K, u32)>,
        mut key: impl FnMut(&[u8]) -> K,
    ) {
        scratch.clear();
        let mut at = self
            .directory(id)
            .map_or(EntryId::NONE, |directory| directory.first);
        while let Some(entry) = at.some() {
            scratch.push((key(self.entries.name(entry)), entry.0));
            at = self.entries.at(entry).next;
        }
        let entries = &self.entries;
        scratch.sort_unstable_by(|(a, first), (b, second)| {
            a.cmp(b).then_with(|| {
                entries
                    .name(EntryId(*first))
                    .cmp(entries.name(EntryId(*second)))
            })
        });
        let ids = || scratch.iter().map(|&(_, entry)| EntryId(entry));
        let before = std::iter::once(EntryId::NONE).chain(ids());
        let after = ids().skip(1).chain(std::iter::once(EntryId::NONE));
        for ((entry, previous), next) in ids().zip(before).zip(after) {
            let entry = self.entries.at_mut(entry);
            entry.previous = previous;
            entry.next = next;
        }
        let (first, last) = (ids().next(), ids().next_back());
        if let (Some(first), Some(last), NodeKind::Directory(directory)) =
            (first, last, &mut self.nodes[id.0 as usize].kind)
        {
            directory.first = first;
            directory.last = last;
        }
    }

    /// Gives back what only lookups need.
    pub(crate) fn forget_names_index(&mut self) {
        self.entries.drop_table();
    }
}
