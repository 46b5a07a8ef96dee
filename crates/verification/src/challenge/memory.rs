//! Samples of a memory: labels with what they depend on, and walks with what they read.

use tilth_protocol::challenge::{
    Hash, LabelOpening, MemoryTask, Statement, WalkOpening,
    answer::LabelProof,
    memory::{
        GROUP, GROUP_BYTES, LABEL_BYTES, Label, LabelAt, PARENTS, first_label, group_hash, label,
        walk_step,
    },
    seed::{Draw, Seed, walk_key},
    tree::climb,
};

use super::Fault;

/// What was committed to.
pub(super) struct Roots {
    pub(super) memory: Hash,
    pub(super) ends: Hash,
}

/// The memory's tree as its openings show it.
struct Shown<'a> {
    task: &'a MemoryTask,
    group: Hash,
    node: Hash,
    root: Hash,
}

impl Shown<'_> {
    /// The label at `at`, if the opening leads to the root.
    fn label(&self, at: LabelAt, opening: &LabelOpening) -> Option<Label> {
        if opening.group.len() != GROUP_BYTES {
            return None;
        }
        let number = self.task.number(at);
        let (group, within) = (number / u64::from(GROUP), number % u64::from(GROUP));
        let leaf = group_hash(&self.group, &opening.group);
        let root = climb(&self.node, &leaf, group, self.task.groups(), &opening.path)?;
        if root != self.root {
            return None;
        }
        opening.group.chunks_exact(LABEL_BYTES).nth(usize::try_from(within).ok()?)?.try_into().ok()
    }
}

/// Judges the drawn labels and walks.
pub(super) fn check(
    statement: &Statement,
    task: &MemoryTask,
    roots: &Roots,
    walk: &Hash,
    draw: &mut Draw,
    (labels, walks): (&[LabelProof], &[WalkOpening]),
) -> Result<(), Fault> {
    let seed = Seed::of(statement);
    let shown = Shown { task, group: seed.group(), node: seed.node(), root: roots.memory };
    let drawn = task.draw_labels(draw);
    Fault::count("opened labels", labels.len(), drawn.len())?;
    for (sample, (at, proof)) in drawn.into_iter().zip(labels).enumerate() {
        check_label(&shown, &seed.label(), at, proof)
            .map_err(|what| Fault::Wrong { sample, what })?;
    }
    let drawn = task.draw_walks(draw);
    Fault::count("opened walks", walks.len(), drawn.len())?;
    let key = walk_key(walk, &roots.memory);
    for (number, (walk, opening)) in drawn.into_iter().zip(walks).enumerate() {
        let wrong = |what| Fault::Wrong { sample: labels.len() + number, what };
        let end = follow(&shown, &key, walk, opening).map_err(wrong)?;
        let root = climb(&shown.node, &end, walk.into(), task.walks.into(), &opening.path);
        if root != Some(roots.ends) {
            return Err(wrong("a walk does not end where it was said to"));
        }
    }
    Ok(())
}

const NOT_IN_TREE: &str = "a label is not in the memory that was committed to";

fn check_label(
    shown: &Shown<'_>,
    key: &Hash,
    at: LabelAt,
    proof: &LabelProof,
) -> Result<(), &'static str> {
    let found = shown.label(at, &proof.label).ok_or(NOT_IN_TREE)?;
    let due = if at.layer == 0 {
        if !proof.parents.is_empty() {
            return Err("a label of the first layer depends on nothing");
        }
        first_label(key, at.lane)
    } else {
        if proof.parents.len() != PARENTS + 1 {
            return Err("a label depends on eight others");
        }
        let before = LabelAt { layer: at.layer - 1, lane: at.lane };
        let before = shown.label(before, &proof.parents[0]).ok_or(NOT_IN_TREE)?;
        let mut parents = [Label::default(); PARENTS];
        let places = shown.task.parents(at, &before);
        for ((parent, place), opening) in parents.iter_mut().zip(places).zip(&proof.parents[1..]) {
            *parent = shown.label(place, opening).ok_or(NOT_IN_TREE)?;
        }
        label(key, &before, &parents)
    };
    if found == due { Ok(()) } else { Err("a label is not the hash of what it depends on") }
}

/// Where a walk ends.
fn follow(
    shown: &Shown<'_>,
    key: &Hash,
    walk: u32,
    opening: &WalkOpening,
) -> Result<Label, &'static str> {
    if opening.reads.len() != shown.task.steps as usize {
        return Err("a walk reads a label in each step");
    }
    let mut state = first_label(key, walk);
    for read in &opening.reads {
        let label = shown.label(shown.task.next_step(&state), read).ok_or(NOT_IN_TREE)?;
        state = walk_step(key, &state, &label);
    }
    Ok(state)
}
