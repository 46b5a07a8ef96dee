//! Fee suggestions and history.

use std::sync::Arc;

use alloy_consensus::{Header, Transaction as _};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U256};
use serde::Serialize;

use super::{Arguments, Rpc, error::RpcError};
use crate::{
    block::{ChainSpec, ExecutedReceipt, SealedHeader, Transaction},
    decode::{Bounded, Count},
};

/// Blocks one fee history may span (geth's limit).
const HISTORY_MAX: u64 = 1024;
/// Percentiles one fee history may ask for (geth's limit).
const PERCENTILES_MAX: usize = 100;

/// The suggested tip on the base fee of the head or, if that is rising, of the next block: geth
/// takes the head's alone, but a node that makes no empty blocks might never mine what pays less.
pub(super) fn gas_price(rpc: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    let head = rpc.head();
    let next = rpc.node.spec.next_base_fee(&head.header);
    let base_fee = head.header.base_fee_per_gas.unwrap_or_default().max(next);
    Ok(U256::from(rpc.oracle.tip(&head)?) + U256::from(base_fee))
}

pub(super) fn max_priority_fee(rpc: &Rpc, _: Arguments<'_>) -> Result<U256, RpcError> {
    Ok(U256::from(rpc.oracle.tip(&rpc.head())?))
}

/// Base fee of the next block.
pub(super) fn base_fee(rpc: &Rpc, _: Arguments<'_>) -> Result<Option<U256>, RpcError> {
    let (spec, head) = (&rpc.node.spec, rpc.head());
    let has_base_fee = spec.has_base_fee(head.header.number.saturating_add(1));
    Ok(has_base_fee.then(|| U256::from(spec.next_base_fee(&head.header))))
}

/// Price of blob gas in the head; null before Cancun.
pub(super) fn blob_base_fee(rpc: &Rpc, _: Arguments<'_>) -> Result<Option<U256>, RpcError> {
    Ok(rpc.node.spec.blob_fee_of(&rpc.head().header).map(U256::from))
}

/// Price of blob gas in a block and, as geth foretells it, in the next one.
fn blob_fees(spec: &ChainSpec, header: &Header) -> (U256, U256) {
    let Some(price) = spec.blob_fee_of(header) else { return (U256::ZERO, U256::ZERO) };
    let excess = spec.next_excess_blob_gas(header, header.timestamp);
    let next = spec.blob_params(header.timestamp).zip(excess);
    let next = next.map_or(0, |(params, excess)| params.calc_blob_fee(excess));
    (U256::from(price), U256::from(next))
}

/// A fee history; what is not known of the blocks is left out, as in geth.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FeeHistory {
    oldest_block: U64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reward: Vec<Vec<U256>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    base_fee_per_gas: Vec<U256>,
    /// Null if there are no blocks to tell of.
    gas_used_ratio: Option<Vec<Ratio>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    base_fee_per_blob_gas: Vec<U256>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blob_gas_used_ratio: Vec<Ratio>,
}

/// A number that is written without fraction if it has none, as Go writes it.
#[derive(Clone, Copy, Debug)]
struct Ratio(f64);

impl Ratio {
    fn of(used: u64, limit: u64) -> Self {
        Self(if limit == 0 { 0.0 } else { used as f64 / limit as f64 })
    }
}

impl Serialize for Ratio {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0.0 => serializer.serialize_u8(0),
            1.0 => serializer.serialize_u8(1),
            ratio => serializer.serialize_f64(ratio),
        }
    }
}

pub(super) fn fee_history(rpc: &Rpc, mut args: Arguments<'_>) -> Result<FeeHistory, RpcError> {
    let Count(count) = args.take()?;
    let tag: BlockNumberOrTag = args.take()?;
    let percentiles: Bounded<f64, PERCENTILES_MAX> = args.take()?;
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    check_percentiles(&percentiles)?;
    let percentiles = percentiles.items;
    let pending = rpc.pending_if(tag.into())?;
    let head = match &pending {
        Some(pending) => Arc::clone(pending.parent()),
        None => rpc.head(),
    };
    let newest = pending.as_ref().map(|next| next.executed.block.header.number);
    let newest = newest.or_else(|| head.resolve(tag)).ok_or_else(|| {
        RpcError::server(format!(
            "request beyond head block: requested {}, head {}",
            tag.as_number().unwrap_or_default(),
            head.header.number
        ))
    })?;
    let count = count.min(HISTORY_MAX).min(newest.saturating_add(1));
    // Clients ask for more blocks than they need: they get those that are kept, if the newest one is.
    // Headers stay when transactions are dropped, and are all it takes without rewards.
    let first = match percentiles.is_empty() {
        true => head.snapshot.first_block()?,
        false => head.snapshot.first_body()?,
    };
    let is_cut = first > 1 && newest >= first;
    let oldest = (newest + 1 - count).max(if is_cut { first } else { 0 });
    let mut history = FeeHistory { oldest_block: U64::from(oldest), ..FeeHistory::default() };
    let mut ratios = Vec::new();
    for number in oldest..=newest {
        let pending = pending.as_ref().filter(|_| number > head.header.number);
        let header = match pending {
            Some(pending) => pending.executed.block.header.clone(),
            None => head.header_of(number)?.ok_or_else(RpcError::header_not_found)?,
        };
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        history.base_fee_per_gas.push(U256::from(base_fee));
        ratios.push(Ratio::of(header.gas_used, header.gas_limit));
        let (blob_fee, next_blob_fee) = blob_fees(&rpc.node.spec, &header);
        history.base_fee_per_blob_gas.push(blob_fee);
        let params = rpc.node.spec.blob_params(header.timestamp);
        let blob_gas_max = params.map_or(0, |params| params.max_blob_gas_per_block());
        let blob_gas = header.blob_gas_used.unwrap_or_default();
        history.blob_gas_used_ratio.push(Ratio::of(blob_gas, blob_gas_max));
        if !percentiles.is_empty() {
            history.reward.push(match pending {
                Some(pending) => {
                    let executed = &pending.executed;
                    rewards(&header, &executed.block.transactions, &executed.receipts, &percentiles)
                }
                None => {
                    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
                    let receipts = head.snapshot.receipts(number)?.unwrap_or_default();
                    rewards(&header, &transactions, &receipts, &percentiles)
                }
            });
        }
        if number == newest {
            let next = rpc.node.spec.next_base_fee(&header);
            history.base_fee_per_gas.push(U256::from(next));
            history.base_fee_per_blob_gas.push(next_blob_fee);
        }
    }
    history.gas_used_ratio = Some(ratios);
    Ok(history)
}

fn check_percentiles(percentiles: &Bounded<f64, PERCENTILES_MAX>) -> Result<(), RpcError> {
    let refuse =
        |reason: String| Err(RpcError::server(format!("invalid reward percentile: {reason}")));
    if percentiles.given > PERCENTILES_MAX {
        return refuse(format!("over the query limit {PERCENTILES_MAX}"));
    }
    for (index, p) in percentiles.items.iter().enumerate() {
        if !(0.0..=100.0).contains(p) {
            return refuse(format!("{p:.6}"));
        }
        let Some(before) = index.checked_sub(1) else { continue };
        let last = percentiles.items[before];
        if *p <= last {
            return refuse(format!("#{before}:{last:.6} >= #{index}:{p:.6}"));
        }
    }
    Ok(())
}

/// Tips at the percentiles of a block's gas.
fn rewards(
    header: &SealedHeader,
    transactions: &[Transaction],
    receipts: &[ExecutedReceipt],
    percentiles: &[f64],
) -> Vec<U256> {
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let mut paid: Vec<(u128, u64)> = transactions
        .iter()
        .zip(receipts)
        .map(|(tx, receipt)| {
            (tx.effective_tip_per_gas(base_fee).unwrap_or_default(), receipt.gas_used)
        })
        .collect();
    if paid.is_empty() {
        return vec![U256::ZERO; percentiles.len()];
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
        rewards.push(U256::from(paid[index].0));
    }
    rewards
}
