//! Log queries: the index says in which blocks to look, their receipts say what is there.

use std::{ops::RangeInclusive, time::Instant};

use alloy_rpc_types_eth::Log as RpcLog;

use super::{
    Arguments, Rpc, convert,
    criteria::{Blocks, Bound, Criteria, pending_unsupported},
    error::RpcError,
};
use crate::node::Head;

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
        Blocks::Range { from, to } => range(head.header.number, from, to)?,
    };
    scan(rpc, head, criteria, range)
}

/// The blocks meant by two bounds, as geth understands and refuses them.
fn range(
    head: u64,
    from: Option<Bound>,
    to: Option<Bound>,
) -> Result<RangeInclusive<u64>, RpcError> {
    let number = |bound: Option<Bound>| match bound.unwrap_or(Bound::Latest) {
        Bound::Earliest => Ok(0),
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
/// Works on a snapshot and holds no lock. Memory is bounded by the limits on results, time by
/// [`crate::Limits::logs_time_max`]. Whoever exceeds one is told the range that would have worked.
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
    if range.end() - range.start() >= limits.logs_blocks_max {
        let message = format!("exceed maximum block range {}", limits.logs_blocks_max);
        return Err(RpcError::invalid(message));
    }
    let begun = Instant::now();
    for entry in head.snapshot.blooms(range.clone())? {
        let (number, bloom) = entry?;
        if !criteria.may_match(&bloom) {
            continue;
        }
        block_logs(head, number, criteria, &mut found)?;
        let message = if found.len() > limits.logs_results_max {
            format!("query exceeds max results {}", limits.logs_results_max)
        } else if begun.elapsed() > limits.logs_time_max {
            format!("query takes longer than {:?}", limits.logs_time_max)
        } else {
            continue;
        };
        return Err(RpcError::invalid(retry(message, *range.start(), number)));
    }
    Ok(found)
}

/// A refusal with the range up to the block before the one where a limit was met.
fn retry(mut message: String, start: u64, met: u64) -> String {
    if let Some(last) = met.checked_sub(1).filter(|last| *last >= start) {
        message.push_str(&format!(", retry with the range {start}-{last}"));
    }
    message
}

fn block_logs(
    head: &Head,
    number: u64,
    criteria: &Criteria,
    found: &mut Vec<RpcLog>,
) -> Result<(), RpcError> {
    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
    let matching = |log: &alloy_primitives::Log| criteria.matches(log);
    if !receipts.iter().any(|receipt| receipt.logs.iter().any(matching)) {
        return Ok(());
    }
    let Some(header) = head.header_of(number)? else { return Ok(()) };
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    for (index, (tx, receipt)) in transactions.iter().zip(&receipts).enumerate() {
        if receipt.logs.iter().any(matching) {
            let logs = convert::logs(&header, index, *tx.inner().tx_hash(), receipt);
            found.extend(logs.into_iter().filter(|log| criteria.matches(&log.inner)));
        }
    }
    Ok(())
}
