//! A provider that works and then charges for more.

use alloy_primitives::B256;
use tilth_protocol::{Leaf, RangeId};
use tilth_verification::MerkleSum;

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

/// Where it lies.
#[derive(Clone, Copy, Debug)]
pub enum Inflater {
    /// Some leaves claim their cap.
    Leaves,
    /// The range claims more than its leaves add up to.
    Sum,
}

impl ProviderMind for Inflater {
    fn hand_in(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        _: &Public,
        random: &mut Random,
    ) -> Option<HandIn> {
        let honest = HandIn::honest(truth);
        let cap = UNIT_CAP * truth.len() as u64;
        Some(match self {
            Self::Leaves => {
                let mut leaves = honest.leaves;
                for leaf in &mut leaves {
                    if random.below(4) == 0 {
                        leaf.units = UNIT_CAP;
                    }
                }
                HandIn { leaves, ..honest }
            }
            Self::Sum => {
                let root = MerkleSum::build(range.job, truth).map(|tree| tree.root().hash);
                HandIn { instead: Some((root.unwrap_or(B256::ZERO), cap)), ..honest }
            }
        })
    }
}

/// One that lies in its leaves and one that lies in its sum.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Inflater::Leaves);
    cast.provider(Side::Foe, 200, Inflater::Sum);
    cast
}
