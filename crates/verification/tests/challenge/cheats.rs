use alloy_primitives::keccak256;
use tilth_protocol::{
    Problem,
    challenge::{
        Hash, LabelOpening, MemoryTask, Openings, ProductTask, Task,
        memory::{LABEL_BYTES, Label, LabelAt, PARENTS, first_label, label},
        prove::{Engine, Filled, MemoryKeys, Reference, RoundKeys},
    },
};
use tilth_verification::challenge::{Fault, check};

use crate::world::{MEMORY, PRODUCTS, converse};

/// What a cheat does instead of the work.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Computes all but this share, in percent, of tiles or labels.
    Skips(u8),
    /// Has the right tiles in the wrong order.
    SwapsRows,
    /// Takes the matrix of the round before, which it could have computed early.
    OldRound,
    /// Says the same tile everywhere.
    OneTile,
    /// Fills with random numbers that need no memory.
    NoGraph,
    /// Has the memory and does not walk.
    NoWalk,
}

struct Cheat {
    way: Way,
    honest: Reference,
    last: Option<RoundKeys>,
    filled: Option<Filled>,
}

impl Cheat {
    fn new(way: Way) -> Self {
        Self { way, honest: Reference::default(), last: None, filled: None }
    }

    /// Whether the piece of this number is skipped; which ones they are nobody knows before.
    fn skips(&self, key: &Hash, number: usize) -> bool {
        let Way::Skips(percent) = self.way else { return false };
        let digest = keccak256([key.as_slice(), &number.to_le_bytes()].concat());
        u16::from_le_bytes([digest[0], digest[1]]) % 100 < u16::from(percent)
    }
}

impl Engine for Cheat {
    fn tiles(&mut self, task: &ProductTask, keys: &RoundKeys) -> Result<Vec<Hash>, Problem> {
        let old = self.last.replace(*keys).unwrap_or(*keys);
        let keys =
            if self.way == Way::OldRound { RoundKeys { left: old.left, ..*keys } } else { *keys };
        let mut tiles = self.honest.tiles(task, &keys)?;
        let side = task.side() as usize;
        match self.way {
            Way::SwapsRows => tiles.rotate_left(side),
            Way::OneTile => tiles = vec![tiles[0]; tiles.len()],
            _ => {}
        }
        for (number, hash) in tiles.iter_mut().enumerate() {
            if self.skips(&keys.left, number) {
                *hash = [0xaa; 32];
            }
        }
        Ok(tiles)
    }

    fn fill(&mut self, task: &MemoryTask, keys: &MemoryKeys) -> Result<Hash, Problem> {
        if self.way == Way::NoWalk {
            return self.honest.fill(task, keys);
        }
        let mut labels: Vec<Label> = Vec::new();
        for (layer, lane) in (0..task.depth).flat_map(|y| (0..task.lanes).map(move |x| (y, x))) {
            let number = labels.len();
            let made = if self.way == Way::NoGraph || self.skips(&keys.label, number) {
                *keccak256(number.to_le_bytes())
            } else if layer == 0 {
                first_label(&keys.label, lane)
            } else {
                let at = |at| labels[usize::try_from(task.number(at)).unwrap()];
                let before = at(LabelAt { layer: layer - 1, lane });
                let parents: [Label; PARENTS] =
                    task.parents(LabelAt { layer, lane }, &before).map(at);
                label(&keys.label, &before, &parents)
            };
            labels.push(made);
        }
        Ok(self.filled.insert(Filled::new(labels, keys)).root())
    }

    fn walk(&mut self, task: &MemoryTask, key: &Hash) -> Result<Vec<Hash>, Problem> {
        match &self.filled {
            Some(filled) => {
                Ok((0..task.walks).map(|walk| filled.walk(task, key, walk).unwrap()).collect())
            }
            None => Ok(vec![[0; LABEL_BYTES]; task.walks as usize]),
        }
    }

    fn read(&mut self, task: &MemoryTask, at: LabelAt) -> Result<LabelOpening, Problem> {
        match &self.filled {
            Some(filled) => Ok(filled.read(task, at).unwrap()),
            None => self.honest.read(task, at),
        }
    }
}

/// How many of so many challenges a cheat survives.
fn survives(way: Way, task: Task, tries: u64) -> u64 {
    let survived = |number: &u64| match check(&converse(Cheat::new(way), task, *number)) {
        Ok(()) => true,
        Err(fault) => {
            assert!(fault.is_providers(), "{way:?}: {fault}");
            false
        }
    };
    (0..tries).filter(survived).count().try_into().unwrap()
}

/// Survivors of `tries` at a chance in thousandths, within five standard deviations.
fn expect(way: Way, task: Task, tries: u64, chance: u64) {
    let found = survives(way, task, tries);
    let mean = tries * chance / 1_000;
    let deviation = (tries * chance * (1_000 - chance)).isqrt() / 1_000;
    let band = 5 * deviation + 1;
    assert!(found.abs_diff(mean) <= band, "{way:?}: {found} of {tries}, {mean} +- {band} are due");
}

#[test]
fn a_share_that_is_skipped_is_found_as_often_as_samples_say() {
    // (1 - f)^16.
    let products = Task::Products(PRODUCTS);
    expect(Way::Skips(2), products, 250, 724);
    expect(Way::Skips(10), products, 250, 185);
    expect(Way::Skips(40), products, 250, 0);
}

#[test]
fn a_label_that_is_not_computed_is_found_as_often_as_samples_say() {
    // Only the label itself is wrong: those that depend on it are right about what they depend on. 0.98^16; walks
    // read what is there.
    expect(Way::Skips(2), Task::Memory(MEMORY), 200, 724);
    expect(Way::Skips(10), Task::Memory(MEMORY), 200, 185);
}

#[test]
fn whatever_needs_no_strength_is_found() {
    for (way, task) in [
        (Way::SwapsRows, Task::Products(PRODUCTS)),
        (Way::OneTile, Task::Products(PRODUCTS)),
        (Way::NoGraph, Task::Memory(MEMORY)),
        (Way::NoWalk, Task::Memory(MEMORY)),
    ] {
        assert_eq!(survives(way, task, 30), 0, "{way:?}");
    }
    // The first of four rounds is honest: a quarter of the samples does not see it.
    let rounds = ProductTask { rounds: 4, ..PRODUCTS };
    assert_eq!(survives(Way::OldRound, Task::Products(rounds), 30), 0);
}

#[test]
fn answers_to_another_question_are_not_signed() {
    let short = ProductTask { samples: PRODUCTS.samples - 1, ..PRODUCTS };
    let mut transcript = converse(Reference::default(), Task::Products(PRODUCTS), 1);
    transcript.openings = converse(Reference::default(), Task::Products(short), 1).openings;
    assert!(matches!(check(&transcript), Err(Fault::Unsigned { .. })), "of another question");
}

/// Whether there are ends of walks is signed by nobody, so a change there says nothing about the provider.
#[test]
fn ends_that_anybody_put_in_or_took_out_are_not_the_providers_fault() {
    let mut transcript = converse(Reference::default(), Task::Products(PRODUCTS), 1);
    transcript.ends = Some(tilth_protocol::challenge::Sealed { said: [0; 32], signature: [0; 65] });
    let fault = check(&transcript).unwrap_err();
    assert!(matches!(fault, Fault::Unsigned { .. }) && !fault.is_providers(), "{fault}");
    let mut transcript = converse(Reference::default(), Task::Memory(MEMORY), 1);
    transcript.ends = None;
    let fault = check(&transcript).unwrap_err();
    assert!(matches!(fault, Fault::Unsigned { .. }) && !fault.is_providers(), "{fault}");
}

#[test]
fn an_asker_that_breaks_its_promise_shows_nothing_about_the_provider() {
    let honest = converse(Cheat::new(Way::OneTile), Task::Products(PRODUCTS), 1);
    let mut transcript = honest.clone();
    transcript.secret.0[0] ^= 1;
    assert_eq!(check(&transcript), Err(Fault::Promise));
    let Openings::Products(paths) = &mut transcript.openings.said else { panic!() };
    paths.pop();
    transcript.secret = honest.secret;
    let fault = check(&transcript).unwrap_err();
    assert!(!fault.is_providers(), "{fault}");
}
