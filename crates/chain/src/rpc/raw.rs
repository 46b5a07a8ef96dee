//! Blocks, receipts and transactions as they are encoded, not dressed.
//!
//! As in geth, encoded bytes that do not exist are `0x`, not null.

use alloy_eips::{BlockId, eip2718::Encodable2718};
use alloy_primitives::{B256, Bytes};

use super::{Arguments, Rpc, error::RpcError};
use crate::{decode::Index, node::Head, transfer};

/// A transaction, mined or waiting.
pub(super) fn transaction(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let hash: B256 = args.take()?;
    // The pool first: what leaves it has been published before.
    let pooled = rpc.node.pool().get(&hash);
    let head = rpc.head();
    if let Some(place) = head.snapshot.place_of(&hash)? {
        return transaction_at(&head, Some(place.block), place.index.into());
    }
    Ok(pooled.map(|pooled| pooled.transaction.inner().encoded_2718().into()).unwrap_or_default())
}

pub(super) fn transaction_by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let (head, hash) = (rpc.head(), args.take::<B256>()?);
    let Index(index) = args.take()?;
    transaction_at(&head, head.snapshot.number_of(&hash)?, index)
}

pub(super) fn transaction_at(
    head: &Head,
    number: Option<u64>,
    index: u64,
) -> Result<Bytes, RpcError> {
    let place = number.zip(usize::try_from(index).ok());
    let Some((number, index)) = place else { return Ok(Bytes::new()) };
    let transaction = head.snapshot.transaction_at(number, index)?;
    Ok(transaction.map(|tx| tx.inner().encoded_2718().into()).unwrap_or_default())
}

pub(super) fn header(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let (head, block) = (rpc.head(), args.take()?);
    let Some(number) = find(rpc, &head, block, "header")? else { return Ok(Bytes::new()) };
    let header = head.header_of(number)?;
    Ok(header.map(|header| alloy_rlp::encode(header.inner()).into()).unwrap_or_default())
}

pub(super) fn block(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let (head, block) = (rpc.head(), args.take()?);
    let Some(number) = find(rpc, &head, block, "block")? else { return Ok(Bytes::new()) };
    Ok(head.block_of(number)?.map(|block| transfer::encode(&block).into()).unwrap_or_default())
}

pub(super) fn receipts(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Option<Vec<Bytes>>, RpcError> {
    let (head, block) = (rpc.head(), args.take::<BlockId>()?);
    if block.is_pending() {
        // As of any other hash that names no block.
        return Ok(Some(Vec::new()));
    }
    let Some(number) = head.number_of(Some(block))? else {
        // An unknown hash has no receipts; an unknown number is nothing.
        return Ok(block.as_block_hash().map(|_| Vec::new()));
    };
    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
    Ok(Some(receipts.iter().map(|receipt| receipt.envelope().encoded_2718().into()).collect()))
}

/// The number of the block meant; an unknown hash is an error, an unknown number is nothing.
fn find(rpc: &Rpc, head: &Head, block: BlockId, what: &str) -> Result<Option<u64>, RpcError> {
    // The pending block is looked for by its hash, under which there is none.
    let pending = rpc.pending_if(block)?;
    let number = if pending.is_some() { None } else { head.number_of(Some(block))? };
    let hash = pending.map(|pending| pending.executed.block.header.hash());
    match hash.or(block.as_block_hash()) {
        // geth prints the hash as a list of numbers.
        Some(hash) if number.is_none() => {
            let bytes: Vec<String> = hash.iter().map(u8::to_string).collect();
            Err(RpcError::server(format!("{what} #[{}] not found", bytes.join(" "))))
        }
        Some(_) | None => Ok(number),
    }
}
