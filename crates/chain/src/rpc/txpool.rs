//! What waits in the pool.

use std::collections::BTreeMap;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U64};
use serde::Serialize;

use super::{Arguments, Rpc, convert, error::RpcError};
use crate::pool::Pooled;

/// Transactions by nonce. geth's keys are decimal strings and sorted as such.
type ByNonce<T> = BTreeMap<String, T>;
/// By sender, in the mixed case of EIP-55.
type BySender<T> = BTreeMap<String, ByNonce<T>>;

/// The two halves of the pool.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Halves<T> {
    /// May be mined now.
    pending: T,
    /// Wait for others before them.
    queued: T,
}

pub(super) fn status(rpc: &Rpc, _: Arguments<'_>) -> Result<Halves<U64>, RpcError> {
    let (pending, queued) = rpc.node.pool().counts();
    Ok(Halves { pending: U64::from(pending), queued: U64::from(queued) })
}

pub(super) fn content(
    rpc: &Rpc,
    _: Arguments<'_>,
) -> Result<Halves<BySender<convert::Waiting>>, RpcError> {
    Ok(listed(rpc, |pooled| convert::waiting(pooled.transaction.clone())))
}

pub(super) fn inspect(rpc: &Rpc, _: Arguments<'_>) -> Result<Halves<BySender<String>>, RpcError> {
    Ok(listed(rpc, |pooled| {
        let tx = &pooled.transaction;
        let to = tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
        let (value, gas, price) = (tx.value(), tx.gas_limit(), tx.max_fee_per_gas());
        format!("{to}: {value} wei + {gas} gas × {price} wei")
    }))
}

pub(super) fn content_from(
    rpc: &Rpc,
    mut args: Arguments<'_>,
) -> Result<Halves<ByNonce<convert::Waiting>>, RpcError> {
    let sender: Address = args.take()?;
    let mut halves = Halves::<ByNonce<_>>::default();
    let waiting: Vec<_> = {
        let pool = rpc.node.pool();
        let of_sender = pool.contents().filter(|(address, ..)| **address == sender);
        of_sender
            .map(|(_, nonce, pooled, executable)| (nonce, pooled.clone(), executable))
            .collect()
    };
    for (nonce, pooled, executable) in waiting {
        let half = if executable { &mut halves.pending } else { &mut halves.queued };
        half.insert(nonce.to_string(), convert::waiting(pooled.transaction.clone()));
    }
    Ok(halves)
}

/// Everything in the pool. The pool is held only while its transactions are counted.
fn listed<T>(rpc: &Rpc, show: impl Fn(&Pooled) -> T) -> Halves<BySender<T>> {
    let waiting: Vec<_> = {
        let pool = rpc.node.pool();
        let all = pool.contents();
        all.map(|(sender, nonce, pooled, executable)| (*sender, nonce, pooled.clone(), executable))
            .collect()
    };
    let mut halves = Halves { pending: BySender::new(), queued: BySender::new() };
    for (sender, nonce, pooled, executable) in waiting {
        let half = if executable { &mut halves.pending } else { &mut halves.queued };
        let of_sender = half.entry(sender.to_checksum(None)).or_default();
        of_sender.insert(nonce.to_string(), show(&pooled));
    }
    halves
}
