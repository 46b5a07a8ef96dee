//! Transactions, receipts, and the way into the pool.

use std::collections::BTreeMap;

use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::{Transaction as RpcTransaction, TransactionReceipt};

use super::{Arguments, Rpc, convert, error::RpcError};
use crate::node::Head;

pub(super) fn send_raw(rpc: &Rpc, mut args: Arguments<'_>) -> Result<B256, RpcError> {
    let raw: Bytes = args.required()?;
    Ok(rpc.node.submit(&raw)?)
}

pub(super) fn by_hash(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcTransaction>, RpcError> {
    let hash: B256 = args.required()?;
    // The pool first: what leaves it has been published before.
    let pooled = rpc.node.pool().get(&hash);
    let head = rpc.head();
    if let Some(place) = head.snapshot.place_of(&hash)? {
        return at(&head, Some(place.block), place.index as usize);
    }
    let base_fee = rpc.node.spec.next_base_fee(&head.header);
    Ok(pooled.map(|pooled| convert::waiting(pooled.transaction.clone(), base_fee)))
}

pub(super) fn by_number_and_index(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcTransaction>, RpcError> {
    let (head, number) = (rpc.head(), args.required::<BlockNumberOrTag>()?);
    at(&head, head.resolve(number), index(&mut args)?)
}

pub(super) fn by_block_hash_and_index(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<RpcTransaction>, RpcError> {
    let (head, hash) = (rpc.head(), args.required::<B256>()?);
    at(&head, head.snapshot.number_of(&hash)?, index(&mut args)?)
}

pub(super) fn raw_by_hash(rpc: &Rpc, args: Arguments<'_>) -> Result<Option<Bytes>, RpcError> {
    Ok(by_hash(rpc, args)?.map(|tx| tx.inner.inner().encoded_2718().into()))
}

pub(super) fn receipt(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<TransactionReceipt>, RpcError> {
    let (head, hash) = (rpc.head(), args.required::<B256>()?);
    let Some(place) = head.snapshot.place_of(&hash)? else { return Ok(None) };
    let Some(header) = head.header_of(place.block)? else { return Ok(None) };
    let index = place.index as usize;
    let transaction = head.snapshot.transaction_at(place.block, index)?;
    let receipt = head.snapshot.receipt_at(place.block, index)?;
    let found = transaction.zip(receipt);
    Ok(found.map(|(transaction, receipt)| convert::receipt(&header, index, &transaction, &receipt)))
}

pub(super) fn block_receipts(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<Vec<TransactionReceipt>>, RpcError> {
    let head = rpc.head();
    let Some(number) = head.number_of(Some(args.required::<BlockId>()?))? else { return Ok(None) };
    let Some(header) = head.header_of(number)? else { return Ok(None) };
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
    let of_block = transactions.iter().zip(&receipts).enumerate();
    Ok(Some(of_block.map(|(i, (tx, receipt))| convert::receipt(&header, i, tx, receipt)).collect()))
}

pub(super) fn pool_status(
    rpc: &Rpc,
    _: Arguments<'_>,
) -> Result<BTreeMap<&'static str, U64>, RpcError> {
    let (pending, queued) = rpc.node.pool().counts();
    Ok(BTreeMap::from([("pending", U64::from(pending)), ("queued", U64::from(queued))]))
}

fn index(args: &mut Arguments<'_>) -> Result<usize, RpcError> {
    Ok(usize::try_from(args.required::<U64>()?.to::<u64>()).unwrap_or(usize::MAX))
}

fn at(head: &Head, number: Option<u64>, index: usize) -> Result<Option<RpcTransaction>, RpcError> {
    let Some(number) = number else { return Ok(None) };
    let Some(header) = head.header_of(number)? else { return Ok(None) };
    let transaction = head.snapshot.transaction_at(number, index)?;
    Ok(transaction.map(|transaction| convert::mined(&header, index, transaction)))
}
