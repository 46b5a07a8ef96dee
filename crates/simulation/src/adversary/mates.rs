//! Mates that do what they wait for, and mates that do not. As primaries all keep to the rules.

use alloy_primitives::B256;
use tilth_client::mates::Role;
use tilth_protocol::{JobId, Leaf, RangeId};
use tilth_verification::MerkleSum;

use super::{forging::forge, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::{Job, Public},
        scene::Handed,
        workload::units,
    },
};

/// Means well, and claims nothing: it is there to be a mate.
#[derive(Clone, Copy, Debug)]
pub struct Standby;

impl ProviderMind for Standby {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        false
    }
}

/// What a mate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mate {
    /// Commits to its primary's seal, and shows what that shows.
    Copies,
    /// Never commits.
    Absent,
    /// Commits, and shows nothing.
    Silent,
    /// Makes everything up, so that its primary has another root.
    Frames,
    /// Makes a leaf up, and goes down with its primary as long as the walk is at nodes above this level.
    Stops(u32),
    /// Finds what there is to be found, and says that it cost a unit more.
    Inflates,
}

impl ProviderMind for Mate {
    fn replicate(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        _: &Handed,
        random: &mut Random,
    ) -> Option<HandIn> {
        let honest = HandIn::honest(truth);
        match self {
            Self::Copies => Some(HandIn { executed: 0, ..honest }),
            Self::Absent => None,
            Self::Silent => Some(honest),
            Self::Frames => Some(forge(truth, 1_000, random)),
            Self::Stops(_) => Some(forge(truth, 0, random)),
            Self::Inflates => {
                let root = MerkleSum::build(range.job, truth).map(|tree| tree.root().hash);
                let declared = (root.unwrap_or(B256::ZERO), units(truth) + 1);
                Some(HandIn { instead: Some(declared), ..honest })
            }
        }
    }

    fn walks(&self, level: u32) -> bool {
        match self {
            Self::Stops(lowest) => level > *lowest,
            _ => true,
        }
    }

    fn copies(&self) -> bool {
        *self == Self::Copies
    }

    fn shows(&self, _: RangeId, role: Role, _: &Public) -> bool {
        role == Role::Primary || *self != Self::Silent
    }
}

/// Has most of a job's bonds, does nothing for it, and is always there again.
#[derive(Clone, Copy, Debug)]
pub struct Squatter;

impl ProviderMind for Squatter {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        false
    }

    fn comes_back(&self) -> bool {
        true
    }

    fn replicate(&mut self, _: RangeId, _: &[Leaf], _: &Handed, _: &mut Random) -> Option<HandIn> {
        None
    }
}

fn two(mind: Mate) -> Cast {
    let mut cast = replicated(40);
    (0..2).for_each(|_| cast.mate(Side::Foe, 200, 40, mind));
    cast
}

/// Two that copy.
pub fn copying(_: &mut Random) -> Cast {
    two(Mate::Copies)
}

/// Two that are absent.
pub fn absent(_: &mut Random) -> Cast {
    two(Mate::Absent)
}

/// Two that are silent.
pub fn silent(_: &mut Random) -> Cast {
    two(Mate::Silent)
}

/// Two that frame.
pub fn framing(_: &mut Random) -> Cast {
    two(Mate::Frames)
}

/// Two that stop at once, on the way, or before they show their leaf.
pub fn stopping(random: &mut Random) -> Cast {
    two(Mate::Stops(match random.below(3) {
        0 => u32::MAX,
        1 => 3,
        _ => 0,
    }))
}

/// Two that inflate.
pub fn inflating(_: &mut Random) -> Cast {
    two(Mate::Inflates)
}

/// One with seven tenths of the bonds.
pub fn squatting(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    cast.mate(Side::Foe, 1_000, 560, Squatter);
    cast
}
