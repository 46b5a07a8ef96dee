//! States in memory on top of another state: of blocks that are not final, or of a whole chain
//! that is executed again.

use std::collections::BTreeMap;

use alloy_primitives::{
    Address, B256, U256, keccak256,
    map::{B256Map, HashMap},
};
use revm::bytecode::Bytecode;

use super::{AccountState, StateDiff, StateError, StateReader, TrieSource, analysed};
use crate::{block::SealedHeader, trie::Prefix};

/// The state below, with what some blocks changed in it. Reading goes down where nothing changed;
/// what is below never changes through this.
#[derive(Clone, Debug)]
pub struct Layer<P> {
    parent: P,
    /// By hashed address; `None` is an account that is gone.
    accounts: B256Map<Option<AccountState>>,
    /// By hashed address and hashed slot; zero is a slot that is gone.
    slots: B256Map<BTreeMap<B256, U256>>,
    codes: B256Map<Bytecode>,
    hashes: HashMap<u64, B256>,
}

impl<P> Layer<P> {
    /// No changes yet.
    pub fn new(parent: P) -> Self {
        Self {
            parent,
            accounts: B256Map::default(),
            slots: B256Map::default(),
            codes: B256Map::default(),
            hashes: HashMap::default(),
        }
    }

    /// Takes in what a block changed; the block's parent is the last one taken in, or the one whose
    /// state is below.
    pub fn absorb(&mut self, header: &SealedHeader, diff: &StateDiff) {
        self.hashes.insert(header.number, header.hash());
        for (key, account) in &diff.accounts {
            self.accounts.insert(*key, account.after);
            if !account.slots.is_empty() {
                let slots = self.slots.entry(*key).or_default();
                slots.extend(account.slots.iter().map(|(slot, change)| (*slot, change.after)));
            }
        }
        for (hash, code) in &diff.codes {
            self.codes.insert(*hash, analysed(code.clone()));
        }
    }

    fn overlay(
        &self,
        account: &B256,
        below: Vec<(B256, U256)>,
        is_wanted: impl Fn(&B256) -> bool,
    ) -> Vec<(B256, U256)> {
        let Some(changed) = self.slots.get(account) else { return below };
        let mut entries: BTreeMap<B256, U256> = below.into_iter().collect();
        entries.extend(changed.iter().filter(|(slot, _)| is_wanted(slot)));
        entries.into_iter().filter(|(_, value)| !value.is_zero()).collect()
    }

    fn overlay_accounts(
        &self,
        below: Vec<(B256, Vec<u8>)>,
        is_wanted: impl Fn(&B256) -> bool,
    ) -> Vec<(B256, Vec<u8>)> {
        let mut leaves: BTreeMap<B256, Vec<u8>> = below.into_iter().collect();
        for (key, account) in self.accounts.iter().filter(|(key, _)| is_wanted(key)) {
            match account {
                Some(account) => leaves.insert(*key, alloy_rlp::encode(account)),
                None => leaves.remove(key),
            };
        }
        leaves.into_iter().collect()
    }
}

impl<P: StateReader> StateReader for Layer<P> {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        match self.accounts.get(&keccak256(address)) {
            Some(account) => Ok(*account),
            None => self.parent.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let changed = self.slots.get(&keccak256(address));
        match changed.and_then(|slots| slots.get(&keccak256(slot.to_be_bytes::<32>()))) {
            Some(value) => Ok(*value),
            None => self.parent.storage(address, slot),
        }
    }

    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        match self.codes.get(hash) {
            Some(code) => Ok(code.clone()),
            None => self.parent.code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        match self.hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => self.parent.block_hash(number),
        }
    }

    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        Ok(self.overlay(&keccak256(address), self.parent.storage_entries(address)?, |_| true))
    }
}

impl<P: TrieSource> TrieSource for Layer<P> {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        Ok(self.overlay_accounts(self.parent.account_leaves()?, |_| true))
    }

    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        Ok(self.overlay(account, self.parent.storage_leaves(account)?, |_| true))
    }

    fn accounts_between(
        &self,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        let below = self.parent.accounts_between(first, last)?;
        Ok(self.overlay_accounts(below, |key| (first..=last).contains(&key)))
    }

    fn storage_between(
        &self,
        account: &B256,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        let below = self.parent.storage_between(account, first, last)?;
        Ok(self.overlay(account, below, |slot| (first..=last).contains(&slot)))
    }

    /// A trie looks for a node here only where nothing changed above the state below.
    fn node_record(
        &self,
        owner: Option<&B256>,
        at: &Prefix,
    ) -> Result<Option<Vec<u8>>, StateError> {
        self.parent.node_record(owner, at)
    }
}
