//! The pending block as the RPC shows it: like any other, without what it does not have yet.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U64;
use alloy_rpc_types_eth::Block as RpcBlock;
use serde::Serialize;
use serde_json::Value;

use super::{Arguments, Rpc, blocks, convert, error::RpcError};

/// A block of the chain, or the one that would come next.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Shown {
    Made(Box<RpcBlock>),
    Pending(Value),
}

/// `eth_getBlockByNumber`.
pub(super) fn by_number(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<Shown>, RpcError> {
    let (head, number) = (rpc.head(), args.take::<BlockNumberOrTag>()?);
    let full = args.take()?;
    if number != BlockNumberOrTag::Pending {
        let made = blocks::block(&head, head.resolve(number), full)?;
        return Ok(made.map(|block| Shown::Made(Box::new(block))));
    }
    let pending = rpc.pending()?;
    let block = &pending.executed.block;
    let shown = convert::block(block.clone(), full);
    let mut value =
        serde_json::to_value(shown).map_err(|error| RpcError::internal(error.to_string()))?;
    for unknown in ["hash", "nonce", "miner"] {
        value[unknown] = Value::Null;
    }
    Ok(Some(Shown::Pending(value)))
}

/// `eth_getBlockTransactionCountByNumber`.
pub(super) fn count_by_number(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<U64>, RpcError> {
    let (head, number) = (rpc.head(), args.take::<BlockNumberOrTag>()?);
    if number == BlockNumberOrTag::Pending {
        return Ok(Some(U64::from(rpc.pending()?.executed.block.transactions.len())));
    }
    blocks::count(&head, head.resolve(number))
}
