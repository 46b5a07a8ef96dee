//! Everything a user can do with tilth in code: talk to the chain, move money, submit jobs, follow
//! them, fetch and check their results, and pay.
//!
//! Roles use the lower half ([`Link`], [`Account`], [`Follow`], [`money`]).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod account;
mod chain;
mod follow;
mod link;
mod revert;

pub use account::Account;
pub use chain::ChainError;
pub use follow::{Follow, News, Scope};
pub use link::{Fees, Link};
