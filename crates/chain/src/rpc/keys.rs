//! Methods that need a key. The node holds none, so they fail as a geth without accounts does.

use alloy_primitives::{Address, B256, Bytes};
use alloy_rpc_types_eth::TransactionRequest;

use super::{Arguments, Rpc, convert::Waiting, error::RpcError, submission::check_fee};

fn unknown_account<T>() -> Result<T, RpcError> {
    Err(RpcError::server("unknown account"))
}

pub(super) fn accounts(_: &Rpc, _: Arguments<'_>) -> Result<Vec<Address>, RpcError> {
    Ok(Vec::new())
}

/// Waiting transactions of the node's own accounts.
pub(super) fn pending_transactions(_: &Rpc, _: Arguments<'_>) -> Result<Vec<Waiting>, RpcError> {
    Ok(Vec::new())
}

pub(super) fn sign(_: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let _: (Address, Bytes) = (args.take()?, args.take()?);
    unknown_account()
}

pub(super) fn send_transaction(_: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    let _: TransactionRequest = args.take()?;
    unknown_account()
}

pub(super) fn sign_transaction(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let request: TransactionRequest = args.take()?;
    let dynamic = request.max_fee_per_gas.is_some() && request.max_priority_fee_per_gas.is_some();
    let Some(gas) = request.gas else { return Err(RpcError::server("gas not specified")) };
    if request.gas_price.is_none() && !dynamic {
        return Err(RpcError::server("missing gasPrice or maxFeePerGas/maxPriorityFeePerGas"));
    }
    if request.nonce.is_none() {
        return Err(RpcError::server("nonce not specified"));
    }
    let price = request.gas_price.or(request.max_fee_per_gas).unwrap_or_default();
    check_fee(rpc, price, gas)?;
    unknown_account()
}
