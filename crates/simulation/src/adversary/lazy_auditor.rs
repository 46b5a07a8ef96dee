//! Auditors that do not execute.

use alloy_primitives::{B256, U256};

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, Question, Reply},
        public::Public,
    },
};

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

/// Four auditors among honest ones, one of each kind.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    for mind in Sleeper::ALL {
        cast.auditor(Side::Foe, 25, mind);
    }
    cast.allowed.idle_votes = true;
    cast
}
