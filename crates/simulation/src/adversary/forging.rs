//! A provider that makes results up.

use tilth_protocol::{Leaf, RangeId, Status};

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::Public,
        workload::units,
    },
};

/// Makes up some leaves of every range, with units that nobody could tell from true ones.
#[derive(Clone, Copy, Debug)]
pub struct Forger {
    /// Of a thousand leaves; at least one of each range.
    pub permille: u32,
}

impl ProviderMind for Forger {
    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        Some(forge(truth, self.permille, random))
    }
}

/// The truth with some leaves made up instead of executed.
pub fn forge(truth: &[Leaf], permille: u32, random: &mut Random) -> HandIn {
    let count = truth.len() * usize::try_from(permille).unwrap_or(1_000) / 1_000;
    let mut places: Vec<usize> = (0..truth.len()).collect();
    random.shuffle(&mut places);
    places.truncate(count.max(1));
    let mut leaves = truth.to_vec();
    for place in places {
        let leaf = &mut leaves[place];
        *leaf = match leaf.status {
            Status::Ok => Leaf { output: leaf.output.map(|byte| !byte), ..*leaf },
            _ => Leaf::finished(leaf.index, b"made up", leaf.units),
        };
    }
    let right = leaves.iter().zip(truth).filter(|(said, is)| said == is);
    let executed = units(&right.map(|(_, is)| *is).collect::<Vec<_>>());
    HandIn { leaves, executed, instead: None }
}

fn cast(permille: u32) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Forger { permille });
    cast.provider(Side::Foe, 200, Forger { permille });
    cast
}

/// One leaf of every range.
pub fn one_leaf(_: &mut Random) -> Cast {
    cast(0)
}

/// A tenth of all leaves.
pub fn tenth(_: &mut Random) -> Cast {
    cast(100)
}

/// All leaves.
pub fn everything(_: &mut Random) -> Cast {
    cast(1_000)
}
