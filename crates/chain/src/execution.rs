//! Executing blocks: a pure function of the parent, the attributes and the transactions.
//!
//! Nothing here reads a clock, a pool or a disk it was not given. A producer builds a block with
//! [`BlockBuilder`], choosing transactions as it goes; [`execute`] repeats a given block. Both run
//! the same code under the rules of the block's fork, from Frontier on, so a block that one node
//! builds every other node verifies.
//!
//! What is not checked of a given block is its proof of work: the seal (nonce and mix) is taken as
//! it is. Ommers need earlier blocks to be judged and are checked by [`check_ommers`].

mod builder;
mod difficulty;
mod environment;
mod header;
mod merge;
mod net_gas;
mod ommers;
pub(crate) mod rewards;
pub(crate) mod system;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use revm::context_interface::result::{EVMError, InvalidTransaction};

use crate::{
    block::{Block, ChainSpec, ExecutedReceipt, SealedHeader},
    state::{StateCommitment, StateDiff, StateError, StateReader, TrieSource},
};

pub use builder::BlockBuilder;
pub use difficulty::next_difficulty;
pub use environment::{block_environment, environment_of, machine};
pub(crate) use header::encoded_length;
pub use header::{InvalidBlock, check_body, check_header};
pub use merge::{check_merge, counts_difficulty};
pub(crate) use net_gas::meter_net_gas;
pub use ommers::{Ancestor, OMMER_DEPTH, check_ommers};

/// Bytes of a block's RLP from Osaka on (EIP-7934).
const BLOCK_BYTES_MAX: usize = 8 << 20;

/// What a producer decides about a block besides its transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Seconds since 1970; not before the parent's.
    pub timestamp: u64,
    /// Who receives the priority fees.
    pub beneficiary: Address,
    /// The block's `PREVRANDAO`; the mix of a proof of work block.
    pub prev_randao: B256,
    /// Gas the block may use.
    pub gas_limit: u64,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// EIP-4895; without effect before Shanghai.
    pub withdrawals: Withdrawals,
    /// EIP-4788; without effect before Cancun.
    pub parent_beacon_block_root: B256,
    /// `None` for a proof of stake block.
    pub proof_of_work: Option<ProofOfWork>,
}

/// What a proof of work block has besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProofOfWork {
    /// As the parent's difficulty and the timestamps demand.
    pub difficulty: U256,
    /// Part of the seal.
    pub nonce: B64,
    /// Headers of ommers.
    pub ommers: Vec<Header>,
}

impl BlockAttributes {
    /// The attributes a finished block without withdrawals and ommers was built with.
    pub fn of(header: &Header) -> Self {
        Self {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            prev_randao: header.mix_hash,
            gas_limit: header.gas_limit,
            extra_data: header.extra_data.clone(),
            withdrawals: Withdrawals::default(),
            parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
            proof_of_work: (!header.difficulty.is_zero()).then(|| ProofOfWork {
                difficulty: header.difficulty,
                nonce: header.nonce,
                ommers: Vec::new(),
            }),
        }
    }

    /// The attributes a finished block was built with.
    pub fn of_block(block: &Block) -> Self {
        let mut attributes = Self::of(&block.header);
        attributes.withdrawals = block.withdrawals.clone().unwrap_or_default();
        if let Some(work) = &mut attributes.proof_of_work {
            work.ommers = block.ommers.clone();
        }
        attributes
    }
}

/// A block with everything its execution produced. Nothing is stored yet.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The block, sealed.
    pub block: Block,
    /// One per transaction.
    pub receipts: Vec<ExecutedReceipt>,
    /// What it changed, with storage roots filled in.
    pub diff: StateDiff,
}

/// Why a block could not be executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The parent's state could not be read.
    #[error("the state could not be read")]
    State(#[from] StateError),
    /// The timestamp lies before the parent's.
    #[error("block timestamp {timestamp} lies before its parent's {parent}")]
    Timestamp {
        /// Of the block.
        timestamp: u64,
        /// Of the parent.
        parent: u64,
    },
    /// A header or body breaks a rule that needs no execution.
    #[error("block {number} is not valid")]
    Invalid {
        /// Block number.
        number: u64,
        /// The rule.
        #[source]
        reason: InvalidBlock,
    },
    /// A transaction of a given block is not valid there.
    #[error("transaction {index} of the block is not valid")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Why.
        #[source]
        reason: Rejected,
    },
    /// Execution gave something else than the header says.
    #[error("block {number} has {field} {claimed}, execution gives {computed}")]
    Mismatch {
        /// Block number.
        number: u64,
        /// Name of the header's field.
        field: &'static str,
        /// What the header says.
        claimed: String,
        /// What execution gives.
        computed: String,
    },
    /// A contract that the protocol calls at the end of a block is missing or failed.
    #[error("the system contract at {address} failed: {reason}")]
    SystemContract {
        /// Its address.
        address: Address,
        /// How it ended.
        reason: String,
    },
    /// The next block would need proof of work, which this program does not make.
    #[error("block {number} would be proof of work; this node makes blocks only from the merge on")]
    ProofOfWork {
        /// Block number.
        number: u64,
    },
    /// The EVM itself failed.
    #[error("the virtual machine failed: {0}")]
    Machine(String),
}

/// Why a transaction does not go into the block being built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It does not fit into the gas that is left.
    #[error("gas limit {gas_limit} exceeds the {left} left in the block")]
    NoRoom {
        /// The transaction's gas limit.
        gas_limit: u64,
        /// Gas left in the block.
        left: u64,
    },
    /// Its blobs do not fit into the block.
    #[error("{blob_gas} blob gas exceeds the {left} left in the block")]
    NoBlobRoom {
        /// The transaction's blob gas.
        blob_gas: u64,
        /// Blob gas left in the block.
        left: u64,
    },
    /// Its bytes do not fit into the block (EIP-7934).
    #[error("{size} bytes exceed the {left} left in the block")]
    NoByteRoom {
        /// Of the transaction.
        size: usize,
        /// Left in the block.
        left: usize,
    },
    /// It is not valid on this state.
    #[error("{0}")]
    Invalid(InvalidTransaction),
}

/// Executes a given block on its parent's state and checks that it keeps all rules, and that every
/// commitment in its header is what execution gives. `source` reads the state `commitment` stands
/// at, which is the parent's.
///
/// # Errors
/// Names the rule, the transaction or the header field that is wrong.
pub fn execute<R: StateReader, C: StateCommitment>(
    spec: &ChainSpec,
    parent: &SealedHeader,
    block: &Block,
    state: R,
    commitment: &mut C,
    source: &impl TrieSource,
) -> Result<(Executed, C::Advance), ExecutionError> {
    let number = block.header.number;
    let invalid = |reason| ExecutionError::Invalid { number, reason };
    check_header(spec, parent, &block.header).map_err(invalid)?;
    check_body(spec, block).map_err(invalid)?;
    let attributes = BlockAttributes::of_block(block);
    let mut builder = BlockBuilder::new(spec, parent, attributes, state)?;
    for (index, transaction) in block.transactions.iter().enumerate() {
        builder
            .add(transaction.clone())?
            .map_err(|reason| ExecutionError::Transaction { index, reason })?;
        builder.record_state_root(commitment, source)?;
    }
    let (executed, advance) = builder.seal(commitment, source)?;
    compare(&block.header, &executed.block.header)?;
    Ok((executed, advance))
}

/// Names the first field in which what execution gave differs from what the block says.
fn compare(claimed: &SealedHeader, computed: &SealedHeader) -> Result<(), ExecutionError> {
    let (a, b) = (claimed.inner(), computed.inner());
    let fields: [(&'static str, &dyn std::fmt::Debug, &dyn std::fmt::Debug, bool); 7] = [
        ("gasUsed", &a.gas_used, &b.gas_used, a.gas_used == b.gas_used),
        ("logsBloom", &a.logs_bloom, &b.logs_bloom, a.logs_bloom == b.logs_bloom),
        ("receiptsRoot", &a.receipts_root, &b.receipts_root, a.receipts_root == b.receipts_root),
        ("requestsHash", &a.requests_hash, &b.requests_hash, a.requests_hash == b.requests_hash),
        ("blobGasUsed", &a.blob_gas_used, &b.blob_gas_used, a.blob_gas_used == b.blob_gas_used),
        ("stateRoot", &a.state_root, &b.state_root, a.state_root == b.state_root),
        ("hash", &claimed.hash(), &computed.hash(), claimed.hash() == computed.hash()),
    ];
    match fields.into_iter().find(|(.., same)| !same) {
        None => Ok(()),
        Some((field, claimed, computed, _)) => Err(ExecutionError::Mismatch {
            number: a.number,
            field,
            claimed: format!("{claimed:?}"),
            computed: format!("{computed:?}"),
        }),
    }
}

pub(crate) fn machine_error(error: EVMError<StateError>) -> ExecutionError {
    match error {
        EVMError::Database(error) => ExecutionError::State(error),
        other => ExecutionError::Machine(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
