//! Transactions as they waited in the pool.

use alloy_primitives::B256;

use super::{
    convert::{self, Waiting},
    error::RpcError,
};
use crate::node::Node;

/// A transaction as it waits in the pool, or as it did if it has been mined meanwhile; `None` if it
/// has been dropped.
pub(super) fn seen(node: &Node, hash: &B256) -> Result<Option<Waiting>, RpcError> {
    // The pool first: what leaves it for a block has been published before.
    let pooled = node.pool().get(hash);
    let head = node.head();
    let transaction = match pooled {
        Some(pooled) => Some(pooled.transaction.clone()),
        None => match head.snapshot.place_of(hash)? {
            Some(place) => head.snapshot.transaction_at(place.block, place.index as usize)?,
            None => None,
        },
    };
    Ok(transaction.map(convert::waiting))
}
