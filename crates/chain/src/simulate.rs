//! `eth_simulateV1`: blocks that never were, on top of one that is.
//!
//! [`plan`](plan::plan) puts the request's blocks in order and fills the gaps between them; each is then executed
//! by `block` on the state that the one before left, and sealed with roots and hash as if it were
//! real. Nothing is stored. Codes and words of errors are geth's.

mod answer;
mod base;
mod block;
mod plan;
mod transfers;

use std::rc::Rc;

use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use crate::{
    block::ChainSpec,
    decode::Parameter as _,
    execution::ExecutionError,
    message::{BlockOverrides, OverrideError, Refusal, Watch},
    node::{Head, PendingBlock},
    state::StateError,
};
pub(crate) use answer::SimulatedBlock;
use base::Base;

/// Blocks one request may simulate, gaps included.
const BLOCKS_MAX: usize = 256;
/// Calls in one block.
const BLOCK_CALLS_MAX: usize = 5_000;
/// Calls in all blocks together.
const CALLS_MAX: usize = 10_000;

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Request {
    block_state_calls: Vec<BlockCalls>,
    /// Adds a log in the style of ERC-20 for every transfer of native coin.
    trace_transfers: bool,
    /// Nonces, base fees and balances must be right as in a real block.
    validation: bool,
    /// Whole transactions instead of their hashes.
    return_full_transactions: bool,
}

/// One block of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BlockCalls {
    #[serde(deserialize_with = "crate::decode::given")]
    block_overrides: Option<BlockOverrides>,
    #[serde(deserialize_with = "crate::decode::given")]
    state_overrides: Option<StateOverride>,
    #[serde(deserialize_with = "calls")]
    calls: Option<Vec<TransactionRequest>>,
}

/// Calls are read as those of every other method, with geth's complaints.
fn calls<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<TransactionRequest>>, D::Error> {
    let Some(raw) = Option::<Vec<Box<RawValue>>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let calls = raw.iter().map(|call| TransactionRequest::decode(call.get()));
    calls.collect::<Result<_, _>>().map(Some).map_err(D::Error::custom)
}

/// Limits of the node on one request.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Gas of all calls together; 0 is no limit.
    pub(crate) gas_max: u64,
    /// Its time.
    pub(crate) watch: Rc<Watch>,
}

/// An error with its JSON-RPC code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct SimulateError {
    /// JSON-RPC's.
    pub(crate) code: i32,
    /// For the client.
    pub(crate) message: String,
}

impl SimulateError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn plain(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    fn limit(message: impl Into<String>) -> Self {
        Self::new(-38026, message)
    }

    /// A call that may not start.
    fn refused(refusal: &Refusal, gas: u64) -> Self {
        let code = match refusal {
            Refusal::NonceTooLow { .. } => -38010,
            Refusal::NonceTooHigh { .. } => -38011,
            Refusal::FeeCapTooLow { .. } => -38012,
            Refusal::IntrinsicGas { .. } => -38013,
            Refusal::Funds { .. } | Refusal::FundsOverflow { .. } => -38014,
            Refusal::InitCodeSize { .. } => -38025,
            Refusal::TipAboveFeeCap { .. } => -32602,
            Refusal::NonceMax { .. }
            | Refusal::BlobCreate
            | Refusal::NoBlobs
            | Refusal::TooManyBlobs
            | Refusal::BlobVersion(_)
            | Refusal::BlobFeeCapTooLow { .. }
            | Refusal::SetCodeCreate(_)
            | Refusal::NoAuthorizations(_)
            | Refusal::FloorGas { .. }
            | Refusal::Machine(_) => -32603,
        };
        Self::new(code, format!("err: {refusal} (supplied gas {gas})"))
    }
}

impl From<StateError> for SimulateError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Pruned { .. } => Self::plain(error.to_string()),
            other => Self::new(-32603, crate::node::chain_of_causes(&other)),
        }
    }
}

impl From<OverrideError> for SimulateError {
    fn from(error: OverrideError) -> Self {
        match error {
            OverrideError::State(error) => error.into(),
            other => Self::plain(other.to_string()),
        }
    }
}

impl From<ExecutionError> for SimulateError {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::State(error) => error.into(),
            other => Self::plain(crate::node::chain_of_causes(&other)),
        }
    }
}

/// What holds for all blocks of a request.
#[derive(Clone, Copy, Debug)]
struct Mode {
    trace_transfers: bool,
    validation: bool,
}

/// What simulated blocks stand on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On<'a> {
    /// The block of this number, in the chain as of this head.
    Block(&'a Head, u64),
    /// The block that would be made next.
    Pending(&'a PendingBlock),
}

/// Simulates `request` on top of a block.
pub(crate) fn simulate(
    spec: &ChainSpec,
    on: On<'_>,
    request: &Request,
    bounds: &Bounds,
) -> Result<Vec<SimulatedBlock>, SimulateError> {
    check_size(request)?;
    let mut base = match on {
        On::Block(head, number) => Base::at(head, number)?,
        On::Pending(pending) => Base::pending(pending)?,
    };
    let mode = Mode { trace_transfers: request.trace_transfers, validation: request.validation };
    let planned = plan::plan(spec, &base.header, &request.block_state_calls)?;
    let mut gas_left = if bounds.gas_max == 0 { u64::MAX } else { bounds.gas_max };
    let mut answers = Vec::with_capacity(planned.len());
    for block in planned {
        bounds.watch.look()?;
        let made = block::execute(spec, &mut base, block, mode, &bounds.watch, &mut gas_left)?;
        answers.push(SimulatedBlock::new(spec, made, request.return_full_transactions));
    }
    Ok(answers)
}

fn check_size(request: &Request) -> Result<(), SimulateError> {
    let blocks = &request.block_state_calls;
    if blocks.is_empty() {
        return Err(SimulateError::new(-32602, "empty input"));
    }
    if blocks.len() > BLOCKS_MAX {
        return Err(SimulateError::limit("too many blocks"));
    }
    let mut total = 0_usize;
    for block in blocks {
        let calls = block.calls.as_ref().map_or(0, Vec::len);
        if calls > BLOCK_CALLS_MAX {
            return Err(SimulateError::limit(format!(
                "too many calls in block: {calls} > {BLOCK_CALLS_MAX}"
            )));
        }
        total += calls;
        if total > CALLS_MAX {
            return Err(SimulateError::limit(format!("too many calls: {total} > {CALLS_MAX}")));
        }
    }
    Ok(())
}
