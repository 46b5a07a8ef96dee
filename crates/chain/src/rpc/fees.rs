//! Fee suggestions and history.

use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::FeeHistory;
use serde::Deserialize;

use super::{Arguments, Rpc, error::RpcError};
use crate::{block::SealedHeader, node::Head};

/// Blocks one fee history may span (geth's limit).
const HISTORY_MAX: u64 = 1024;
/// Percentiles one fee history may ask for.
const PERCENTILES_MAX: usize = 100;
/// Blocks a suggestion looks back.
const SUGGESTION_BLOCKS: u64 = 20;
/// Transactions per block a suggestion looks at (geth's).
const SUGGESTION_SAMPLE: usize = 3;

pub(super) fn gas_price(rpc: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    let head = rpc.head();
    // The head's base fee, as geth has it: what the last block cost at least.
    let base_fee = head.header.base_fee_per_gas.unwrap_or_default();
    Ok(U256::from(suggested_tip(rpc, &head)?) + U256::from(base_fee))
}

pub(super) fn max_priority_fee(rpc: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    Ok(U256::from(suggested_tip(rpc, &rpc.head())?))
}

/// The price blobs would have if there were any: the protocol's minimum.
pub(super) fn blob_base_fee(_: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    Ok(U256::ONE)
}

/// The 60th percentile of the smallest tips in recent blocks, as geth suggests.
pub(super) fn suggested_tip(rpc: &Rpc, head: &Head) -> Result<u128, RpcError> {
    let mut tips = Vec::new();
    let oldest = head.header.number.saturating_sub(SUGGESTION_BLOCKS);
    for number in oldest..=head.header.number {
        let Some(header) = head.header_of(number)? else { continue };
        if header.gas_used == 0 {
            continue;
        }
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
        let mut of_block: Vec<u128> =
            transactions.iter().filter_map(|tx| tx.effective_tip_per_gas(base_fee)).collect();
        of_block.sort_unstable();
        tips.extend(of_block.into_iter().take(SUGGESTION_SAMPLE));
    }
    tips.sort_unstable();
    let position = tips.len().saturating_sub(1) * 60 / 100;
    let suggested = tips.get(position).copied().unwrap_or_default();
    // Not zero, so that a wallet that takes it literally still pays for its place in order.
    Ok(suggested.max(rpc.node.limits.tip_min).max(1))
}

/// A block count as clients write it: a number, or a hex or decimal string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u64),
    Hex(U64),
}

pub(super) fn fee_history(rpc: &Rpc, mut args: Arguments<'_>) -> Result<FeeHistory, RpcError> {
    let count = match args.required::<Count>()? {
        Count::Number(count) => count,
        Count::Hex(count) => count.to(),
    };
    let newest: BlockNumberOrTag = args.required()?;
    let percentiles: Option<Vec<f64>> = args.optional()?;
    let percentiles = percentiles.unwrap_or_default();
    check_percentiles(&percentiles)?;
    let head = rpc.head();
    let newest = head.resolve(newest).ok_or_else(|| {
        RpcError::server(format!("request beyond head block: head {}", head.header.number))
    })?;
    let count = count.min(HISTORY_MAX).min(newest.saturating_add(1));
    if count == 0 {
        return Ok(FeeHistory { base_fee_per_gas: Vec::new(), ..FeeHistory::default() });
    }
    let oldest = newest + 1 - count;
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        let header = head.header_of(number)?.ok_or_else(RpcError::header_not_found)?;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit.max(1) as f64);
        history.base_fee_per_blob_gas.push(1);
        history.blob_gas_used_ratio.push(0.0);
        if !percentiles.is_empty() {
            rewards.push(rewards_of(&head, &header, &percentiles)?);
        }
        if number == newest {
            history.base_fee_per_gas.push(rpc.node.spec.next_base_fee(&header).into());
            history.base_fee_per_blob_gas.push(1);
        }
    }
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > PERCENTILES_MAX {
        return Err(RpcError::server(format!(
            "invalid reward percentile: over the query limit {PERCENTILES_MAX}"
        )));
    }
    for (index, p) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(p) {
            return Err(RpcError::server(format!("invalid reward percentile: {p}")));
        }
        if index > 0 && *p <= percentiles[index - 1] {
            return Err(RpcError::server(format!(
                "invalid reward percentile: #{}:{} >= #{index}:{p}",
                index - 1,
                percentiles[index - 1]
            )));
        }
    }
    Ok(())
}

/// Tips at the percentiles of a block's gas.
fn rewards_of(
    head: &Head,
    header: &SealedHeader,
    percentiles: &[f64],
) -> Result<Vec<u128>, RpcError> {
    let transactions = head.snapshot.transactions(header.number)?.unwrap_or_default();
    let receipts = head.snapshot.receipts(header.number)?.unwrap_or_default();
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let mut paid: Vec<(u128, u64)> = transactions
        .iter()
        .zip(&receipts)
        .map(|(tx, receipt)| {
            (tx.effective_tip_per_gas(base_fee).unwrap_or_default(), receipt.gas_used)
        })
        .collect();
    if paid.is_empty() {
        return Ok(vec![0; percentiles.len()]);
    }
    paid.sort_unstable();
    let mut rewards = Vec::with_capacity(percentiles.len());
    let (mut index, mut gas) = (0, paid[0].1);
    for percentile in percentiles {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "percentiles are checked to be 0 to 100, and such casts saturate"
        )]
        let threshold = (header.gas_used as f64 * percentile / 100.0) as u64;
        while gas < threshold && index + 1 < paid.len() {
            index += 1;
            gas += paid[index].1;
        }
        rewards.push(paid[index].0);
    }
    Ok(rewards)
}
