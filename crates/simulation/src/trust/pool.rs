//! What waits to get into a block, who sent it, and what for.

use alloy_primitives::{Address, Bytes};
use tilth_protocol::{JobId, RangeId};
use tilth_provider::machine::Effect;

/// Who sent a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client, by its place in the world.
    Client(usize),
    /// A provider.
    Provider(usize),
    /// An auditor.
    Auditor(usize),
    /// Somebody with no part in anything.
    Stranger,
}

/// What a transaction is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Ends an effect of the sender's machine of audits.
    Audit(RangeId),
    /// The same for its machine of replicas.
    Mate(RangeId),
    /// The same for its machine of kept ranges.
    Hold(RangeId),
    /// What is left of a deposit.
    Close(JobId),
    /// A place on the line of a replicated job, or off it.
    Line(JobId),
    /// A claim.
    Claim(JobId),
    /// Results.
    Submit(RangeId),
    /// Ends an effect of its machine of work, in the life of that number.
    Work(u32, Box<Effect>),
    /// Ends an acknowledgement that its machine of jobs has asked for.
    Acknowledge(JobId),
    /// Ends a `finish` that the same has asked for.
    Finish(JobId),
    /// Payment of ranges.
    Pay(Vec<RangeId>),
    /// Anything else about a job.
    Job(JobId),
    /// Nobody waits for its end.
    Other,
}

/// A transaction that waits to get into a block.
#[derive(Clone, Debug)]
pub struct Tx {
    /// Who sent it.
    pub by: Actor,
    /// From which account.
    pub from: Address,
    /// The contract.
    pub to: Address,
    /// The call.
    pub data: Bytes,
    /// The call's signature.
    pub call: &'static str,
    /// What for.
    pub what: What,
}
