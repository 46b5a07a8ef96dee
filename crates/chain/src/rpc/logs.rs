//! Log queries: the index says in which blocks to look, their receipts say what is there.

use std::{ops::RangeInclusive, time::Instant};

use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::Log as RpcLog;

use super::{
    Arguments, Rpc, convert,
    criteria::{Blocks, Bound, Criteria, pending_unsupported},
    error::RpcError,
};
use crate::{
    block::{ExecutedReceipt, Transaction},
    node::Head,
};

pub(super) fn get_logs(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Vec<RpcLog>, RpcError> {
    let criteria = Criteria::argument(&mut args, 0)?;
    query(rpc, &rpc.head(), &criteria)
}

/// All logs that match, oldest first.
pub(super) fn query(rpc: &Rpc, head: &Head, criteria: &Criteria) -> Result<Vec<RpcLog>, RpcError> {
    criteria.check()?;
    let range = match criteria.blocks {
        Blocks::Hash(hash) => {
            let number = head.snapshot.number_of(&hash)?;
            let number = number.ok_or_else(|| RpcError::server("unknown block"))?;
            number..=number
        }
        Blocks::Range { from, to } => {
            // A chain that began at a snapshot has no blocks between genesis and that one.
            let first = match head.snapshot.first_block()? {
                0 | 1 => 0,
                first => first,
            };
            let range = range(head.header.number, first, from, to)?;
            if *range.start() < first {
                return Err(RpcError::history_pruned());
            }
            range
        }
    };
    scan(rpc, head, criteria, range)
}

/// The blocks meant by two bounds, as geth understands and refuses them.
fn range(
    head: u64,
    first: u64,
    from: Option<Bound>,
    to: Option<Bound>,
) -> Result<RangeInclusive<u64>, RpcError> {
    let number = |bound: Option<Bound>| match bound.unwrap_or(Bound::Latest) {
        Bound::Earliest => Ok(first),
        // Blocks of a solo chain are final when they are made.
        Bound::Safe | Bound::Finalized | Bound::Latest => Ok(head),
        Bound::Pending => Err(pending_unsupported()),
        Bound::Number(number) => Ok(number),
    };
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(RpcError::invalid("invalid block range params"));
    }
    if to > head {
        return Err(RpcError::invalid("block range extends beyond current head block"));
    }
    Ok(from..=to)
}

/// Logs that match in a range of existing blocks.
///
/// Works on a snapshot and holds no lock. Memory is bounded by the limits on results and on the
/// response, time by [`crate::Limits::logs_time_max`]. Whoever exceeds one is told the range that
/// would have worked.
pub(super) fn scan(
    rpc: &Rpc,
    head: &Head,
    criteria: &Criteria,
    range: RangeInclusive<u64>,
) -> Result<Vec<RpcLog>, RpcError> {
    let limits = &rpc.node.limits;
    let mut found = Vec::new();
    if range.is_empty() {
        return Ok(found);
    }
    let (first, last) = (*range.start(), *range.end());
    if last - first >= limits.logs_blocks_max {
        let message = format!("exceed maximum block range {}", limits.logs_blocks_max);
        return Err(RpcError::invalid(message));
    }
    let begun = Instant::now();
    let mut bytes = 0;
    let mut search = head.snapshot.find_logs(range, criteria.conditions());
    while let Some(candidates) = search.step()? {
        // Also where a step finds nothing the time is looked at.
        let reached = candidates.last().copied();
        for number in candidates {
            let before = found.len();
            block_logs(head, number, criteria, &mut found)?;
            bytes += found[before..].iter().map(size).sum::<u64>();
            let message = if found.len() > limits.logs_results_max && first < last {
                format!("query exceeds max results {}", limits.logs_results_max)
            } else if bytes > u64::from(limits.response_bytes_max) {
                format!("query exceeds max response size {}", limits.response_bytes_max)
            } else if begun.elapsed() > limits.logs_time_max && number < last {
                format!("query takes longer than {:?}", limits.logs_time_max)
            } else {
                continue;
            };
            return Err(RpcError::invalid(retry(message, first, number)));
        }
        if reached.is_none() && begun.elapsed() > limits.logs_time_max {
            let message = format!("query takes longer than {:?}", limits.logs_time_max);
            return Err(RpcError::invalid(message));
        }
    }
    Ok(found)
}

/// Bytes of a log's JSON, about.
fn size(log: &RpcLog) -> u64 {
    const FIXED: u64 = 460;
    let inner = &log.inner.data;
    FIXED + 69 * inner.topics().len() as u64 + 2 * inner.data.len() as u64
}

/// A refusal with the range up to the block before the one where a limit was met.
fn retry(mut message: String, start: u64, met: u64) -> String {
    if let Some(last) = met.checked_sub(1).filter(|last| *last >= start) {
        message.push_str(&format!(", retry with the range {start}-{last}"));
    }
    message
}

/// Receipts of one block above which decoding all is cheaper than finding each.
const SINGLE_MAX: usize = 8;

fn block_logs(
    head: &Head,
    number: u64,
    criteria: &Criteria,
    found: &mut Vec<RpcLog>,
) -> Result<(), RpcError> {
    let snapshot = &head.snapshot;
    let wanted = |address: &Address, topics: &[B256]| criteria.accepts(address, topics);
    let indices = snapshot.receipts_with(number, wanted)?;
    if indices.is_empty() {
        return Ok(());
    }
    let Some(header) = head.header_of(number)? else { return Ok(()) };
    let mut add = |index, transaction: &Transaction, receipt: &ExecutedReceipt| {
        let logs = convert::logs(&header, index, *transaction.inner().tx_hash(), receipt);
        found.extend(logs.into_iter().filter(|log| criteria.matches(&log.inner)));
    };
    if indices.len() <= SINGLE_MAX {
        for index in indices {
            let transaction = snapshot.transaction_at(number, index)?;
            let receipt = snapshot.receipt_at(number, index)?;
            if let Some((transaction, receipt)) = transaction.zip(receipt) {
                add(index, &transaction, &receipt);
            }
        }
        return Ok(());
    }
    let transactions = snapshot.transactions(number)?.unwrap_or_default();
    let receipts = snapshot.receipts(number)?.unwrap_or_default();
    for index in indices {
        if let Some((transaction, receipt)) = transactions.get(index).zip(receipts.get(index)) {
            add(index, transaction, receipt);
        }
    }
    Ok(())
}
