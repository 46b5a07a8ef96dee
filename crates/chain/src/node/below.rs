//! The state that a block which is not final stands on.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;

use super::pending::HeadState;
use crate::{
    state::{AccountState, Layer, StateError, StateReader, TrieSource},
    trie::Prefix,
};

/// The state after a block that is final, or is not.
#[derive(Clone, Debug)]
pub(super) enum Below {
    Head(HeadState),
    Block(Arc<Layer<Below>>),
}

/// Asks whichever of the two states it is.
macro_rules! ask {
    ($below:expr, $state:ident => $answer:expr) => {
        match $below {
            Below::Head($state) => $answer,
            Below::Block(block) => {
                let $state: &Layer<Below> = block;
                $answer
            }
        }
    };
}

impl StateReader for Below {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        ask!(self, state => state.account(address))
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        ask!(self, state => state.storage(address, slot))
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        ask!(self, state => state.code(hash))
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        ask!(self, state => state.block_hash(number))
    }
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        ask!(self, state => state.storage_entries(address))
    }
}

impl TrieSource for Below {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        ask!(self, state => state.account_leaves())
    }
    fn storage_leaves(&self, account: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        ask!(self, state => state.storage_leaves(account))
    }
    fn accounts_between(
        &self,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        ask!(self, state => state.accounts_between(first, last))
    }
    fn storage_between(
        &self,
        account: &B256,
        first: &B256,
        last: &B256,
    ) -> Result<Vec<(B256, U256)>, StateError> {
        ask!(self, state => state.storage_between(account, first, last))
    }
    fn node_record(
        &self,
        owner: Option<&B256>,
        at: &Prefix,
    ) -> Result<Option<Vec<u8>>, StateError> {
        ask!(self, state => state.node_record(owner, at))
    }
}
