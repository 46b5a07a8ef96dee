//! What is in the way of a transaction of ours: one with an earlier nonce that this process does not wait for, so that
//! nobody raises its fee. A program that was killed leaves such ones, and so does one that has given up waiting.
//!
//! Its place is taken by one that does nothing, for a fee that the next blocks take. What it was to do is lost, unless it
//! gets into a block first: who sent it looks at the chain's state before it sends it again, as after any send that came to
//! no end, and a program that still waits for it sends it anew. It is never sent again from here: who does not know what it
//! is about cannot know whether it is still wanted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Bytes, TxKind, U256},
};
use tracing::{debug, info, warn};

use super::{
    Account,
    offer::BIDS,
    sent::{is_known, is_outbid, is_stale},
};
use crate::{ChainError, link::Fees};

/// So many are overtaken at one look; more are overtaken at the next.
const MOST: u64 = 16;

/// Nonces of the transactions that this process waits for. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flying {
    /// How many wait for each: of two only one comes to pass.
    waits: Arc<Mutex<BTreeMap<u64, u32>>>,
    /// What those pay that overtake. One at a time looks after them, for all that wait, or they would bid against each other.
    bids: Arc<tokio::sync::Mutex<BTreeMap<u64, Fees>>>,
}

/// That one of them is waited for, until it is dropped.
pub(super) struct InFlight {
    nonce: u64,
    all: Flying,
}

impl Flying {
    /// From now on this one is waited for.
    pub(super) fn begin(&self, nonce: u64) -> InFlight {
        let mut all = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.entry(nonce).or_default();
        *waiting = waiting.saturating_add(1);
        InFlight { nonce, all: self.clone() }
    }

    /// The first nonce from one on that nobody waits for: what a node does not count is ours all the same.
    pub(super) fn free_from(&self, nonce: u64) -> u64 {
        let all = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = nonce;
        for taken in all.range(nonce..).map(|(taken, _)| *taken) {
            if taken != free {
                break;
            }
            free = free.saturating_add(1);
        }
        free
    }

    /// Nonces from one to before another that nobody waits for, the first ones.
    fn missing(&self, from: u64, to: u64) -> Vec<u64> {
        let all = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let end = to.min(from.saturating_add(MOST));
        (from..end).filter(|nonce| !all.contains_key(nonce)).collect()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut all = self.all.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = all.get_mut(&self.nonce) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                all.remove(&self.nonce);
            }
        }
    }
}

impl Account {
    /// Overtakes what nobody here waits for under nonces that are due before this one. What does not come off is tried again
    /// at the next look.
    pub(super) async fn clear_the_way(&self, before: u64) {
        if let Err(error) = self.overtake_all(before).await {
            warn!(account = %self.address(), %error, "something stays in the way of later transactions");
        }
    }

    async fn overtake_all(&self, before: u64) -> Result<(), ChainError> {
        let mut bids = self.flying.bids.lock().await;
        let due = self.link.nonce(self.address(), BlockNumberOrTag::Latest).await?;
        bids.retain(|nonce, _| *nonce >= due);
        for nonce in self.flying.missing(due, before) {
            let market = self.link.fees().await?;
            // What is there is ours already, and pays enough.
            if bids.get(&nonce).is_some_and(|bid| bid.at_least(market) == *bid) {
                continue;
            }
            let Some(fees) = self.overtake(nonce, market).await? else { continue };
            info!(account = %self.address(), nonce, "overtook what was in the way");
            bids.insert(nonce, fees);
        }
        Ok(())
    }

    /// Has nothing happen under a nonce; what is paid for that. `None`: it was used meanwhile.
    async fn overtake(&self, nonce: u64, mut fees: Fees) -> Result<Option<Fees>, ChainError> {
        let order = self.order(TxKind::Call(self.address()), Bytes::new(), U256::ZERO).await?;
        let mut bids = 0;
        loop {
            let (_, raw) = self.sign(&order, nonce, fees).await?;
            match self.link.send_raw(&raw).await {
                Ok(()) => return Ok(Some(fees)),
                Err(error) if is_known(&error) => return Ok(Some(fees)),
                Err(error) if is_outbid(&error) && bids < BIDS => {
                    debug!(account = %self.address(), nonce, bids, "what is in the way pays more");
                    fees = fees.raised();
                    bids += 1;
                }
                Err(error) if is_stale(&error) && !is_outbid(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
#[path = "stuck_tests.rs"]
mod tests;
