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
        let oldest = self.oldest_state()?;
        if number < oldest {
            let root = self.header(number)?.map(|header| header.state_root).unwrap_or_default();
            return Err(StateError::Pruned { number, root, oldest });
        }
        Ok(self.kept_state_at(number))
    }

    /// The state after an earlier block whose successors' changes the caller knows to be kept.
    pub(super) fn kept_state_at(&self, number: u64) -> HistoricState<'_> {
        HistoricState { snapshot: self, number }
    }
}

/// Accounts by their hashed addresses, and where to go on.
pub(crate) type AccountPage = (Vec<(B256, AccountState)>, Option<B256>);

/// Accounts one call of [`HistoricState::accounts_from`] looks at.
const ACCOUNTS_LOOKED_AT_MAX: usize = 10_000;

impl HistoricState<'_> {
    pub(crate) fn account_by_key(&self, key: &B256) -> Result<Option<AccountState>, StateError> {
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

    /// At most `count` accounts from `first` on, by hashed address, and where to go on. Looks at a
    /// bounded number of keys, so it may give fewer although more follow.
    pub(crate) fn accounts_from(
        &self,
        first: &B256,
        count: usize,
    ) -> Result<AccountPage, StateError> {
        let mut found = Vec::new();
        let mut at = *first;
        for _ in 0..ACCOUNTS_LOOKED_AT_MAX {
            let Some(key) = self.next_account(&at)? else { return Ok((found, None)) };
            if found.len() >= count {
                return Ok((found, Some(key)));
            }
            found.extend(self.account_by_key(&key)?.map(|account| (key, account)));
            match U256::from_be_bytes(key.0).checked_add(U256::ONE) {
                Some(after) => at = after.into(),
                None => return Ok((found, None)),
            }
        }
        Ok((found, Some(at)))
    }

    /// The first account from `first` on that exists now or has changed since this state: all that
    /// existed in it are among them.
    fn next_account(&self, first: &B256) -> Result<Option<B256>, StateError> {
        let snapshot = self.snapshot;
        let mut now =
            snapshot.accounts.range::<&[u8; 32]>(&first.0..).map_err(StateError::database)?;
        let now = now.next().transpose().map_err(StateError::database)?;
        let now = now.map(|(key, _)| B256::from(key.value()));
        let from = old_account_key(first, 0);
        let mut old =
            snapshot.old_accounts.range::<&[u8; 40]>(&from..).map_err(StateError::database)?;
        let old = old.next().transpose().map_err(StateError::database)?;
        let old = old.map(|(key, _)| B256::from_slice(&key.value()[..32]));
        Ok(now.into_iter().chain(old).min())
    }

    pub(crate) fn slot_by_key(&self, account: &B256, slot: &B256) -> Result<U256, StateError> {
        self.storage_by_key(&storage_key(account, slot))
    }

    fn storage_by_key(&self, key: &[u8; 64]) -> Result<U256, StateError> {
        let Some(after) = self.number.checked_add(1) else {
            return self.snapshot.storage_by_key(key);
        };
        let (first, last) = (old_storage_key(key, after), old_storage_key(key, u64::MAX));
        let mut later = self
            .snapshot
            .old_storage
            .range::<&[u8; 72]>(&first..=&last)
            .map_err(StateError::database)?;
        match later.next() {
            None => self.snapshot.storage_by_key(key),
            Some(entry) => {
                let (_, before) = entry.map_err(StateError::database)?;
                value_from(before.value())
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
        self.storage_by_key(&key)
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

/// Drops what is kept from before the blocks up to `last`, of at most `blocks_max` of them; returns
/// of how many.
pub(super) fn prune(
    transaction: &WriteTransaction,
    last: u64,
    blocks_max: usize,
) -> Result<usize, redb::Error> {
    for pruned in 0..blocks_max {
        let oldest = transaction.open_table(CHANGED)?.first()?.map(|(block, _)| block.value());
        match oldest {
            Some(oldest) if oldest <= last => forget(transaction, oldest)?,
            _ => return Ok(pruned),
        }
    }
    Ok(blocks_max)
}

/// Drops what is kept from before block `number`.
fn forget(transaction: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    let Some(keys) =
        transaction.open_table(CHANGED)?.remove(number)?.map(|keys| keys.value().to_vec())
    else {
        return Ok(());
    };
    let mut old_accounts = transaction.open_table(OLD_ACCOUNTS)?;
    let mut old_storage = transaction.open_table(OLD_STORAGE)?;
    // A damaged list leaves values behind that nobody reads any more.
    for (account, slots) in parse_changed(&keys).unwrap_or_default() {
        old_accounts.remove(&old_account_key(&account, number))?;
        for slot in slots {
            old_storage.remove(&old_storage_key(&storage_key(&account, &slot), number))?;
        }
    }
    Ok(())
}

/// Takes a list of changed keys apart: hashed addresses, each with hashed slots.
pub(crate) fn parse_changed(mut keys: &[u8]) -> Result<Vec<(B256, Vec<B256>)>, StateError> {
    const DAMAGED: StateError = StateError::Damaged { what: "list of changed keys" };
    let mut changed = Vec::new();
    while let Some((account, rest)) = keys.split_first_chunk::<32>() {
        let (count, rest) = rest.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let count = usize::try_from(u64::from_be_bytes(*count)).map_err(|_| DAMAGED)?;
        let bytes = count.checked_mul(32).ok_or(DAMAGED)?;
        let (slots, rest) = rest.split_at_checked(bytes).ok_or(DAMAGED)?;
        changed.push((account.into(), slots.chunks_exact(32).map(B256::from_slice).collect()));
        keys = rest;
    }
    if keys.is_empty() { Ok(changed) } else { Err(DAMAGED) }
}
