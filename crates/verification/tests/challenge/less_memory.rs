//! Who keeps a part of the memory only and computes the rest again when it is asked: how much work that is.

use std::collections::HashMap;

use tilth_protocol::{
    Problem,
    challenge::{
        Hash, LabelOpening, MemoryTask, Task,
        memory::{Label, LabelAt, PARENTS, first_label, label, walk_step},
        prove::{Engine, MemoryKeys, Reference},
        seed::Seed,
    },
};

use crate::world::statement;

/// Labels that depend on each other over many layers.
const TASK: MemoryTask =
    MemoryTask { lanes: 64, depth: 256, walks: 64, steps: 4, samples: 1, walk_samples: 1 };

/// Keeps every label whose number is not in the dropped share, in hundredths; the others it computes again.
struct Miser {
    kept: HashMap<u64, Label>,
    key: Hash,
    hashes: u64,
    cap: u64,
}

impl Miser {
    fn new(dropped: u64) -> Self {
        let (statement, _) = statement(Task::Memory(TASK), 1);
        let seed = Seed::of(&statement);
        let keys = MemoryKeys { label: seed.label(), group: seed.group(), node: seed.node() };
        let mut whole = Whole(Reference::default());
        whole.0.fill(&TASK, &keys).unwrap();
        let mut kept = HashMap::new();
        for (layer, lane) in (0..TASK.depth).flat_map(|y| (0..TASK.lanes).map(move |x| (y, x))) {
            let at = LabelAt { layer, lane };
            // A multiplicative scramble: no lane and no layer is dropped as a whole.
            let place = TASK.number(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            if place % 100 >= dropped {
                kept.insert(TASK.number(at), whole.label(at));
            }
        }
        Self { kept, key: keys.label, hashes: 0, cap: u64::MAX }
    }

    /// The label, from memory or computed again without keeping anything; `None` above the cap of work.
    fn label(&mut self, at: LabelAt) -> Option<Label> {
        if let Some(label) = self.kept.get(&TASK.number(at)) {
            return Some(*label);
        }
        if self.hashes >= self.cap {
            return None;
        }
        self.hashes += 1;
        if at.layer == 0 {
            return Some(first_label(&self.key, at.lane));
        }
        let before = self.label(LabelAt { layer: at.layer - 1, lane: at.lane })?;
        let mut parents = [Label::default(); PARENTS];
        for (parent, place) in parents.iter_mut().zip(TASK.parents(at, &before)) {
            *parent = self.label(place)?;
        }
        Some(label(&self.key, &before, &parents))
    }

    /// Hashes per label that walks read, besides the walks' own; at most `cap` a walk.
    fn hashes_per_read(&mut self, cap: u64) -> u64 {
        let (mut hashes, mut reads) = (0, 0);
        for walk in 0..TASK.walks {
            let mut state = first_label(&[9; 32], walk);
            (self.hashes, self.cap) = (0, cap);
            for _ in 0..TASK.steps {
                let Some(read) = self.label(TASK.next_step(&state)) else { break };
                state = walk_step(&[9; 32], &state, &read);
            }
            hashes += self.hashes;
            reads += u64::from(TASK.steps);
        }
        hashes / reads
    }
}

/// The reference with its labels.
struct Whole(Reference);

impl Whole {
    fn label(&mut self, at: LabelAt) -> Label {
        let opening: Result<LabelOpening, Problem> = self.0.read(&TASK, at);
        let within = usize::try_from(TASK.number(at) % 8).unwrap();
        opening.unwrap().group[within * 32..(within + 1) * 32].try_into().unwrap()
    }
}

#[test]
fn dropping_a_little_costs_little_and_dropping_more_costs_everything() {
    // Eight labels a label: with a tenth dropped a read costs 0.1 / (1 - 0.8) hashes in the mean.
    assert_eq!(Miser::new(0).hashes_per_read(10_000), 0);
    assert!(Miser::new(5).hashes_per_read(10_000) <= 1);
    // With a quarter dropped each computed label needs two more that are not there: the work ends at the first
    // layer or at the cap. An honest walk hashes once a read.
    let dear = Miser::new(25).hashes_per_read(10_000);
    assert!(dear > 300, "{dear} hashes for a label");
    let dearer = Miser::new(50).hashes_per_read(10_000);
    assert!(dearer > 1_000, "{dearer} hashes for a label");
}
