//! The provider: the agent that offers a machine, claims ranges of jobs, has them run in the sandbox,
//! submits what came out, serves it, and is paid.
//!
//! Decisions are in [`machine`], a pure state machine; everything else carries out what it says:
//! `agent` (the loop), `chain` (moves), `fetch` and `compile` (getting jobs ready), `slot` and `hand`
//! (running ranges in workers), [`journal`] and `store` (results), `enroll` (registration and stake),
//! `bookmark` and `folder` (what is remembered), `capability` and [`challenge`] (what the machine is worth, and
//! showing it to whoever asks).
//!
//! A provider that is killed loses at most the tasks in flight: claims are read back from the chain,
//! results from the journals, content from the store.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod agent;
mod bookmark;
mod capability;
mod chain;
pub mod challenge;
mod compile;
mod config;
mod control;
mod enroll;
mod error;
mod fetch;
mod folder;
mod gpu;
mod hand;
mod idle;
pub mod inventory;
pub mod journal;
pub mod machine;
mod news;
mod provider;
mod room;
mod senses;
mod shop;
mod slot;
mod status;
mod store;

pub use config::{Comfort, Config, GasReserve, Limits, Offer, Power};
pub use control::{Control, ControlError, Wish};
pub use error::ProviderError;
pub use gpu::inspect_gpu;
pub use idle::{
    Idle, IdleRules, Observation, Reason, Schedule, TimeZone, WhenBusy, Window, WindowError,
};
pub use provider::{MAX_SLOTS, Provider};
pub use status::{ChainStatus, SlotStatus, Status, Totals};
