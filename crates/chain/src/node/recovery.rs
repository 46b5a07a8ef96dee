//! Going on after the disk failed, and leaving the database as it is best found again.
//!
//! After one failed write the database refuses everything, because it no longer knows what is on
//! the disk. So before the next attempt at a block it is opened again, as after a crash; what it
//! then holds is the chain. A full disk thus ends when there is room again, without a restart.

use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Head, Node, NodeError};
use crate::state::{Commitment, StateError};

/// What is known of the database. Under the lock of the commitment it is the one that is open now; who
/// works without that lock may hear of a failure when somebody has opened the database again.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// How often the database was opened again.
    opening: u64,
    /// It refuses work until it is opened again.
    failed: bool,
}

/// Whether that is why there is no block: anything else says nothing about the database.
fn is_failure<T>(made: &Result<T, NodeError>) -> bool {
    matches!(made, Err(NodeError::State(StateError::Database(_))))
}

impl Node {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what came of making a block, under the lock of the commitment.
    pub(super) fn note_made<T>(&self, made: &Result<T, NodeError>) {
        let has_failed = self.note_failure(made);
        // Whoever worked without the lock may have found out more.
        if made.is_err() || !has_failed {
            self.note_fault(made);
        }
    }

    /// The same for a block that others made: that it is refused says nothing about whether others can
    /// be written.
    pub(super) fn note_written<T>(&self, made: &Result<T, NodeError>) {
        let has_failed = self.note_failure(made);
        if made.is_ok() != has_failed {
            self.note_fault(made);
        }
    }

    /// Remembers that the database has to be opened again if that is why no block was made; returns
    /// whether it has to be.
    fn note_failure<T>(&self, made: &Result<T, NodeError>) -> bool {
        let mut disk = self.disk();
        disk.failed |= is_failure(made);
        disk.failed
    }

    /// Opens the database again if it has failed, for whoever works without the lock of the commitment;
    /// returns which opening it is, for [`Self::note_failure_since`].
    pub(super) fn opened_disk(&self) -> Result<u64, NodeError> {
        let has_failed = self.disk().failed;
        if has_failed {
            let mut commitment = self.commitment.lock().unwrap_or_else(PoisonError::into_inner);
            self.recover(&mut commitment)?;
        }
        Ok(self.disk().opening)
    }

    /// Remembers and shows that the database failed while it was open for this time.
    pub(super) fn note_failure_since<T>(&self, opening: u64, made: &Result<T, NodeError>) {
        if !is_failure(made) {
            return;
        }
        let mut disk = self.disk();
        if disk.opening == opening && !disk.failed {
            disk.failed = true;
            // Not later: it could be open again by then.
            self.note_fault(made);
        }
    }

    /// Opens the database again if the disk failed, and moves to the block it holds.
    pub(super) fn recover(&self, commitment: &mut Commitment) -> Result<(), NodeError> {
        if !self.disk().failed {
            return Ok(());
        }
        self.store.reopen()?;
        let found = self.store.commitment()?;
        let before = self.head().header.number;
        let snapshot = self.store.snapshot()?;
        let header = snapshot.head()?.ok_or(StateError::Damaged { what: "header" })?;
        let root = found.accounts().root();
        if root != header.state_root {
            let (number, wanted) = (header.number, header.state_root);
            return Err(NodeError::WrongState { number, found: root, wanted });
        }
        *commitment = found;
        let head = Arc::new(Head { header, snapshot, tries: commitment.view().clone() });
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&head);
        // They read snapshots of the database that was closed. Only now: what is held from here on
        // stands on the new head.
        self.forget_branches();
        // The last block may be stored although its commit was reported to have failed.
        for number in before + 1..=head.header.number {
            let transactions = head.snapshot.transactions(number)?.unwrap_or_default();
            let mut senders = Vec::with_capacity(transactions.len());
            for transaction in transactions {
                let key = alloy_primitives::keccak256(transaction.signer());
                senders.push((transaction.signer(), head.snapshot.account_by_key(&key)?));
            }
            self.refresh_pool(&head, senders.into_iter())?;
            self.heads.send_replace(number);
        }
        // Last: who has seen this opening has seen nothing of the ones before.
        let mut disk = self.disk();
        *disk = Disk { opening: disk.opening + 1, failed: false };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(disk);
        tracing::info!(number = head.header.number, "the database is open again");
        Ok(())
    }

    /// Saves the tries, so that the next start has nothing to catch up with. For the end of a run.
    pub(crate) fn save_tries(&self) -> Result<(), StateError> {
        let mut commitment = self.commitment.lock().unwrap_or_else(PoisonError::into_inner);
        if commitment.unsaved_keys() == 0 || self.disk().failed {
            return Ok(());
        }
        self.store.save_tries(&mut commitment)?;
        // What is no longer in memory is found through a snapshot from after the save.
        let head = self.head();
        let (header, tries) = (head.header.clone(), commitment.view().clone());
        let head = Arc::new(Head { header, snapshot: self.store.snapshot()?, tries });
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
        Ok(())
    }
}
