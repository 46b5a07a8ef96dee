//! One sender's transactions.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Transaction as _;
use alloy_primitives::U256;

use super::{Pooled, Sender, prices::Offer};

/// Sums of costs wrap: they are exact unless a sender's transactions together cost more coins than
/// can exist, and then only admission is too lenient.
///
/// Invariants: every nonce is at least the account's; `next` is the first missing one; `cost` is the
/// sum over the executable ones; no cost is above `cost_bound`.
#[derive(Debug)]
pub(super) struct Queue {
    /// The account as of the head.
    pub(super) account: Sender,
    /// The first nonce from the account's on that is missing.
    pub(super) next: u64,
    /// Highest possible cost of the executable ones together, in wei.
    pub(super) cost: U256,
    cost_bound: U256,
    /// When something last happened to this sender here, in seconds.
    pub(super) touched: u64,
    pub(super) transactions: BTreeMap<u64, Arc<Pooled>>,
}

/// What the pool's indices hold about a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The next transaction for a block.
    pub(super) head: Option<Offer>,
    /// The last one if it waits for others, which is evicted first.
    pub(super) queued_tail: Option<Offer>,
    /// The last one if it is executable.
    pub(super) ready_tail: Option<Offer>,
    /// Number of executable ones.
    pub(super) executable: usize,
}

impl Queue {
    pub(super) fn new(account: Sender, now: u64) -> Self {
        Self {
            account,
            next: account.nonce,
            cost: U256::ZERO,
            cost_bound: U256::ZERO,
            touched: now,
            transactions: BTreeMap::new(),
        }
    }

    /// Number of executable transactions.
    pub(super) fn executable(&self) -> usize {
        // Each of them is held here.
        usize::try_from(self.next - self.account.nonce).unwrap_or(usize::MAX)
    }

    pub(super) fn is_executable(&self, nonce: u64) -> bool {
        nonce < self.next
    }

    pub(super) fn marks(&self) -> Marks {
        let offer = |pooled: &Arc<Pooled>| Offer::of(pooled);
        let last = self.transactions.last_key_value();
        let queued = last.is_some_and(|(nonce, _)| !self.is_executable(*nonce));
        let tail = last.map(|(_, pooled)| offer(pooled));
        Marks {
            head: self.transactions.get(&self.account.nonce).map(offer),
            queued_tail: tail.filter(|_| queued),
            ready_tail: tail.filter(|_| !queued),
            executable: self.executable(),
        }
    }

    /// Puts a transaction in and returns the one it takes the place of.
    pub(super) fn put(&mut self, pooled: Arc<Pooled>) -> Option<Arc<Pooled>> {
        let nonce = pooled.transaction.nonce();
        let cost = pooled.cost;
        self.cost_bound = self.cost_bound.max(cost);
        let replaced = self.transactions.insert(nonce, pooled);
        match &replaced {
            Some(old) if self.is_executable(nonce) => {
                self.cost = self.cost.wrapping_sub(old.cost).wrapping_add(cost);
            }
            _ => self.advance(),
        }
        replaced
    }

    /// Takes a transaction out; executable ones after it wait from now on.
    pub(super) fn take(&mut self, nonce: u64) -> Option<Arc<Pooled>> {
        let taken = self.transactions.remove(&nonce)?;
        self.retreat(std::slice::from_ref(&taken));
        Some(taken)
    }

    fn advance(&mut self) {
        while let Some(pooled) = self.transactions.get(&self.next) {
            self.cost = self.cost.wrapping_add(pooled.cost);
            self.next += 1;
        }
    }

    /// After some were removed (in order of nonce): what comes after the first of them waits.
    fn retreat(&mut self, removed: &[Arc<Pooled>]) {
        let Some(first) = removed.first().map(|pooled| pooled.transaction.nonce()) else { return };
        if first >= self.next {
            return;
        }
        let executable = removed.iter().filter(|pooled| pooled.transaction.nonce() < self.next);
        let demoted = self.transactions.range(first..self.next).map(|(_, pooled)| pooled);
        for pooled in executable.chain(demoted) {
            self.cost = self.cost.wrapping_sub(pooled.cost);
        }
        self.next = first;
    }

    /// Follows the account: drops what is mined and what it can no longer pay for.
    pub(super) fn follow(&mut self, account: Sender) -> Vec<Arc<Pooled>> {
        let mut dropped = Vec::new();
        if account.nonce != self.account.nonce {
            let kept = self.transactions.split_off(&account.nonce);
            dropped.extend(std::mem::replace(&mut self.transactions, kept).into_values());
            for mined in &dropped {
                if mined.transaction.nonce() < self.next {
                    self.cost = self.cost.wrapping_sub(mined.cost);
                }
            }
            let back = account.nonce < self.account.nonce;
            self.account = account;
            if back || self.next < account.nonce {
                self.next = account.nonce;
                self.cost = U256::ZERO;
            }
            self.advance();
        }
        self.account = account;
        if self.cost_bound > account.balance {
            dropped.extend(self.drop_if(|pooled| pooled.cost > account.balance));
            self.cost_bound = account.balance;
        }
        dropped
    }

    /// Drops some; executable ones after the first of them wait from now on.
    pub(super) fn drop_if(&mut self, unwanted: impl Fn(&Pooled) -> bool) -> Vec<Arc<Pooled>> {
        let dropped: Vec<_> = self
            .transactions
            .extract_if(.., |_, pooled| unwanted(pooled))
            .map(|(_, p)| p)
            .collect();
        self.retreat(&dropped);
        dropped
    }

    /// Takes out what waits for others.
    pub(super) fn take_queued(&mut self) -> Vec<Arc<Pooled>> {
        self.transactions.split_off(&self.next).into_values().collect()
    }
}
