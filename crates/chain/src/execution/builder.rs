//! Building a block transaction by transaction, and sealing it.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, Sealable, Transaction as _, proofs};
use alloy_eips::{eip2718::Encodable2718, eip4844::DATA_GAS_PER_BLOB};
use alloy_evm::{EthEvm, Evm, precompiles::PrecompilesMap};
use alloy_primitives::{B64, B256, Bloom, U256};
use revm::{
    DatabaseCommit,
    context::result::ExecutionResult,
    context_interface::result::{EVMError, InvalidTransaction},
    inspector::NoOpInspector,
    primitives::hardfork::SpecId,
};

use super::{
    BLOCK_BYTES_MAX, BlockAttributes, Executed, ExecutionError, Rejected, block_environment,
    machine, machine_error, rewards, system,
};
use crate::{
    block::{Block, ChainSpec, ExecutedReceipt, SealedHeader, Transaction},
    state::{Journal, StateCommitment, StateReader, TrieSource},
};

/// Bytes a block may have besides its transactions: header, withdrawals and list prefixes.
const BESIDES_TRANSACTIONS: usize = 2048;

/// A block being built.
pub struct BlockBuilder<'a, R: StateReader> {
    spec: &'a ChainSpec,
    parent: &'a SealedHeader,
    attributes: BlockAttributes,
    fork: SpecId,
    base_fee: u64,
    /// Excess blob gas of the block and blob gas it may use, from Cancun on.
    blobs: Option<(u64, u64)>,
    evm: EthEvm<Journal<R>, NoOpInspector, PrecompilesMap>,
    transactions: Vec<Transaction>,
    receipts: Vec<ExecutedReceipt>,
    gas_used: u64,
    blob_gas_used: u64,
    /// Bytes of transactions that still fit.
    bytes_left: usize,
}

impl<'a, R: StateReader> BlockBuilder<'a, R> {
    /// Starts the child of `parent`, whose state `state` reads.
    pub fn new(
        spec: &'a ChainSpec,
        parent: &'a SealedHeader,
        attributes: BlockAttributes,
        state: R,
    ) -> Result<Self, ExecutionError> {
        let (timestamp, before) = (attributes.timestamp, parent.timestamp);
        if timestamp < before || (timestamp == before && spec.forks.later_than_parent) {
            return Err(ExecutionError::Timestamp { timestamp, parent: before });
        }
        let number = parent.number.saturating_add(1);
        let fork = spec.fork_at(number, timestamp, attributes.proof_of_work.is_none());
        if attributes.proof_of_work.is_none() && !fork.is_enabled_in(SpecId::MERGE) {
            return Err(ExecutionError::ProofOfWork { number });
        }
        let environment = block_environment(spec, parent, &attributes);
        let base_fee = environment.block_env.basefee;
        let blob_gas = environment.block_env.blob_excess_gas_and_price;
        let blobs = blob_gas
            .zip(spec.blob_params(timestamp))
            .map(|(gas, params)| (gas.excess_blob_gas, params.max_blob_gas_per_block()));
        let mut journal = Journal::new(state);
        if spec.forks.dao_support && spec.forks.dao == Some(number) {
            rewards::move_dao_balances(&mut journal)?;
        }
        let mut evm = machine(journal, environment);
        if fork.is_enabled_in(SpecId::CANCUN) {
            system::record_beacon_root(&mut evm, attributes.parent_beacon_block_root)?;
        }
        if fork.is_enabled_in(SpecId::PRAGUE) {
            system::record_parent_hash(&mut evm, parent.hash())?;
        }
        let withdrawals = 64 * attributes.withdrawals.len();
        let bytes_left = if fork.is_enabled_in(SpecId::OSAKA) {
            BLOCK_BYTES_MAX.saturating_sub(BESIDES_TRANSACTIONS + withdrawals)
        } else {
            usize::MAX
        };
        Ok(Self {
            spec,
            parent,
            attributes,
            fork,
            base_fee,
            blobs,
            evm,
            transactions: Vec::new(),
            receipts: Vec::new(),
            gas_used: 0,
            blob_gas_used: 0,
            bytes_left,
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

    /// The rules of the block.
    pub fn fork(&self) -> SpecId {
        self.fork
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
        let (blob_gas, size) = match self.room_for(&transaction) {
            Ok(room) => room,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let outcome = match self.evm.transact(&transaction) {
            Ok(outcome) => outcome,
            Err(EVMError::Transaction(reason)) => return Ok(Err(Rejected::Invalid(reason))),
            Err(error) => return Err(machine_error(error)),
        };
        self.evm.db_mut().commit(outcome.state);
        let gas_used = outcome.result.tx_gas_used();
        self.gas_used += gas_used;
        self.blob_gas_used += blob_gas;
        self.bytes_left -= size;
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

    /// Checks what depends on the block and not on the state; returns blob gas and size.
    fn room_for(&self, transaction: &Transaction) -> Result<(u64, usize), Rejected> {
        let (gas_limit, left) = (transaction.gas_limit(), self.gas_left());
        if gas_limit > left {
            return Err(Rejected::NoRoom { gas_limit, left });
        }
        let number = self.parent.number.saturating_add(1);
        if transaction.inner().is_legacy()
            && transaction.chain_id().is_some()
            && !self.spec.has_replay_protection(number)
        {
            return Err(Rejected::Invalid(InvalidTransaction::InvalidChainId));
        }
        let blobs = transaction.blob_versioned_hashes().unwrap_or_default().len();
        let blob_gas = u64::try_from(blobs).unwrap_or(u64::MAX).saturating_mul(DATA_GAS_PER_BLOB);
        let left = self.blobs.map_or(0, |(_, max)| max.saturating_sub(self.blob_gas_used));
        if blob_gas > left {
            return Err(Rejected::NoBlobRoom { blob_gas, left });
        }
        let (size, left) = (transaction.inner().network_len(), self.bytes_left);
        if size > left {
            return Err(Rejected::NoByteRoom { size, left });
        }
        Ok((blob_gas, size))
    }

    /// What the transactions so far left behind, one each.
    pub fn receipts(&self) -> &[ExecutedReceipt] {
        &self.receipts
    }

    /// Number of transactions so far.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether no transaction has been added.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// The state root as it stands: after what comes before the transactions and those added so far.
    /// `source` reads the state `commitment` stands at.
    pub fn state_root<C: StateCommitment>(
        &mut self,
        commitment: &mut C,
        source: &impl TrieSource,
    ) -> Result<B256, ExecutionError> {
        let mut diff = self.evm.db_mut().diff()?;
        let (root, _) = commitment.advance(&mut diff, source)?;
        Ok(root)
    }

    /// Before Byzantium, puts the state root after the last transaction into its receipt; without
    /// effect from then on. `source` reads the state `commitment` stands at.
    pub fn record_state_root<C: StateCommitment>(
        &mut self,
        commitment: &mut C,
        source: &impl TrieSource,
    ) -> Result<(), ExecutionError> {
        if self.fork.is_enabled_in(SpecId::BYZANTIUM) {
            return Ok(());
        }
        let root = self.state_root(commitment, source)?;
        if let Some(receipt) = self.receipts.last_mut() {
            receipt.state_root = Some(root);
        }
        Ok(())
    }

    /// Computes the roots and seals the block. `source` reads the state `commitment` stands at.
    pub fn seal<C: StateCommitment>(
        mut self,
        commitment: &mut C,
        source: &impl TrieSource,
    ) -> Result<(Executed, C::Advance), ExecutionError> {
        let number = self.parent.number.saturating_add(1);
        let since = |fork: SpecId| self.fork.is_enabled_in(fork);
        let requests_hash = if since(SpecId::PRAGUE) {
            let contract = self.spec.forks.deposit_contract;
            Some(system::requests_hash(&mut self.evm, contract, &self.receipts)?)
        } else {
            None
        };
        let attributes = self.attributes;
        let withdrawals = since(SpecId::SHANGHAI).then_some(attributes.withdrawals);
        for withdrawal in withdrawals.iter().flat_map(|all| all.iter()) {
            self.evm.db_mut().add_balance(withdrawal.address, withdrawal.amount_wei())?;
        }
        let work = attributes.proof_of_work;
        if let Some(work) = &work {
            let beneficiary = attributes.beneficiary;
            let journal = self.evm.db_mut();
            rewards::pay_work(journal, self.spec, number, beneficiary, &work.ommers)?;
        }
        let (journal, _) = self.evm.finish();
        let mut diff = journal.into_diff()?;
        let (transactions, receipts) = (self.transactions, self.receipts);
        let (advanced, body) = beside(
            transactions.len() >= ROOTS_BESIDE_MIN,
            || commitment.advance(&mut diff, source),
            || BodyRoots::of(&transactions, &receipts),
        );
        let (state_root, advance) = advanced?;
        let (difficulty, nonce, ommers) = work
            .map_or((U256::ZERO, B64::ZERO, Vec::new()), |work| {
                (work.difficulty, work.nonce, work.ommers)
            });
        let header = Header {
            parent_hash: self.parent.hash(),
            ommers_hash: match ommers.as_slice() {
                [] => EMPTY_OMMER_ROOT_HASH,
                some => proofs::calculate_ommers_root(some),
            },
            beneficiary: attributes.beneficiary,
            state_root,
            transactions_root: body.transactions,
            receipts_root: body.receipts,
            logs_bloom: body.logs_bloom,
            difficulty,
            number,
            gas_limit: attributes.gas_limit,
            gas_used: self.gas_used,
            timestamp: attributes.timestamp,
            extra_data: attributes.extra_data,
            mix_hash: attributes.prev_randao,
            nonce,
            base_fee_per_gas: since(SpecId::LONDON).then_some(self.base_fee),
            withdrawals_root: withdrawals
                .as_ref()
                .map(|withdrawals| proofs::calculate_withdrawals_root(withdrawals)),
            blob_gas_used: since(SpecId::CANCUN).then_some(self.blob_gas_used),
            excess_blob_gas: self.blobs.map(|(excess, _)| excess),
            parent_beacon_block_root: since(SpecId::CANCUN)
                .then_some(attributes.parent_beacon_block_root),
            requests_hash,
            ..Header::default()
        };
        let block = Block { header: header.seal_slow(), transactions, ommers, withdrawals };
        Ok((Executed { block, receipts, diff }, advance))
    }
}

/// Transactions from which on their roots are worth a second thread: some 200 us of hashing.
const ROOTS_BESIDE_MIN: usize = 48;

/// What a header says of a block's transactions and receipts.
struct BodyRoots {
    transactions: B256,
    receipts: B256,
    logs_bloom: Bloom,
}

impl BodyRoots {
    fn of(transactions: &[Transaction], receipts: &[ExecutedReceipt]) -> Self {
        let envelopes: Vec<_> = receipts.iter().map(ExecutedReceipt::envelope).collect();
        let mut logs_bloom = Bloom::ZERO;
        for receipt in &envelopes {
            logs_bloom.accrue_bloom(receipt.logs_bloom());
        }
        let receipts = proofs::calculate_receipt_root(&envelopes);
        Self { transactions: transactions_root(transactions), receipts, logs_bloom }
    }
}

/// The results of both, the second of another thread if that is worth it and there is a processor.
fn beside<A, B: Send>(
    worth_it: bool,
    here: impl FnOnce() -> A,
    there: impl FnOnce() -> B + Send,
) -> (A, B) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if !worth_it || processors < 2 {
        return (here(), there());
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(there);
        let here = here();
        (here, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Root of the trie of a block's transactions.
pub(super) fn transactions_root(transactions: &[Transaction]) -> B256 {
    proofs::ordered_trie_root_with_encoder(transactions, |tx, out| tx.inner().encode_2718(out))
}
