//! From one version of a trie to the next.

use std::sync::Arc;

use alloy_primitives::B256;

use super::{
    Change,
    bundle::{BUNDLE_MAX, Bundle, Entry},
    hash,
    load::Loader,
    node::{Children, Kind, Node},
    path::{KEY_NIBBLES, nibble, shared_prefix},
};
use crate::state::StateError;

/// Changes from which on a batch is worth a second thread.
pub(crate) const PARALLEL_MIN: usize = 512;

/// Children by their nibble.
type Made = Vec<(usize, Option<Arc<Node>>)>;

type Updated = Result<Option<Arc<Node>>, StateError>;

pub(super) fn update(
    loader: &Loader<'_>,
    node: Option<&Arc<Node>>,
    depth: usize,
    changes: &[Change],
) -> Updated {
    if changes.is_empty() {
        return Ok(node.cloned());
    }
    match node.map(|node| (node, &node.kind)) {
        None => Ok(build(depth, &insertions(changes), loader.epoch)),
        Some((_, Kind::Bundle(bundle))) => Ok(update_bundle(bundle, depth, changes, loader.epoch)),
        Some((_, Kind::Extension { key, end, child })) => {
            update_extension(loader, depth, (key, *end, child), changes)
        }
        Some((_, Kind::Branch { children })) => {
            let mut children = copied(children);
            update_children(loader, &mut children, depth, changes)?;
            collapse(loader, children, depth)
        }
        Some((node, Kind::Stored { .. })) => {
            let loaded = loader.resolve(node, depth)?;
            update(loader, loaded.as_ref(), depth, changes)
        }
    }
}

fn update_extension(
    loader: &Loader<'_>,
    depth: usize,
    (key, end, child): (&B256, usize, &Arc<Node>),
    changes: &[Change],
) -> Updated {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
        return Ok(Some(extension(*key, end, Arc::clone(child), loader.epoch)));
    };
    // The changes are sorted, so the first or the last one leaves the extension's path earliest.
    let split =
        shared_prefix(key, &first.0, depth, end).min(shared_prefix(key, &last.0, depth, end));
    if split == end {
        let updated = update(loader, Some(child), end, changes)?;
        return lift(loader, updated, end, depth);
    }
    let rest = if split + 1 == end {
        Arc::clone(child)
    } else {
        extension(*key, end, Arc::clone(child), loader.epoch)
    };
    let mut children = Box::<Children>::default();
    children[nibble(key, split)] = Some(rest);
    update_children(loader, &mut children, split, changes)?;
    let updated = collapse(loader, children, split)?;
    lift(loader, updated, split, depth)
}

fn extension(key: B256, end: usize, child: Arc<Node>, epoch: u32) -> Arc<Node> {
    Node::new(Kind::Extension { key, end, child }, epoch)
}

fn update_children(
    loader: &Loader<'_>,
    children: &mut Children,
    depth: usize,
    changes: &[Change],
) -> Result<(), StateError> {
    let groups = changes.chunk_by(|a, b| nibble(&a.0, depth) == nibble(&b.0, depth));
    if loader.threads > 1 && changes.len() >= PARALLEL_MIN {
        return update_on_threads(loader, children, depth, groups.collect(), changes.len());
    }
    for group in groups {
        let slot = &mut children[nibble(&group[0].0, depth)];
        *slot = update(loader, slot.as_ref(), depth + 1, group)?;
    }
    Ok(())
}

/// Gives each thread a run of neighbouring children with about the same number of changes. Each
/// also hashes what it made, which is most of the work.
fn update_on_threads(
    loader: &Loader<'_>,
    children: &mut Children,
    depth: usize,
    groups: Vec<&[Change]>,
    total: usize,
) -> Result<(), StateError> {
    let alone = loader.on_threads(1);
    let share = total.div_ceil(loader.threads);
    let before: &Children = children;
    let work = |groups: &[&[Change]]| -> Result<Made, StateError> {
        let mut made = Vec::with_capacity(groups.len());
        for group in groups {
            let index = nibble(&group[0].0, depth);
            let child = update(&alone, before[index].as_ref(), depth + 1, group)?;
            if let Some(child) = &child {
                hash::all(child, depth + 1);
            }
            made.push((index, child));
        }
        Ok(made)
    };
    let made = std::thread::scope(|scope| {
        let mut rest = groups.as_slice();
        let mut running = Vec::new();
        while !rest.is_empty() {
            let mut taken = 0;
            let mut count = 0;
            while taken < share && count < rest.len() {
                taken += rest[count].len();
                count += 1;
            }
            let (mine, others) = rest.split_at(count);
            rest = others;
            if rest.is_empty() {
                // The last share is this thread's own.
                running.push(Err(work(mine)));
            } else {
                running.push(Ok(scope.spawn(move || work(mine))));
            }
        }
        running
            .into_iter()
            .map(|share| match share {
                Ok(thread) => thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p)),
                Err(made) => made,
            })
            .collect::<Result<Vec<_>, _>>()
    })?;
    for (index, child) in made.into_iter().flatten() {
        children[index] = child;
    }
    Ok(())
}

/// A branch at `depth` in its proper form: nothing, the only child moved up, or the branch.
fn collapse(loader: &Loader<'_>, mut children: Box<Children>, depth: usize) -> Updated {
    let mut present = (0..16).filter(|&i| children[i].is_some());
    match (present.next(), present.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => lift(loader, children[only].take(), depth + 1, depth),
        (Some(_), Some(_)) => Ok(Some(Node::new(Kind::Branch { children }, loader.epoch))),
    }
}

/// Moves a node that hangs at depth `from` up to depth `to`.
fn lift(loader: &Loader<'_>, node: Option<Arc<Node>>, from: usize, to: usize) -> Updated {
    let Some(node) = node else { return Ok(None) };
    if from == to {
        return Ok(Some(node));
    }
    let Some(node) = loader.resolve(&node, from)? else { return Ok(None) };
    Ok(Some(raise(node, from, loader.epoch)))
}

/// Moves a node in memory that hangs at depth `from` further up.
fn raise(node: Arc<Node>, from: usize, epoch: u32) -> Arc<Node> {
    let kind = match &node.kind {
        Kind::Bundle(bundle) => Kind::Bundle(bundle.clone()),
        Kind::Extension { key, end, child } => {
            Kind::Extension { key: *key, end: *end, child: Arc::clone(child) }
        }
        Kind::Branch { .. } | Kind::Stored { .. } => {
            Kind::Extension { key: *node.any_key(), end: from, child: Arc::clone(&node) }
        }
    };
    Node::new(kind, epoch)
}

fn insertions(changes: &[Change]) -> Vec<Entry<'_>> {
    changes.iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
}

fn update_bundle(
    bundle: &Bundle,
    depth: usize,
    changes: &[Change],
    epoch: u32,
) -> Option<Arc<Node>> {
    if let Some(changed) = bundle.changed(changes) {
        return Some(Node::new(Kind::Bundle(changed), epoch));
    }
    let mut entries = Vec::with_capacity(BUNDLE_MAX + changes.len());
    bundle.merge(changes, &mut |entry| entries.push(entry));
    build(depth, &entries, epoch)
}

/// A copy of a branch's children. Their counters lie scattered in memory: looked at first, they are
/// fetched all at once, while counting them up one by one would wait for each.
fn copied(children: &Children) -> Box<Children> {
    std::hint::black_box(children.iter().flatten().fold(0, |sum, child| sum ^ child.leaves));
    Box::new(children.clone())
}

/// The node at `depth` over these entries, which share the path to it.
pub(super) fn build(depth: usize, entries: &[Entry<'_>], epoch: u32) -> Option<Arc<Node>> {
    let (first, last) = (entries.first()?, entries.last()?);
    if entries.len() <= BUNDLE_MAX {
        return Some(Node::new(Kind::Bundle(Bundle::new(entries)), epoch));
    }
    let fork = shared_prefix(first.0, last.0, depth, KEY_NIBBLES);
    let mut children = Box::<Children>::default();
    for group in entries.chunk_by(|a, b| nibble(a.0, fork) == nibble(b.0, fork)) {
        children[nibble(group[0].0, fork)] = build(fork + 1, group, epoch);
    }
    let branch = Node::new(Kind::Branch { children }, epoch);
    Some(if fork == depth { branch } else { raise(branch, fork, epoch) })
}
