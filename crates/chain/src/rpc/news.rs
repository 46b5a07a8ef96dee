//! What one block, or the pool's new transactions, mean for subscribers.

use std::sync::{Arc, atomic::Ordering};

use alloy_primitives::B256;
use hyper::body::Bytes;

use super::{
    convert,
    error::RpcError,
    pending,
    subscriptions::{Subject, Subscription},
    table::to_json,
};
use crate::{
    block::{ChainSpec, ExecutedReceipt, SealedHeader, Transaction},
    node::{Head, Node},
};

/// Told to who has missed something that is no longer known.
const MISSED: &str = "more transactions came than are remembered";

fn json(value: &impl serde::Serialize) -> Result<Bytes, RpcError> {
    to_json(value, usize::MAX).map(Bytes::from)
}

/// Tells all readers of block `number`. Reads and serialises only what somebody wants.
pub(super) fn tell_block(
    spec: &ChainSpec,
    head: &Head,
    number: u64,
    readers: &[Arc<Subscription>],
) -> Result<(), RpcError> {
    let Some(header) = head.header_of(number)? else {
        return Err(RpcError::internal("a block is missing"));
    };
    if readers.iter().any(|reader| matches!(reader.subject, Subject::Heads)) {
        let announced = json(&convert::header(&header))?;
        for reader in readers {
            if matches!(reader.subject, Subject::Heads) {
                reader.tell([announced.clone()]);
            }
        }
    }
    let wants_logs = !header.logs_bloom.is_zero()
        && readers.iter().any(|reader| matches!(reader.subject, Subject::Logs(_)));
    let wants_receipts =
        readers.iter().any(|reader| matches!(reader.subject, Subject::Receipts(_)));
    if !wants_logs && !wants_receipts {
        return Ok(());
    }
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
    if wants_logs {
        tell_logs(&header, &transactions, &receipts, readers)?;
    }
    if wants_receipts {
        tell_receipts(spec, &header, &transactions, &receipts, readers)?;
    }
    Ok(())
}

fn tell_logs(
    header: &SealedHeader,
    transactions: &[Transaction],
    receipts: &[ExecutedReceipt],
    readers: &[Arc<Subscription>],
) -> Result<(), RpcError> {
    let mut wanted = Vec::new();
    for reader in readers {
        if let Subject::Logs(criteria) = &reader.subject
            && criteria.covers(header.number)
        {
            wanted.push((reader, criteria, Vec::new()));
        }
    }
    for (index, (transaction, receipt)) in transactions.iter().zip(receipts).enumerate() {
        // Made when the first reader wants one of them.
        let mut converted = None;
        for (position, log) in receipt.logs.iter().enumerate() {
            let mut shared: Option<Bytes> = None;
            for (_, criteria, results) in &mut wanted {
                if !criteria.matches(log) {
                    continue;
                }
                let bytes = match &shared {
                    Some(bytes) => bytes.clone(),
                    None => {
                        let logs = converted.get_or_insert_with(|| {
                            let hash = *transaction.inner().tx_hash();
                            convert::logs(header, index, hash, receipt)
                        });
                        shared.insert(json(&logs.get(position))?).clone()
                    }
                };
                results.push(bytes);
            }
        }
    }
    for (reader, _, results) in wanted {
        reader.tell(results);
    }
    Ok(())
}

fn tell_receipts(
    spec: &ChainSpec,
    header: &SealedHeader,
    transactions: &[Transaction],
    receipts: &[ExecutedReceipt],
    readers: &[Arc<Subscription>],
) -> Result<(), RpcError> {
    let of_block = || transactions.iter().zip(receipts).enumerate();
    let mut all = None;
    for reader in readers {
        let Subject::Receipts(hashes) = &reader.subject else { continue };
        let chosen: Vec<_> = of_block()
            .filter(|(_, (tx, _))| hashes.is_empty() || hashes.contains(tx.inner().tx_hash()))
            .collect();
        if chosen.is_empty() {
            continue;
        }
        let make = || {
            let receipt = |&(index, (tx, receipt)): &(usize, (&Transaction, &ExecutedReceipt))| {
                convert::receipt(spec, header, index, tx, receipt)
            };
            json(&chosen.iter().map(receipt).collect::<Vec<_>>())
        };
        let bytes = match (&all, hashes.is_empty()) {
            (Some(shared), true) => Bytes::clone(shared),
            (None, true) => all.insert(make()?).clone(),
            (_, false) => make()?,
        };
        reader.tell([bytes]);
    }
    Ok(())
}

/// Tells of the transactions the pool has admitted since each reader was told last.
pub(super) fn tell_pending(node: &Node, readers: &[Arc<Subscription>]) {
    let next = |reader: &Arc<Subscription>| reader.next.load(Ordering::Acquire);
    let Some(from) = readers.iter().map(next).min() else { return };
    let (hashes, until) = {
        let pool = node.pool();
        let until = pool.arrivals();
        (pool.admitted(from, until), until)
    };
    let oldest = until - hashes.len() as u64;
    let mut told: Vec<(Option<Bytes>, Option<Option<Bytes>>)> = vec![(None, None); hashes.len()];
    for reader in readers {
        let Subject::Pending { full } = reader.subject else { continue };
        let first = next(reader);
        if first < oldest {
            reader.outbox.fail(MISSED);
            continue;
        }
        let mut results = Vec::new();
        for ((number, hash), (short, long)) in (oldest..until).zip(&hashes).zip(&mut told) {
            if number < first {
                continue;
            }
            results.extend(if full {
                long.get_or_insert_with(|| whole(node, hash)).clone()
            } else {
                let quoted = || Bytes::from(format!("\"{hash}\""));
                Some(short.get_or_insert_with(quoted).clone())
            });
        }
        reader.tell(results);
        reader.next.store(until, Ordering::Release);
    }
}

fn whole(node: &Node, hash: &B256) -> Option<Bytes> {
    pending::seen(node, hash).ok().flatten().and_then(|transaction| json(&transaction).ok())
}
