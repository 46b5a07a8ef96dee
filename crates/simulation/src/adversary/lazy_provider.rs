//! Providers that do not execute.

use tilth_protocol::{Leaf, RangeId, Status};

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{HandIn, ProviderMind},
        public::Public,
        workload::UNIT_CAP,
    },
};

/// What it says without having looked.
#[derive(Clone, Copy, Debug)]
pub enum Idler {
    /// All came to nothing, at the average price.
    Zeros,
    /// All trapped, which is charged at the cap and may stop the job.
    Traps,
}

impl ProviderMind for Idler {
    fn hand_in(
        &mut self,
        _: RangeId,
        truth: &[Leaf],
        _: &Public,
        _: &mut Random,
    ) -> Option<HandIn> {
        let made_up = |leaf: &Leaf| match self {
            Self::Zeros => Leaf::finished(leaf.index, &[0; 32], UNIT_CAP / 2),
            Self::Traps => Leaf::failed(leaf.index, Status::Trap, UNIT_CAP),
        };
        let leaves = truth.iter().map(made_up).collect();
        Some(HandIn { leaves, executed: 0, instead: None })
    }
}

/// Two providers that execute nothing, in a job that stops after some failures.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Idler::Zeros);
    cast.provider(Side::Foe, 200, Idler::Traps);
    cast.clients[0].max_failures = TASKS / 6;
    cast
}
