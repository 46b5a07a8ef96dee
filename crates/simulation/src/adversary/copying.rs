//! Taking what others have published for one's own.

use alloy_primitives::B256;
use tilth_contracts::RangeState;
use tilth_protocol::{Leaf, RangeId};

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, HandIn, ProviderMind, Question, Reply},
        public::Public,
        workload,
    },
};

/// What a provider copies.
#[derive(Clone, Copy, Debug)]
pub enum Copier {
    /// The root of another range.
    Root,
    /// The outputs of the tasks before its own.
    Outputs,
}

impl ProviderMind for Copier {
    fn hand_in(
        &mut self,
        range: RangeId,
        truth: &[Leaf],
        public: &Public,
        _: &mut Random,
    ) -> Option<HandIn> {
        let units = workload::units(truth);
        let other = |leaf: &Leaf| {
            let found = workload::leaf(range.job, leaf.index.wrapping_sub(1));
            Leaf { index: leaf.index, ..found }
        };
        let mut hand_in =
            HandIn { leaves: truth.iter().map(other).collect(), executed: 0, instead: None };
        if let Self::Root = self {
            let roots = public.ranges.iter().filter(|(id, _)| **id != range);
            let known = roots.filter(|(_, found)| {
                !matches!(found.state, RangeState::Claimed) && found.root != B256::ZERO
            });
            hand_in.instead = known.map(|(_, found)| (found.root, units)).next();
        }
        Some(hand_in)
    }
}

/// An auditor that waits for another's commitment and sends it as its own.
#[derive(Clone, Copy, Debug)]
pub struct Parrot;

impl AuditorMind for Parrot {
    fn reply(&mut self, ask: &Question<'_>, public: &Public, _: &mut Random) -> Reply {
        public
            .seals
            .get(&ask.range)
            .and_then(|seals| seals.last())
            .map_or(Reply::Later, |seal| Reply::Copy(*seal))
    }
}

/// A provider of each kind.
pub fn provider(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Copier::Root);
    cast.provider(Side::Foe, 200, Copier::Outputs);
    cast
}

/// Three such auditors, in a job whose ranges have two auditors each.
pub fn auditor(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.clients[0].price = 10;
    cast.providers.iter_mut().for_each(|provider| provider.stake *= 10);
    (0..3).for_each(|_| cast.auditor(Side::Foe, 25, Parrot));
    cast
}
