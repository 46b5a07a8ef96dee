//! Runs one untrusted program under limits, watches it, stops it and accounts for it. Knows no network and no chain.
//!
//! [`Confinement::probe`] finds out by trial what this machine can enforce; [`Confinement::spawn`] starts a program;
//! [`Confined`] is the running program. What a machine cannot enforce is in [`Confinement::report`] and must be said
//! aloud by the caller. Once probed, a protection is never silently skipped: if it fails later, nothing is started.
//!
//! The set-up is done by an init process (`init`), which is the caller's own program started anew with a hidden
//! subcommand that calls [`init_main`]. `README.md` describes mechanism, measures and limits.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod confined;
mod confinement;
mod error;
pub mod escape;
mod gpu;
mod groups;
mod init;
mod launch;
mod libraries;
mod nodes;
pub mod output;
mod program;
mod protection;
mod sys;
mod wire;

pub use confined::{Confined, Ended, How};
pub use confinement::Confinement;
pub use error::SandboxError;
pub use gpu::{GpuAccess, GpuUse};
pub use init::init_main;
pub use program::{Bind, CommandLine, Limits, Program};
pub use protection::{Measure, Protection, State};
