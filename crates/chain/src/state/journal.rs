//! The state while a block executes: a reader below, the block's changes above.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{
    Address, B256, Bytes, U256, keccak256,
    map::{AddressMap, B256Map, B256Set, HashMap, U256Map},
};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
use revm::{
    Database, DatabaseCommit,
    bytecode::Bytecode,
    state::{Account, AccountInfo},
};

use super::{AccountDiff, AccountState, SlotDiff, StateDiff, StateError, StateReader, analysed};

/// The database the EVM runs on during one block. Reads fall through to the parent state and are
/// remembered; commits stay here until [`Journal::into_diff`].
pub struct Journal<R> {
    parent: R,
    accounts: AddressMap<Entry>,
    codes: B256Map<Bytecode>,
    deployed: B256Map<Bytes>,
    block_hashes: HashMap<u64, B256>,
    /// Code can be a delegation (EIP-7702).
    delegations: bool,
    /// A read that failed where the EVM's interface cannot return an error.
    failure: Option<StateError>,
}

#[derive(Clone, Debug)]
struct Entry {
    original: Option<AccountState>,
    /// The storage root in here is the original one until the trie has computed the new one.
    current: Option<AccountState>,
    slots: U256Map<SlotDiff>,
    /// The account was destroyed or created anew: slots not in `slots` are zero now, whatever the
    /// parent state has.
    wiped: bool,
}

impl<R> fmt::Debug for Journal<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("accounts", &self.accounts.len()).finish_non_exhaustive()
    }
}

impl<R: StateReader> Journal<R> {
    /// A journal without changes on top of `parent`.
    pub fn new(parent: R) -> Self {
        Self {
            parent,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            deployed: B256Map::default(),
            block_hashes: HashMap::default(),
            delegations: true,
            failure: None,
        }
    }

    /// Sets whether code can be a delegation: before Prague, what looks like one (a genesis can have
    /// it) is code that fails at its first instruction.
    pub(crate) fn allow_delegations(&mut self, delegations: bool) {
        self.delegations = delegations;
    }

    /// The state below.
    pub fn parent(&self) -> &R {
        &self.parent
    }

    /// The account as it stands now.
    pub fn account(&mut self, address: Address) -> Result<Option<AccountState>, StateError> {
        Ok(self.entry(address)?.current)
    }

    /// Sets an account outside of any transaction (genesis, withdrawals, overrides of a call).
    pub fn set_account(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut AccountState),
    ) -> Result<(), StateError> {
        let entry = self.entry(address)?;
        let mut account = entry.current.unwrap_or_default();
        change(&mut account);
        entry.current = Some(account);
        Ok(())
    }

    /// Pays an account outside of any transaction (rewards, withdrawals). As a touch by a
    /// transaction does, paying nothing removes an account that is empty.
    pub fn add_balance(&mut self, address: Address, amount: U256) -> Result<(), StateError> {
        let entry = self.entry(address)?;
        let mut account = entry.current.unwrap_or_default();
        account.balance = account.balance.saturating_add(amount);
        entry.current = (!account.is_empty()).then_some(account);
        Ok(())
    }

    /// Puts code under an account outside of any transaction.
    pub fn set_code(&mut self, address: Address, code: Bytes) -> Result<(), StateError> {
        let hash = if code.is_empty() { KECCAK_EMPTY } else { keccak256(&code) };
        self.codes.insert(hash, analysed(code.clone()));
        if !code.is_empty() {
            self.deployed.insert(hash, code);
        }
        self.set_account(address, |account| account.code_hash = hash)
    }

    /// Sets a storage slot outside of any transaction.
    pub fn set_storage(
        &mut self,
        address: Address,
        slot: U256,
        value: U256,
    ) -> Result<(), StateError> {
        self.slot(address, slot)?.after = value;
        Ok(())
    }

    /// Empties an account's storage outside of any transaction.
    pub fn clear_storage(&mut self, address: Address) -> Result<(), StateError> {
        let entry = self.entry(address)?;
        entry.wiped = true;
        for slot in entry.slots.values_mut() {
            slot.after = U256::ZERO;
        }
        Ok(())
    }

    /// All storage of an account as it stands now, by hashed slot.
    pub(crate) fn storage_entries(
        &mut self,
        address: Address,
    ) -> Result<BTreeMap<B256, U256>, StateError> {
        self.entry(address)?;
        let entry = self.accounts.get(&address).ok_or(StateError::Damaged { what: "journal" })?;
        let mut entries: BTreeMap<B256, U256> = if entry.wiped {
            BTreeMap::new()
        } else {
            self.parent.storage_entries(&address)?.into_iter().collect()
        };
        for (slot, value) in &entry.slots {
            let key = keccak256(slot.to_be_bytes::<32>());
            if value.after.is_zero() {
                entries.remove(&key);
            } else {
                entries.insert(key, value.after);
            }
        }
        Ok(entries)
    }

    /// What all commits together changed.
    pub fn into_diff(mut self) -> Result<StateDiff, StateError> {
        self.diff()
    }

    /// What all commits so far changed.
    ///
    /// # Errors
    /// When a read failed since the last call; the journal is of no use any more then.
    pub fn diff(&mut self) -> Result<StateDiff, StateError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut diff = StateDiff::default();
        for (address, entry) in &self.accounts {
            let address = *address;
            let mut slots = entry
                .slots
                .iter()
                .filter(|(_, slot)| entry.wiped || slot.before != slot.after)
                .map(|(slot, change)| (keccak256(slot.to_be_bytes::<32>()), *change))
                .collect::<std::collections::BTreeMap<_, _>>();
            let had_storage = entry.original.is_some_and(|a| a.storage_root != EMPTY_ROOT_HASH);
            if entry.wiped {
                if had_storage {
                    for (slot, before) in self.parent.storage_entries(&address)? {
                        slots
                            .entry(slot)
                            .or_insert(SlotDiff { before, after: U256::ZERO })
                            .before = before;
                    }
                }
                slots.retain(|_, slot| slot.before != slot.after);
            }
            if entry.original == entry.current && slots.is_empty() {
                continue;
            }
            diff.accounts.insert(
                keccak256(address),
                AccountDiff { address, before: entry.original, after: entry.current, slots },
            );
        }
        // Code that did not survive the block (init code of genesis, destroyed accounts) is left out.
        let kept: B256Set =
            diff.accounts.values().filter_map(|a| Some(a.after?.code_hash)).collect();
        let kept_codes = self.deployed.iter().filter(|(hash, _)| kept.contains(*hash));
        diff.codes = kept_codes.map(|(hash, code)| (*hash, code.clone())).collect();
        Ok(diff)
    }

    fn entry(&mut self, address: Address) -> Result<&mut Entry, StateError> {
        use alloy_primitives::map::Entry as Slot;
        Ok(match self.accounts.entry(address) {
            Slot::Occupied(entry) => entry.into_mut(),
            Slot::Vacant(vacant) => {
                let original = self.parent.account(&address)?;
                vacant.insert(Entry {
                    original,
                    current: original,
                    slots: U256Map::default(),
                    wiped: false,
                })
            }
        })
    }

    fn slot(&mut self, address: Address, slot: U256) -> Result<&mut SlotDiff, StateError> {
        use alloy_primitives::map::Entry as Slot;
        self.entry(address)?;
        let entry =
            self.accounts.get_mut(&address).ok_or(StateError::Damaged { what: "journal" })?;
        Ok(match entry.slots.entry(slot) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(vacant) => {
                let has_storage = entry.original.is_some_and(|a| a.storage_root != EMPTY_ROOT_HASH);
                let before = if entry.wiped || !has_storage {
                    U256::ZERO
                } else {
                    self.parent.storage(&address, &slot)?
                };
                vacant.insert(SlotDiff { before, after: before })
            }
        })
    }

    fn apply(&mut self, address: Address, mut account: Account) -> Result<(), StateError> {
        let code = account.info.code.take();
        let entry = self.entry(address)?;
        if account.is_selfdestructed() || account.is_created() {
            entry.wiped = true;
            for slot in entry.slots.values_mut() {
                slot.after = U256::ZERO;
            }
        }
        // Before EIP-161 an account that is touched for the first time stays even if it is empty; the
        // machine marks it as created. From then on a creation leaves a nonce.
        if account.is_selfdestructed() || (account.is_empty() && !account.is_created()) {
            entry.current = None;
            return Ok(());
        }
        let storage_root = entry.original.map_or(EMPTY_ROOT_HASH, |a| a.storage_root);
        entry.current = Some(AccountState {
            nonce: account.info.nonce,
            balance: account.info.balance,
            storage_root,
            code_hash: account.info.code_hash,
        });
        let is_new_code = entry.original.is_none_or(|a| a.code_hash != account.info.code_hash);
        if let Some(code) = code
            && is_new_code
            && !code.is_empty()
        {
            self.deployed.entry(account.info.code_hash).or_insert_with(|| code.original_bytes());
            self.codes.entry(account.info.code_hash).or_insert(code);
        }
        for (slot, value) in account.storage {
            if value.is_changed() {
                self.slot(address, slot)?.after = value.present_value;
            }
        }
        Ok(())
    }
}

impl<R: StateReader> Database for Journal<R> {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.entry(address)?.current.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StateError> {
        let code = match self.codes.get(&code_hash) {
            Some(code) => code.clone(),
            None => {
                let code = self.parent.code(&code_hash)?;
                self.codes.insert(code_hash, code.clone());
                code
            }
        };
        Ok(if code.is_eip7702() && !self.delegations {
            Bytecode::new_legacy(code.original_bytes())
        } else {
            code
        })
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        Ok(self.slot(address, slot)?.after)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        if let Some(hash) = self.block_hashes.get(&number) {
            return Ok(*hash);
        }
        let hash = self.parent.block_hash(number)?;
        self.block_hashes.insert(number, hash);
        Ok(hash)
    }
}

impl<R: StateReader> DatabaseCommit for Journal<R> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            if account.is_touched()
                && let Err(error) = self.apply(address, account)
            {
                // The account was read through `basic` before, so only a failing disk comes here.
                self.failure.get_or_insert(error);
            }
        }
    }
}
