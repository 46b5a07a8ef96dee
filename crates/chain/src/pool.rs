//! Transactions that wait for a block. A pure structure: it reads no state and no clock.
//!
//! Per sender there is a queue by nonce; what follows the account's nonce without a gap is
//! *executable*, the rest waits. Blocks take executable transactions by tip, a sender's own ones in
//! order of nonce. A transaction replaces another of the same nonce if it offers at least
//! [`PoolLimits::replacement_percent`] more. A full pool makes room by dropping the last
//! transaction of the sender whose last one offers the least, if the newcomer offers more.
//!
//! Invariants: every index names exactly the transactions in the queues; a sender's queued cost
//! never exceeds the balance seen at its last admission; bounds hold after every call.

mod admission;

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    sync::Arc,
};

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, B256Map},
};

use crate::block::Transaction;
pub use admission::{AdmissionRules, PoolError, Sender, admit};

/// Bounds of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Transactions in all.
    pub transactions_max: usize,
    /// Transactions of one sender.
    pub per_sender_max: usize,
    /// Bytes of encoded transactions in all.
    pub bytes_max: usize,
    /// How much more a replacement must offer, in percent, in both fee and tip.
    pub replacement_percent: u128,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            transactions_max: 131_072,
            per_sender_max: 32_768,
            bytes_max: 256 << 20,
            replacement_percent: 10,
        }
    }
}

/// A transaction in the pool.
#[derive(Debug)]
pub struct Pooled {
    /// With its sender.
    pub transaction: Transaction,
    /// Order of arrival.
    arrival: u64,
    bytes: usize,
    cost: U256,
}

impl Pooled {
    fn tip_cap(&self) -> u128 {
        self.transaction
            .max_priority_fee_per_gas()
            .unwrap_or_else(|| self.transaction.max_fee_per_gas())
    }
}

/// Recently admitted hashes remembered for pending-transaction filters.
const RECENT_MAX: usize = 8192;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Pool {
    limits: PoolLimits,
    queues: AddressMap<Queue>,
    by_hash: B256Map<(Address, u64)>,
    /// Each sender's last transaction: tip, newest first, sender. The first is evicted first.
    tails: BTreeSet<(u128, Reverse<u64>, Address)>,
    bytes: usize,
    arrivals: u64,
    recent: VecDeque<B256>,
}

#[derive(Debug, Default)]
struct Queue {
    /// The account's nonce in the state.
    nonce: u64,
    /// The first nonce from `nonce` on that is missing.
    next: u64,
    cost: U256,
    transactions: BTreeMap<u64, Arc<Pooled>>,
}

impl Queue {
    fn advance(&mut self) {
        while self.transactions.contains_key(&self.next) {
            self.next += 1;
        }
    }

    fn tail(&self, address: Address) -> Option<(u128, Reverse<u64>, Address)> {
        let (_, last) = self.transactions.last_key_value()?;
        Some((last.tip_cap(), Reverse(last.arrival), address))
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Number of transactions.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Numbers of executable and of waiting transactions.
    pub fn counts(&self) -> (usize, usize) {
        let executable: u64 = self.queues.values().map(|q| q.next - q.nonce).sum();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "each of them is a transaction that is held here"
        )]
        let executable = executable as usize;
        (executable, self.len() - executable)
    }

    /// A transaction by hash.
    pub fn get(&self, hash: &B256) -> Option<Arc<Pooled>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.queues.get(sender)?.transactions.get(nonce).cloned()
    }

    /// The nonce after the sender's executable transactions, if it has any here.
    pub fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.queues.get(sender).filter(|q| q.next > q.nonce).map(|q| q.next)
    }

    /// Number of admissions so far: the position from which [`Pool::admitted`] can be asked.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Hashes of the admissions number `from` up to but not including `until`, counted from zero,
    /// as far as they are remembered.
    pub fn admitted(&self, from: u64, until: u64) -> Vec<B256> {
        let oldest = self.arrivals - self.recent.len() as u64;
        (oldest..self.arrivals)
            .zip(&self.recent)
            .filter(|(number, _)| (from..until).contains(number))
            .map(|(_, hash)| *hash)
            .collect()
    }

    /// Adds a transaction that [`admit`] has accepted for `sender`.
    ///
    /// # Errors
    /// Known already, an underpriced replacement, unaffordable together with the sender's other
    /// transactions, or no room.
    pub fn insert(&mut self, transaction: Transaction, sender: Sender) -> Result<(), PoolError> {
        let hash = *transaction.inner().tx_hash();
        if self.by_hash.contains_key(&hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let address = transaction.signer();
        let nonce = transaction.nonce();
        let bytes = transaction.inner().encode_2718_len();
        let cost = admission::cost(&transaction);
        self.refresh(address, sender.nonce);
        let queue = self.queues.get(&address);
        let replaced = queue.and_then(|q| q.transactions.get(&nonce)).cloned();
        let queued = queue.map_or(U256::ZERO, |q| q.cost);
        let others = queued - replaced.as_ref().map_or(U256::ZERO, |old| old.cost);
        if others.saturating_add(cost) > sender.balance {
            return Err(PoolError::Overspent { balance: sender.balance, queued: others, cost });
        }
        match &replaced {
            Some(old) if !self.outbids(&transaction, &old.transaction) => {
                return Err(PoolError::ReplacementUnderpriced);
            }
            None if queue.map_or(0, |q| q.transactions.len()) >= self.limits.per_sender_max => {
                return Err(PoolError::SenderFull);
            }
            _ => {}
        }
        let pooled = Arc::new(Pooled { transaction, arrival: self.arrivals, bytes, cost });
        if replaced.is_some() {
            self.remove(address, nonce);
        } else {
            self.make_room(&pooled)?;
        }
        self.put(address, nonce, hash, pooled, sender.nonce);
        Ok(())
    }

    fn put(&mut self, address: Address, nonce: u64, hash: B256, pooled: Arc<Pooled>, state: u64) {
        let queue = self.queues.entry(address).or_insert_with(|| Queue {
            nonce: state,
            next: state,
            ..Queue::default()
        });
        if let Some(tail) = queue.tail(address) {
            self.tails.remove(&tail);
        }
        self.bytes += pooled.bytes;
        queue.cost += pooled.cost;
        queue.transactions.insert(nonce, pooled);
        queue.advance();
        self.tails.extend(queue.tail(address));
        self.by_hash.insert(hash, (address, nonce));
        self.arrivals += 1;
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
    }

    fn outbids(&self, new: &Transaction, old: &Transaction) -> bool {
        let raised = |old: u128| {
            let percent = 100 + self.limits.replacement_percent;
            old.saturating_mul(percent).div_ceil(100)
        };
        let tip = |tx: &Transaction| {
            tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas())
        };
        new.max_fee_per_gas() > old.max_fee_per_gas()
            && tip(new) >= tip(old)
            && new.max_fee_per_gas() >= raised(old.max_fee_per_gas())
            && tip(new) >= raised(tip(old))
    }

    fn make_room(&mut self, newcomer: &Pooled) -> Result<(), PoolError> {
        while self.len() >= self.limits.transactions_max
            || self.bytes + newcomer.bytes > self.limits.bytes_max
        {
            let Some(&(tip, _, address)) = self.tails.first() else { return Err(PoolError::Full) };
            if newcomer.tip_cap() <= tip || address == newcomer.transaction.signer() {
                return Err(PoolError::Full);
            }
            let last = self.queues.get(&address).and_then(|q| q.transactions.last_key_value());
            let Some((&nonce, _)) = last else { return Err(PoolError::Full) };
            self.remove(address, nonce);
        }
        Ok(())
    }

    /// Takes one transaction out.
    pub fn remove(&mut self, address: Address, nonce: u64) {
        let Some(queue) = self.queues.get_mut(&address) else { return };
        let tail = queue.tail(address);
        let Some(removed) = queue.transactions.remove(&nonce) else { return };
        self.bytes -= removed.bytes;
        queue.cost -= removed.cost;
        self.by_hash.remove(removed.transaction.inner().tx_hash());
        if nonce >= queue.nonce && nonce < queue.next {
            queue.next = nonce;
        }
        if let Some(tail) = tail {
            self.tails.remove(&tail);
        }
        self.tails.extend(queue.tail(address));
        if queue.transactions.is_empty() {
            self.queues.remove(&address);
        }
    }

    /// Tells the pool an account's nonce after a block: transactions below it are gone.
    pub fn refresh(&mut self, address: Address, nonce: u64) {
        let Some(queue) = self.queues.get_mut(&address) else { return };
        if queue.nonce == nonce {
            return;
        }
        if let Some(tail) = queue.tail(address) {
            self.tails.remove(&tail);
        }
        let kept = queue.transactions.split_off(&nonce);
        for (_, mined) in std::mem::replace(&mut queue.transactions, kept) {
            self.bytes -= mined.bytes;
            queue.cost -= mined.cost;
            self.by_hash.remove(mined.transaction.inner().tx_hash());
        }
        queue.next = if nonce < queue.nonce { nonce } else { queue.next.max(nonce) };
        queue.nonce = nonce;
        queue.advance();
        self.tails.extend(queue.tail(address));
        if queue.transactions.is_empty() {
            self.queues.remove(&address);
        }
    }

    /// Whether some transaction could go into a block with this base fee.
    pub fn has_executable(&self, base_fee: u64) -> bool {
        self.queues.values().any(|queue| {
            let first = queue.transactions.get(&queue.nonce);
            first.is_some_and(|tx| tx.transaction.effective_tip_per_gas(base_fee).is_some())
        })
    }

    /// Executable transactions for a block with this base fee, best tip first, at most `count`.
    pub fn best(&self, base_fee: u64, count: usize) -> Vec<Arc<Pooled>> {
        let mut heads: BinaryHeap<Candidate<'_>> = self
            .queues
            .values()
            .filter_map(|queue| Candidate::new(queue, queue.nonce, base_fee))
            .collect();
        let mut chosen = Vec::new();
        while chosen.len() < count
            && let Some(best) = heads.pop()
        {
            chosen.push(Arc::clone(best.pooled));
            heads.extend(Candidate::new(best.queue, best.nonce + 1, base_fee));
        }
        chosen
    }

    /// All transactions by sender and nonce, executable ones first per sender (for `txpool_`).
    pub fn contents(&self) -> impl Iterator<Item = (&Address, u64, &Arc<Pooled>, bool)> {
        self.queues.iter().flat_map(|(address, queue)| {
            queue
                .transactions
                .iter()
                .map(move |(nonce, pooled)| (address, *nonce, pooled, *nonce < queue.next))
        })
    }
}

/// A sender's next transaction in the race for a block.
struct Candidate<'a> {
    queue: &'a Queue,
    nonce: u64,
    tip: u128,
    pooled: &'a Arc<Pooled>,
}

impl<'a> Candidate<'a> {
    fn new(queue: &'a Queue, nonce: u64, base_fee: u64) -> Option<Self> {
        let pooled = queue.transactions.get(&nonce)?;
        let tip = pooled.transaction.effective_tip_per_gas(base_fee)?;
        Some(Self { queue, nonce, tip, pooled })
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Higher tip first, then earlier arrival.
        self.tip.cmp(&other.tip).then_with(|| other.pooled.arrival.cmp(&self.pooled.arrival))
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate<'_> {}

#[cfg(test)]
mod tests;
