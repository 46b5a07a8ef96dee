//! Messages that are not transactions: what `eth_call`, `eth_estimateGas`, `eth_createAccessList`,
//! `eth_simulateV1` and `debug_traceCall` execute.
//!
//! A [`Message`] is a request with its defaults filled in. [`refusal`] says in geth's words why a
//! message may not start; the overrides change the state and the block it runs in; [`machine`]
//! is the virtual machine of `execution` with a [`Watch`] on it, so that no request runs longer
//! than the node allows or keeps the processor from others.

mod check;
mod machine;
mod outcome;
mod overrides;
mod request;
mod shares;
mod transaction;
mod watch;

pub(crate) use check::{Checks, Prices, Refusal, refusal};
pub(crate) use machine::{Machine, machine};
pub(crate) use outcome::{LastStep, halted, needs_last_step};
pub(crate) use overrides::{
    BlockOverrides, CalledPrecompiles, OverrideError, Precompiles, narrow, override_state,
};
pub(crate) use request::{BOTH_PRICES, Message};
pub(crate) use shares::{Caller, Shares};
pub(crate) use transaction::Unsigned;
pub(crate) use watch::{Turns, Watch, Watched, in_words, on_behalf_of};
