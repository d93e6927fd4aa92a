//! How the plan and the encoder go through a tree.

use super::names::EntryId;
use super::{Directory, FileTree, Node, NodeIndex, NodeKind, XattrSets};
use crate::escape::escaped;

/// A name and its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) node: NodeIndex,
}

impl<C> FileTree<C> {
    /// Number of nodes ever made, which bounds every index.
    pub(crate) fn node_slots(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn slot(&self, id: NodeIndex) -> &Node<C> {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn slot_mut(&mut self, id: NodeIndex) -> &mut Node<C> {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Node<C>> {
        self.nodes.iter()
    }

    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Node<C>> {
        self.nodes.iter_mut()
    }

    pub(crate) fn project_of(&self, id: NodeIndex) -> u32 {
        self.projects.get(&id).copied().unwrap_or(0)
    }

    /// The projects of the tree's files; that of the root among them, so never none.
    pub(crate) fn projects(&self) -> impl Iterator<Item = u32> {
        // Some file is always in project 0: lost+found is, or the files of the filesystem itself.
        std::iter::once(0).chain(self.files_of_projects().map(|(_, project)| project))
    }

    /// Files that were given to a project, with it.
    pub(crate) fn files_of_projects(&self) -> impl Iterator<Item = (NodeIndex, u32)> {
        let all = self.projects.iter().map(|(&id, &project)| (id, project));
        all.filter(|(id, _)| self.slot(*id).file_type().is_some())
    }

    pub(crate) fn xattr_sets(&self) -> &XattrSets {
        &self.xattrs
    }

    /// The entries of a directory in list order: of insertion, or as [`FileTree::sort_children`] left them.
    pub(crate) fn entries(&self, id: NodeIndex) -> impl Iterator<Item = Entry<'_>> {
        let mut at = self
            .directory(id)
            .map_or(EntryId::NONE, |directory| directory.first);
        std::iter::from_fn(move || {
            let id = at.some()?;
            let entry = self.names.at(id);
            at = entry.next;
            Some(Entry {
                name: self.names.name(id),
                node: entry.node,
            })
        })
    }

    /// The node that holds a directory; the root holds itself.
    pub(crate) fn parent_of(&self, directory: &Directory) -> NodeIndex {
        match directory.entry.some() {
            Some(entry) => self.names.at(entry).parent,
            None => NodeIndex(0),
        }
    }

    pub(super) fn path(&self, id: NodeIndex) -> String {
        match self
            .directory(id)
            .and_then(|directory| directory.entry.some())
        {
            Some(entry) => {
                let entry_data = self.names.at(entry);
                self.path_of(entry_data.parent, self.names.name(entry))
            }
            None => "/".to_owned(),
        }
    }

    /// The path of a name, for a message: escaped, and with the middle left out where it is very long.
    pub(crate) fn path_of(&self, parent: NodeIndex, name: &[u8]) -> String {
        const SHOWN_PARTS: usize = 64;
        let mut parts = vec![escaped(name)];
        let mut at = parent;
        while let Some(entry) = self
            .directory(at)
            .and_then(|directory| directory.entry.some())
        {
            if parts.len() == SHOWN_PARTS {
                parts.push("…".to_owned());
                break;
            }
            parts.push(escaped(self.names.name(entry)));
            at = self.names.at(entry).parent;
        }
        parts.reverse();
        parts.join("/")
    }

    /// Some path of a node, for a message.
    pub(crate) fn some_path(&self, id: NodeIndex) -> String {
        if matches!(self.slot(id).kind, NodeKind::Directory(_)) {
            return self.path(id);
        }
        let named = (0..self.nodes.len() as u32)
            .map(NodeIndex)
            .find_map(|parent| {
                self.entries(parent)
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
        id: NodeIndex,
        scratch: &mut Vec<(K, u32)>,
        mut key: impl FnMut(&[u8]) -> K,
    ) {
        scratch.clear();
        let mut at = self
            .directory(id)
            .map_or(EntryId::NONE, |directory| directory.first);
        while let Some(entry) = at.some() {
            scratch.push((key(self.names.name(entry)), entry.0));
            at = self.names.at(entry).next;
        }
        let names = &self.names;
        scratch.sort_unstable_by(|(a, first), (b, second)| {
            a.cmp(b).then_with(|| {
                names
                    .name(EntryId(*first))
                    .cmp(names.name(EntryId(*second)))
            })
        });
        let ids = || scratch.iter().map(|&(_, entry)| EntryId(entry));
        let before = std::iter::once(EntryId::NONE).chain(ids());
        let after = ids().skip(1).chain(std::iter::once(EntryId::NONE));
        for ((entry, previous), next) in ids().zip(before).zip(after) {
            let entry = self.names.at_mut(entry);
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
        self.names.drop_table();
    }
}
