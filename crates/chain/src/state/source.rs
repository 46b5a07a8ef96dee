//! What tries are made of: the flat state in the trie's order, and stored nodes if there are any.

use alloy_primitives::{B256, U256};

use super::StateError;
use crate::trie::{NodeSource, Prefix};

/// Where tries are loaded from. What has a default costs a scan of everything there; a database
/// answers it directly.
pub trait TrieSource: Sync {
    /// All accounts by hashed address, ascending, as RLP.
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError>;
    /// All storage of the account with this hashed address, by hashed slot, ascending.
    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError>;

    /// The accounts from `first` to `last`, both included.
    fn accounts_between(
        &self,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        let mut leaves = self.account_leaves()?;
        leaves.retain(|(key, _)| (first..=last).contains(&key));
        Ok(leaves)
    }

    /// An account's storage from slot `first` to `last`, both included.
    fn storage_between(
        &self,
        account: &B256,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        let mut leaves = self.storage_leaves(account)?;
        leaves.retain(|(key, _)| (first..=last).contains(&key));
        Ok(leaves)
    }

    /// One account, as RLP.
    fn account_leaf(&self, account: &B256) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.accounts_between(account, account)?.pop().map(|(_, rlp)| rlp))
    }

    /// One storage slot; zero if absent.
    fn storage_leaf(&self, account: &B256, slot: &B256) -> Result<U256, StateError> {
        let found = self.storage_between(account, slot, slot)?.pop();
        Ok(found.map_or(U256::ZERO, |(_, value)| value))
    }

    /// The stored record of a node of the account trie (`None`) or of an account's storage trie.
    fn node_record(
        &self,
        _owner: Option<&B256>,
        _at: &Prefix,
    ) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }
}

impl<S: TrieSource + ?Sized> TrieSource for &S {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        (**self).account_leaves()
    }
    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        (**self).storage_leaves(account)
    }
    fn accounts_between(
        &self,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        (**self).accounts_between(first, last)
    }
    fn storage_between(
        &self,
        account: &B256,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        (**self).storage_between(account, first, last)
    }
    fn account_leaf(&self, account: &B256) -> Result<Option<Vec<u8>>, StateError> {
        (**self).account_leaf(account)
    }
    fn storage_leaf(&self, account: &B256, slot: &B256) -> Result<U256, StateError> {
        (**self).storage_leaf(account, slot)
    }
    fn node_record(
        &self,
        owner: Option<&B256>,
        at: &Prefix,
    ) -> Result<Option<Vec<u8>>, StateError> {
        (**self).node_record(owner, at)
    }
}

/// The nodes of the account trie.
pub(crate) struct AccountNodes<'a, S> {
    pub(crate) source: &'a S,
}

impl<S: TrieSource> NodeSource for AccountNodes<'_, S> {
    fn record(&self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        self.source.node_record(None, at)
    }
    fn entries(&self, at: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        self.source.accounts_between(&at.first(), &at.last())
    }
}

/// The nodes of one account's storage trie.
pub(crate) struct StorageNodes<'a, S> {
    pub(crate) source: &'a S,
    pub(crate) account: B256,
}

impl<S: TrieSource> NodeSource for StorageNodes<'_, S> {
    fn record(&self, at: &Prefix) -> Result<Option<Vec<u8>>, StateError> {
        self.source.node_record(Some(&self.account), at)
    }
    fn entries(&self, at: &Prefix) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        let slots = self.source.storage_between(&self.account, &at.first(), &at.last())?;
        Ok(slots.into_iter().map(|(slot, value)| (slot, alloy_rlp::encode(value))).collect())
    }
}
