//! Bringing the stored records up to a version of the trie, and dropping nodes from memory.

use std::sync::Arc;

use super::{
    Trie,
    load::{self, FLAT_MAX, Loader, Record},
    node::{Children, Kind, Node},
    path::Prefix,
};
use crate::state::StateError;

/// Where a trie's records are kept.
pub trait NodeStore {
    /// The record stored at `at`.
    fn get(&mut self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError>;
    /// Stores a record.
    fn put(&mut self, at: &Prefix, record: &[u8]) -> Result<(), StateError>;
    /// Removes all records at `at` and below.
    fn remove_below(&mut self, at: &Prefix) -> Result<(), StateError>;
}

impl Trie {
    /// Writes what has changed since the version whose records `store` holds. Afterwards every
    /// node of this version can be dropped from memory and loaded again.
    pub fn save(&self, loader: &Loader<'_>, store: &mut dyn NodeStore) -> Result<(), StateError> {
        self.root();
        save(loader, store, self.root.as_ref(), Prefix::ROOT)
    }

    /// The same version without the nodes that were made or loaded before `epoch`. They can be
    /// loaded again if the version has been saved or the source has no records.
    #[must_use]
    pub fn evicted(&self, epoch: u32) -> Self {
        self.root();
        Self { root: self.root.as_ref().map(|root| evict(root, 0, &|node| node.epoch < epoch)) }
    }

    /// The same version with only the nodes in memory that records are made of.
    #[must_use]
    pub fn without_small_subtrees(&self) -> Self {
        self.root();
        let is_small = |node: &Node| node.leaves <= FLAT_MAX;
        Self { root: self.root.as_ref().map(|root| evict(root, 0, &is_small)) }
    }
}

fn save(
    loader: &Loader<'_>,
    store: &mut dyn NodeStore,
    node: Option<&Arc<Node>>,
    at: Prefix,
) -> Result<(), StateError> {
    let depth = at.depth();
    if node.is_some_and(|node| node.is_stored()) {
        return Ok(());
    }
    let before = store.get(&at)?;
    let Some(node) = node.filter(|node| node.leaves > FLAT_MAX) else {
        // What was large and is small now leaves nothing behind.
        return if before.is_some() { store.remove_below(&at) } else { Ok(()) };
    };
    let Some(record) = load::encode(node, depth) else {
        return Err(StateError::Damaged { what: "trie" });
    };
    if before.as_ref() == Some(&record) {
        return Ok(());
    }
    let branch = branch_of(node, at).ok_or(StateError::Damaged { what: "trie" })?;
    let old = before.as_deref().map(|bytes| Record::decode(bytes, &at));
    let old = match old {
        None => None,
        Some(Some(old)) if old.branch == branch.0 => Some(old),
        Some(_) => {
            // The branch has moved along an extension: rare, so everything below is written anew.
            let mut whole = Vec::new();
            collect(loader, node, at, &mut whole)?;
            store.remove_below(&at)?;
            return whole.iter().try_for_each(|(at, record)| store.put(at, record));
        }
    };
    for (nibble, (index, child)) in (0_u8..).zip(branch.1.iter().enumerate()) {
        let old = old.as_ref().and_then(|old| old.children[index].as_ref());
        let is_same = match (&old, child) {
            (None, None) => true,
            (Some((reference, _)), Some(child)) => {
                reference == child.reference(branch.0.depth() + 1)
            }
            _ => false,
        };
        let was_large = old.is_some_and(|(_, leaves)| *leaves > FLAT_MAX);
        let is_large = child.as_ref().is_some_and(|child| child.leaves > FLAT_MAX);
        if !is_same && (was_large || is_large) {
            save(loader, store, child.as_ref(), branch.0.child(nibble))?;
        }
    }
    store.put(&at, &record)
}

/// The branch that a node is or leads to, with the place where it hangs.
fn branch_of(node: &Arc<Node>, at: Prefix) -> Option<(Prefix, &Children)> {
    match &node.kind {
        Kind::Branch { children } => Some((at, children)),
        Kind::Extension { end, child, .. } => match &child.kind {
            Kind::Branch { children } => Some((Prefix::new(child.any_key(), *end), children)),
            _ => None,
        },
        Kind::Bundle(_) | Kind::Stored { .. } => None,
    }
}

/// The records of a whole subtree, loading what is not in memory.
fn collect(
    loader: &Loader<'_>,
    node: &Arc<Node>,
    at: Prefix,
    records: &mut Vec<(Prefix, Vec<u8>)>,
) -> Result<(), StateError> {
    if node.leaves <= FLAT_MAX {
        return Ok(());
    }
    let damaged = StateError::Damaged { what: "trie" };
    let Some(node) = loader.resolve(node, at.depth())? else { return Err(damaged) };
    let (Some(record), Some((branch, children))) =
        (load::encode(&node, at.depth()), branch_of(&node, at))
    else {
        return Err(damaged);
    };
    records.push((at, record));
    for (nibble, child) in (0_u8..).zip(children) {
        if let Some(child) = child {
            collect(loader, child, branch.child(nibble), records)?;
        }
    }
    Ok(())
}

fn evict(node: &Arc<Node>, depth: usize, out: &dyn Fn(&Node) -> bool) -> Arc<Node> {
    if node.is_stored() {
        return Arc::clone(node);
    }
    if out(node) {
        let at = Prefix::new(node.any_key(), depth);
        return Node::stored(at, node.reference(depth).clone(), node.leaves, node.epoch);
    }
    match &node.kind {
        Kind::Bundle(_) | Kind::Stored { .. } => Arc::clone(node),
        Kind::Branch { children } => evict_children(node, children, depth, out),
        Kind::Extension { key, end, child } => {
            // The branch an extension leads to stays with it.
            let Kind::Branch { children } = &child.kind else { return Arc::clone(node) };
            let after = evict_children(child, children, *end, out);
            if Arc::ptr_eq(&after, child) {
                return Arc::clone(node);
            }
            node.same_content(Kind::Extension { key: *key, end: *end, child: after })
        }
    }
}

fn evict_children(
    node: &Arc<Node>,
    children: &Children,
    depth: usize,
    out: &dyn Fn(&Node) -> bool,
) -> Arc<Node> {
    let mut after = Box::<Children>::default();
    let mut changed = false;
    for (slot, child) in after.iter_mut().zip(children) {
        *slot = child.as_ref().map(|child| {
            let kept = evict(child, depth + 1, out);
            changed |= !Arc::ptr_eq(&kept, child);
            kept
        });
    }
    if changed { node.same_content(Kind::Branch { children: after }) } else { Arc::clone(node) }
}
