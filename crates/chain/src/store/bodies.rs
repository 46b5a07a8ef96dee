//! Dropping what old blocks carried: transactions, receipts, their indices, logs. Headers stay, and with
//! them the chain of hashes.
//!
//! The first block that is kept whole is written down, so that readers can tell what was dropped from
//! what never was. Block 0 is always kept.

use redb::{ReadableTable, WriteTransaction};

use super::{Snapshot, tables::*};
use crate::{
    block::{SealedHeader, decode_body},
    log_index,
    state::StateError,
};

/// Under which name the first block with transactions and receipts stands among the facts.
pub(super) const FIRST_BODY: &str = "bodies";

/// Blocks behind the head that are kept whole whatever is configured: ommers, fee suggestions and
/// transactions of abandoned blocks look back so far at the most.
pub(crate) const BODIES_MIN: u64 = 128;

/// Transactions after which one commit drops no further block.
const TRANSACTIONS_MAX: usize = 4096;

/// Drops transactions and receipts of the blocks before `keep`, of at most `blocks_max` of them, and
/// what the log index has of them; returns of how many.
pub(super) fn prune(
    transaction: &WriteTransaction,
    keep: u64,
    blocks_max: usize,
) -> Result<usize, redb::Error> {
    if keep == 0 {
        return Ok(0);
    }
    let first = first_body(transaction)?;
    let (mut next, mut blocks, mut transactions) = (first, 0, 0);
    while next < keep && blocks < blocks_max && transactions < TRANSACTIONS_MAX {
        transactions += forget(transaction, next)?;
        next += 1;
        blocks += 1;
    }
    if next > first {
        transaction.open_table(META)?.insert(FIRST_BODY, next)?;
    }
    log_index::forget(transaction, next, blocks_max)?;
    Ok(blocks)
}

/// The first block after block 0 that is whole.
fn first_body(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    let written = transaction.open_table(META)?.get(FIRST_BODY)?.map(|first| first.value());
    if let Some(first) = written {
        return Ok(first);
    }
    let bodies = transaction.open_table(BODIES)?;
    let first = bodies.range(1..)?.next().transpose()?;
    Ok(first.map_or(1, |(number, _)| number.value()))
}

/// Drops one block's; returns how many transactions it had.
fn forget(transaction: &WriteTransaction, number: u64) -> Result<usize, redb::Error> {
    transaction.open_table(RECEIPTS)?.remove(number)?;
    let body = transaction.open_table(BODIES)?.remove(number)?.map(|body| body.value().to_vec());
    // A damaged body leaves places behind that lead to nothing.
    let Some(body) = body.and_then(|body| decode_body(&body)) else { return Ok(0) };
    let mut places = transaction.open_table(TRANSACTIONS)?;
    for mined in &body.transactions {
        let hash = mined.inner().tx_hash();
        let place = places.get(&hash.0)?.map(|place| place.value());
        if place.is_some_and(|(block, _)| block == number) {
            places.remove(&hash.0)?;
        }
    }
    Ok(body.transactions.len())
}

impl Snapshot {
    /// The first block after block 0 whose transactions, receipts and logs are there; 1 unless the
    /// chain came from a snapshot or drops them, 0 if there is none.
    pub fn first_body(&self) -> Result<u64, StateError> {
        match self.first_block()? {
            0 => Ok(0),
            first => Ok(first.max(self.bodies_from)),
        }
    }

    /// What to say of a block's parts that are not there: nothing if there is no such block. Blocks
    /// from before the snapshot that the chain came from were there once, too.
    pub(super) fn dropped<T>(&self, number: u64) -> Result<Option<T>, StateError> {
        let first = self.first_body()?;
        if (1..first).contains(&number) {
            return Err(StateError::PrunedBlock { number, first });
        }
        Ok(None)
    }

    /// A header that must be there if there ever was such a block.
    ///
    /// # Errors
    /// `StateError::PrunedBlock` for blocks from before the snapshot that the chain came from.
    pub(crate) fn kept_header(&self, number: u64) -> Result<Option<SealedHeader>, StateError> {
        match self.header(number)? {
            Some(header) => Ok(Some(header)),
            None => self.dropped(number),
        }
    }
}
