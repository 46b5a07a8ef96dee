//! The contracts of tilth as Rust sees them: typed calls, events and errors made from the committed
//! artifacts in `contracts/artifacts`, and the plan that puts them on a chain.
//!
//! No I/O: callers encode calls ([`SolCall::abi_encode`](alloy_sol_types::SolCall)), send them
//! however they like, and decode what comes back.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod bindings;
mod consent;
pub mod deployment;
pub mod state;

pub use bindings::{
    AuditDesk, Auditors, Audits, Bench, Holders, JobBook, JobDesk, JobView, Ledger, ReduceSum,
    Registry, Replicas, SoloRandomness, Spots, Tabs, WGrain, Waiting,
    holders::IHolders::{Ask as HoldAsk, Keep, Prices as HoldPrices},
    job_book::IJobBook::{Job, Pace, Range, Terms},
    registry::IRegistry::{Attributes, Consent, Provider, Standing},
    spots::ISpots::Spot,
    tabs::ITabs::Line as TabLine,
    waiting::IWaiting::Entry as WaitingEntry,
};
pub use consent::consent_digest;
pub use deployment::{Addresses, DeployParams, Step, plan};
pub use state::{
    AuditOutcome, AuditState, EntryState, HoldState, JobState, RangeState, Refusal, ReplicaOutcome,
    ReplicaState, SeatState, SpotState, TermsField,
};
