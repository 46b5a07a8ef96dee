//! What every long-running process of tilth needs: configuration loading, supervised tasks, stop signals, logs.
//!
//! Nothing here knows what a farm is; the crate depends on no other tilth crate. See the README for the use
//! of all parts together.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod logs;
mod quantity;
mod scope;
mod signals;

pub use config::ConfigError;
pub use logs::{LogError, LogFormat};
pub use quantity::{ByteSize, QuantityError, TimeSpan};
pub use scope::{Ending, Failure, OnFailure, Outcome, Restart, Scope, Spawner};
pub use signals::{StopSignals, Urgency};
