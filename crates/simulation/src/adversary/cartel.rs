//! Auditors in one hand.

use alloy_primitives::keccak256;

use super::{AUDITORS, PROVIDERS, TASKS, forging::Forger};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::{AuditorMind, Honest, Question, Reply},
        public::Public,
    },
};

/// Upholds what its friends hand in, knowing it, and is honest otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Upholder;

impl AuditorMind for Upholder {
    fn reply(&mut self, ask: &Question<'_>, _: &Public, _: &mut Random) -> Reply {
        if ask.facts.by_foe { Reply::Say(ask.claimed()) } else { Reply::Honest }
    }
}

/// Says, with all its friends, the same wrong thing about honest work, to have its provider punished.
#[derive(Clone, Copy, Debug)]
pub struct Framer;

impl AuditorMind for Framer {
    fn reply(&mut self, ask: &Question<'_>, _: &Public, _: &mut Random) -> Reply {
        Reply::Say(keccak256(ask.honest()))
    }
}

/// Six auditors with a quarter of the stake uphold two forgers.
pub fn upholding(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    (0..2).for_each(|_| cast.provider(Side::Foe, 200, Forger { permille: 1_000 }));
    (0..6).for_each(|_| cast.auditor(Side::Foe, 12, Upholder));
    cast.allowed.bought_votes = true;
    cast
}

/// Six auditors with a quarter of the stake frame honest providers.
pub fn framing(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    (0..6).for_each(|_| cast.auditor(Side::Foe, 12, Framer));
    cast.allowed.bought_votes = true;
    cast
}

/// Upholds its friends and frames all others.
#[derive(Clone, Copy, Debug)]
pub struct Crowd;

impl AuditorMind for Crowd {
    fn reply(&mut self, ask: &Question<'_>, _: &Public, _: &mut Random) -> Reply {
        Reply::Say(if ask.facts.by_foe { ask.claimed() } else { keccak256(ask.honest()) })
    }
}

/// Eleven auditors with the least stake among four with a hundred times as much. Whoever has the more accounts would have
/// the more votes if nobody were drawn twice.
pub fn crowd(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, 0);
    (0..4).for_each(|_| cast.auditor(Side::Honest, 1_000, Honest));
    (0..2).for_each(|_| cast.provider(Side::Foe, 200, Forger { permille: 1_000 }));
    (0..11).for_each(|_| cast.auditor(Side::Foe, 10, Crowd));
    cast.allowed.bought_votes = true;
    cast
}
