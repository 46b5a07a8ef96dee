//! A mate that is an auditor, too, under the same account: it makes up what it finds, and would vote for that in the
//! dispute that follows. In all else it keeps to the rules.

use tilth_verification::audit::answer;

use super::{colluding::next_number, forging::forge, mates::Mate, replicated};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, Question, Reply},
        public::Public,
    },
};

/// The auditor.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// Its number as a provider.
    pub mate: u32,
}

impl AuditorMind for Judge {
    fn reply(&mut self, ask: &Question<'_>, public: &Public, random: &mut Random) -> Reply {
        let replica = public.replicas.get(&ask.range);
        if replica.is_none_or(|replica| replica.over || replica.mate != self.mate) {
            return Reply::Honest;
        }
        // What it has made up as a mate.
        Reply::Say(answer(ask.range.job, &forge(&ask.truth, 1_000, random).leaves))
    }
}

/// One with two thirds of the bonds that others' ranges are drawn from, and half of the auditors' stake.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = replicated(40);
    let (place, mate) = (cast.providers.len(), next_number(&cast));
    cast.mate(Side::Foe, 1_000, 400, Mate::Frames);
    cast.auditor(Side::Foe, 225, Judge { mate });
    if let Some(plan) = cast.auditors.last_mut() {
        plan.account_of = Some(place);
    }
    cast
}
