//! Log queries: the index says in which blocks to look, their receipts say what is there.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::Log as RpcLog;

use super::{
    Arguments, Rpc, convert,
    criteria::{Blocks, Bound, Criteria, pending_unsupported},
    error::RpcError,
};
use crate::{
    block::{ExecutedReceipt, Transaction},
    message::Watch,
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
            if number > 0 && number < head.snapshot.first_body()? {
                return Err(RpcError::history_pruned());
            }
            number..=number
        }
        Blocks::Range { from, to } => {
            // A chain that began at a snapshot has no blocks between genesis and that one, and one
            // that drops old transactions no logs of theirs.
            let first = match head.snapshot.first_body()? {
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

/// Logs that match in a range of existing blocks, or a refusal with the range that would have
/// worked.
fn scan(
    rpc: &Rpc,
    head: &Head,
    criteria: &Criteria,
    range: RangeInclusive<u64>,
) -> Result<Vec<RpcLog>, RpcError> {
    let (first, last) = (*range.start(), *range.end());
    let most = rpc.node.limits.logs_blocks_max;
    if first <= last && last - first >= most {
        return Err(RpcError::invalid(format!("exceed maximum block range {most}")));
    }
    let (logs, stop) = collect(rpc, head, criteria, range)?;
    let Some(Stop { mut reason, next }) = stop else { return Ok(logs) };
    if next > first {
        reason.push_str(&format!(", retry with the range {first}-{}", next - 1));
    }
    Err(RpcError::invalid(reason))
}

/// Why a search ended before its range did.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) reason: String,
    /// The first block whose logs are missing.
    pub(super) next: u64,
}

/// Logs that match in a range of existing blocks, up to the block where a limit is met.
///
/// Works on a snapshot and holds no lock. Memory is bounded by the limits on results and on the
/// response, time by [`crate::Limits::logs_time_max`]; the processor is shared in turns, so that
/// blocks are made meanwhile.
pub(super) fn collect(
    rpc: &Rpc,
    head: &Head,
    criteria: &Criteria,
    range: RangeInclusive<u64>,
) -> Result<(Vec<RpcLog>, Option<Stop>), RpcError> {
    let limits = &rpc.node.limits;
    let mut found = Vec::new();
    let (first, last) = (*range.start(), *range.end());
    let watch = Watch::start(&rpc.turns, limits.logs_time_max);
    let late = |next| {
        let reason = format!("query takes longer than {:?}", limits.logs_time_max);
        Some(Stop { reason, next })
    };
    let mut bytes = 0;
    let mut search = head.snapshot.find_logs(range, criteria.conditions());
    loop {
        let reached = search.reached();
        if watch.look().is_err() {
            return Ok((found, late(reached)));
        }
        let Some(candidates) = search.step()? else { return Ok((found, None)) };
        for number in candidates {
            if watch.look().is_err() {
                return Ok((found, late(number)));
            }
            let before = found.len();
            block_logs(head, number, criteria, &mut found)?;
            bytes += found[before..].iter().map(size).sum::<u64>();
            // One block alone is never too many, or nobody could ask for it.
            let reason = if found.len() > limits.logs_results_max && first < last {
                format!("query exceeds max results {}", limits.logs_results_max)
            } else if bytes > u64::from(limits.response_bytes_max) {
                format!("query exceeds max response size {}", limits.response_bytes_max)
            } else {
                continue;
            };
            found.truncate(before);
            return Ok((found, Some(Stop { reason, next: number })));
        }
    }
}

/// Bytes of a log's JSON, about.
fn size(log: &RpcLog) -> u64 {
    const FIXED: u64 = 460;
    let inner = &log.inner.data;
    FIXED + 69 * inner.topics().len() as u64 + 2 * inner.data.len() as u64
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
