//! A producer of blocks that leaves things out, puts them into an order of its own, or makes blocks anew.

use tilth_client::audit::Millis;

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast,
        mind::Proposer,
        scene::{Actor, Tx},
    },
};

/// Who came last comes first.
#[derive(Clone, Copy, Debug)]
pub struct Backwards;

impl Proposer for Backwards {
    fn take(&mut self, pool: &mut Vec<Tx>, _: Millis, _: &mut Random) -> Vec<Tx> {
        pool.drain(..).rev().collect()
    }
}

/// Leaves somebody out for some time, then somebody else. Not for so long that a deadline passes: against who keeps
/// somebody out for half an hour nothing here helps.
#[derive(Clone, Copy, Debug)]
pub struct Censor {
    victim: Actor,
    until: Millis,
    free_until: Millis,
}

impl Default for Censor {
    fn default() -> Self {
        Self { victim: Actor::Stranger, until: 0, free_until: 0 }
    }
}

/// Longest time that somebody is left out, milliseconds: less than a range may take, and less than the
/// half hour of naming.
const LONGEST: Millis = 300_000;

impl Proposer for Censor {
    fn take(&mut self, pool: &mut Vec<Tx>, now: Millis, random: &mut Random) -> Vec<Tx> {
        if now >= self.free_until {
            let number = |of: usize, random: &mut Random| {
                usize::try_from(random.below(of as u64)).unwrap_or(0)
            };
            self.victim = match random.below(3) {
                0 => Actor::Client(0),
                1 => Actor::Provider(number(PROVIDERS + 1, random)),
                _ => Actor::Auditor(number(AUDITORS, random)),
            };
            self.until = now + random.below(LONGEST);
            self.free_until = self.until + 60_000;
        }
        let censored = |tx: &Tx| tx.by == self.victim && now < self.until;
        let (kept, mut taken): (Vec<Tx>, Vec<Tx>) = pool.drain(..).partition(censored);
        *pool = kept;
        random.shuffle(&mut taken);
        taken
    }
}

/// Takes its last blocks back, again and again: all that was in them comes once more, in another order, and beacons are others.
/// Not more blocks than people wait for before they believe what they see: against who takes back more, nothing here helps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reorganiser {
    free_from: Millis,
}

/// Blocks that a [`Reorganiser`] takes back at most.
const REACH: u64 = 2;
/// Least time between two times that it does so, milliseconds: what was taken back is in the chain for good before the next
/// time, or nobody could be on time.
const REST: Millis = 30_000;

impl Proposer for Reorganiser {
    fn take(&mut self, pool: &mut Vec<Tx>, _: Millis, random: &mut Random) -> Vec<Tx> {
        let mut taken = std::mem::take(pool);
        random.shuffle(&mut taken);
        taken
    }

    fn reach(&self) -> u64 {
        REACH
    }

    fn takes_back(&mut self, now: Millis, random: &mut Random) -> u64 {
        if now < self.free_from {
            return 0;
        }
        self.free_from = now + REST + random.below(REST);
        1 + random.below(REACH)
    }
}

/// Honest people on a chain with a censor.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS + 1, AUDITORS);
    cast.proposer = Box::new(Censor::default());
    cast
}

/// Honest people on a chain that reorganises.
pub fn reorganising(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS + 1, AUDITORS);
    cast.proposer = Box::new(Reorganiser::default());
    cast
}
