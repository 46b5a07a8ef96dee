//! States of earlier blocks, read from the values that later blocks replaced.
//!
//! The value of a key after block N is the one kept from before the first later block that changed
//! it, or the current one if there is none.

use alloy_primitives::{Address, B256, U256, keccak256};
use redb::{ReadableTable, WriteTransaction};
use revm::bytecode::Bytecode;

use super::{Snapshot, tables::*, value_from};
use crate::state::{AccountState, StateError, StateReader, TrieSource, decode_account};

/// The state after block `number`, seen from a snapshot whose head is that block or a later one.
#[derive(Debug)]
pub struct HistoricState<'a> {
    snapshot: &'a Snapshot,
    number: u64,
}

impl Snapshot {
    /// The state after an earlier block.
    ///
    /// # Errors
    /// `StateError::Pruned` if it is no longer kept.
    pub fn state_at(&self, number: u64) -> Result<HistoricState<'_>, StateError> {
        let oldest_change = self.changed.first().map_err(StateError::database)?;
        // With the changes of block k and all later ones the state after k - 1 can be read.
        let oldest = oldest_change.map_or(0, |(block, _)| block.value().saturating_sub(1));
        if number < oldest {
            return Err(StateError::Pruned { number, oldest });
        }
        Ok(HistoricState { snapshot: self, number })
    }
}

impl HistoricState<'_> {
    fn account_by_key(&self, key: &B256) -> Result<Option<AccountState>, StateError> {
        let Some(after) = self.number.checked_add(1) else {
            return self.snapshot.account_by_key(key);
        };
        let (first, last) = (old_account_key(key, after), old_account_key(key, u64::MAX));
        let mut later = self
            .snapshot
            .old_accounts
            .range::<&[u8; 40]>(&first..=&last)
            .map_err(StateError::database)?;
        match later.next() {
            None => self.snapshot.account_by_key(key),
            Some(entry) => {
                let (_, before) = entry.map_err(StateError::database)?;
                let rlp = before.value();
                if rlp.is_empty() { Ok(None) } else { decode_account(rlp).map(Some) }
            }
        }
    }
}

impl StateReader for HistoricState<'_> {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        self.account_by_key(&keccak256(address))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let key = storage_key(&keccak256(address), &keccak256(slot.to_be_bytes::<32>()));
        let Some(after) = self.number.checked_add(1) else {
            return self.snapshot.storage_by_key(&key);
        };
        let (first, last) = (old_storage_key(&key, after), old_storage_key(&key, u64::MAX));
        let mut later = self
            .snapshot
            .old_storage
            .range::<&[u8; 72]>(&first..=&last)
            .map_err(StateError::database)?;
        match later.next() {
            None => self.snapshot.storage_by_key(&key),
            Some(entry) => {
                let (_, before) = entry.map_err(StateError::database)?;
                value_from(before.value())
            }
        }
    }

    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        self.snapshot.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.snapshot.block_hash(number)
    }

    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        let account = keccak256(address);
        let mut entries: std::collections::BTreeMap<B256, U256> =
            self.snapshot.storage_leaves(&account)?.into_iter().collect();
        let first = old_storage_key(&storage_key(&account, &B256::ZERO), 0);
        let last = old_storage_key(&storage_key(&account, &B256::repeat_byte(0xff)), u64::MAX);
        let kept = self
            .snapshot
            .old_storage
            .range::<&[u8; 72]>(&first..=&last)
            .map_err(StateError::database)?;
        // Backwards, so that for each slot the earliest change after our block is applied last.
        for entry in kept.rev() {
            let (key, before) = entry.map_err(StateError::database)?;
            let (key, block) = key.value().split_at(64);
            if u64::from_be_bytes(block.try_into().unwrap_or([0xff; 8])) > self.number {
                entries.insert(B256::from_slice(&key[32..]), value_from(before.value())?);
            }
        }
        entries.retain(|_, value| !value.is_zero());
        Ok(entries.into_iter().collect())
    }
}

/// Drops what is kept from before block `number`.
pub(super) fn prune(transaction: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    let mut changed = transaction.open_table(CHANGED)?;
    let Some(keys) = changed.remove(number)?.map(|keys| keys.value().to_vec()) else {
        return Ok(());
    };
    let mut old_accounts = transaction.open_table(OLD_ACCOUNTS)?;
    let mut old_storage = transaction.open_table(OLD_STORAGE)?;
    let mut rest = keys.as_slice();
    while let Some((account, after)) = rest.split_first_chunk::<32>() {
        old_accounts.remove(&old_account_key(&account.into(), number))?;
        let Some((count, mut slots)) = after.split_first_chunk::<8>() else { break };
        for _ in 0..u64::from_be_bytes(*count) {
            let Some((slot, next)) = slots.split_first_chunk::<32>() else { break };
            let key = storage_key(&account.into(), &slot.into());
            old_storage.remove(&old_storage_key(&key, number))?;
            slots = next;
        }
        rest = slots;
    }
    Ok(())
}
