//! Every decision of a provider, as a pure function: `step(event, now) -> effects`.
//!
//! # How
//! An event changes what the machine knows; then one plan is made over everything it knows. The plan
//! only asks for what has not been asked for yet, and remembers the earliest time at which it would
//! decide otherwise ([`Machine::next_wake`]); so there is one timer, and none when there is no work.
//!
//! A job goes `Seen -> Fetching -> Ready`, is calibrated with one task, and is then claimed from. A
//! range of ours goes
//!
//! ```text
//! Held -> Running -> Storing -> Stored -> Submitting -> Submitted -> Settled -> (discarded)
//!   |        | worker died twice             | not ours any more            +--> Rejected -> (discarded)
//!   +--------+--> Releasing -> (gone) <------+
//! ```
//!
//! One that we are the mate of goes `Held -> Running -> Storing -> Kept -> Settled or Rejected`; it is committed to and
//! shown by the keeper around `tilth_client::mates`, and cannot be given back. Should it be lost while it is kept, it is
//! `Held` again.
//!
//! # Invariants (tested over random histories in `properties`)
//! - Nothing is decided before the chain's past is known ([`Event::CaughtUp`]).
//! - A job is claimed from only if it pays the floor, fits our class, has its inputs here and has been
//!   calibrated.
//! - Only ranges that the chain gave us are run; one is never on two slots.
//! - At most two ranges per slot are held or asked for, besides those that we were drawn for.
//! - A range is submitted again only after its submission failed without being carried out.
//! - What was claimed is submitted or given back, unless the chain took it first.
//! - In a job's line we wait only while we would take work of it; what is answered for is not forgotten.
//! - For every line that can draw us a slot is kept from ranges that take long, and what comes of it goes before ranges of
//!   our own.
//! - Without open jobs and unsettled ranges there is no wake-up time.
//! - While the machine rests ([`Event::Rest`]) nothing is claimed, fetched ahead or calibrated. What was
//!   claimed is begun only under [`Rest::Finish`], and then only what cannot be given back for nothing.
//!
//! What it costs to be wrong: the contracts enforce the money side of all of this again.

mod chain_events;
mod clock;
mod effect;
mod event;
mod job;
mod line;
mod long;
mod plan;
mod range;
mod rest;
mod rules;
mod waits;
mod work_events;

#[cfg(test)]
mod audited;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod mated;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::{Amount, JobId, RangeId};

pub use self::{
    effect::{Ask, Effect, Note, Unfit},
    event::{
        ChainEvent, Claim, Commitment, Event, Millis, MoveFailure, Pace, Place, Refusal, Rest,
        RunTrouble, SlotId, Terms, Trouble,
    },
    plan::MAX_FETCHES,
    rules::Rules,
    waits::Wait,
};
use self::{
    job::Job,
    range::{Range, Stage},
};

/// Most ranges in one settling or expiring transaction, as the contract bounds them.
pub const BATCH: usize = 64;

/// Most jobs remembered at a time. More than this are not looked at until others end.
const MAX_JOBS: usize = 4096;

/// Most of them while the past is read.
const MAX_PAST_JOBS: usize = 16 * MAX_JOBS;

/// How long the journal of an audited range is kept at least after its end, milliseconds: as long as its case may be open
/// again.
const FINAL_MS: Millis = tilth_client::audit::FINAL;

/// The provider's mind. See the module's head.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    caught_up: bool,
    draining: bool,
    rest: Option<Rest>,
    crowded: bool,
    jobs: BTreeMap<JobId, Job>,
    ranges: BTreeMap<RangeId, Range>,
    /// Replicated ranges that we answer for.
    duties: BTreeSet<RangeId>,
    /// Whether those of an earlier life are among them.
    duties_known: bool,
    slots: Vec<Slot>,
    /// Counts news after which a refusal may be outdated.
    epoch: u64,
    earned: Amount,
    to_withdraw: Amount,
    withdrawing: bool,
    withdraw_not_before: Millis,
    wake: Option<Millis>,
    /// The time of the last step.
    latest: Millis,
}

/// One slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    work: Work,
    /// The job whose worker is there.
    loaded: Option<JobId>,
    /// Since when it stands still.
    frozen: Option<Millis>,
    /// Whether it was told to stop and has not answered yet.
    leaving: bool,
}

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    Idle,
    /// One task of a job, to measure.
    Calibrating(JobId),
    /// A range, since when.
    Running(RangeId, Millis),
}

/// Sums for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Ranges claimed and not submitted.
    pub held: usize,
    /// Those of them that stand still for as long as the owner has the machine.
    pub still: usize,
    /// Ranges submitted and not settled, and those stored as mates.
    pub unsettled: usize,
    /// Ranges that we are the mate of and that are not stored.
    pub mates: usize,
    /// Lines in which we wait to be drawn.
    pub lines: usize,
    /// Lines that we have left and whose bonds are not free.
    pub bonds: usize,
    /// Jobs that are or may be worked on.
    pub jobs: usize,
    /// Paid by ranges settled since the machine began to follow.
    pub earned: Amount,
    /// Asks, moves in lines and withdrawals that have not been answered yet.
    pub pending: usize,
    /// Whether the disk's share for content is nearly used up, so that no new work is taken.
    pub crowded: bool,
}

impl Machine {
    /// A machine that knows nothing yet.
    pub fn new(rules: Rules) -> Self {
        let slots = vec![
            Slot { work: Work::Idle, loaded: None, frozen: None, leaving: false };
            usize::from(rules.slots)
        ];
        Self {
            rules,
            caught_up: false,
            draining: false,
            rest: None,
            crowded: false,
            jobs: BTreeMap::new(),
            ranges: BTreeMap::new(),
            duties: BTreeSet::new(),
            duties_known: false,
            slots,
            epoch: 0,
            earned: Amount::ZERO,
            to_withdraw: Amount::ZERO,
            withdrawing: false,
            withdraw_not_before: 0,
            wake: None,
            latest: 0,
        }
    }

    /// Takes in what happened and says what to do, in this order.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.note_time(now);
        self.apply(event, now, &mut effects);
        self.wake = None;
        if self.caught_up {
            self.plan(now, &mut effects);
        }
        effects
    }

    /// When to send [`Event::Tick`]; always later than the last `now`. `None`: only news can matter.
    pub fn next_wake(&self) -> Option<Millis> {
        self.wake
    }

    /// What each slot does.
    pub fn work(&self) -> impl Iterator<Item = Work> + '_ {
        self.slots.iter().map(|slot| slot.work)
    }

    /// Jobs whose folder is in use. Everything else on disk is left over from an earlier life.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.keys().copied()
    }

    /// Sums for people, and for deciding when a drain is over.
    pub fn standing(&self) -> Standing {
        let unsettled = |range: &&Range| matches!(range.stage, Stage::Submitted | Stage::Kept);
        Standing {
            held: self.held(),
            still: self.still(),
            unsettled: self.ranges.values().filter(unsettled).count(),
            mates: self.to_be_done(),
            lines: self.lines_at(Place::On),
            bonds: self.lines_at(Place::Left),
            jobs: self.jobs.values().filter(|job| !job.closed && job.unfit.is_none()).count(),
            earned: self.earned,
            pending: self.asks() + self.moves() + usize::from(self.withdrawing),
            crowded: self.crowded,
        }
    }

    /// Ranges that count against the Registry's bound: claimed, not submitted.
    fn held(&self) -> usize {
        self.ranges.values().filter(|range| range.is_held()).count()
    }

    /// Asks that have not been answered.
    fn asks(&self) -> usize {
        self.jobs.values().map(|job| job.asks as usize).sum()
    }

    fn slot_mut(&mut self, slot: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(slot))
    }

    /// Whether `time` has come; if not, the machine wants to be woken then.
    fn is_due(&mut self, time: Millis, now: Millis) -> bool {
        if time <= now {
            return true;
        }
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
        false
    }
}

/// A pause that doubles with every failure in a row: `first`, 2 x `first`, ... at most `most`.
fn pause(first: Millis, failures: u32, most: Millis) -> Millis {
    let doublings = failures.saturating_sub(1).min(20);
    first.saturating_mul(1_u64 << doublings).min(most)
}
