//! Griefing challengers: mates that contest every range they are drawn for, all of which are right, and do nothing else.
//! It is to cost others time: they make each move at the last moment, down to the leaf on which auditors vote.
//!
//! Only a mate can challenge a leaf. That anybody with a bond can comes with the referee.

use tilth_client::mates::Role;
use tilth_protocol::{JobId, Leaf, RangeId};

use super::{mates::Mate, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::{Job, Public},
        scene::Handed,
    },
};

/// How many there are.
pub const CHALLENGERS: u32 = 2;
/// Stake of each, GRAIN: what the first dispute that it loses takes.
pub const STAKE: u128 = 400;

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Challenger;

impl ProviderMind for Challenger {
    fn wants(&mut self, _: JobId, _: &Job, _: &Public) -> bool {
        false
    }

    // As long as it has something to lose.
    fn comes_back(&self) -> bool {
        true
    }

    fn replicate(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        handed: &Handed,
        random: &mut Random,
    ) -> Option<HandIn> {
        Mate::Frames.replicate(range, truth, handed, random)
    }

    // So that it is drawn for as many ranges as it may have open before one of them costs it its stake.
    fn holds_back(&self, _: RangeId, role: Role, _: &Public) -> bool {
        role == Role::Mate
    }

    fn walks_late(&self) -> bool {
        true
    }
}

/// Beside honest people, with two thirds of the bonds that their ranges' mates are drawn from.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    (0..CHALLENGERS).for_each(|_| cast.mate(Side::Foe, STAKE, STAKE / 2, Challenger));
    cast
}
