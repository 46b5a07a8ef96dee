//! The provider: the agent that offers a machine, claims ranges of jobs, has them run in the sandbox,
//! submits what came out, serves it, and is paid.
//!
//! Decisions are in [`machine`], a pure state machine, and what the chain says comes to it in [`words`]; everything else
//! carries out what it says:
//! `agent` (the loop), `chain` (moves), `fetch` and `compile` (getting jobs ready), `slot` and `hand`
//! (running ranges in workers), [`journal`] and `store` (results), `enroll` (registration and stake),
//! `openings` (the provider's part in audits of its ranges), `mates` and `line` (that in replicated ranges), `holding` (that in kept ones),
//! `kept` (what proves its ranges), `published` (what does where that is lost), `guards` (whose its results are until then), `role` (what all roles here share), `bookmark` and `folder` (what is remembered), `capability` and [`challenge`] (what the machine is worth, and
//! showing it to whoever asks).
//!
//! [`auditor`] is another role with the same workshop: it re-executes samples of what providers submit. It lives here and
//! not in a crate of its own because it fetches, compiles and runs jobs exactly as a provider does, or its verdicts
//! would be worth nothing (decision 0016). What either decides about audits is `tilth_client::audit`.
//!
//! A provider that is killed loses at most the tasks in flight: claims are read back from the chain,
//! results from the journals, content from the store.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod agent;
pub mod auditor;
mod bookmark;
mod capability;
mod chain;
pub mod challenge;
mod clock;
mod compile;
mod config;
mod control;
mod enroll;
mod error;
mod fetch;
mod folder;
mod gpu;
mod guards;
mod hand;
mod holding;
mod idle;
mod ignored;
pub mod infer;
pub mod inventory;
pub mod journal;
mod kept;
mod line;
pub mod machine;
mod mates;
mod news;
mod openings;
mod provider;
mod published;
mod recheck;
mod role;
mod room;
mod senses;
mod shop;
mod slot;
pub mod stake;
mod status;
mod store;
mod sweep;
pub mod words;

pub use auditor::{Auditor, AuditorConfig};
pub use config::{Comfort, Config, GasReserve, Limits, Offer, Power};
pub use control::{Control, ControlError, Wish};
pub use error::ProviderError;
pub use gpu::inspect_gpu;
pub use idle::{
    Idle, IdleRules, Observation, Reason, Schedule, TimeZone, WhenBusy, Window, WindowError,
};
pub use provider::{MAX_SLOTS, Provider};
pub use recheck::{Recheck, Rechecked};
pub use stake::Stake;
pub use status::{ChainStatus, SlotStatus, Status, Totals};
