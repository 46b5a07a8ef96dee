//! What the machine wants done. An actor does it; nothing here happens by itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use tilth_protocol::{Amount, JobId, Price, RangeId};

use super::event::{Commitment, Millis, SlotId};

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Fetch spec, program and inputs, check and compile them.
    /// First ask whether there is anything to be had, unless ranges of it are ours already.
    /// Ends with `Fetched`, `FetchRefused` or `FetchFailed`.
    Fetch {
        /// The job.
        job: JobId,
        /// Whether ranges of it are ours already, from an earlier life.
        holds: bool,
        /// To be given back with a refusal.
        epoch: u64,
    },
    /// Leave a fetch off: the owner wants processor and memory. What was stored of it is kept. Ends the fetch
    /// with `FetchFailed` and [`Trouble::Aborted`](super::Trouble::Aborted), unless its own event was quicker.
    StopFetch {
        /// The job.
        job: JobId,
    },
    /// Load the job on a slot and run one task, keeping its result for the day it is claimed.
    /// Ends with `Calibrated` or `RunFailed`.
    Calibrate {
        /// A free slot.
        slot: SlotId,
        /// The job.
        job: JobId,
        /// The task.
        index: u32,
    },
    /// Ask the chain for a range. Ends with `Claimed` or `ClaimRefused`.
    Claim(Ask),
    /// Run what the range's journal does not hold yet.
    /// Ends with `RangeComplete` or `RunFailed`.
    Run {
        /// A free slot.
        slot: SlotId,
        /// The range.
        range: RangeId,
        /// First task.
        from: u32,
        /// Number of tasks.
        count: u32,
        /// Silence of the worker longer than this is taken for its death.
        silence_ms: u64,
    },
    /// Stop what a slot runs. The slot still ends with its own event.
    Abort {
        /// The slot.
        slot: SlotId,
    },
    /// Let what a slot runs stand still; the time does not count as its silence.
    Freeze {
        /// The slot.
        slot: SlotId,
    },
    /// Let it go on. The slot may have become idle meanwhile.
    Thaw {
        /// The slot.
        slot: SlotId,
    },
    /// End a slot's worker, which has no more to do.
    Unload {
        /// The slot.
        slot: SlotId,
    },
    /// Hash the leaves, write the manifest, pin the outputs. Ends with `Stored` or `StoreFailed`.
    Store {
        /// The range.
        range: RangeId,
        /// First task.
        from: u32,
        /// Number of tasks.
        count: u32,
    },
    /// Submit a range and, in the same transaction, ask for another.
    /// Ends with `Submitted` or `SubmitFailed`; the ask ends with its own event, after that.
    Submit {
        /// The range.
        range: RangeId,
        /// What to say.
        commitment: Commitment,
        /// The ask.
        ask: Option<Ask>,
    },
    /// Give a range back. Ends with `Released` or `ReleaseFailed`, or with `Submitted` if it was delivered before.
    Release {
        /// The range.
        range: RangeId,
    },
    /// Wait in a job's line to be drawn as mate. Ends with `Moved`.
    Wait {
        /// The job.
        job: JobId,
        /// The bond, if half of our room is as much.
        bond: Amount,
        /// Least price of a unit.
        min_price: Price,
    },
    /// Leave a job's line, or have the bond back if we have left. Ends with `Moved`.
    Leave {
        /// The job.
        job: JobId,
    },
    /// What was found in a range that we are the mate of: it is stored, and can be committed to.
    Found {
        /// The range.
        range: RangeId,
        /// First task.
        from: u32,
        /// Number of tasks.
        count: u32,
        /// What was found.
        commitment: Commitment,
    },
    /// Have ranges paid whose window is over. Ends with `SettleEnded`.
    Settle {
        /// The job.
        job: JobId,
        /// Ranges of ours, at most [`BATCH`](super::BATCH).
        seqs: Vec<u32>,
    },
    /// Take ranges from those who did not deliver. Ends with `ExpireEnded`.
    Expire {
        /// The job.
        job: JobId,
        /// Ranges of others, at most [`BATCH`](super::BATCH).
        seqs: Vec<u32>,
    },
    /// Move what was earned to the owner's wallet. Ends with `WithdrawEnded`.
    Withdraw,
    /// Stop serving a range and delete its journal.
    Discard {
        /// The range.
        range: RangeId,
    },
    /// Stop serving a job's inputs and delete its folder.
    Forget {
        /// The job.
        job: JobId,
        /// Until then it stays open to others, and to us with another configuration; 0 if it is over.
        until: Millis,
    },
    /// Something people may want to read.
    Note(Note),
}

/// A question to the chain: may we have a range of this job?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The job.
    pub job: JobId,
    /// Most tasks we want, at least 1.
    pub want: u32,
    /// Least price we accept.
    pub min_price: Price,
    /// To be given back with a refusal, so that news that crossed it is not slept through.
    pub epoch: u64,
}

/// Something people may want to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A job is left alone.
    Ignored {
        /// The job.
        job: JobId,
        /// Why.
        why: Unfit,
    },
    /// A range of ours was taken from us.
    Lost {
        /// The range.
        range: RangeId,
    },
    /// A range of ours was rejected by its audit.
    Rejected {
        /// The range.
        range: RangeId,
    },
    /// A range of ours is given back.
    GaveUp {
        /// The range.
        range: RangeId,
        /// Times its worker died.
        deaths: u32,
    },
    /// A range of ours is given back, for the owner has had the machine for too long.
    TooLate {
        /// The range.
        range: RangeId,
    },
    /// A range that we are the mate of is not done.
    Missed {
        /// The range.
        range: RangeId,
    },
    /// The stake does not cover one task of a job although nothing else is unsettled.
    StakeTooLow {
        /// The job.
        job: JobId,
    },
}

/// Why a job is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unfit {
    /// It pays less per unit than the floor.
    Price,
    /// It asks for a device class we do not have.
    Class,
    /// It asks for more graphics memory than we have.
    Vram,
    /// It waits for another job.
    Chained,
    /// It is a GPU program and its ranges are audited: bits that another device computes otherwise would cost the stake.
    Audited,
    /// Its program or inputs cannot be used.
    Inputs,
    /// On this machine its price does not pay for the electricity.
    Power,
    /// One task takes this machine longer than a range may take.
    TooSlow,
    /// Its tasks keep killing the worker.
    Deadly,
    /// The chain says so.
    Chain,
}

impl fmt::Display for Unfit {
    /// For a list: "3 jobs: ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Price => "they pay less than `price-floor`",
            Self::Class => "they ask for a class that this machine has not proved",
            Self::Vram => "they ask for more graphics memory than this machine has proved",
            Self::Chained => "they wait for another job",
            Self::Audited => "they are GPU programs whose ranges are audited",
            Self::Inputs => "their program or inputs cannot be used here",
            Self::Power => "they do not pay for the electricity",
            Self::TooSlow => "one task takes this machine longer than a range may take",
            Self::Deadly => "their tasks keep killing the worker",
            Self::Chain => "the contract gives this provider none of them",
        })
    }
}
