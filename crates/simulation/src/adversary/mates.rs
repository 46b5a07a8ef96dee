//! Mates that do what they wait for, and mates that do not. As primaries all keep to the rules.

use tilth_client::mates::Role;
use tilth_protocol::{JobId, Leaf, RangeId};

use super::{forging::forge, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::{Job, Public},
        scene::Handed,
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
}

impl ProviderMind for Mate {
    fn replicate(
        &mut self,
        _: RangeId,
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

/// One with seven tenths of the bonds.
pub fn squatting(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    cast.mate(Side::Foe, 1_000, 560, Squatter);
    cast
}
