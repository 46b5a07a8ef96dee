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
use tracing::{info, warn};

use super::{
    Account,
    sent::{is_known, is_outbid, is_stale},
};
use crate::ChainError;

/// So many are overtaken at one look; more are overtaken at the next.
const MOST: u64 = 16;
/// How often the fee of one that overtakes is raised at one look: 1.2^12 is about nine times what the next blocks ask for.
const BIDS: u32 = 12;

/// Nonces of the transactions that this process waits for, and how many for each: of two only one comes to pass. Clones
/// share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Flying(Arc<Mutex<BTreeMap<u64, u32>>>);

/// That one of them is waited for, until it is dropped.
pub(super) struct InFlight {
    nonce: u64,
    all: Flying,
}

impl Flying {
    /// From now on this one is waited for.
    pub(super) fn begin(&self, nonce: u64) -> InFlight {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.entry(nonce).or_default();
        *waiting = waiting.saturating_add(1);
        InFlight { nonce, all: self.clone() }
    }

    /// Nonces from one to before another that nobody waits for, the first ones.
    fn missing(&self, from: u64, to: u64) -> Vec<u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = to.min(from.saturating_add(MOST));
        (from..end).filter(|nonce| !all.contains_key(nonce)).collect()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let due = match self.link.nonce(self.address(), BlockNumberOrTag::Latest).await {
            Ok(due) => due,
            Err(error) => {
                warn!(account = %self.address(), %error, "what is in the way cannot be asked for");
                return;
            }
        };
        for nonce in self.flying.missing(due, before) {
            match self.overtake(nonce).await {
                Ok(()) => info!(account = %self.address(), nonce, "overtook what was in the way"),
                Err(error) => {
                    warn!(account = %self.address(), nonce, %error, "something stays in the way");
                    return;
                }
            }
        }
    }

    /// Has nothing happen under a nonce. That it is in a block, or just was, is success.
    async fn overtake(&self, nonce: u64) -> Result<(), ChainError> {
        let order = self.order(TxKind::Call(self.address()), Bytes::new(), U256::ZERO).await?;
        let mut fees = self.link.fees().await?;
        let mut bids = 0;
        loop {
            let (_, raw) = self.sign(&order, nonce, fees).await?;
            match self.link.send_raw(&raw).await {
                Err(error) if is_outbid(&error) && bids < BIDS => {
                    fees = fees.raised();
                    bids += 1;
                }
                Err(error) if is_outbid(&error) => return Err(error),
                Err(error) if !is_known(&error) && !is_stale(&error) => return Err(error),
                Ok(()) | Err(_) => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
#[path = "stuck_tests.rs"]
mod tests;
