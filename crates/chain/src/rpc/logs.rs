//! Log queries: a scan of the blocks' blooms, then the receipts of those that may match.

use std::ops::RangeInclusive;

use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log as RpcLog};

use super::{Arguments, Rpc, convert, error::RpcError};
use crate::node::Head;

pub(super) fn get_logs(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Vec<RpcLog>, RpcError> {
    let filter: Filter = args.required()?;
    query(rpc, &rpc.head(), &filter)
}

/// All logs that match, oldest first.
pub(super) fn query(rpc: &Rpc, head: &Head, filter: &Filter) -> Result<Vec<RpcLog>, RpcError> {
    let range = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = head.snapshot.number_of(&hash)?;
            let number = number.ok_or_else(|| RpcError::server("unknown block"))?;
            number..=number
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let last = head.header.number;
            let from = from_block.unwrap_or_default();
            let to = to_block.unwrap_or_default();
            // A range may reach beyond the head; what is not there has no logs.
            let from = from.as_number().or_else(|| head.resolve(from)).unwrap_or(last);
            let to = to.as_number().or_else(|| head.resolve(to)).unwrap_or(last);
            if from > to {
                return Err(RpcError::invalid("invalid block range params"));
            }
            from..=to.min(last)
        }
    };
    scan(rpc, head, filter, range)
}

/// Logs that match in a range of existing blocks.
pub(super) fn scan(
    rpc: &Rpc,
    head: &Head,
    filter: &Filter,
    range: RangeInclusive<u64>,
) -> Result<Vec<RpcLog>, RpcError> {
    let limits = &rpc.node.limits;
    let span = range.end().saturating_sub(*range.start()).saturating_add(1);
    if !range.is_empty() && span > limits.logs_blocks_max {
        return Err(RpcError::limit(format!(
            "exceed maximum block range: {}",
            limits.logs_blocks_max
        )));
    }
    let mut found = Vec::new();
    for entry in head.snapshot.blooms(range)? {
        let (number, bloom) = entry?;
        if !filter.matches_bloom(bloom) {
            continue;
        }
        block_logs(head, number, filter, &mut found)?;
        if found.len() > limits.logs_results_max {
            return Err(RpcError::limit(format!(
                "query returned more than {} results",
                limits.logs_results_max
            )));
        }
    }
    Ok(found)
}

fn block_logs(
    head: &Head,
    number: u64,
    filter: &Filter,
    found: &mut Vec<RpcLog>,
) -> Result<(), RpcError> {
    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
    let matching = |log: &alloy_primitives::Log| filter.matches(log);
    if !receipts.iter().any(|receipt| receipt.logs.iter().any(matching)) {
        return Ok(());
    }
    let Some(header) = head.header_of(number)? else { return Ok(()) };
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    for (index, (tx, receipt)) in transactions.iter().zip(&receipts).enumerate() {
        if receipt.logs.iter().any(matching) {
            let logs = convert::logs(&header, index, *tx.inner().tx_hash(), receipt);
            found.extend(logs.into_iter().filter(|log| filter.matches(&log.inner)));
        }
    }
    Ok(())
}
