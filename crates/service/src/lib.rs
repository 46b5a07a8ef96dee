//! What every long-running process of tilth needs: configuration, supervised tasks, stop signals, logs, metrics,
//! health, files that are there whole or not at all.
//!
//! Nothing here knows what a farm is; the crate depends on no other tilth crate. See the README for the use
//! of all parts together.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
mod doing;
mod door;
pub mod files;
pub mod logs;
pub mod metrics;
pub mod monitor;
pub mod options;
mod process;
mod quantity;
mod scope;
mod signals;
mod steady;

pub use config::ConfigError;
pub use doing::Doing;
pub use door::Door;
pub use logs::{LogError, LogFormat};
pub use metrics::Registry;
pub use monitor::{Monitor, Readiness};
pub use quantity::{ByteSize, QuantityError, TimeSpan};
pub use scope::{Ending, Failure, OnFailure, Outcome, Restart, Scope, Spawner};
pub use signals::{StopSignals, Urgency};
pub use steady::Steady;
