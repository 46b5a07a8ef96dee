//! The state as tracers read it, without leaving a mark in the machine.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::KECCAK_EMPTY;
use revm::{
    Database,
    state::{Account, AccountInfo, EvmState},
};

use crate::state::{Journal, StateError, StateReader};

/// An account as tracers see it; all zero if it does not exist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    /// The hash of no bytes for an account without code.
    pub(crate) code_hash: B256,
}

impl Seen {
    const NOTHING: Self = Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY };

    fn of(info: &AccountInfo) -> Self {
        let code_hash = if info.code_hash.is_zero() { KECCAK_EMPTY } else { info.code_hash };
        Self { nonce: info.nonce, balance: info.balance, code_hash }
    }

    /// Whether EIP-161 calls it empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }
}

/// The state at one moment of an execution.
pub(crate) trait World {
    fn account(&mut self, address: Address) -> Result<Seen, StateError>;
    fn code(&mut self, address: Address) -> Result<Bytes, StateError>;
    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError>;
}

/// Between transactions.
impl<R: StateReader> World for Journal<R> {
    fn account(&mut self, address: Address) -> Result<Seen, StateError> {
        Ok(self.basic(address)?.map_or(Seen::NOTHING, |info| Seen::of(&info)))
    }

    fn code(&mut self, address: Address) -> Result<Bytes, StateError> {
        let hash = World::account(self, address)?.code_hash;
        if hash == KECCAK_EMPTY {
            return Ok(Bytes::new());
        }
        Ok(self.code_by_hash(hash)?.original_bytes())
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        Database::storage(self, address, slot)
    }
}

fn code_of<R: StateReader>(account: &Account, below: &mut Journal<R>) -> Result<Bytes, StateError> {
    match &account.info.code {
        Some(code) => Ok(code.original_bytes()),
        None if Seen::of(&account.info).code_hash == KECCAK_EMPTY => Ok(Bytes::new()),
        None => Ok(below.code_by_hash(account.info.code_hash)?.original_bytes()),
    }
}

fn slot_of<R: StateReader>(
    address: Address,
    account: &Account,
    slot: U256,
    below: &mut Journal<R>,
) -> Result<U256, StateError> {
    match account.storage.get(&slot) {
        Some(value) => Ok(value.present_value),
        None if account.is_created() => Ok(U256::ZERO),
        None => Database::storage(below, address, slot),
    }
}

/// Inside a transaction.
pub(super) struct During<'a, R> {
    pub(super) state: &'a EvmState,
    pub(super) below: &'a mut Journal<R>,
}

impl<R: StateReader> World for During<'_, R> {
    fn account(&mut self, address: Address) -> Result<Seen, StateError> {
        match self.state.get(&address) {
            Some(account) => Ok(Seen::of(&account.info)),
            None => World::account(self.below, address),
        }
    }

    fn code(&mut self, address: Address) -> Result<Bytes, StateError> {
        match self.state.get(&address) {
            Some(account) => code_of(account, self.below),
            None => World::code(self.below, address),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.state.get(&address) {
            Some(account) => slot_of(address, account, slot, self.below),
            None => World::storage(self.below, address, slot),
        }
    }
}

/// After a transaction whose changes are not yet committed.
pub(super) struct After<'a, R> {
    pub(super) state: &'a EvmState,
    pub(super) below: &'a mut Journal<R>,
}

impl<R: StateReader> World for After<'_, R> {
    fn account(&mut self, address: Address) -> Result<Seen, StateError> {
        match self.state.get(&address) {
            Some(account) if account.is_selfdestructed() => Ok(Seen::NOTHING),
            Some(account) => Ok(Seen::of(&account.info)),
            None => World::account(self.below, address),
        }
    }

    fn code(&mut self, address: Address) -> Result<Bytes, StateError> {
        match self.state.get(&address) {
            Some(account) if account.is_selfdestructed() => Ok(Bytes::new()),
            Some(account) => code_of(account, self.below),
            None => World::code(self.below, address),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.state.get(&address) {
            Some(account) if account.is_selfdestructed() => Ok(U256::ZERO),
            Some(account) => slot_of(address, account, slot, self.below),
            None => World::storage(self.below, address, slot),
        }
    }
}
