//! `eth_estimateGas`: the least gas limit with which a message succeeds, found as geth finds it.

use alloy_eips::BlockId;
use alloy_primitives::U256;
use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};
use revm::{
    context::result::{ExecutionResult, HaltReason},
    primitives::{eip4844::GAS_PER_BLOB, eip7825::TX_GAS_LIMIT_CAP, hardfork::SpecId},
};

use super::{
    Arguments, Rpc,
    call::{Session, Stopped, prepare},
    error::RpcError,
};
use crate::{
    message::{BlockOverrides, LastStep, Message, Refusal},
    node::Head,
};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// What a call with value gets for nothing.
const CALL_STIPEND: u64 = 2_300;
/// An estimate may be this many thousandths above the true need.
const SLACK: u64 = 15;

pub(super) fn estimate_gas(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U256, RpcError> {
    let mut request: TransactionRequest = args.take()?;
    let block: Option<BlockId> = args.take_optional()?;
    let overrides: Option<StateOverride> = args.take_optional()?;
    let block_overrides: Option<BlockOverrides> = args.take_optional()?;
    let (overrides, block_overrides) = (overrides.as_ref(), block_overrides.as_ref());
    let gas = estimate(rpc, &rpc.head(), &mut request, block, overrides, block_overrides)?;
    Ok(U256::from(gas))
}

/// The least gas limit with which `request` succeeds.
pub(super) fn estimate(
    rpc: &Rpc,
    head: &Head,
    request: &mut TransactionRequest,
    block: Option<BlockId>,
    overrides: Option<&StateOverride>,
    block_overrides: Option<&BlockOverrides>,
) -> Result<u64, RpcError> {
    let prepared = prepare(rpc, head, block, overrides, block_overrides)?;
    let (block_gas, fork) =
        (prepared.environment.block_env.gas_limit, prepared.environment.cfg_env.spec);
    // Without a gas limit of its own the message may use what the block and its sender allow.
    request.gas.get_or_insert(0);
    let gas_max = rpc.node.limits.call_gas_max;
    let message =
        Message::new(request, rpc.node.spec.chain_id, gas_max).map_err(RpcError::server)?;
    let mut limit = if message.gas >= TRANSFER_GAS { message.gas } else { block_gas };
    if fork.is_enabled_in(SpecId::OSAKA) {
        limit = limit.min(TX_GAS_LIMIT_CAP);
    }
    let mut session = prepared.run(message, LastStep::default(), false)?;
    let mut limit = affordable(&session, fork, limit)?;
    if gas_max != 0 {
        limit = limit.min(gas_max);
    }
    search(&mut session, limit)
}

/// Lowers the limit to what the sender can pay.
fn affordable(session: &Session<'_, LastStep>, fork: SpecId, limit: u64) -> Result<u64, RpcError> {
    let message = &session.message;
    if message.fee_cap == 0 {
        return Ok(limit);
    }
    let balance = session.sender.balance;
    if message.value >= balance {
        return Err(RpcError::server("insufficient funds for transfer"));
    }
    let mut available = balance - message.value;
    let blobs = message.blob_hashes.as_ref().map_or(0, Vec::len);
    if fork.is_enabled_in(SpecId::CANCUN) && blobs > 0 {
        let cost = U256::from(blobs)
            .saturating_mul(U256::from(GAS_PER_BLOB))
            .saturating_mul(U256::from(message.blob_fee_cap.unwrap_or_default()));
        if cost >= available {
            return Err(RpcError::server("insufficient funds for gas * price + value"));
        }
        available -= cost;
    }
    let allowance = available / U256::from(message.fee_cap);
    Ok(limit.min(allowance.saturating_to()))
}

/// How a try with a certain gas limit went.
enum Try {
    /// It did not even start for want of gas.
    TooLittle,
    Ended(ExecutionResult),
}

impl Try {
    fn succeeded(&self) -> bool {
        matches!(self, Self::Ended(result) if result.is_success())
    }
}

fn attempt(session: &mut Session<'_, LastStep>, gas: u64) -> Result<Try, RpcError> {
    match session.execute_with(gas) {
        Ok(result) => Ok(Try::Ended(result)),
        Err(Stopped::Refused(Refusal::IntrinsicGas { .. })) => Ok(Try::TooLittle),
        Err(Stopped::Refused(refusal)) => {
            Err(RpcError::server(format!("failed with {gas} gas: {refusal}")))
        }
        Err(Stopped::Failed(error)) => Err(error),
    }
}

/// The smallest gas limit with which the message succeeds, within the slack.
fn search(session: &mut Session<'_, LastStep>, limit: u64) -> Result<u64, RpcError> {
    if session.message.data.is_empty()
        && let Some(to) = session.message.to
    {
        let account = session.state().account(to)?.unwrap_or_default();
        // Whatever else refuses such a try will be said of the next.
        if account.code_hash == alloy_trie::KECCAK_EMPTY
            && attempt(session, TRANSFER_GAS).is_ok_and(|outcome| outcome.succeeded())
        {
            return Ok(TRANSFER_GAS);
        }
    }
    let exceeds = || RpcError::server(format!("gas required exceeds allowance ({limit})"));
    let result = match attempt(session, limit)? {
        Try::TooLittle => return Err(exceeds()),
        Try::Ended(result) => result,
    };
    if let ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } = &result {
        return Err(exceeds());
    }
    let gas = *result.gas();
    if !result.is_success() {
        session.message.gas = limit;
        return Err(session.complaint(&result).unwrap_or_else(exceeds));
    }
    // What it used is a lower bound, except for contracts that look at the gas they have.
    let mut low = gas.tx_gas_used().saturating_sub(1);
    let mut high = limit;
    // A call keeps 1/64 back and refunds come after the end.
    let most = gas.total_gas_spent().max(gas.floor_gas());
    let likely = most.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
    if likely < high {
        if attempt(session, likely)?.succeeded() {
            high = likely;
        } else {
            low = likely;
        }
    }
    while low.saturating_add(1) < high {
        if u128::from(high - low) * 1000 < u128::from(high) * u128::from(SLACK) {
            break;
        }
        // Most messages need little more than they used: lean to the low side.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        if attempt(session, middle)?.succeeded() {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}
