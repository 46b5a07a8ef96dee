//! The storage of a contract in the middle of a block.

use std::collections::BTreeMap;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Serialize;

use super::{
    Arguments, Rpc,
    debug::{TIMEOUT, before, chosen, replay},
    error::RpcError,
};

/// Slots one answer may hold.
const SLOTS_MAX: usize = 10_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StorageRange {
    /// By hashed slot; null if the account has no storage.
    storage: Option<BTreeMap<B256, Entry>>,
    /// Where the next range begins; null at the end.
    next_key: Option<B256>,
}

#[derive(Debug, Serialize)]
struct Entry {
    /// The slot itself, which is not kept.
    key: Option<B256>,
    value: B256,
}

/// The storage of an account before a transaction of a block, from a hashed slot on.
pub(super) fn storage_range_at(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<StorageRange, RpcError> {
    let block: BlockId = args.take()?;
    let index: usize = args.required()?;
    let address: Address = args.take()?;
    let start: Bytes = args.take()?;
    let count: usize = args.required()?;
    let missing = || RpcError::server(format!("block {} not found", in_words(block)));
    let (head, block) = chosen(rpc, block)?.ok_or_else(missing)?;
    if block.header.number == 0 {
        return Err(RpcError::server("no transaction in genesis"));
    }
    let moment = replay(rpc, &head, &block.header, TIMEOUT)?;
    let place = if index == 0 && block.transactions.is_empty() {
        moment.into_place()
    } else {
        before(moment, &block, index)?.0.into_place()
    };
    let mut journal = place.journal;
    let slots = journal.storage_entries(address)?;
    if slots.is_empty() {
        return Ok(StorageRange { storage: None, next_key: None });
    }
    // A shorter start is the beginning of a key.
    let mut first = B256::ZERO;
    let length = start.len().min(32);
    first[..length].copy_from_slice(&start[..length]);
    let mut range = slots.range(first..);
    let entry = |value: &U256| Entry { key: None, value: (*value).into() };
    let storage = range
        .by_ref()
        .take(count.min(SLOTS_MAX))
        .map(|(slot, value)| (*slot, entry(value)))
        .collect();
    Ok(StorageRange { storage: Some(storage), next_key: range.next().map(|(slot, _)| *slot) })
}

/// A block as it was asked for.
fn in_words(block: BlockId) -> String {
    match block {
        BlockId::Hash(hash) => hash.block_hash.to_string(),
        BlockId::Number(BlockNumberOrTag::Number(number)) => format!("{number:#x}"),
        BlockId::Number(tag) => tag.to_string(),
    }
}
