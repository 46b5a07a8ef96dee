//! Blocks by number or tag: those of the chain, and the one that would come next.
//!
//! A pending block is shown like any other, without what it does not have yet.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718};
use alloy_primitives::{Bytes, U64};
use alloy_rpc_types_eth::{
    Block as RpcBlock, Header as RpcHeader, Transaction as RpcTransaction, TransactionReceipt,
};
use serde::Serialize;
use serde_json::Value;

use super::{Arguments, Rpc, blocks, convert, error::RpcError, raw, transactions};
use crate::{decode::Index, node::PendingBlock};

/// What a number or tag names.
pub(super) enum Named {
    /// A block of the chain by its number; `None` if there is none.
    Made(Option<u64>),
    Pending(Arc<PendingBlock>),
}

impl Rpc {
    /// The pending block if that is what is meant.
    pub(super) fn pending_if(&self, block: BlockId) -> Result<Option<Arc<PendingBlock>>, RpcError> {
        let is_meant = block == BlockId::Number(BlockNumberOrTag::Pending);
        is_meant.then(|| self.pending()).transpose()
    }

    fn named(&self, number: BlockNumberOrTag) -> Result<Named, RpcError> {
        Ok(match self.pending_if(number.into())? {
            Some(pending) => Named::Pending(pending),
            None => Named::Made(self.head().resolve(number)),
        })
    }
}

/// A block or header of the chain, or the pending one.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Shown<T> {
    Made(Box<T>),
    Pending(Value),
}

/// The form of what has no hash, nonce and beneficiary yet.
fn unfinished<T: Serialize>(shown: &T) -> Result<Shown<T>, RpcError> {
    let mut value =
        serde_json::to_value(shown).map_err(|error| RpcError::internal(error.to_string()))?;
    for unknown in ["hash", "nonce", "miner"] {
        value[unknown] = Value::Null;
    }
    Ok(Shown::Pending(value))
}

/// `eth_getBlockByNumber`.
pub(super) fn block(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<Shown<RpcBlock>>, RpcError> {
    let number = args.take()?;
    let full = args.take()?;
    match rpc.named(number)? {
        Named::Made(number) => {
            let made = blocks::block(&rpc.head(), number, full)?;
            Ok(made.map(|block| Shown::Made(Box::new(block))))
        }
        Named::Pending(pending) => {
            unfinished(&convert::block(pending.executed.block.clone(), full)).map(Some)
        }
    }
}

/// `eth_getHeaderByNumber`.
pub(super) fn header(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<Shown<RpcHeader>>, RpcError> {
    match rpc.named(args.take()?)? {
        Named::Made(number) => {
            let made = blocks::header(&rpc.head(), number)?;
            Ok(made.map(|header| Shown::Made(Box::new(header))))
        }
        Named::Pending(pending) => {
            unfinished(&convert::header(&pending.executed.block.header)).map(Some)
        }
    }
}

/// `eth_getBlockTransactionCountByNumber`.
pub(super) fn count(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<U64>, RpcError> {
    match rpc.named(args.take()?)? {
        Named::Made(number) => blocks::count(&rpc.head(), number),
        Named::Pending(pending) => Ok(Some(U64::from(pending.executed.block.transactions.len()))),
    }
}

/// `eth_getUncleCountByBlockNumber`.
pub(super) fn uncles(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<U64>, RpcError> {
    match rpc.named(args.take()?)? {
        Named::Made(number) => blocks::uncle_count(&rpc.head(), number),
        Named::Pending(pending) => Ok(Some(U64::from(pending.executed.block.ommers.len()))),
    }
}

/// `eth_getUncleByBlockNumberAndIndex`.
pub(super) fn uncle(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<RpcBlock>, RpcError> {
    let number = args.take()?;
    let index = args.take()?;
    match rpc.named(number)? {
        Named::Made(number) => blocks::uncle(&rpc.head(), number, index),
        // Blocks that are made here have none.
        Named::Pending(_) => Ok(None),
    }
}

/// `eth_getTransactionByBlockNumberAndIndex`.
pub(super) fn transaction(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcTransaction>, RpcError> {
    let number = args.take()?;
    let Index(index) = args.take()?;
    match rpc.named(number)? {
        Named::Made(number) => transactions::at(&rpc.head(), number, index),
        Named::Pending(pending) => {
            let block = &pending.executed.block;
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let found = block.transactions.get(index).cloned();
            Ok(found.map(|transaction| convert::mined(&block.header, index, transaction)))
        }
    }
}

/// `eth_getRawTransactionByBlockNumberAndIndex`.
pub(super) fn raw_transaction(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let number = args.take()?;
    let Index(index) = args.take()?;
    match rpc.named(number)? {
        Named::Made(number) => raw::transaction_at(&rpc.head(), number, index),
        Named::Pending(pending) => {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let found = pending.executed.block.transactions.get(index);
            Ok(found.map(|tx| tx.inner().encoded_2718().into()).unwrap_or_default())
        }
    }
}

/// `eth_getBlockReceipts`.
pub(super) fn receipts(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<Vec<TransactionReceipt>>, RpcError> {
    let block: BlockId = args.take()?;
    let Some(pending) = rpc.pending_if(block)? else {
        return transactions::receipts_of_block(rpc, block);
    };
    let executed = &pending.executed;
    let header = &executed.block.header;
    let of_block = executed.block.transactions.iter().zip(&executed.receipts).enumerate();
    let spec = &rpc.node.spec;
    Ok(Some(
        of_block.map(|(i, (tx, receipt))| convert::receipt(spec, header, i, tx, receipt)).collect(),
    ))
}
