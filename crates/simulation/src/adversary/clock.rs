//! Wrong clocks: a producer of blocks that writes a time ahead of its own, and honest people whose
//! machines are hours off.

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{Cast, mind::Proposer},
};

/// Most seconds that a block is ahead: what nodes of a chain bear of each other is less.
const MOST_AHEAD: u64 = 60;
/// Most hours that somebody's own clock is off.
const HOURS: i64 = 48;

/// Writes any time up to [`MOST_AHEAD`] too late.
#[derive(Clone, Copy, Debug)]
pub struct Liar;

impl Proposer for Liar {
    fn stamp(&mut self, now: u64, random: &mut Random) -> u64 {
        now + random.below(MOST_AHEAD + 1)
    }
}

/// Honest people with wrong clocks, on a chain with one.
pub fn cast(random: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS + 1, AUDITORS);
    let mut skew = || {
        let hours = i64::try_from(random.below(97)).unwrap_or(0) - HOURS;
        hours * 3_600_000
    };
    cast.clients.iter_mut().for_each(|client| client.skew = skew());
    cast.providers.iter_mut().for_each(|provider| provider.skew = skew());
    cast.auditors.iter_mut().for_each(|auditor| auditor.skew = skew());
    cast.proposer = Box::new(Liar);
    cast
}
