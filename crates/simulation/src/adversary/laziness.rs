//! Providers and auditors that do not execute.

use alloy_primitives::{B256, U256};
use tilth_protocol::{Leaf, RangeId, Status};

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, HandIn, ProviderMind, Question, Reply},
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

/// What an auditor that does not execute does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleeper {
    /// Commits to anything.
    Guesses,
    /// Commits, in later stages to what was answered before, and shows nothing if there was nothing.
    Follows,
    /// Commits to anything and does not show it.
    Silent,
    /// Does not come.
    Absent,
}

impl Sleeper {
    /// One of each kind.
    pub const ALL: [Self; 4] = [Self::Guesses, Self::Follows, Self::Silent, Self::Absent];
}

impl AuditorMind for Sleeper {
    fn reply(&mut self, ask: &Question<'_>, public: &Public, random: &mut Random) -> Reply {
        let guess = B256::from(U256::from(random.next_u64()));
        let before = public.answers.get(&ask.range).and_then(|answers| answers.first()).copied();
        match self {
            Self::Guesses | Self::Silent => Reply::Say(guess),
            Self::Follows => Reply::Say(before.unwrap_or(guess)),
            Self::Absent => Reply::Never,
        }
    }

    fn reveals(&self) -> bool {
        !matches!(self, Self::Silent)
    }
}

/// Two providers that execute nothing, in a job that stops after some failures.
pub fn provider(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.provider(Side::Foe, 200, Idler::Zeros);
    cast.provider(Side::Foe, 200, Idler::Traps);
    cast.clients[0].max_failures = TASKS / 6;
    cast
}

/// Four auditors among honest ones, one of each kind.
pub fn auditor(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    for mind in Sleeper::ALL {
        cast.auditor(Side::Foe, 25, mind);
    }
    cast.allowed.idle_votes = true;
    cast
}
