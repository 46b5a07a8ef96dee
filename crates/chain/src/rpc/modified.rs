//! Which accounts blocks have changed.
//!
//! The state is kept by hashed address, so the addresses are found by executing the blocks again.

use std::{collections::BTreeMap, rc::Rc};

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256};

use super::{Arguments, Rpc, error::RpcError};
use crate::{
    block::SealedHeader,
    execution::{BlockAttributes, BlockBuilder},
    message::{Watch, Watched},
    node::Head,
    state::{AccountState, StateCommitment, StateDiff, StateError, StateReader, TrieSource},
};

/// `debug_getModifiedAccountsByNumber`.
pub(super) fn by_number(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Vec<Address>, RpcError> {
    let (start, end): (u64, Option<u64>) = (args.take()?, args.take_optional()?);
    let head = rpc.head();
    let first = head.header_of(start)?.ok_or_else(|| missing("start", &format!("{start:x}")))?;
    let last = match end {
        None => None,
        Some(end) => Some(head.header_of(end)?.ok_or_else(|| missing("end", &end.to_string()))?),
    };
    between(rpc, &head, first, last)
}

/// `debug_getModifiedAccountsByHash`.
pub(super) fn by_hash(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Vec<Address>, RpcError> {
    let (start, end): (B256, Option<B256>) = (args.take()?, args.take_optional()?);
    let head = rpc.head();
    let header = |which: &str, hash: &B256| {
        let found = head.snapshot.number_of(hash)?.map(|number| head.header_of(number));
        found.transpose()?.flatten().ok_or_else(|| missing(which, &format!("{hash:x}")))
    };
    let first = header("start", &start)?;
    let last = end.map(|end| header("end", &end)).transpose()?;
    between(rpc, &head, first, last)
}

fn missing(which: &str, block: &str) -> RpcError {
    RpcError::server(format!("{which} block {block} not found"))
}

/// The accounts that differ between the states after two blocks; with one block, between its
/// parent's state and its own. In the order of their hashes.
fn between(
    rpc: &Rpc,
    head: &Head,
    first: SealedHeader,
    last: Option<SealedHeader>,
) -> Result<Vec<Address>, RpcError> {
    let (start, end) = match last {
        Some(last) => (first.number, last.number),
        None => {
            let parent = first.number.checked_sub(1).ok_or_else(|| {
                RpcError::server(format!("block {:x} has no parent", first.number))
            })?;
            (parent, first.number)
        }
    };
    if start >= end {
        return Err(RpcError::server(format!(
            "start block height ({start}) must be less than end block height ({end})"
        )));
    }
    let watch = Rc::new(Watch::start(&rpc.turns, rpc.node.limits.call_time_max));
    // By hashed address: the address, and the account before and after.
    let mut changed: BTreeMap<B256, (Address, Option<AccountState>)> = BTreeMap::new();
    for number in start + 1..=end {
        for (key, account) in diff_of(rpc, head, number, &watch)?.accounts {
            changed.entry(key).or_insert((account.address, account.before));
        }
    }
    let (_, after) = head.state_of(Some(BlockId::number(end)))?;
    let mut addresses = Vec::with_capacity(changed.len());
    for (address, before) in changed.into_values() {
        // What a later block put back has not changed.
        if after.account(&address)? != before {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// What a block changed, but for storage roots.
fn diff_of(rpc: &Rpc, head: &Head, number: u64, watch: &Rc<Watch>) -> Result<StateDiff, RpcError> {
    watch.look()?;
    let lost = || RpcError::internal("a block is missing");
    let block = head.block_of(number)?.ok_or_else(lost)?;
    let (parent, reader) = head.state_of(Some(BlockId::number(number - 1)))?;
    let state = Watched { reader, watch: Rc::clone(watch), hashes_below: number };
    let attributes = BlockAttributes::of_block(&block);
    let mut builder = BlockBuilder::new(&rpc.node.spec, &parent, attributes, state)?;
    for transaction in block.transactions {
        watch.look()?;
        let added = builder.add(transaction)?;
        added.map_err(|reason| RpcError::internal(reason.to_string()))?;
    }
    let (executed, ()) = builder.seal(&mut Rootless, &head.snapshot)?;
    Ok(executed.diff)
}

/// Computes no roots: nobody looks at them here.
struct Rootless;

impl StateCommitment for Rootless {
    type Advance = ();

    fn advance(
        &mut self,
        _: &mut StateDiff,
        _: &impl TrieSource,
    ) -> Result<(B256, Self::Advance), StateError> {
        Ok((B256::ZERO, ()))
    }

    fn adopt(&mut self, (): Self::Advance) {}
}
