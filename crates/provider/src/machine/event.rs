//! What the machine is told: by the chain, by its own effects as they end, and by the clock.
//!
//! Every effect that can end is answered by exactly one event named in the effect's documentation.
//! Chain events may repeat what an answer already said, in any order: both are idempotent.

use alloy_primitives::{Address, B256};
use tilth_protocol::{Amount, Clock, ContentHash, JobId, Price, RangeId};

/// Milliseconds of Unix time. The machine never reads a clock.
pub type Millis = u64;

/// One of the provider's slots, counted from 0.
pub type SlotId = u16;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The chain's past has been replayed up to its head. Decisions start here.
    CaughtUp,
    /// A log of the contracts.
    Chain(ChainEvent),
    /// Spec, program and inputs of a job are here, checked and compiled.
    Fetched {
        /// The job.
        job: JobId,
    },
    /// They were not fetched, for the chain would not give us a range now.
    FetchRefused {
        /// The job.
        job: JobId,
        /// The epoch of the effect.
        epoch: u64,
        /// Why.
        why: Refusal,
    },
    /// They are not here.
    FetchFailed {
        /// The job.
        job: JobId,
        /// What to do about it.
        trouble: Trouble,
    },
    /// A slot ran one task of a job it does not hold yet.
    Calibrated {
        /// The slot, free again.
        slot: SlotId,
        /// The job.
        job: JobId,
        /// What was measured.
        pace: Pace,
    },
    /// The chain gave us a range. Ends one ask.
    Claimed {
        /// The range and its extent.
        claim: Claim,
    },
    /// The chain gave us nothing. Ends one ask.
    ClaimRefused {
        /// The job asked about.
        job: JobId,
        /// The epoch of the ask.
        epoch: u64,
        /// Why.
        why: Refusal,
    },
    /// Every leaf of a range is in its journal and every output in the store.
    RangeComplete {
        /// The slot, free again.
        slot: SlotId,
        /// The range.
        range: RangeId,
        /// What was measured, if anything had to be run.
        pace: Option<Pace>,
    },
    /// A slot stopped before it was done, whether it ran a range or a calibration.
    RunFailed {
        /// The slot, free again.
        slot: SlotId,
        /// Leaves that the range's journal holds now.
        done: u32,
        /// Why.
        trouble: RunTrouble,
    },
    /// A range's outputs are committed to and ready to be served.
    Stored {
        /// The range.
        range: RangeId,
        /// What goes on chain.
        commitment: Commitment,
    },
    /// They could not be stored.
    StoreFailed {
        /// The range.
        range: RangeId,
        /// Whether leaves are missing or cannot be true, so that the range must be run again.
        /// Otherwise (disk full, store closed) storing is tried again.
        lost: bool,
    },
    /// The chain has our submission.
    Submitted {
        /// The range.
        range: RangeId,
        /// When, by the chain's clock.
        at: Millis,
    },
    /// It has not.
    SubmitFailed {
        /// The range.
        range: RangeId,
        /// Why.
        why: MoveFailure,
    },
    /// The chain took the range back.
    Released {
        /// The range.
        range: RangeId,
    },
    /// It did not.
    ReleaseFailed {
        /// The range.
        range: RangeId,
        /// Why.
        why: MoveFailure,
    },
    /// An attempt to settle has ended; what settled is told by chain events.
    SettleEnded {
        /// The job.
        job: JobId,
        /// Whether the transaction was carried out; what was not due yet, or done by somebody else, counts as not.
        done: bool,
    },
    /// An attempt to expire others' ranges has ended; what expired is told by chain events.
    ExpireEnded {
        /// The job.
        job: JobId,
        /// Whether the transaction was carried out; what was not due yet, or done by somebody else, counts as not.
        done: bool,
    },
    /// An attempt to withdraw earnings has ended.
    WithdrawEnded {
        /// Whether the money arrived.
        done: bool,
    },
    /// What the owner has free in the Ledger, whatever it came in for.
    FreeSeen {
        /// All of it.
        free: Amount,
    },
    /// The time that [`Machine::next_wake`](super::Machine::next_wake) named has come.
    Tick,
    /// Take no more work; finish what was begun.
    Drain,
    /// The owner needs the machine, or (`None`) does not need it any more.
    Rest(Option<Rest>),
    /// The disk's share for content is nearly used up, or is not any more.
    Crowded(bool),
    /// We are the mate of a range, which is to be run and stored. Repeated until it is.
    Drawn {
        /// The range and its extent; the time is that of the telling.
        claim: Claim,
        /// After that it is of no use.
        due: Millis,
    },
    /// What we have kept of a range that we are the mate of is not here any more, and is needed: it is to be run again.
    KeptLost {
        /// The range.
        range: RangeId,
        /// After that it is of no use.
        due: Millis,
    },
    /// We answer for a replicated range, as its provider or as its mate, so what is here of it must stay.
    Duty {
        /// The range.
        range: RangeId,
    },
    /// We do not any more.
    DutyOver {
        /// The range.
        range: RangeId,
    },
    /// All duties that an earlier life has left have been told.
    DutiesKnown,
    /// An attempt to come to another place in a job's line has ended.
    Moved {
        /// The job.
        job: JobId,
        /// Where we are; `None`: it failed.
        place: Option<Place>,
    },
}

/// Where we are in the line of those who wait to be drawn as mates in a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere, and nothing is bound to it.
    #[default]
    Off,
    /// On the line, or off it only as long as we do what we were drawn for.
    On,
    /// Off the line; ranges of before can draw us for a while, and the bond stays as long.
    Left,
}

/// What happens to work while the owner has the machine. No work is taken in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It stands still; when it would not be done in time any more it is given back.
    Freeze,
    /// What runs is finished; what was not begun is given back as far as that is free.
    Finish,
    /// It is stopped and given back.
    Release,
}

/// A log of the contracts, as far as a provider cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainEvent {
    /// A job was opened.
    Opened {
        /// The job.
        job: JobId,
        /// Its terms.
        terms: Terms,
    },
    /// A job got more money.
    ToppedUp {
        /// The job.
        job: JobId,
    },
    /// Somebody, perhaps we, was given a range.
    Claimed {
        /// Who: the owner account.
        provider: Address,
        /// What.
        claim: Claim,
    },
    /// A range was submitted.
    Submitted {
        /// The range.
        range: RangeId,
        /// When.
        at: Millis,
    },
    /// A range was given back.
    Released {
        /// The range.
        range: RangeId,
    },
    /// A range was taken back.
    Expired {
        /// The range.
        range: RangeId,
    },
    /// A range's results do not count, by the verdict of its audit. Its tasks go out again.
    Rejected {
        /// The range.
        range: RangeId,
    },
    /// A range was paid.
    Settled {
        /// The range.
        range: RangeId,
        /// To the provider's owner, after fees.
        paid: Amount,
    },
    /// The second part of a replicated range's money was given out.
    MatePaid {
        /// The range.
        range: RangeId,
        /// The mate's owner; zero if nobody has earned it.
        provider: Address,
        /// To that owner, after fees.
        paid: Amount,
    },
    /// Our place in a job's line has changed.
    Line {
        /// The job.
        job: JobId,
        /// Where we are.
        place: Place,
    },
    /// Too many tasks have failed: no more claims on this job. Of an audited one the failures may turn out to be made up.
    Draining {
        /// The job.
        job: JobId,
    },
    /// The failures of rejected ranges do not count any more: a draining job gives out ranges again.
    Reopened {
        /// The job.
        job: JobId,
    },
    /// No more claims on this job: cancelled, or all settled.
    Closed {
        /// The job.
        job: JobId,
    },
}

/// The terms of a job that the machine decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Number of tasks.
    pub task_count: u32,
    /// Price of one unit; on the clock the most it can be.
    pub price: Price,
    /// The clock, and when it began, if the price is not posted.
    pub clock: Option<(Clock, Millis)>,
    /// How long a submission can be challenged.
    pub window_ms: u64,
    /// How long a range may take before anyone may expire it.
    pub range_timeout_ms: u64,
    /// No claims after this.
    pub deadline: Millis,
    /// Device class bits that a provider must have.
    pub required_class: u64,
    /// Graphics memory that a provider must have.
    pub min_vram_mib: u32,
    /// Whether the job waits for another one, which this version does not serve.
    pub chained: bool,
    /// Whether ranges are handed in as seals and done by a second provider, too.
    pub replicated: bool,
    /// Most units of a task.
    pub unit_cap: u64,
    /// Most units of a range's prepare phase.
    pub prepare_cap: u64,
    /// How long a range is meant to take.
    pub target_ms: u64,
    /// Tasks in a first range.
    pub first_range: u32,
    /// Whether submitted ranges are audited; then they are paid later, and can be rejected.
    pub audited: bool,
}

/// A range as it was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The range.
    pub range: RangeId,
    /// First task.
    pub from: u32,
    /// Number of tasks, at least 1.
    pub count: u32,
    /// When, by the chain's clock.
    pub at: Millis,
}

/// What goes on chain for a finished range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Top of the Merkle-sum tree.
    pub root: B256,
    /// Units of all leaves together.
    pub units: u64,
    /// Leaves that are not `Ok`.
    pub failures: u32,
    /// The hash sequence of manifest and outputs.
    pub content: ContentHash,
}

/// A measurement of this machine on this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tasks measured, at least 1.
    pub tasks: u32,
    /// Their units together.
    pub units: u64,
    /// Their time together on one slot.
    pub micros: u64,
    /// Time to load the program and run its prepare phase; 0 if it was loaded already.
    pub load_micros: u64,
}

/// Why something outside the chain failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may work later: peers away, disk full, chain down.
    Passing,
    /// It will never work: hash or terms disagree, not admitted, larger than our limits.
    Lasting,
    /// We left it off, by [`Effect::StopFetch`](super::Effect::StopFetch).
    Aborted,
}

/// Why a slot stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTrouble {
    /// The worker died, fell silent, used too much memory or spoke nonsense.
    Worker,
    /// Something of ours failed: disk full, store closed, no process could be started.
    Local,
    /// We stopped it, by [`Effect::Abort`](super::Effect::Abort).
    Aborted,
}

/// Why the chain gives us no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All tasks are given out.
    NoWork,
    /// The escrow does not pay for one more task.
    NoFunds,
    /// Our unsettled work is worth as much as our stake covers.
    Exposure,
    /// The job takes no more claims.
    Closed,
    /// We lack something that the job asks for.
    Unfit,
    /// The price in force is below what we asked for; on the clock that can change.
    Price,
    /// It is a kept job, and auditors do not hold its inputs yet: before that nobody gets a range of it.
    Unheld,
    /// We are paused, unknown, hold too many ranges, or the chain could not be asked.
    Later,
}

/// Why a move about one of our ranges was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveFailure {
    /// The range is not ours any more.
    Gone,
    /// The chain could not be asked, or the answer is not known.
    Later,
    /// The chain refuses what we say about this range, for good.
    Refused,
}
