//! The state before the first block.

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;

use super::{AccountState, StateError, StateReader, TrieSource};

/// The state before the first block: empty.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl StateReader for Nothing {
    fn account(&self, _: &Address) -> Result<Option<AccountState>, StateError> {
        Ok(None)
    }
    fn storage(&self, _: &Address, _: &U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }
    fn code(&self, _: &B256) -> Result<Bytecode, StateError> {
        Ok(Bytecode::default())
    }
    fn block_hash(&self, _: u64) -> Result<B256, StateError> {
        Ok(B256::ZERO)
    }
    fn storage_entries(&self, _: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        Ok(Vec::new())
    }
}

impl TrieSource for Nothing {
    fn account_leaves(&self) -> Result<Vec<(B256, Vec<u8>)>, StateError> {
        Ok(Vec::new())
    }
    fn storage_leaves(&self, _: &B256) -> Result<Vec<(B256, U256)>, StateError> {
        Ok(Vec::new())
    }
}
