//! Transactions, receipts, and the way into the pool.

use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::{Transaction as RpcTransaction, TransactionReceipt};
use serde::Serialize;

use super::{Arguments, Rpc, convert, error::RpcError, submission};
use crate::{decode::Index, node::Head};

pub(super) fn send_raw(rpc: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    let raw: Bytes = args.take()?;
    submission::submit_one(rpc, &raw)
}

/// A transaction wherever it is.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Found {
    Mined(RpcTransaction),
    Waiting(convert::Waiting),
}

pub(super) fn by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<Found>, RpcError> {
    let hash: B256 = args.take()?;
    // The pool first: what leaves it has been published before.
    let pooled = rpc.node.pool().get(&hash);
    let head = rpc.head();
    if let Some(place) = head.snapshot.place_of(&hash)? {
        return Ok(at(&head, Some(place.block), place.index.into())?.map(Found::Mined));
    }
    Ok(pooled.map(|pooled| Found::Waiting(convert::waiting(pooled.transaction.clone()))))
}

pub(super) fn by_block_hash_and_index(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcTransaction>, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    let Index(index) = args.take()?;
    at(&head, head.snapshot.number_of(&hash)?, index)
}

pub(super) fn receipt(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<TransactionReceipt>, RpcError> {
    receipt_of(rpc, &args.take()?)
}

/// The receipt of a transaction, if it has been mined.
pub(super) fn receipt_of(rpc: &Rpc, hash: &B256) -> Result<Option<TransactionReceipt>, RpcError> {
    let head = rpc.head();
    let Some(place) = head.snapshot.place_of(hash)? else { return Ok(None) };
    let Some(header) = head.header_of(place.block)? else { return Ok(None) };
    let index = place.index as usize;
    let transaction = head.snapshot.transaction_at(place.block, index)?;
    let receipt = head.snapshot.receipt_at(place.block, index)?;
    Ok(transaction.zip(receipt).map(|(transaction, receipt)| {
        convert::receipt(&rpc.node.spec, &header, index, &transaction, &receipt)
    }))
}

/// The receipts of a block of the chain.
pub(super) fn receipts_of_block(
    rpc: &Rpc,
    block: BlockId,
) -> Result<Option<Vec<TransactionReceipt>>, RpcError> {
    let head = rpc.head();
    let Some(number) = head.number_of(Some(block))? else { return Ok(None) };
    let Some(header) = head.header_of(number)? else { return Ok(None) };
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
    let of_block = transactions.iter().zip(&receipts).enumerate();
    Ok(Some(
        of_block
            .map(|(i, (tx, receipt))| convert::receipt(&rpc.node.spec, &header, i, tx, receipt))
            .collect(),
    ))
}

pub(super) fn at(
    head: &Head,
    number: Option<u64>,
    index: u64,
) -> Result<Option<RpcTransaction>, RpcError> {
    let place = number.zip(usize::try_from(index).ok());
    let Some((number, index)) = place else { return Ok(None) };
    let Some(header) = head.header_of(number)? else { return Ok(None) };
    let transaction = head.snapshot.transaction_at(number, index)?;
    Ok(transaction.map(|transaction| convert::mined(&header, index, transaction)))
}
