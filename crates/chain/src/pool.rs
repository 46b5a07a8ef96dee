//! Transactions that wait for a block. A pure structure: it reads no state and no clock.
//!
//! Per sender there is a queue by nonce; what follows the account's nonce without a gap is
//! *executable* (geth's pending), the rest is *queued*. Blocks take executable transactions by what
//! they pay at the block's base fee, a sender's own ones in order of nonce. A transaction replaces
//! another of the same nonce if both its fees are [`PoolLimits::replacement_percent`] higher.
//!
//! A full pool makes room with the last transaction of some sender: of those that are queued the one
//! that pays least, and only when none is queued, of the executable ones. A newcomer that is queued
//! itself must pay more than what it pushes out, and never pushes out an executable one.
//!
//! All per-block work is proportional to what the block changed: see [`prices`].
//!
//! Invariants: every index names exactly the transactions in the queues; bounds hold after every
//! call, except that [`Pool::reinject`] and demotions may leave a sender above its own bounds.

mod admission;
mod journal;
mod prices;
mod queue;

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
    ops::Range,
    sync::Arc,
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, B256Map},
};

use crate::block::{Block, Transaction};
pub use admission::{AdmissionRules, PoolError, Prepared, Sender, SenderCode, check};
pub use journal::PoolJournal;
use prices::{Offer, PriceIndex, Rank};
use queue::{Marks, Queue};

/// Bytes of a slot, the unit in which the pool's size is bounded: a transaction takes at least one.
pub const SLOT_BYTES: usize = 32 << 10;

tilth_service::options! {
    /// Bounds of the pool. Each is an option of a node's configuration file under its name.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct PoolLimits {
        /// Slots in all; a transaction takes one per 32 KiB begun.
        pub slots_max: usize = 131_072,
        /// Bytes of encoded transactions in all.
        pub bytes_max: usize = 256 << 20,
        /// Queued transactions in all: those that wait for an earlier one of their sender.
        pub queued_max: usize = 32_768,
        /// Transactions of one sender.
        pub per_sender_max: usize = 16_384,
        /// Queued transactions of one sender.
        pub per_sender_queued_max: usize = 1024,
        /// How much more a replacement must offer, in percent, in both fee and tip.
        pub replacement_percent: u64 = 10,
        /// Seconds after the last event of a sender after which what it has queued is dropped.
        pub queued_lifetime_seconds: u64 = 3 * 3600,
    }
}

/// A transaction in the pool.
#[derive(Debug)]
pub struct Pooled {
    /// With its sender.
    pub transaction: Transaction,
    authorities: Vec<Address>,
    /// Order of arrival.
    arrival: u64,
    bytes: usize,
    cost: U256,
}

impl Pooled {
    fn slots(&self) -> usize {
        self.bytes.div_ceil(SLOT_BYTES).max(1)
    }
}

/// Recently executable hashes remembered for pending-transaction filters.
const RECENT_MAX: usize = 8192;

/// Abandoned blocks deeper than this are not reinjected, as in geth.
const REINJECT_BLOCKS_MAX: usize = 64;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Pool {
    limits: PoolLimits,
    queues: AddressMap<Queue>,
    by_hash: B256Map<(Address, u64)>,
    /// Each sender's next transaction for a block.
    heads: PriceIndex,
    /// Last transactions of senders who have queued ones.
    queued_tails: PriceIndex,
    /// Last transactions of the other senders.
    ready_tails: PriceIndex,
    /// In how many transactions here an account authorizes something.
    authorities: AddressMap<usize>,
    executable: usize,
    bytes: usize,
    slots: usize,
    /// No transaction here has a higher gas limit.
    gas_bound: u64,
    arrivals: u64,
    announced: u64,
    recent: VecDeque<B256>,
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

    /// Numbers of executable and of queued transactions.
    pub fn counts(&self) -> (usize, usize) {
        (self.executable, self.len() - self.executable)
    }

    /// Bytes of all transactions' encodings together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Slots in use; see [`PoolLimits::slots_max`].
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// A transaction by hash.
    pub fn get(&self, hash: &B256) -> Option<Arc<Pooled>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.queues.get(sender)?.transactions.get(nonce).cloned()
    }

    /// The nonce after the sender's executable transactions, if it has any here.
    pub fn pending_nonce(&self, sender: &Address) -> Option<u64> {
        self.queues.get(sender).filter(|queue| queue.executable() > 0).map(|queue| queue.next)
    }

    /// The account of a sender who has transactions here, as of the last block the pool was told of.
    pub fn account(&self, sender: &Address) -> Option<Sender> {
        self.queues.get(sender).map(|queue| queue.account)
    }

    /// How many transactions have become executable so far: the position from which
    /// [`Pool::admitted`] can be asked.
    #[expect(clippy::misnamed_getters, reason = "the field of that name orders what waits")]
    pub fn arrivals(&self) -> u64 {
        self.announced
    }

    /// Hashes of the transactions that became executable as number `from` up to but not including
    /// `until`, counted from zero, as far as they are remembered.
    pub fn admitted(&self, from: u64, until: u64) -> Vec<B256> {
        let oldest = self.announced - self.recent.len() as u64;
        (oldest..self.announced)
            .zip(&self.recent)
            .filter(|(number, _)| (from..until).contains(number))
            .map(|(_, hash)| *hash)
            .collect()
    }

    /// Adds a transaction that has passed [`check`], from the account `sender` as of the head.
    /// `now` is in seconds from any start that stays the same.
    ///
    /// # Errors
    /// What geth says when the account, the sender's other transactions or the bounds forbid it.
    /// The pool is then as before.
    pub fn insert(
        &mut self,
        prepared: Prepared,
        sender: Sender,
        now: u64,
    ) -> Result<(), PoolError> {
        let hash = *prepared.transaction.inner().tx_hash();
        if self.by_hash.contains_key(&hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let address = prepared.transaction.signer();
        self.refresh(address, sender);
        admission::check_account(&prepared, &sender)?;
        let nonce = prepared.transaction.nonce();
        let queue = self.queues.get(&address);
        let replaced = queue.and_then(|queue| queue.transactions.get(&nonce)).cloned();
        let in_block = replaced.as_ref().filter(|_| queue.is_some_and(|q| q.is_executable(nonce)));
        let spent = queue.map_or(U256::ZERO, |queue| queue.cost);
        let freed = in_block.map(|pooled| pooled.cost);
        admission::check_funds(&prepared, sender.balance, spent, freed)?;
        self.check_delegations(&prepared, &sender)?;
        let Prepared { transaction, authorities, bytes, cost } = prepared;
        let pooled =
            Arc::new(Pooled { transaction, authorities, arrival: self.arrivals, bytes, cost });
        match replaced {
            Some(old) if !self.outbids(&pooled.transaction, &old.transaction) => {
                return Err(PoolError::ReplacementUnderpriced);
            }
            Some(old) => {
                let freed = (old.slots(), old.bytes);
                self.make_room(&pooled, freed, false)?;
            }
            None => {
                let queued = nonce > self.next_nonce(&address, &sender);
                self.check_sender(&address, queued)?;
                self.make_room(&pooled, (0, 0), queued)?;
            }
        }
        self.put(pooled, sender, now);
        self.arrivals += 1;
        Ok(())
    }

    fn next_nonce(&self, address: &Address, account: &Sender) -> u64 {
        self.queues.get(address).map_or(account.nonce, |queue| queue.next)
    }

    /// One transaction at a time for accounts with a delegation or one under way, and none whose
    /// authorities have several (geth's rules: such accounts can be emptied by others, and with them
    /// whatever they have waiting).
    fn check_delegations(&self, prepared: &Prepared, sender: &Sender) -> Result<(), PoolError> {
        let (address, nonce) = (prepared.transaction.signer(), prepared.transaction.nonce());
        let delegated = sender.code != SenderCode::None || self.authorities.contains_key(&address);
        let queue = self.queues.get(&address);
        if delegated {
            match queue.filter(|queue| queue.executable() > 0) {
                None if nonce != sender.nonce => return Err(PoolError::DelegatedGap),
                Some(queue) if !queue.is_executable(nonce) => {
                    return Err(PoolError::DelegatedInFlight);
                }
                _ => {}
            }
        }
        let several =
            |authority| self.queues.get(authority).is_some_and(|q| q.transactions.len() > 1);
        if prepared.authorities.iter().any(several) {
            return Err(PoolError::AuthorityReserved);
        }
        Ok(())
    }

    fn check_sender(&self, address: &Address, queued: bool) -> Result<(), PoolError> {
        let Some(queue) = self.queues.get(address) else { return Ok(()) };
        let count = queue.transactions.len();
        let waiting = count - queue.executable();
        let full = count >= self.limits.per_sender_max
            || (queued && waiting >= self.limits.per_sender_queued_max);
        if full { Err(PoolError::SenderFull(count)) } else { Ok(()) }
    }

    fn outbids(&self, new: &Transaction, old: &Transaction) -> bool {
        let raised = |old: u128| {
            let percent = U256::from(100) + U256::from(self.limits.replacement_percent);
            U256::from(old) * percent / U256::from(100)
        };
        let tip = |tx: &Transaction| {
            tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas())
        };
        let better = |new: u128, old: u128| new > old && U256::from(new) >= raised(old);
        better(new.max_fee_per_gas(), old.max_fee_per_gas()) && better(tip(new), tip(old))
    }

    /// Pushes out what the newcomer may take the place of until it fits. `freed` are the slots and
    /// bytes of the transaction it replaces.
    fn make_room(
        &mut self,
        newcomer: &Arc<Pooled>,
        freed: (usize, usize),
        queued: bool,
    ) -> Result<(), PoolError> {
        let mut evicted = Vec::new();
        let made = self.try_make_room(newcomer, freed, queued, &mut evicted);
        if made.is_err() {
            for (pooled, account, touched) in evicted.into_iter().rev() {
                self.restore(pooled, account, touched);
            }
        }
        made
    }

    fn try_make_room(
        &mut self,
        newcomer: &Arc<Pooled>,
        freed: (usize, usize),
        queued: bool,
        evicted: &mut Vec<(Arc<Pooled>, Sender, u64)>,
    ) -> Result<(), PoolError> {
        let offer = Offer::of(newcomer);
        loop {
            let waiting = self.len() - self.executable;
            let fits = self.slots - freed.0 + newcomer.slots() <= self.limits.slots_max
                && self.bytes - freed.1 + newcomer.bytes <= self.limits.bytes_max
                && !(queued && waiting >= self.limits.queued_max);
            if fits {
                return Ok(());
            }
            let base_fee = self.heads.base_fee();
            let victim = self.queued_tails.worst();
            let waits = victim.is_some();
            let Some(victim) = victim.or_else(|| self.ready_tails.worst()) else {
                return Err(PoolError::Full);
            };
            let pays_more = offer.outbids(&victim, base_fee);
            if !pays_more && (queued || !waits) {
                return Err(PoolError::Underpriced);
            }
            if queued && !waits {
                return Err(PoolError::FutureReplacesPending);
            }
            let Some(queue) = self.queues.get(&victim.sender) else { return Err(PoolError::Full) };
            let Some((&nonce, _)) = queue.transactions.last_key_value() else {
                return Err(PoolError::Full);
            };
            // What comes before the newcomer in its own queue is what makes it executable.
            let own = newcomer.transaction.nonce();
            let needed = nonce == own || (nonce < own && !waits);
            if victim.sender == offer.sender && needed {
                return Err(PoolError::Full);
            }
            let (account, touched) = (queue.account, queue.touched);
            if let Some(pooled) = self.take(victim.sender, nonce) {
                evicted.push((pooled, account, touched));
            }
        }
    }

    fn restore(&mut self, pooled: Arc<Pooled>, account: Sender, touched: u64) {
        let announced = self.announced;
        self.put(pooled, account, touched);
        // Those had been announced before.
        while self.announced > announced {
            self.recent.pop_back();
            self.announced -= 1;
        }
    }

    fn put(&mut self, pooled: Arc<Pooled>, account: Sender, now: u64) {
        let (address, nonce) = (pooled.transaction.signer(), pooled.transaction.nonce());
        self.count(&pooled);
        let queue = self.queues.entry(address).or_insert_with(|| Queue::new(account, now));
        let before = queue.marks();
        let old_next = queue.next;
        let replaced = queue.put(Arc::clone(&pooled));
        if queue.next > old_next || replaced.is_some() {
            queue.touched = now;
        }
        let after = queue.marks();
        let ready = if queue.next > old_next {
            old_next..queue.next
        } else if replaced.is_some() && nonce < queue.next {
            nonce..nonce + 1
        } else {
            0..0
        };
        announce(&mut self.recent, &mut self.announced, queue, ready);
        self.index(before, after);
        if let Some(old) = replaced {
            self.uncount(&old);
        }
    }

    fn take(&mut self, address: Address, nonce: u64) -> Option<Arc<Pooled>> {
        self.edit(address, |queue| queue.take(nonce).into_iter().collect()).pop()
    }

    /// Takes one transaction out. The sender's later ones are queued from now on.
    pub fn remove(&mut self, address: Address, nonce: u64) {
        self.take(address, nonce);
    }

    /// Changes one sender's queue by taking transactions out, which are returned.
    fn edit(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut Queue) -> Vec<Arc<Pooled>>,
    ) -> Vec<Arc<Pooled>> {
        let Some(queue) = self.queues.get_mut(&address) else { return Vec::new() };
        let before = queue.marks();
        let removed = change(queue);
        let after = queue.marks();
        if queue.transactions.is_empty() {
            self.queues.remove(&address);
        }
        self.index(before, after);
        for pooled in &removed {
            self.uncount(pooled);
        }
        removed
    }

    fn index(&mut self, before: Marks, after: Marks) {
        self.executable = self.executable - before.executable + after.executable;
        let moved = [
            (&mut self.heads, before.head, after.head),
            (&mut self.queued_tails, before.queued_tail, after.queued_tail),
            (&mut self.ready_tails, before.ready_tail, after.ready_tail),
        ];
        for (index, before, after) in moved {
            if before == after {
                continue;
            }
            if let Some(offer) = before {
                index.remove(&offer);
            }
            if let Some(offer) = after {
                index.insert(offer);
            }
        }
    }

    fn count(&mut self, pooled: &Pooled) {
        let place = (pooled.transaction.signer(), pooled.transaction.nonce());
        self.by_hash.insert(*pooled.transaction.inner().tx_hash(), place);
        self.bytes += pooled.bytes;
        self.slots += pooled.slots();
        self.gas_bound = self.gas_bound.max(pooled.transaction.gas_limit());
        for authority in &pooled.authorities {
            *self.authorities.entry(*authority).or_default() += 1;
        }
    }

    fn uncount(&mut self, pooled: &Pooled) {
        self.by_hash.remove(pooled.transaction.inner().tx_hash());
        self.bytes -= pooled.bytes;
        self.slots -= pooled.slots();
        for authority in &pooled.authorities {
            if let Some(count) = self.authorities.get_mut(authority) {
                *count -= 1;
                if *count == 0 {
                    self.authorities.remove(authority);
                }
            }
        }
    }

    /// Tells the pool an account as it is after a block: what was mined or can no longer be paid for
    /// is dropped, executable transactions after a dropped one are queued, and queued ones become
    /// executable if what they waited for was mined without having been here.
    pub fn refresh(&mut self, address: Address, account: Sender) {
        let Some(queue) = self.queues.get(&address) else { return };
        if queue.account == account {
            return;
        }
        let first = queue.next.max(account.nonce);
        self.edit(address, |queue| queue.follow(account));
        if let Some(queue) = self.queues.get(&address)
            && first < queue.next
        {
            announce(&mut self.recent, &mut self.announced, queue, first..queue.next);
        }
    }

    /// Tells the pool what the next block will be like: base fee in wei per gas, and gas limit.
    /// Transactions that fit into no block any more are dropped.
    pub fn follow(&mut self, base_fee: u64, gas_limit: u64) {
        self.set_base_fee(base_fee);
        if self.gas_bound <= gas_limit {
            return;
        }
        self.gas_bound = gas_limit;
        let senders: Vec<Address> = self.queues.keys().copied().collect();
        for sender in senders {
            self.edit(sender, |queue| {
                queue.drop_if(|pooled| pooled.transaction.gas_limit() > gas_limit)
            });
        }
    }

    fn set_base_fee(&mut self, base_fee: u64) {
        for index in [&mut self.heads, &mut self.queued_tails, &mut self.ready_tails] {
            index.set_base_fee(base_fee.into());
        }
    }

    /// Drops what is queued of senders of whom nothing was heard for the configured lifetime, and
    /// what demotions left above the bound on queued transactions. Looks at every sender: meant to be
    /// called once a minute, not per block. `now` is on the scale of [`Pool::insert`].
    pub fn expire(&mut self, now: u64) -> usize {
        let before = self.len();
        let idle = |queue: &Queue| {
            now.saturating_sub(queue.touched) > self.limits.queued_lifetime_seconds
                && queue.transactions.len() > queue.executable()
        };
        let stale: Vec<Address> =
            self.queues.iter().filter(|(_, queue)| idle(queue)).map(|(a, _)| *a).collect();
        for sender in stale {
            self.edit(sender, Queue::take_queued);
        }
        while self.len() - self.executable > self.limits.queued_max
            && let Some(worst) = self.queued_tails.worst()
        {
            let last = self.queues.get(&worst.sender).and_then(|q| q.transactions.last_key_value());
            let Some((&nonce, _)) = last else { break };
            self.take(worst.sender, nonce);
        }
        before - self.len()
    }

    /// Takes the transactions of abandoned blocks back in, oldest block first, unless they are also
    /// in a block that took their place or are no longer possible. `account` reads the state of the
    /// new head. Returns how many came back. Nothing comes back from a very long branch.
    pub fn reinject<E>(
        &mut self,
        abandoned: &[Block],
        adopted: &[Block],
        rules: &AdmissionRules,
        now: u64,
        mut account: impl FnMut(Address) -> Result<Sender, E>,
    ) -> Result<usize, E> {
        if abandoned.len() > REINJECT_BLOCKS_MAX {
            return Ok(0);
        }
        let mined: B256Map<()> = adopted
            .iter()
            .flat_map(|block| &block.transactions)
            .map(|transaction| (*transaction.inner().tx_hash(), ()))
            .collect();
        let mut back = 0;
        for transaction in abandoned.iter().flat_map(|block| &block.transactions) {
            if mined.contains_key(transaction.inner().tx_hash())
                || check(transaction, rules).is_err()
            {
                continue;
            }
            let sender = account(transaction.signer())?;
            let prepared = Prepared::new(transaction.clone());
            back += usize::from(self.insert(prepared, sender, now).is_ok());
        }
        Ok(back)
    }

    /// Whether some transaction could go into a block with this base fee.
    pub fn has_executable(&mut self, base_fee: u64) -> bool {
        self.set_base_fee(base_fee);
        self.heads.descending().next().is_some_and(|offer| offer.rank(base_fee.into()).0)
    }

    /// Executable transactions for a block with this base fee, best payer first, at most `count`.
    pub fn best(&mut self, base_fee: u64, count: usize) -> Vec<Arc<Pooled>> {
        self.set_base_fee(base_fee);
        let mut heads = self
            .heads
            .descending()
            .map_while(|offer| {
                let queue = self.queues.get(&offer.sender)?;
                Candidate::new(queue, queue.account.nonce, base_fee)
            })
            .peekable();
        // What follows the transactions chosen so far.
        let mut followers: BinaryHeap<Candidate<'_>> = BinaryHeap::new();
        let mut chosen = Vec::new();
        while chosen.len() < count {
            let best = if heads.peek() > followers.peek() { heads.next() } else { followers.pop() };
            let Some(best) = best else { break };
            chosen.push(Arc::clone(best.pooled));
            followers.extend(Candidate::new(best.queue, best.nonce + 1, base_fee));
        }
        chosen
    }

    /// All transactions by sender and nonce, executable ones first per sender (for `txpool_`).
    pub fn contents(&self) -> impl Iterator<Item = (&Address, u64, &Arc<Pooled>, bool)> {
        self.queues.iter().flat_map(|(address, queue)| {
            queue
                .transactions
                .iter()
                .map(move |(nonce, pooled)| (address, *nonce, pooled, queue.is_executable(*nonce)))
        })
    }
}

/// Remembers what has become executable: a sender's transactions with these nonces.
fn announce(recent: &mut VecDeque<B256>, announced: &mut u64, queue: &Queue, ready: Range<u64>) {
    for pooled in queue.transactions.range(ready).map(|(_, pooled)| pooled) {
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(*pooled.transaction.inner().tx_hash());
        *announced += 1;
    }
}

/// A sender's next transaction in the race for a block.
struct Candidate<'a> {
    rank: Rank,
    queue: &'a Queue,
    nonce: u64,
    pooled: &'a Arc<Pooled>,
}

impl<'a> Candidate<'a> {
    fn new(queue: &'a Queue, nonce: u64, base_fee: u64) -> Option<Self> {
        let pooled = queue.transactions.get(&nonce)?;
        let rank = Offer::of(pooled).rank(base_fee.into());
        rank.0.then_some(Self { rank, queue, nonce, pooled })
    }
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
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
mod against_model;
#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod tests;
