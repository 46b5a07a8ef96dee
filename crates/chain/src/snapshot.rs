//! Snapshot files: a chain's state with its last blocks in one file, from which a node starts
//! without executing anything.
//!
//! A file is a head, then *chunks* in a fixed order, then an end that names their number. A chunk
//! is its kind, its length, the keccak256 hash of kind, position and content, and the content. The
//! manifest says which chain and block; blocks come in order and are linked by their hashes; then
//! accounts, storage and code, each ascending by key. Importing trusts nothing: checksums catch
//! damage early, and at the end the state must give the root in the last header, the blocks their
//! hashes and roots, the code its hashes. Only the last block's hash is taken from the file, so
//! whoever got the file from elsewhere compares it ([`ImportOptions::head`]).

mod export;
mod format;
mod import;

use std::path::PathBuf;

use alloy_primitives::B256;
use tilth_protocol::Problem;

pub use export::{ExportOptions, export, export_store};
pub use import::{ImportOptions, import};

use crate::{node::chain_of_causes, state::StateError};

/// What a snapshot file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Number of the block whose state it is.
    pub head_number: u64,
    /// Hash of that block.
    pub head_hash: B256,
    /// Hash of block 0.
    pub genesis_hash: B256,
    /// Blocks in the file.
    pub blocks: u64,
    /// Accounts of the state.
    pub accounts: u64,
    /// Storage slots of the state.
    pub slots: u64,
    /// Pieces of code.
    pub codes: u64,
}

/// How far an export or import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Blocks, accounts, slots or pieces of code done in this stage.
    pub done: u64,
}

/// The stages, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Headers, transactions and receipts.
    Blocks,
    /// Accounts.
    Accounts,
    /// Storage slots.
    Storage,
    /// Code.
    Code,
    /// Checking the state against the header.
    Verify,
}

/// Why a snapshot could not be written or taken over.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file could not be read or written.
    #[error("the file {path} could not be read or written")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The chain's database failed.
    #[error("the chain's database failed")]
    State(#[from] StateError),
    /// There is no chain to export.
    #[error("there is no chain in {path}")]
    NoChain {
        /// The folder.
        path: PathBuf,
    },
    /// There is a chain already where one is to be made.
    #[error("there is a chain in {path} already")]
    Exists {
        /// The database.
        path: PathBuf,
    },
    /// The file is no snapshot, of another version, damaged or cut short.
    #[error("the snapshot is not valid at chunk {chunk}: {what}")]
    Invalid {
        /// Counted from 0.
        chunk: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file is sound but not the one that was asked for.
    #[error("the snapshot is of block {found}, not {wanted}")]
    OtherHead {
        /// Hash of the snapshot's last block.
        found: B256,
        /// The hash asked for.
        wanted: B256,
    },
    /// The file is sound but of a chain with another beginning.
    #[error("the snapshot's chain has genesis {found}, not {wanted}")]
    OtherGenesis {
        /// Hash of its block 0.
        found: B256,
        /// The hash asked for.
        wanted: B256,
    },
}

impl SnapshotError {
    /// The error for a person.
    pub fn problem(&self) -> Problem {
        let advice = match self {
            Self::File { .. } => "check the path, its permissions and the room on the disk",
            Self::State(error) => error.advice(),
            Self::NoChain { .. } => "name the folder of a chain that has run",
            Self::Exists { .. } => "name a fresh folder, or move the chain that is there away",
            Self::Invalid { .. } => "get the file again from its source, and compare its checksum",
            Self::OtherHead { .. } => {
                "get the snapshot of the block you trust, or correct the hash"
            }
            Self::OtherGenesis { .. } => {
                "get a snapshot of this chain, or use that chain's genesis"
            }
        };
        let causes = std::error::Error::source(self).map(chain_of_causes).unwrap_or_default();
        Problem::new(self.to_string(), causes, advice)
    }
}
