//! Going on after the disk failed, and leaving the database as it is best found again.
//!
//! After one failed write the database refuses everything, because it no longer knows what is on
//! the disk. So before the next attempt at a block it is opened again, as after a crash; what it
//! then holds is the chain. A full disk thus ends when there is room again, without a restart.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use super::{Head, Node, NodeError};
use crate::state::{Commitment, StateError};

impl Node {
    /// Remembers that the database has to be opened again if that is why no block was made.
    pub(super) fn note_failure<T>(&self, made: &Result<T, NodeError>) {
        if let Err(NodeError::State(StateError::Database(_))) = made {
            self.disk_failed.store(true, Ordering::Relaxed);
        }
    }

    /// Opens the database again if the disk failed, and moves to the block it holds.
    pub(super) fn recover(&self, commitment: &mut Commitment) -> Result<(), NodeError> {
        if !self.disk_failed.load(Ordering::Relaxed) {
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
        self.disk_failed.store(false, Ordering::Relaxed);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tracing::info!(number = head.header.number, "the database is open again");
        Ok(())
    }

    /// Saves the tries, so that the next start has nothing to catch up with. For the end of a run.
    pub(crate) fn save_tries(&self) -> Result<(), StateError> {
        let mut commitment = self.commitment.lock().unwrap_or_else(PoisonError::into_inner);
        if commitment.unsaved_keys() == 0 || self.disk_failed.load(Ordering::Relaxed) {
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
