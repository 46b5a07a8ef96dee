//! A chain in memory with the tilth contracts on it, and a clock that the caller moves.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, Bytes, Log, U256, address};
use alloy_sol_types::SolCall;
use revm::{
    Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    context::{TxEnv, result::ExecutionResult, tx::TxEnvBuilder},
    database::{CacheDB, EmptyDB},
    primitives::TxKind,
    state::AccountInfo,
};
use tilth_contracts::{
    Addresses, Attributes, Consent, DeployParams, Ledger, Registry, deployment, plan,
};

/// When a farm's clock starts, Unix seconds.
pub const START: u64 = 1_800_000_000;

const DEPLOYER: Address = address!("0x00000000000000000000000000000000000d0000");
/// Whose name reads are made in.
const READER: Address = address!("0x00000000000000000000000000000000000ead00");
/// Account that gets the protocol fee.
pub const TREASURY: Address = address!("0x000000000000000000000000000000000007ea50");
/// What [`Farm::fund`] gives an account before it deposits, so that nothing ever lacks coins.
const COINS: u128 = 1 << 95;

/// Something on the farm's chain went wrong.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// A contract refused a call.
    #[error("{call} was refused: {data}")]
    Refused {
        /// Signature of the call.
        call: &'static str,
        /// What the contract said.
        data: Bytes,
    },
    /// The machine itself refused or gave up.
    #[error("{call} was not executed: {detail}")]
    Failed {
        /// Signature of the call.
        call: &'static str,
        /// Why.
        detail: String,
    },
    /// Contract and simulation do not agree about the price in force.
    #[error("the contract paid {contract} per unit where the clock says {clock}")]
    ClocksDiffer {
        /// Of the event.
        contract: u128,
        /// Of the simulation.
        clock: u128,
    },
    /// Worlds were asked for with an adversary that there is not.
    #[error("there is no adversary number {place}")]
    NoAdversary {
        /// Its place, from 0 on.
        place: usize,
    },
}

/// What became of a transaction.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Whether it was carried out; if not, it changed nothing.
    pub success: bool,
    /// What it returned, or the reason of its refusal.
    pub output: Bytes,
    /// What it wrote into the log.
    pub logs: Vec<Log>,
}

/// The chain.
#[derive(Clone, Debug)]
pub struct Farm {
    db: CacheDB<EmptyDB>,
    nonces: HashMap<Address, u64>,
    at: Addresses,
    /// Unix seconds of the block that the next call is in.
    pub now: u64,
    /// Its number. Hashes of earlier blocks are what [`Farm::set_hash`] was told.
    pub block: u64,
    /// Gas that all calls used so far.
    pub gas: u64,
}

impl Farm {
    /// Deploys the contracts as a tilth chain has them.
    ///
    /// # Errors
    /// [`FarmError::Failed`], which would be a fault of the artifacts.
    pub fn new() -> Result<Self, FarmError> {
        let at = Addresses::from_deployer(DEPLOYER, 0, None);
        let (db, nonces) = (CacheDB::default(), HashMap::new());
        let mut farm = Self { db, nonces, at, now: START, block: 0, gas: 0 };
        for step in plan(&at, &DeployParams::standard(TREASURY)) {
            let code = step.init_code.clone();
            let result = farm.execute(DEPLOYER, TxKind::Create, code, 0, step.name)?;
            if result.created_address() != Some(step.address) {
                let detail = "it is not where it was announced".to_owned();
                return Err(FarmError::Failed { call: step.name, detail });
            }
        }
        Ok(farm)
    }

    /// Where the contracts are.
    pub fn addresses(&self) -> &Addresses {
        &self.at
    }

    /// Says what the hash of a block is: the beacon of [`tilth_contracts::SoloRandomness`].
    pub fn set_hash(&mut self, block: u64, hash: B256) {
        self.db.cache.block_hashes.insert(U256::from(block), hash);
    }

    /// The hash of a block; `None` if nobody has said what it is, nor asked for it.
    pub fn hash(&self, block: u64) -> Option<B256> {
        self.db.cache.block_hashes.get(&U256::from(block)).copied()
    }

    /// One transaction with any data; a refusal is no error.
    ///
    /// # Errors
    /// [`FarmError::Failed`]: the machine gave up.
    pub fn transact(
        &mut self,
        from: Address,
        to: Address,
        data: Bytes,
        call: &'static str,
    ) -> Result<Receipt, FarmError> {
        let result = self.execute(from, TxKind::Call(to), data, 0, call)?;
        Ok(Receipt {
            success: result.is_success(),
            output: result.output().cloned().unwrap_or_default(),
            logs: result.logs().to_vec(),
        })
    }

    /// Asks a contract; nothing changes.
    ///
    /// # Errors
    /// As [`Farm::send`].
    pub fn read<C: SolCall>(&mut self, to: Address, call: &C) -> Result<C::Return, FarmError> {
        let (name, data) = (C::SIGNATURE, Bytes::from(call.abi_encode()));
        let failed = |detail: String| FarmError::Failed { call: name, detail };
        let tx = envelope(READER, TxKind::Call(to), data)
            .build()
            .map_err(|error| failed(format!("{error:?}")))?;
        let (now, number) = (self.now, self.block);
        let result = Context::mainnet()
            .modify_block_chained(|block| {
                (block.timestamp, block.number) = (U256::from(now), U256::from(number));
            })
            .with_db(&mut self.db)
            .build_mainnet()
            .transact(tx)
            .map_err(|error| failed(error.to_string()))?
            .result;
        let output = result.output().cloned().unwrap_or_default();
        if !result.is_success() {
            return Err(FarmError::Refused { call: name, data: output });
        }
        C::abi_decode_returns(&output).map_err(|error| failed(error.to_string()))
    }

    fn execute(
        &mut self,
        from: Address,
        kind: TxKind,
        data: Bytes,
        value: u128,
        call: &'static str,
    ) -> Result<ExecutionResult, FarmError> {
        let failed = |detail: String| FarmError::Failed { call, detail };
        let (now, number) = (self.now, self.block);
        let nonce = self.nonces.entry(from).or_default();
        let tx = envelope(from, kind, data)
            .nonce(*nonce)
            .value(U256::from(value))
            .build()
            .map_err(|error| failed(format!("{error:?}")))?;
        let mut evm = Context::mainnet()
            .modify_block_chained(|block| {
                (block.timestamp, block.number) = (U256::from(now), U256::from(number));
            })
            .with_db(&mut self.db)
            .build_mainnet();
        let result = evm.transact_commit(tx).map_err(|error| failed(error.to_string()))?;
        *nonce += 1;
        self.gas = self.gas.saturating_add(result.tx_gas_used());
        Ok(result)
    }

    /// One transaction: what it returned and the logs it wrote.
    ///
    /// # Errors
    /// [`FarmError::Refused`] when the contract reverts.
    pub fn send<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        call: &C,
    ) -> Result<(C::Return, Vec<Log>), FarmError> {
        self.send_with(from, to, call, 0)
    }

    fn send_with<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        call: &C,
        value: u128,
    ) -> Result<(C::Return, Vec<Log>), FarmError> {
        let name = C::SIGNATURE;
        let data = Bytes::from(call.abi_encode());
        let result = self.execute(from, TxKind::Call(to), data, value, name)?;
        let output = result.output().cloned().unwrap_or_default();
        if result.is_success() {
            let answer = C::abi_decode_returns(&output)
                .map_err(|error| FarmError::Failed { call: name, detail: error.to_string() })?;
            return Ok((answer, result.logs().to_vec()));
        }
        match result {
            ExecutionResult::Revert { .. } => Err(FarmError::Refused { call: name, data: output }),
            other => Err(FarmError::Failed { call: name, detail: format!("{other:?}") }),
        }
    }

    /// Gives an account free money in the Ledger.
    ///
    /// # Errors
    /// As [`Farm::send`].
    pub fn fund(&mut self, who: Address, amount: u128) -> Result<(), FarmError> {
        let nonce = self.nonces.get(&who).copied().unwrap_or(0);
        let info = AccountInfo { nonce, ..AccountInfo::from_balance(U256::from(COINS)) };
        self.db.insert_account_info(who, info);
        let call = Ledger::depositNativeCall { account_: who };
        self.send_with(who, self.at.ledger, &call, amount).map(drop)
    }

    /// Free and locked money of an account.
    ///
    /// # Errors
    /// As [`Farm::send`].
    pub fn money(&mut self, who: Address) -> Result<u128, FarmError> {
        let call = Ledger::accountCall { owner: who };
        let account = self.send(who, self.at.ledger, &call)?.0;
        Ok(account.free.saturating_add(account.locked))
    }

    /// Registers a provider whose node key is its owner's.
    ///
    /// # Errors
    /// As [`Farm::send`].
    pub fn register(&mut self, owner: Address, slots: u16, stake: u128) -> Result<(), FarmError> {
        self.fund(owner, stake)?;
        let call = Registry::registerCall {
            node: owner,
            slots,
            attributes: Attributes {
                classBits: 0,
                memoryMib: 1_024,
                vramMib: 0,
                region: Default::default(),
            },
            endpointId: owner.into_word(),
            endpoint: Bytes::from_static(b"x"),
            stake,
            // Only asked of a node that is not its owner.
            consent: Consent { deadline: U256::ZERO, signature: Bytes::new() },
        };
        self.send(owner, self.at.registry, &call).map(drop)
    }
}

fn envelope(from: Address, kind: TxKind, data: Bytes) -> TxEnvBuilder {
    TxEnv::builder()
        .caller(from)
        .kind(kind)
        .data(data)
        .gas_limit(deployment::STEP_GAS_LIMIT)
        .gas_price(0)
}
