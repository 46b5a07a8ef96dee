//! The world state: accounts, their storage and code, what a block changes in them, and who can
//! read them.
//!
//! Stored state is keyed by the keccak hash of address and slot, in the order in which the trie
//! sees them, so that a trie is built by one scan. [`StateReader`] hides that: it is asked by
//! address and slot and answers for one fixed block.

mod commitment;
mod journal;
mod layer;
mod nothing;
mod source;
mod view;

use std::{collections::BTreeMap, io};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
use revm::bytecode::Bytecode;

pub(crate) use commitment::decode_account;
pub use commitment::{Advance, ChangedKeys, Commitment, CommitmentStore, StateCommitment};
pub use journal::Journal;
pub use layer::Layer;
pub use nothing::Nothing;
pub use source::TrieSource;
pub(crate) use source::{AccountNodes, StorageNodes};
pub use view::TrieView;

/// Code as the machine takes it. What begins like a delegation (EIP-7702) and is none is ordinary code, as
/// in geth: contracts older than EIP-3541, a genesis and overrides can have any.
pub(crate) fn analysed(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

/// An account as the state trie commits to it. Its RLP is both the trie's leaf and the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct AccountState {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// In wei (base units of the native coin).
    pub balance: U256,
    /// Root of the account's storage trie.
    pub storage_root: B256,
    /// keccak256 of the code.
    pub code_hash: B256,
}

impl Default for AccountState {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            storage_root: EMPTY_ROOT_HASH,
            code_hash: KECCAK_EMPTY,
        }
    }
}

impl AccountState {
    /// Whether EIP-161 removes the account when it is touched.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }
}

/// Why state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The database failed.
    #[error("the state database failed")]
    Database(#[from] Box<redb::Error>),
    /// A stored record does not decode: the database was damaged or written by another version.
    #[error("the state database holds a damaged {what} record")]
    Damaged {
        /// Which kind of record.
        what: &'static str,
    },
    /// An account names code that is not stored.
    #[error("code {0} is missing from the state database")]
    MissingCode(B256),
    /// The state of that block is no longer kept.
    #[error("historical state {root:x} is not available")]
    Pruned {
        /// The block asked for.
        number: u64,
        /// Its state root.
        root: B256,
        /// The oldest block whose state can be read.
        oldest: u64,
    },
    /// The transactions and receipts of that block are no longer kept.
    #[error("pruned history unavailable")]
    PrunedBlock {
        /// The block asked for.
        number: u64,
        /// The first one that is whole.
        first: u64,
    },
    /// The state is kept, but too much has changed since to go back to its tries.
    #[error("proofs of block {number} lie too far behind the head {head}")]
    TooFar {
        /// The block asked for.
        number: u64,
        /// The last block.
        head: u64,
    },
    /// The reader's time is over.
    #[error("execution aborted (timeout = {})", crate::message::in_words(*.limit))]
    Interrupted {
        /// The time it had.
        limit: std::time::Duration,
    },
}

impl revm::database_interface::DBErrorMarker for StateError {}

impl StateError {
    pub(crate) fn database(error: impl Into<redb::Error>) -> Self {
        Self::Database(Box::new(error.into()))
    }

    /// What a person can do about it.
    pub(crate) fn advice(&self) -> &'static str {
        let is_damaged = match self {
            Self::Damaged { .. } | Self::MissingCode(_) => true,
            Self::Database(error) => match &**error {
                redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => true,
                redb::Error::Io(error) => {
                    matches!(
                        error.kind(),
                        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                    )
                }
                _ => false,
            },
            Self::Pruned { .. }
            | Self::PrunedBlock { .. }
            | Self::TooFar { .. }
            | Self::Interrupted { .. } => false,
        };
        if is_damaged {
            "the database is damaged or of another version: see what `tilth node fsck` says, or start \
             from a snapshot or a copy"
        } else {
            "check that the disk has room and that no other process uses the folder, then start again"
        }
    }
}

/// Reads the state as it was after one fixed block.
pub trait StateReader {
    /// The account, or `None` if it does not exist.
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError>;
    /// The value of a storage slot; zero if never written.
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError>;
    /// Code by its hash, analysed. The empty hash gives empty code.
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError>;
    /// Hash of an ancestor block; zero if there is none of that number.
    fn block_hash(&self, number: u64) -> Result<B256, StateError>;
    /// All storage of an account by hashed slot, in ascending order.
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError>;
}

impl<R: StateReader + ?Sized> StateReader for &R {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        (**self).account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        (**self).code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (**self).block_hash(number)
    }
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        (**self).storage_entries(address)
    }
}

/// Everything a block changed, with the values from before: enough to go forwards and back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDiff {
    /// Changed accounts by hashed address, in the trie's order.
    pub accounts: BTreeMap<B256, AccountDiff>,
    /// Code that was deployed, by its hash.
    pub codes: BTreeMap<B256, Bytes>,
}

/// What happened to one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDiff {
    /// The account's address.
    pub address: Address,
    /// Before the block; `None` if it did not exist.
    pub before: Option<AccountState>,
    /// After the block; `None` if it no longer exists. The storage root is right only once the
    /// diff went through [`StateCommitment::advance`].
    pub after: Option<AccountState>,
    /// Changed slots by hashed slot, in the trie's order.
    pub slots: BTreeMap<B256, SlotDiff>,
}

/// What happened to one storage slot; zero means absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotDiff {
    /// Before the block.
    pub before: U256,
    /// After the block.
    pub after: U256,
}
