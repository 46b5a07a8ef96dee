//! The way of a raw transaction into the pool: decoded and recovered by whoever brings it, checked
//! against the head under the pool's lock, then written to the journal.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256};
use std::sync::PoisonError;

use super::{Head, Node, chain_of_causes};
use crate::{
    block::{Block, SealedHeader, Transaction},
    pool::{AdmissionRules, PoolError, PoolJournal, Prepared, Sender, SenderCode, check},
    state::{AccountState, StateError, StateReader},
};

/// Why a raw transaction was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The bytes are not a transaction.
    #[error("{0}")]
    Malformed(String),
    /// It is one, but not acceptable.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// Blocks cannot be written at the moment, so nothing is taken.
    #[error("the chain cannot make blocks: {0}")]
    Halted(String),
}

impl Node {
    /// Decodes a signed transaction, recovers its sender and puts it into the pool.
    #[cfg(test)]
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<B256, SubmitError> {
        self.admit(self.prepare(raw)?)
    }

    /// Decodes a signed transaction, recovers its sender and checks all that does not depend on the
    /// state. Takes some 50 microseconds and needs no lock.
    pub(crate) fn prepare(&self, raw: &[u8]) -> Result<Prepared, SubmitError> {
        if raw.len() > self.limits.transaction_bytes_max {
            let (size, limit) = (raw.len(), self.limits.transaction_bytes_max);
            return Err(PoolError::Oversized { size, limit }.into());
        }
        let envelope = crate::decode::transaction(raw)
            .map_err(|error| SubmitError::Malformed(error.to_string()))?;
        let sender = envelope.recover_signer().map_err(|_| PoolError::InvalidSender)?;
        let transaction = Transaction::new_unchecked(envelope, sender);
        check(&transaction, &self.rules(&self.head().header))?;
        Ok(Prepared::new(transaction))
    }

    /// Puts a prepared transaction into the pool.
    pub(crate) fn admit(&self, prepared: Prepared) -> Result<B256, SubmitError> {
        if let Some(fault) = self.fault() {
            return Err(SubmitError::Halted(fault));
        }
        let hash = *prepared.transaction.inner().tx_hash();
        let encoded = self.journal.get().map(|_| prepared.transaction.inner().encoded_2718());
        let address = prepared.transaction.signer();
        let mut pool = self.pool();
        // The head is read under the pool's lock: a block made meanwhile refreshes the pool after.
        let account = match pool.account(&address) {
            Some(account) => account,
            None => self.sender(&self.head(), address)?,
        };
        pool.insert(prepared, account, self.seconds())?;
        drop(pool);
        if let Some(encoded) = encoded {
            self.record(&encoded);
        }
        self.arrivals.notify_one();
        Ok(hash)
    }

    /// What the next block demands of every transaction.
    fn rules(&self, head: &SealedHeader) -> AdmissionRules {
        AdmissionRules {
            chain_id: self.spec.chain_id,
            fork: self.spec.fork(head.number + 1, head.timestamp),
            gas_limit: head.gas_limit,
            bytes_max: self.limits.transaction_bytes_max,
            tip_min: self.limits.tip_min,
            allow_unprotected: self.limits.allow_unprotected,
        }
    }

    /// Seconds since the node was opened: the pool's time.
    fn seconds(&self) -> u64 {
        self.opened.elapsed().as_secs()
    }

    fn sender(&self, head: &Head, address: Address) -> Result<Sender, StateError> {
        let account = head.snapshot.account(&address)?;
        sender_of(account.as_ref(), &head.snapshot)
    }

    /// Tells the pool what the new head changed.
    pub(super) fn refresh_pool(
        &self,
        head: &Head,
        changed: impl Iterator<Item = (Address, Option<AccountState>)>,
    ) -> Result<(), StateError> {
        let mut pool = self.pool();
        let before = pool.arrivals();
        for (address, after) in changed {
            if pool.account(&address).is_some() {
                pool.refresh(address, sender_of(after.as_ref(), &head.snapshot)?);
            }
        }
        pool.follow(self.spec.next_base_fee(&head.header), head.header.gas_limit);
        let grown = pool.arrivals() > before;
        drop(pool);
        // Somebody else's block may have made room for what waits here.
        if grown {
            self.arrivals.notify_one();
        }
        Ok(())
    }

    /// Takes the transactions of abandoned blocks back into the pool, oldest block first, except for
    /// those that are also in the blocks that took their place. To be called after the head moved to
    /// the new branch; solo production never abandons a block. Returns how many came back.
    pub(crate) fn reinject(
        &self,
        abandoned: &[Block],
        adopted: &[Block],
    ) -> Result<usize, StateError> {
        let head = self.head();
        let rules = self.rules(&head.header);
        let now = self.seconds();
        let account = |address| self.sender(&head, address);
        let back = self.pool().reinject(abandoned, adopted, &rules, now, account)?;
        if back > 0
            && let Err(error) = self.rewrite_journal()
        {
            tracing::warn!(
                cause = chain_of_causes(&error),
                "transactions came back that a restart would lose"
            );
        }
        self.arrivals.notify_one();
        Ok(back)
    }

    /// Drops what has waited too long; see [`crate::pool::Pool::expire`].
    pub(crate) fn expire_pool(&self) {
        let dropped = self.pool().expire(self.seconds());
        if dropped > 0 {
            tracing::debug!(dropped, "transactions dropped that waited too long");
        }
    }

    /// Reads the journal back into the pool and writes to it from now on. Without a journal nothing
    /// outlives the process. Returns how many transactions came back.
    pub(crate) fn attach_journal(&self, path: std::path::PathBuf) -> std::io::Result<usize> {
        // What the pool holds fits twice, so a rewritten journal has room again.
        let bytes_max = 2 * self.limits.pool.bytes_max as u64 + JOURNAL_SPARE_BYTES;
        let limit = self.limits.transaction_bytes_max;
        let (journal, found) = PoolJournal::open(path, bytes_max, limit)?;
        let prepared = self.prepare_all(&found);
        let back = prepared.into_iter().filter_map(Result::ok).map(|p| self.admit(p));
        let back = back.filter(Result::is_ok).count();
        if self.journal.set(journal.into()).is_ok() {
            self.rewrite_journal()?;
        }
        if !found.is_empty() {
            tracing::info!(found = found.len(), taken = back, "transactions of the last run");
        }
        Ok(back)
    }

    /// Prepares many on all processors at once. In the same order.
    pub(crate) fn prepare_all<R: AsRef<[u8]> + Sync>(
        &self,
        raw: &[R],
    ) -> Vec<Result<Prepared, SubmitError>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = raw.len().div_ceil(threads).max(SHARE_MIN);
        std::thread::scope(|scope| {
            let prepare = |share: &[R]| -> Vec<_> {
                share.iter().map(|raw| self.prepare(raw.as_ref())).collect()
            };
            let mut shares = raw.chunks(share);
            let first = shares.next();
            let others: Vec<_> = shares.map(|share| scope.spawn(move || prepare(share))).collect();
            let mut prepared = first.map(prepare).unwrap_or_default();
            for other in others {
                match other.join() {
                    Ok(share) => prepared.extend(share),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            prepared
        })
    }

    fn record(&self, encoded: &[u8]) {
        let Some(journal) = self.journal.get() else { return };
        let (written, grown) = {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            (journal.append(encoded), journal.is_grown())
        };
        // A rewritten journal holds this transaction, too: the pool does.
        if let Err(error) = if grown { self.rewrite_journal() } else { written } {
            tracing::warn!(
                cause = chain_of_causes(&error),
                "a transaction waits that a restart would lose"
            );
        }
    }

    /// Writes what the pool holds into the journal, in the place of what was in it.
    pub(crate) fn rewrite_journal(&self) -> std::io::Result<()> {
        let Some(journal) = self.journal.get() else { return Ok(()) };
        // Held over both steps: what is admitted after the pool was read is appended afterwards.
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: Vec<_> =
            self.pool().contents().map(|(_, _, pooled, _)| std::sync::Arc::clone(pooled)).collect();
        journal.rewrite(waiting.iter().map(|pooled| pooled.transaction.inner().encoded_2718()))
    }
}

/// Room in the journal for the frames of the records.
const JOURNAL_SPARE_BYTES: u64 = 8 << 20;

/// Least transactions that are worth a thread.
const SHARE_MIN: usize = 8;

fn sender_of(
    account: Option<&AccountState>,
    state: &impl StateReader,
) -> Result<Sender, StateError> {
    let Some(account) = account else {
        return Ok(Sender { nonce: 0, balance: Default::default(), code: SenderCode::None });
    };
    let code = if account.code_hash == alloy_primitives::KECCAK256_EMPTY {
        SenderCode::None
    } else {
        let code = state.code(&account.code_hash)?;
        match (code.is_empty(), code.is_eip7702()) {
            (true, _) => SenderCode::None,
            (_, true) => SenderCode::Delegation,
            _ => SenderCode::Contract,
        }
    };
    Ok(Sender { nonce: account.nonce, balance: account.balance, code })
}
