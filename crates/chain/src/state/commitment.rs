//! From a block's changes to its state root.
//!
//! The account trie is kept in memory as a whole; storage tries are loaded by one scan when an
//! account's storage first changes, and the least recently changed are dropped when too many nodes
//! are held. Everything here can be rebuilt from the stored state.

use std::collections::HashMap;

use alloy_primitives::{B256, U256};
use alloy_trie::EMPTY_ROOT_HASH;

use super::{AccountState, StateDiff, StateError};
use crate::trie::{Change, Trie};

/// Storage entries held over all accounts after which the least recently used tries are dropped.
/// About 250 bytes of memory each: 125 MB at the most.
const STORAGE_ENTRIES_MAX: usize = 500_000;

/// Where tries are loaded from.
pub trait TrieSource {
    /// All accounts by hashed address, ascending, as RLP.
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError>;
    /// All storage of the account with this hashed address, by hashed slot, ascending.
    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError>;
}

/// Computes state roots. The one implementation is [`Commitment`]; another scheme would stand here.
pub trait StateCommitment {
    /// What [`Self::adopt`] needs to follow.
    type Advance;

    /// The root after `diff`, whose storage roots it fills in. `self` stays where it is, so several
    /// children of one block can be computed; `source` reads the state `self` stands at.
    fn advance(
        &mut self,
        diff: &mut StateDiff,
        source: &impl TrieSource,
    ) -> Result<(B256, Self::Advance), StateError>;

    /// Moves to the state an advance led to.
    fn adopt(&mut self, advance: Self::Advance);
}

/// The Merkle-Patricia tries of one block's state.
#[derive(Clone, Debug, Default)]
pub struct Commitment {
    accounts: Trie,
    storages: HashMap<B256, LoadedStorage>,
    entries: usize,
    clock: u64,
}

#[derive(Clone, Debug)]
struct LoadedStorage {
    trie: Trie,
    entries: usize,
    used: u64,
}

/// A computed step; cheap to keep or drop.
#[derive(Debug)]
pub struct Advance {
    accounts: Trie,
    /// Changed storage tries by account; `None` for a deleted account.
    storages: Vec<(B256, Option<ChangedStorage>)>,
}

/// A storage trie after the step, and how many entries it gained and lost.
type ChangedStorage = (Trie, usize, usize);

impl Advance {
    /// The account trie after the step.
    pub fn accounts(&self) -> &Trie {
        &self.accounts
    }
}

impl Commitment {
    /// Builds the account trie from the stored state.
    pub fn load(source: &impl TrieSource) -> Result<Self, StateError> {
        let leaves = source.account_leaves()?;
        let accounts = Trie::from_sorted(leaves.iter().map(|(key, rlp)| (*key, rlp.as_slice())));
        Ok(Self { accounts, ..Self::default() })
    }

    /// The account trie.
    pub fn accounts(&self) -> &Trie {
        &self.accounts
    }

    /// The storage trie of an account if it is in memory.
    pub fn loaded_storage(&self, account: &B256) -> Option<Trie> {
        self.storages.get(account).map(|loaded| loaded.trie.clone())
    }

    /// The storage trie of an account, read from the stored state.
    pub fn read_storage(account: &B256, source: &impl TrieSource) -> Result<Trie, StateError> {
        load_storage(account, source).map(|(trie, _)| trie)
    }

    fn storage(&mut self, account: &B256, source: &impl TrieSource) -> Result<Trie, StateError> {
        self.clock += 1;
        if let Some(loaded) = self.storages.get_mut(account) {
            loaded.used = self.clock;
            return Ok(loaded.trie.clone());
        }
        let (trie, entries) = load_storage(account, source)?;
        self.entries += entries;
        let loaded = LoadedStorage { trie: trie.clone(), entries, used: self.clock };
        self.storages.insert(*account, loaded);
        Ok(trie)
    }

    fn forget(&mut self, account: &B256) {
        if let Some(loaded) = self.storages.remove(account) {
            self.entries -= loaded.entries;
        }
    }

    fn evict(&mut self) {
        while self.entries > STORAGE_ENTRIES_MAX && self.storages.len() > 1 {
            let oldest = self.storages.iter().min_by_key(|(_, loaded)| loaded.used);
            let Some(account) = oldest.map(|(account, _)| *account) else { return };
            self.forget(&account);
        }
    }
}

impl StateCommitment for Commitment {
    type Advance = Advance;

    fn advance(
        &mut self,
        diff: &mut StateDiff,
        source: &impl TrieSource,
    ) -> Result<(B256, Advance), StateError> {
        let mut changes: Vec<Change> = Vec::with_capacity(diff.accounts.len());
        let mut storages = Vec::new();
        for (key, account) in &mut diff.accounts {
            if let Some(after) = &mut account.after
                && !account.slots.is_empty()
            {
                let before = account.before.map_or(EMPTY_ROOT_HASH, |a| a.storage_root);
                let trie = if before == EMPTY_ROOT_HASH {
                    Trie::default()
                } else {
                    self.storage(key, source)?
                };
                let slots: Vec<Change> =
                    account.slots.iter().map(|(slot, d)| (*slot, leaf(d.after))).collect();
                let trie = trie.updated(&slots);
                after.storage_root = trie.root();
                let gained = account.slots.values().filter(|d| d.before.is_zero()).count();
                let lost = account.slots.values().filter(|d| d.after.is_zero()).count();
                storages.push((*key, Some((trie, gained, lost))));
            } else if account.after.is_none() && account.before.is_some() {
                storages.push((*key, None));
            }
            changes.push((*key, account.after.as_ref().map(alloy_rlp::encode)));
        }
        let accounts = self.accounts.updated(&changes);
        Ok((accounts.root(), Advance { accounts, storages }))
    }

    fn adopt(&mut self, advance: Advance) {
        self.accounts = advance.accounts;
        self.clock += 1;
        for (key, storage) in advance.storages {
            match storage {
                None => self.forget(&key),
                Some((trie, gained, lost)) => {
                    let used = self.clock;
                    let empty = LoadedStorage { trie: Trie::default(), entries: 0, used };
                    let loaded = self.storages.entry(key).or_insert(empty);
                    loaded.trie = trie;
                    let entries = (loaded.entries + gained).saturating_sub(lost);
                    self.entries = (self.entries + entries).saturating_sub(loaded.entries);
                    loaded.entries = entries;
                    loaded.used = used;
                }
            }
        }
        self.evict();
    }
}

fn load_storage(account: &B256, source: &impl TrieSource) -> Result<(Trie, usize), StateError> {
    let entries = source.storage_leaves(account)?;
    let encoded: Vec<(B256, Vec<u8>)> =
        entries.iter().map(|(slot, value)| (*slot, alloy_rlp::encode(value))).collect();
    let trie = Trie::from_sorted(encoded.iter().map(|(slot, rlp)| (*slot, rlp.as_slice())));
    Ok((trie, entries.len()))
}

fn leaf(value: U256) -> Option<Vec<u8>> {
    (!value.is_zero()).then(|| alloy_rlp::encode(value))
}

/// The account in a leaf of the account trie.
pub(crate) fn decode_account(rlp: &[u8]) -> Result<AccountState, StateError> {
    alloy_rlp::decode_exact(rlp).map_err(|_| StateError::Damaged { what: "account" })
}
