//! State roots in the middle of blocks, and which states there are.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::B256;

use super::{
    Arguments, Rpc,
    debug::{chosen, replay, timeout},
    error::RpcError,
};
use crate::{state::StateCommitment as _, trace::TraceOptions};

/// Keys that may have changed between a block's parent and the head; some microseconds of work each.
const CHANGES_MAX: usize = 100_000;

/// `debug_intermediateRoots`: the state root after each transaction of a block; null (geth's empty
/// list) if it has none. Each root starts from the parent's state, so a block of thousands of
/// transactions wants a longer `timeout` in the options.
pub(super) fn intermediate(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Option<Vec<B256>>, RpcError> {
    let hash: B256 = args.take()?;
    let options: TraceOptions = args.take_optional()?.unwrap_or_default();
    let missing = || RpcError::server(format!("block {hash} not found"));
    let (head, block) = chosen(rpc, hash.into())?.ok_or_else(missing)?;
    let mut moment = replay(rpc, &head, &block.header, timeout(&options)?)?;
    let (mut commitment, _) =
        head.tries_after(block.header.number.saturating_sub(1), CHANGES_MAX)?;
    let mut roots = Vec::with_capacity(block.transactions.len());
    for transaction in &block.transactions {
        moment = moment.skip(transaction)?;
        let (root, _) = commitment.advance(&mut moment.diff()?, &head.snapshot)?;
        roots.push(root);
    }
    Ok(Some(roots).filter(|roots| !roots.is_empty()))
}

/// `debug_getAccessibleState`: the first block, going from one towards another that does not count,
/// after which the state can be read.
pub(super) fn accessible(rpc: &Rpc, mut args: Arguments<'_>) -> Result<u64, RpcError> {
    let head = rpc.head();
    let last = head.header.number;
    let number = |block: BlockNumberOrTag| match block {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Latest
        | BlockNumberOrTag::Pending
        | BlockNumberOrTag::Safe
        | BlockNumberOrTag::Finalized => last,
    };
    let (from, to) = (number(args.take()?), number(args.take()?));
    if from == to {
        return Err(RpcError::server("from and to needs to be different"));
    }
    if from > last {
        return Err(RpcError::server(format!("missing header {from}")));
    }
    let oldest = head.snapshot.oldest_state()?;
    let first = if from < to { from.max(oldest) } else { from };
    let is_on_the_way = first == from || first < to;
    if first >= oldest && is_on_the_way {
        Ok(first)
    } else {
        Err(RpcError::server("no state found"))
    }
}
