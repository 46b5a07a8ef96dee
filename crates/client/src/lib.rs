//! Everything a user can do with tilth in code: talk to the chain, move money, submit jobs, follow
//! them, fetch and check their results, and pay.
//!
//! Roles use the lower half: [`Link`] (a chain), [`Account`] (a key that sends transactions),
//! [`Follow`] (every event once), [`money`]. Above it are [`job_file`], [`Jobs`] and [`Tending`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod account;
pub mod attention;
pub mod audit;
mod cases;
mod chain;
pub mod challenge;
pub mod chronicle;
pub mod clock;
mod collect;
mod contacts;
pub mod earnings;
mod follow;
pub mod gpu_program;
pub mod handover;
pub mod holding;
#[doc(hidden)]
pub mod hostile;
pub mod infer;
pub mod infer_program;
pub mod job_file;
mod jobs;
mod keeping;
pub mod keys;
mod link;
pub mod mates;
pub mod merge;
pub mod money;
pub mod network;
pub mod pipeline;
pub mod quote;
pub mod replicas;
mod revert;
pub mod tabs;
pub mod task_table;
mod tend;
#[cfg(test)]
mod test_chain;
#[cfg(test)]
mod test_node;
mod unit;
pub mod waiting;

pub use account::Account;
pub use chain::ChainError;
pub use chronicle::{Chronicle, Mate, RangeView, Share, Totals};
pub use collect::{CollectError, Shelf, collect, collect_on};
pub use contacts::Contacts;
pub use follow::{Follow, Following, News, Scope};
pub use jobs::{Agreed, JobError, Jobs, Listed};
pub use keys::Keys;
pub use link::{Fees, Link};
pub use money::{Balances, MoneyError};
pub use network::Network;
pub use pipeline::Pipeline;
pub use tend::{AuditTotals, KeptTotals, Progress, RefusedRange, ReplicaTotals, Tend, Tending};
