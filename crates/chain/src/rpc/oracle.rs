//! What to pay for a transaction, as geth's oracle suggests it.
//!
//! Per block the smallest tips that anybody but the beneficiary paid, of the last blocks a
//! percentile. Blocks that say nothing count with the last suggestion, and blocks further back are
//! looked at instead. One suggestion is made per head.

use std::sync::{Mutex, PoisonError};

use alloy_consensus::Transaction as _;
use alloy_primitives::B256;

use super::error::RpcError;
use crate::node::Head;

/// Blocks a suggestion looks back.
const BLOCKS: usize = 20;
/// Transactions per block it looks at.
const SAMPLE: usize = 3;
/// Which of the tips, in percent.
const PERCENTILE: usize = 60;
/// Smaller tips say nothing, in wei per gas.
const IGNORED_BELOW: u128 = 2;
/// The highest suggestion, in wei per gas.
const SUGGESTION_MAX: u128 = 500_000_000_000;
/// The suggestion on a chain that says nothing, in wei per gas.
const START: u128 = 1_000_000;

/// The last suggestion.
#[derive(Debug)]
pub(super) struct Oracle {
    last: Mutex<(B256, u128)>,
}

impl Oracle {
    /// An oracle that never suggests less than `tip_min` wei per gas.
    pub(super) fn new(tip_min: u128) -> Self {
        Self { last: Mutex::new((B256::ZERO, START.max(tip_min))) }
    }

    /// The tip for a transaction to be mined soon, in wei per gas.
    pub(super) fn tip(&self, head: &Head) -> Result<u128, RpcError> {
        // Held while the blocks are read: who asks meanwhile waits for the same answer.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 == head.header.hash() {
            return Ok(last.1);
        }
        let tip = suggest(head, last.1)?;
        *last = (head.header.hash(), tip);
        Ok(tip)
    }
}

fn suggest(head: &Head, last: u128) -> Result<u128, RpcError> {
    let mut tips: Vec<u128> = Vec::new();
    let mut wanted = BLOCKS;
    let mut number = head.header.number;
    while wanted > 0 && number > 0 {
        wanted -= 1;
        let mut of_block = smallest_tips(head, number)?;
        if of_block.is_empty() {
            of_block.push(last);
        }
        if of_block.len() == 1 && tips.len() + 1 + wanted < 2 * BLOCKS {
            wanted += 1;
        }
        tips.append(&mut of_block);
        number -= 1;
    }
    tips.sort_unstable();
    let position = tips.len().saturating_sub(1) * PERCENTILE / 100;
    Ok(tips.get(position).copied().unwrap_or(last).min(SUGGESTION_MAX))
}

fn smallest_tips(head: &Head, number: u64) -> Result<Vec<u128>, RpcError> {
    // Where the chain began at a snapshot, there are fewer blocks to learn from.
    let Some(header) = head.snapshot.header(number)? else { return Ok(Vec::new()) };
    if header.gas_used == 0 {
        return Ok(Vec::new());
    }
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
    let paid = transactions.iter().filter(|tx| tx.signer() != header.beneficiary);
    let mut tips: Vec<u128> = paid
        .filter_map(|tx| tx.effective_tip_per_gas(base_fee))
        .filter(|tip| *tip >= IGNORED_BELOW)
        .collect();
    tips.sort_unstable();
    tips.truncate(SAMPLE);
    Ok(tips)
}
