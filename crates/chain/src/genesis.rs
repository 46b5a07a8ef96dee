//! The first block: balances, contracts, and the rules that never change.

use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, Sealable, constants::EMPTY_WITHDRAWALS,
};
use alloy_eips::{
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_evm::Evm;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm::{
    DatabaseCommit,
    bytecode::Bytecode,
    context::{TxEnv, result::ExecutionResult},
};

use crate::{
    block::{Block, ChainSpec},
    execution::{
        BlockAttributes, Executed, ExecutionError, block_environment, machine, machine_error,
    },
    state::{
        AccountState, Commitment, Journal, StateCommitment, StateError, StateReader, TrieSource,
    },
};

/// Gas one predeploy's init code may use: far above any real constructor.
const PREDEPLOY_GAS: u64 = 1 << 40;

/// Everything the first block is made of. The same genesis always gives the same block hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Of the first block, seconds since 1970.
    pub timestamp: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Base fee of the first block, in wei per gas; moves from there by EIP-1559.
    pub base_fee: u64,
    /// Native coin, in wei.
    pub balances: Vec<(Address, U256)>,
    /// Contracts that exist from the start, in the order in which they are set up.
    pub predeploys: Vec<Predeploy>,
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
        ChainSpec { chain_id: self.chain_id }
    }

    /// Executes the genesis: the block 0 with its whole state as a diff from nothing.
    pub fn execute(&self) -> Result<Executed, GenesisError> {
        let mut journal = Journal::new(Nothing);
        journal.set_code(HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone())?;
        journal.set_account(HISTORY_STORAGE_ADDRESS, |account| account.nonce = 1)?;
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
        let block = Block { header: header.seal_slow(), transactions: Vec::new() };
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
        let attributes = BlockAttributes {
            timestamp: self.timestamp,
            beneficiary: Address::ZERO,
            prev_randao: B256::ZERO,
            gas_limit: u64::MAX,
            extra_data: Bytes::new(),
        };
        let mut environment = block_environment(&self.spec(), &self.empty_header(), &attributes);
        environment.block_env.number = U256::ZERO;
        environment.block_env.basefee = 0;
        environment.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        environment.cfg_env.disable_nonce_check = true;
        environment
    }

    fn empty_header(&self) -> Header {
        Header {
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            base_fee_per_gas: Some(self.base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }
}

/// The state before genesis.
#[derive(Debug)]
struct Nothing;

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
