//! Proofs of accounts and storage, also in the states of earlier blocks: the tries of those are the
//! head's with what was changed since put back.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

use super::{Head, PendingBlock};
use crate::{
    state::{AccountState, StateError, StateReader, TrieSource, TrieView},
    store::HistoricState,
    trie::Change,
};

/// Changed keys that may lie between the head and the block of a proof; some 5 us of work each.
const PROOF_CHANGES_MAX: usize = 200_000;

/// An account with the nodes that prove it and some of its storage.
#[derive(Debug)]
pub(crate) struct Proof {
    /// `None` if there is none.
    pub(crate) account: Option<AccountState>,
    /// From the state root towards the account.
    pub(crate) nodes: Vec<Bytes>,
    /// For each slot asked for its value and the nodes from the storage root towards it.
    pub(crate) slots: Vec<(U256, Vec<Bytes>)>,
}

impl Head {
    /// Proves an account and slots of it in the state after block `number`.
    ///
    /// # Errors
    /// `StateError::Pruned` if that state is no longer kept, `StateError::TooFar` if too much has
    /// changed since.
    pub(crate) fn prove(
        &self,
        number: u64,
        address: &Address,
        slots: &[B256],
    ) -> Result<Proof, StateError> {
        let key = keccak256(address);
        if number == self.header.number {
            let account = self.snapshot.account(address)?;
            let place = Place { tries: &self.tries, source: &self.snapshot, key: &key };
            let newest = account.unwrap_or_default().storage_root;
            return place
                .prove(account, newest, slots, &[], |slot| self.snapshot.storage(address, slot));
        }
        let state = self.snapshot.state_at(number)?;
        let (tries, storage) = self.tries_at(number, &state, &key)?;
        let account = state.account(address)?;
        let place = Place { tries: &tries, source: &self.snapshot, key: &key };
        // What the head has is where the changes lead back from.
        let newest = self.snapshot.account_by_key(&key)?.unwrap_or_default().storage_root;
        place.prove(account, newest, slots, &storage, |slot| state.storage(address, slot))
    }

    /// The tries with the accounts of an earlier block, and the changes that lead from the storage
    /// of one account back to that block.
    fn tries_at(
        &self,
        number: u64,
        state: &HistoricState<'_>,
        wanted: &B256,
    ) -> Result<(TrieView, Vec<Change>), StateError> {
        let later = number + 1..=self.header.number;
        let changed = self
            .snapshot
            .changed_keys(later, PROOF_CHANGES_MAX)?
            .ok_or(StateError::TooFar { number, head: self.header.number })?;
        let mut accounts: Vec<Change> = Vec::with_capacity(changed.len());
        for key in changed.keys() {
            let before = state.account_by_key(key)?;
            accounts.push((*key, before.as_ref().map(alloy_rlp::encode)));
        }
        let mut storage: Vec<Change> = Vec::new();
        for slot in changed.get(wanted).into_iter().flatten() {
            let value = state.slot_by_key(wanted, slot)?;
            storage.push((*slot, (!value.is_zero()).then(|| alloy_rlp::encode(value))));
        }
        Ok((self.tries.accounts_with(&accounts, &self.snapshot)?, storage))
    }
}

impl PendingBlock {
    /// Proves an account and slots of it in the state after the pending block.
    pub(crate) fn prove(&self, address: &Address, slots: &[B256]) -> Result<Proof, StateError> {
        let key = keccak256(address);
        let account = self.state.account(address)?;
        let place = Place { tries: &self.tries, source: &self.state, key: &key };
        let newest = account.unwrap_or_default().storage_root;
        place.prove(account, newest, slots, &[], |slot| self.state.storage(address, slot))
    }
}

/// Where a proof is made: the tries of a state, the state their nodes are loaded from, and the
/// hashed address of the account.
struct Place<'a, S> {
    tries: &'a TrieView,
    source: &'a S,
    key: &'a B256,
}

impl<S: TrieSource> Place<'_, S> {
    /// Proves `account` and slots of it. Its storage trie is the one with root `newest` after
    /// `changes`; `value` reads the slots.
    fn prove(
        &self,
        account: Option<AccountState>,
        newest: B256,
        slots: &[B256],
        changes: &[Change],
        value: impl Fn(&U256) -> Result<U256, StateError>,
    ) -> Result<Proof, StateError> {
        let nodes = self.tries.account_proof(self.key, self.source)?;
        let hashed: Vec<B256> = slots.iter().map(keccak256).collect();
        let root = account.unwrap_or_default().storage_root;
        let proofs = if slots.is_empty() || root == alloy_trie::EMPTY_ROOT_HASH {
            vec![Vec::new(); slots.len()]
        } else {
            let trie = self.tries.storage(self.key, &newest);
            TrieView::storage_proofs(&trie, self.key, &hashed, changes, self.source)?
        };
        let mut proven = Vec::with_capacity(slots.len());
        for (slot, proof) in slots.iter().zip(proofs) {
            proven.push((value(&U256::from_be_bytes(slot.0))?, proof));
        }
        Ok(Proof { account, nodes, slots: proven })
    }
}
