//! When a transaction is done: when the block that it is in is not taken back any more.
//!
//! Until then the chain may give its nonce to another version of it, to another program's transaction, or to none; one
//! that failed in a block may succeed in the one that takes its place. So nothing is concluded from a block that is not
//! deep enough, success as little as failure.

use std::time::Duration;

use alloy::rpc::types::TransactionReceipt;

use super::{Account, PATIENCE, sent::Sent};
use crate::ChainError;

/// How much longer a transaction may take for each block that it should have on top: most chains make one in less.
const A_BLOCK: Duration = Duration::from_secs(30);

impl Account {
    /// How long a transaction may take in all.
    pub(super) fn patience(&self) -> Duration {
        PATIENCE.saturating_add(A_BLOCK.saturating_mul(self.link.confirmations()))
    }

    /// The receipt of whichever version is in a block that stays. `seen`: whether one was in any block at the last
    /// look; afterwards, whether one is at this one.
    pub(super) async fn look_deep(
        &self,
        sent: &Sent,
        seen: &mut bool,
    ) -> Result<Option<TransactionReceipt>, ChainError> {
        let depth = u64::from(self.link.confirmations());
        // The head before the receipt: what lies that deep below it stays, whatever is taken back between the two
        // questions. What is in no block yet is not worth a question.
        let is_due = *seen && depth > 0;
        let head = if is_due { Some(self.link.block_number().await?) } else { None };
        let receipt = self.look(sent).await?;
        *seen = receipt.is_some();
        let stays = |receipt: &TransactionReceipt| match head.zip(receipt.block_number) {
            Some((head, block)) => block.saturating_add(depth) <= head,
            None => depth == 0,
        };
        Ok(receipt.filter(stays))
    }

    /// What is to be said of a transaction that has taken too long.
    pub(super) fn not_done(&self, sent: &Sent, seen: bool, waited: Duration) -> ChainError {
        let hash = sent.hashes.last().copied().unwrap_or_default();
        let confirmations = self.link.confirmations();
        if seen {
            ChainError::NotConfirmed { hash, confirmations, waited }
        } else {
            ChainError::NotIncluded { hash, waited }
        }
    }
}

#[cfg(test)]
#[path = "depth_tests.rs"]
mod tests;
