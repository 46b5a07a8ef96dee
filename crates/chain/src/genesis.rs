//! The first block: balances, contracts, and the rules that never change.

mod geth;

use std::collections::BTreeMap;

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, Sealable, constants::EMPTY_WITHDRAWALS,
};
use alloy_eips::{
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
    eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE},
    eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_evm::Evm;
use alloy_primitives::{Address, B64, B256, Bytes, TxKind, U256};
use revm::{
    DatabaseCommit,
    context::{TxEnv, result::ExecutionResult},
    primitives::hardfork::SpecId,
};

use crate::{
    block::{Block, ChainSpec},
    execution::{Executed, ExecutionError, environment_of, machine, machine_error},
    spec::{Forks, ScheduleError},
    state::{Commitment, Journal, Nothing, StateCommitment, StateError},
};

/// Gas one predeploy's init code may use: far above any real constructor.
const PREDEPLOY_GAS: u64 = 1 << 40;

/// Everything the first block is made of. The same genesis always gives the same block hash.
///
/// [`Genesis::default`] is a solo chain with every fork this program knows and the system contracts
/// that these forks call; [`Genesis::from_json`] reads geth's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Which rules are in force when.
    pub forks: Forks,
    /// Of the first block, seconds since 1970.
    pub timestamp: u64,
    /// Gas limit of the first block, and of every block a solo producer makes.
    pub gas_limit: u64,
    /// Base fee of the first block, in wei per gas; moves from there by EIP-1559. Without effect if
    /// London comes later.
    pub base_fee: u64,
    /// Native coin, in wei; added to what `accounts` give.
    pub balances: Vec<(Address, U256)>,
    /// Accounts that exist from the start.
    pub accounts: BTreeMap<Address, GenesisAccount>,
    /// Contracts that are set up by running their init code, in this order, after `accounts`.
    pub predeploys: Vec<Predeploy>,
    /// The other fields of the first block's header.
    pub header: GenesisHeader,
}

/// An account of the genesis state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// In wei.
    pub balance: U256,
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// What runs when it is called.
    pub code: Bytes,
    /// Slots that are not zero.
    pub storage: BTreeMap<U256, U256>,
}

/// Header fields of the first block that mean nothing for its execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisHeader {
    /// Proof of work nonce.
    pub nonce: u64,
    /// Proof of work difficulty; from it the next block's is computed.
    pub difficulty: U256,
    /// Proof of work mix, or the first block's randomness.
    pub mix_hash: B256,
    /// Who would receive fees.
    pub coinbase: Address,
    /// Anything, at most 32 bytes on chains without proof of authority.
    pub extra_data: Bytes,
    /// Hash of a block before the first; zero but in tests.
    pub parent_hash: B256,
    /// EIP-4844; without effect if Cancun comes later.
    pub excess_blob_gas: u64,
    /// EIP-4844; without effect if Cancun comes later.
    pub blob_gas_used: u64,
}

impl Default for Genesis {
    fn default() -> Self {
        Self {
            chain_id: 1337,
            forks: Forks::all(),
            timestamp: 0,
            gas_limit: 30_000_000,
            base_fee: crate::spec::INITIAL_BASE_FEE,
            balances: Vec::new(),
            accounts: system_contracts(),
            predeploys: Vec::new(),
            header: GenesisHeader::default(),
        }
    }
}

/// The contracts that every block calls from Cancun and Prague on.
fn system_contracts() -> BTreeMap<Address, GenesisAccount> {
    [
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
        (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone()),
    ]
    .into_iter()
    .map(|(address, code)| (address, GenesisAccount { nonce: 1, code, ..Default::default() }))
    .collect()
}

/// A contract of the genesis state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predeploy {
    /// Where it lives.
    pub address: Address,
    /// Creation code with constructor arguments, as a deployment transaction would carry it. It
    /// runs as the code of `address`, called by the system address 0xff..fe without value; the
    /// storage it writes stays and what it returns becomes the code. Later predeploys see it.
    pub init_code: Bytes,
}

/// Why a genesis is not possible.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// A predeploy's init code did not succeed.
    #[error("the init code of predeploy {address} failed: {reason}")]
    Predeploy {
        /// Its address.
        address: Address,
        /// How it ended.
        reason: String,
    },
    /// The schedule of forks makes no sense.
    #[error("the schedule of forks is not possible")]
    Schedule(#[from] ScheduleError),
    /// The file is not a genesis in geth's format.
    #[error("the genesis file cannot be read: {0}")]
    Malformed(String),
    /// It asks for what this program does not do.
    #[error("the genesis asks for {0}, which this node does not support")]
    NotSupported(String),
    /// The state could not be written or read.
    #[error("the genesis state could not be made")]
    Execution(#[from] ExecutionError),
}

impl From<StateError> for GenesisError {
    fn from(error: StateError) -> Self {
        Self::Execution(error.into())
    }
}

impl Genesis {
    /// The rules of the chain.
    pub fn spec(&self) -> ChainSpec {
        ChainSpec { chain_id: self.chain_id, forks: self.forks.clone() }
    }

    /// Executes the genesis: the block 0 with its whole state as a diff from nothing.
    pub fn execute(&self) -> Result<Executed, GenesisError> {
        self.forks.check()?;
        let mut journal = Journal::new(Nothing);
        for (address, account) in &self.accounts {
            journal.set_account(*address, |state| {
                state.balance = account.balance;
                state.nonce = account.nonce;
            })?;
            if !account.code.is_empty() {
                journal.set_code(*address, account.code.clone())?;
            }
            for (slot, value) in &account.storage {
                journal.set_storage(*address, *slot, *value)?;
            }
        }
        for (address, balance) in &self.balances {
            journal.set_account(*address, |account| {
                account.balance = account.balance.saturating_add(*balance);
            })?;
        }
        for predeploy in &self.predeploys {
            journal = self.deploy(journal, predeploy)?;
        }
        let mut diff = journal.into_diff()?;
        let (state_root, _) = Commitment::default().advance(&mut diff, &Nothing)?;
        let header = Header { state_root, ..self.empty_header() };
        let withdrawals = header.withdrawals_root.map(|_| Default::default());
        let block = Block { withdrawals, ..Block::new(header.seal_slow(), Vec::new()) };
        Ok(Executed { block, receipts: Vec::new(), diff })
    }

    fn deploy(
        &self,
        mut journal: Journal<Nothing>,
        predeploy: &Predeploy,
    ) -> Result<Journal<Nothing>, GenesisError> {
        let address = predeploy.address;
        let failed = |reason: String| GenesisError::Predeploy { address, reason };
        journal.set_code(address, predeploy.init_code.clone())?;
        // As after a real creation (EIP-161); contracts it creates get addresses from nonce 1 on.
        journal.set_account(address, |account| account.nonce = 1)?;
        let mut evm = machine(journal, self.environment());
        let call = TxEnv {
            caller: alloy_eips::eip4788::SYSTEM_ADDRESS,
            kind: TxKind::Call(address),
            gas_limit: PREDEPLOY_GAS,
            chain_id: Some(self.chain_id),
            ..TxEnv::default()
        };
        let outcome = evm.transact(call).map_err(machine_error)?;
        let code = match outcome.result {
            ExecutionResult::Success { output, .. } => output.into_data(),
            ExecutionResult::Revert { output, .. } => {
                return Err(failed(format!("reverted with {output}")));
            }
            ExecutionResult::Halt { reason, .. } => return Err(failed(reason.to_string())),
        };
        if code.first() == Some(&0xef) || code.len() > revm::primitives::eip170::MAX_CODE_SIZE {
            return Err(failed(format!("{} bytes of code are not allowed", code.len())));
        }
        let mut state = outcome.state;
        // The caller is nobody's account; its nonce must not become part of the state.
        state.remove(&alloy_eips::eip4788::SYSTEM_ADDRESS);
        evm.db_mut().commit(state);
        let (mut journal, _) = evm.finish();
        journal.set_code(address, code)?;
        Ok(journal)
    }

    fn environment(&self) -> alloy_evm::EvmEnv {
        let mut environment = environment_of(&self.spec(), &self.empty_header());
        environment.block_env.gas_limit = u64::MAX;
        environment.block_env.basefee = 0;
        environment.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        environment.cfg_env.disable_nonce_check = true;
        environment
    }

    fn empty_header(&self) -> Header {
        let spec = self.spec();
        let merged = spec.is_merged(0, self.timestamp);
        let fork = spec.fork_at(0, self.timestamp, merged);
        let since = |wanted: SpecId| fork.is_enabled_in(wanted);
        let fields = &self.header;
        Header {
            parent_hash: fields.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: fields.coinbase,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            difficulty: fields.difficulty,
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            extra_data: fields.extra_data.clone(),
            mix_hash: fields.mix_hash,
            nonce: B64::from(fields.nonce),
            base_fee_per_gas: spec.has_base_fee(0).then_some(self.base_fee),
            withdrawals_root: since(SpecId::SHANGHAI).then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: since(SpecId::CANCUN).then_some(fields.blob_gas_used),
            excess_blob_gas: since(SpecId::CANCUN).then_some(fields.excess_blob_gas),
            parent_beacon_block_root: since(SpecId::CANCUN).then_some(B256::ZERO),
            requests_hash: since(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }
}
