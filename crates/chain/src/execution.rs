//! Executing blocks: a pure function of the parent, the attributes and the transactions.
//!
//! Nothing here reads a clock, a pool or a disk it was not given. A producer builds a block with
//! [`BlockBuilder`], choosing transactions as it goes; [`execute`] repeats a given block. Both run
//! the same code, so a block that one node builds every other node verifies.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header, Sealable, Transaction as _, constants::EMPTY_WITHDRAWALS, proofs,
};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::SYSTEM_ADDRESS, eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_evm::{EthEvm, Evm, EvmEnv, eth::EthEvmBuilder, precompiles::PrecompilesMap};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use revm::{
    DatabaseCommit,
    context::{BlockEnv, CfgEnv, result::ExecutionResult},
    context_interface::{
        block::BlobExcessGasAndPrice,
        result::{EVMError, InvalidTransaction},
    },
    inspector::NoOpInspector,
};

use crate::{
    block::{Block, ChainSpec, ExecutedReceipt, SealedHeader, Transaction},
    state::{Journal, StateCommitment, StateDiff, StateError, StateReader, TrieSource},
};

/// What a producer decides about a block besides its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Seconds since 1970; not before the parent's.
    pub timestamp: u64,
    /// Who receives the priority fees.
    pub beneficiary: Address,
    /// The block's `PREVRANDAO`.
    pub prev_randao: B256,
    /// Gas the block may use.
    pub gas_limit: u64,
    /// At most 32 bytes.
    pub extra_data: Bytes,
}

impl BlockAttributes {
    /// The attributes a finished block was built with.
    pub fn of(header: &Header) -> Self {
        Self {
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            prev_randao: header.mix_hash,
            gas_limit: header.gas_limit,
            extra_data: header.extra_data.clone(),
        }
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
    /// A transaction of a given block is not valid there.
    #[error("transaction {index} of the block is not valid")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Why.
        #[source]
        reason: Rejected,
    },
    /// Execution gave another header than the block carries.
    #[error("execution of block {number} gives {computed}, the block is {claimed}")]
    Mismatch {
        /// Block number.
        number: u64,
        /// Hash the block came with.
        claimed: B256,
        /// Hash after executing it.
        computed: B256,
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
    /// It is not valid on this state.
    #[error("{0}")]
    Invalid(InvalidTransaction),
}

/// The environment of a block's transactions.
pub fn block_environment(
    spec: &ChainSpec,
    parent: &Header,
    attributes: &BlockAttributes,
) -> EvmEnv {
    let number = parent.number + 1;
    let fork = spec.fork(number, attributes.timestamp);
    EvmEnv {
        cfg_env: CfgEnv::new_with_spec(fork).with_chain_id(spec.chain_id),
        block_env: BlockEnv {
            number: U256::from(number),
            beneficiary: attributes.beneficiary,
            timestamp: U256::from(attributes.timestamp),
            gas_limit: attributes.gas_limit,
            basefee: spec.next_base_fee(parent),
            difficulty: U256::ZERO,
            prevrandao: Some(attributes.prev_randao),
            // No blobs on this chain; their price is the protocol's minimum.
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: 0,
                blob_gasprice: 1,
            }),
            ..BlockEnv::default()
        },
    }
}

/// The machine all execution runs on; the chain's own precompiles are added here.
pub fn machine<R: StateReader>(
    journal: Journal<R>,
    environment: EvmEnv,
) -> EthEvm<Journal<R>, NoOpInspector, PrecompilesMap> {
    EthEvmBuilder::new(journal, environment).build()
}

/// A block being built.
pub struct BlockBuilder<'a, R: StateReader> {
    parent: &'a SealedHeader,
    attributes: BlockAttributes,
    base_fee: u64,
    evm: EthEvm<Journal<R>, NoOpInspector, PrecompilesMap>,
    transactions: Vec<Transaction>,
    receipts: Vec<ExecutedReceipt>,
    gas_used: u64,
}

impl<'a, R: StateReader> BlockBuilder<'a, R> {
    /// Starts the child of `parent`, whose state `state` reads.
    pub fn new(
        spec: &ChainSpec,
        parent: &'a SealedHeader,
        attributes: BlockAttributes,
        state: R,
    ) -> Result<Self, ExecutionError> {
        if attributes.timestamp < parent.timestamp {
            return Err(ExecutionError::Timestamp {
                timestamp: attributes.timestamp,
                parent: parent.timestamp,
            });
        }
        let environment = block_environment(spec, parent, &attributes);
        let base_fee = environment.block_env.basefee;
        let mut evm = machine(Journal::new(state), environment);
        // EIP-2935: the parent's hash goes into the history contract.
        let recorded = evm
            .transact_system_call(
                SYSTEM_ADDRESS,
                HISTORY_STORAGE_ADDRESS,
                Bytes::copy_from_slice(parent.hash().as_slice()),
            )
            .map_err(machine_error)?;
        evm.db_mut().commit(recorded.state);
        Ok(Self {
            parent,
            attributes,
            base_fee,
            evm,
            transactions: Vec::new(),
            receipts: Vec::new(),
            gas_used: 0,
        })
    }

    /// The machine as it stands: after what comes before the transactions and those added so far.
    pub(crate) fn into_machine(self) -> EthEvm<Journal<R>, NoOpInspector, PrecompilesMap> {
        self.evm
    }

    /// Base fee of the block, in wei per gas.
    pub fn base_fee(&self) -> u64 {
        self.base_fee
    }

    /// Gas not yet used.
    pub fn gas_left(&self) -> u64 {
        self.attributes.gas_limit.saturating_sub(self.gas_used)
    }

    /// Executes a transaction and adds it, or says why it cannot be added and leaves no trace.
    pub fn add(
        &mut self,
        transaction: Transaction,
    ) -> Result<Result<(), Rejected>, ExecutionError> {
        let (gas_limit, left) = (transaction.gas_limit(), self.gas_left());
        if gas_limit > left {
            return Ok(Err(Rejected::NoRoom { gas_limit, left }));
        }
        let outcome = match self.evm.transact(&transaction) {
            Ok(outcome) => outcome,
            Err(EVMError::Transaction(reason)) => return Ok(Err(Rejected::Invalid(reason))),
            Err(error) => return Err(machine_error(error)),
        };
        self.evm.db_mut().commit(outcome.state);
        let gas_used = outcome.result.tx_gas_used();
        self.gas_used += gas_used;
        let success = outcome.result.is_success();
        let logs = match outcome.result {
            ExecutionResult::Success { logs, .. } => logs,
            ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => Vec::new(),
        };
        let kind = transaction.inner().tx_type();
        let receipt = ExecutedReceipt::after(self.receipts.last(), kind, success, gas_used, logs);
        self.receipts.push(receipt);
        self.transactions.push(transaction);
        Ok(Ok(()))
    }

    /// Number of transactions so far.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether no transaction has been added.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Computes the roots and seals the block. `source` reads the state `commitment` stands at.
    pub fn seal<C: StateCommitment>(
        self,
        commitment: &mut C,
        source: &impl TrieSource,
    ) -> Result<(Executed, C::Advance), ExecutionError> {
        let (journal, _) = self.evm.finish();
        let mut diff = journal.into_diff()?;
        let (state_root, advance) = commitment.advance(&mut diff, source)?;
        let envelopes: Vec<_> = self.receipts.iter().map(ExecutedReceipt::envelope).collect();
        let logs_bloom = envelopes.iter().fold(Bloom::ZERO, |mut bloom, receipt| {
            bloom.accrue_bloom(receipt.logs_bloom());
            bloom
        });
        let header = Header {
            parent_hash: self.parent.hash(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: self.attributes.beneficiary,
            state_root,
            transactions_root: proofs::ordered_trie_root_with_encoder(
                &self.transactions,
                |tx, out| alloy_eips::eip2718::Encodable2718::encode_2718(tx.inner(), out),
            ),
            receipts_root: proofs::calculate_receipt_root(&envelopes),
            logs_bloom,
            difficulty: U256::ZERO,
            number: self.parent.number + 1,
            gas_limit: self.attributes.gas_limit,
            gas_used: self.gas_used,
            timestamp: self.attributes.timestamp,
            extra_data: self.attributes.extra_data,
            mix_hash: self.attributes.prev_randao,
            nonce: B64::ZERO,
            base_fee_per_gas: Some(self.base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let block = Block { header: header.seal_slow(), transactions: self.transactions };
        Ok((Executed { block, receipts: self.receipts, diff }, advance))
    }
}

/// Executes a given block on its parent's state and checks that every commitment in its header is
/// what execution gives.
pub fn execute<R: StateReader, C: StateCommitment>(
    spec: &ChainSpec,
    parent: &SealedHeader,
    block: &Block,
    state: R,
    commitment: &mut C,
    source: &impl TrieSource,
) -> Result<(Executed, C::Advance), ExecutionError> {
    let attributes = BlockAttributes::of(&block.header);
    let mut builder = BlockBuilder::new(spec, parent, attributes, state)?;
    for (index, transaction) in block.transactions.iter().enumerate() {
        builder
            .add(transaction.clone())?
            .map_err(|reason| ExecutionError::Transaction { index, reason })?;
    }
    let (executed, advance) = builder.seal(commitment, source)?;
    let (claimed, computed) = (block.header.hash(), executed.block.header.hash());
    if claimed != computed {
        return Err(ExecutionError::Mismatch { number: block.header.number, claimed, computed });
    }
    Ok((executed, advance))
}

pub(crate) fn machine_error(error: EVMError<StateError>) -> ExecutionError {
    match error {
        EVMError::Database(error) => ExecutionError::State(error),
        other => ExecutionError::Machine(other.to_string()),
    }
}
