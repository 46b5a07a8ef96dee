//! The tries as readers see them.

use std::{collections::HashMap, sync::Arc};

use alloy_primitives::{B256, Bytes};
use alloy_trie::EMPTY_ROOT_HASH;

use super::{AccountNodes, StateError, StorageNodes, TrieSource};
use crate::trie::{Change, Loader, Trie};

/// The tries of one block's state. Cheap to clone, never changes, needs no lock.
#[derive(Clone, Debug, Default)]
pub struct TrieView {
    accounts: Trie,
    /// Storage tries that are newer than their stored records.
    unsaved: Option<Arc<Layer>>,
    /// No node in memory has a later stamp.
    epoch: u32,
}

/// Changed storage tries: the younger layer stands above and has at most half as many as the one
/// below, so there are few layers and each trie is copied few times.
#[derive(Debug)]
struct Layer {
    tries: HashMap<B256, Trie>,
    below: Option<Arc<Layer>>,
}

impl TrieView {
    pub(super) fn new(accounts: Trie) -> Self {
        Self { accounts, unsaved: None, epoch: 0 }
    }

    /// The latest stamp of its nodes.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The account trie.
    pub fn accounts(&self) -> &Trie {
        &self.accounts
    }

    /// The view after a block whose nodes are stamped with `epoch`.
    pub(super) fn advance(&mut self, accounts: Trie, changed: HashMap<B256, Trie>, epoch: u32) {
        self.accounts = accounts;
        self.epoch = epoch;
        if changed.is_empty() {
            return;
        }
        let mut layer = Layer { tries: changed, below: self.unsaved.take() };
        while let Some(below) = &layer.below
            && below.tries.len() < layer.tries.len().saturating_mul(2)
        {
            let mut tries = below.tries.clone();
            tries.extend(layer.tries);
            layer = Layer { tries, below: below.below.clone() };
        }
        self.unsaved = Some(Arc::new(layer));
    }

    /// The view once the stored records have caught up.
    pub(super) fn saved(&mut self, accounts: Trie) {
        *self = Self { epoch: self.epoch, ..Self::new(accounts) };
    }

    /// The storage trie of an account with this storage root.
    pub fn storage(&self, account: &B256, root: &B256) -> Trie {
        if *root == EMPTY_ROOT_HASH {
            return Trie::default();
        }
        let mut layer = self.unsaved.as_ref();
        while let Some(current) = layer {
            if let Some(trie) = current.tries.get(account) {
                return trie.clone();
            }
            layer = current.below.as_ref();
        }
        Trie::stored(root)
    }

    /// The nodes that prove an account, or that there is none.
    pub fn account_proof(
        &self,
        account: &B256,
        source: &impl TrieSource,
    ) -> Result<Vec<Bytes>, StateError> {
        self.accounts.proof(account, &Loader::new(&AccountNodes { source }))
    }

    /// The same tries with the accounts changed; `source` reads the state of this view.
    pub fn accounts_with(
        &self,
        changes: &[Change],
        source: &impl TrieSource,
    ) -> Result<Self, StateError> {
        let nodes = AccountNodes { source };
        let accounts = self.accounts.updated(changes, &Loader::new(&nodes))?;
        Ok(Self { accounts, unsaved: self.unsaved.clone(), epoch: self.epoch })
    }

    /// For each of `slots` the nodes that prove it in an account's storage trie after `changes`.
    /// `trie` is the one in the state that `source` reads.
    pub fn storage_proofs(
        trie: &Trie,
        account: &B256,
        slots: &[B256],
        changes: &[Change],
        source: &impl TrieSource,
    ) -> Result<Vec<Vec<Bytes>>, StateError> {
        let nodes = StorageNodes { source, account: *account };
        let loader = Loader::new(&nodes);
        let trie = trie.updated(changes, &loader)?;
        slots.iter().map(|slot| trie.proof(slot, &loader)).collect()
    }
}
