//! The storage of a contract in the middle of a block.

use std::collections::BTreeMap;

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Serialize;

use super::{
    Arguments, Rpc,
    debug::{before, replay, stored},
    error::RpcError,
};

/// Slots one answer may hold.
const SLOTS_MAX: usize = 10_000;

/// The time the transactions before the one asked for may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

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
    let block: BlockId = args.required()?;
    let index: usize = args.required()?;
    let address: Address = args.required()?;
    let start: Bytes = args.required()?;
    let count: usize = args.required()?;
    let head = rpc.head();
    let found = stored(&head, head.number_of(Some(block))?)?;
    let block = found.ok_or_else(|| RpcError::server("block not found"))?;
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
