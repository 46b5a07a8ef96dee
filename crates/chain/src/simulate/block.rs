//! Executing one simulated block and sealing it.

use std::rc::Rc;

use alloy_consensus::{Header, Sealable, proofs};
use alloy_eips::eip4895::Withdrawals;
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{B256, Bloom, Bytes, Log};
use alloy_rlp::BufMut;
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    DatabaseCommit,
    context::result::ExecutionResult,
    context_interface::{Block as _, result::EVMError},
    primitives::{eip4844::GAS_PER_BLOB, hardfork::SpecId},
};

use super::{Mode, SimulateError, base::Base, plan::Planned, transfers::Transfers};
use crate::{
    block::{ChainSpec, ExecutedReceipt, SealedHeader},
    execution::{environment_of, machine_error, rewards, system},
    message::{
        Checks, Machine, Message, Precompiles, Prices, Refusal, Unsigned, Watch, Watched, halted,
        machine, override_state, refusal,
    },
    state::{Commitment, Journal, Layer, StateCommitment, StateDiff},
    store::Snapshot,
};

/// A finished block.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) header: SealedHeader,
    pub(super) withdrawals: Option<Withdrawals>,
    pub(super) calls: Vec<Call>,
}

/// A call that was executed.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) message: Message,
    pub(super) transaction: Unsigned,
    pub(super) outcome: Outcome,
    /// With their numbers in the block.
    pub(super) logs: Vec<(u64, Log)>,
    pub(super) gas_used: u64,
    /// Before refunds.
    pub(super) gas_most: u64,
}

/// How a call ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Returned(Bytes),
    Reverted(Bytes),
    /// In words.
    Halted(String),
}

type Simulated<'b, 'a> = Machine<&'b Layer<&'a Snapshot>, Transfers>;

/// A block while its calls are executed.
struct Running<'b, 'a> {
    machine: Simulated<'b, 'a>,
    header: Header,
    fork: SpecId,
    chain_id: u64,
    prices: Prices,
    mode: Mode,
    receipts: Vec<ExecutedReceipt>,
    blob_gas: u64,
}

/// Executes `planned` on top of `base`, which then is the block that was made.
pub(super) fn execute(
    spec: &ChainSpec,
    base: &mut Base<'_>,
    planned: Planned<'_>,
    mode: Mode,
    watch: &Rc<Watch>,
    gas_left: &mut u64,
) -> Result<Made, SimulateError> {
    let Base { header: parent, state, commitment, stored } = base;
    let header = open(spec, parent, &planned, mode);
    let fork = spec.fork_of(&header);
    let environment = environment(spec, &header, planned.blob_base_fee);
    let mut journal = Journal::new(Watched {
        reader: &*state,
        watch: Rc::clone(watch),
        hashes_below: header.number,
    });
    let mut precompiles = Precompiles::of(fork);
    if let Some(overrides) = planned.overrides {
        override_state(&mut journal, &mut precompiles, overrides)?;
    }
    let prices = Prices {
        base_fee: environment.block_env.basefee,
        blob: environment.block_env.blob_gasprice().unwrap_or_default(),
    };
    let inspector = Transfers::new(mode.trace_transfers);
    let mut machine = machine(journal, environment, precompiles.called(), inspector, true);
    if let Some(root) = header.parent_beacon_block_root {
        system::record_beacon_root(&mut machine, root)?;
    }
    if fork.is_enabled_in(SpecId::PRAGUE) {
        system::record_parent_hash(&mut machine, parent.hash())?;
    }
    let mut running = Running {
        machine,
        header,
        fork,
        chain_id: spec.chain_id,
        prices,
        mode,
        receipts: Vec::with_capacity(planned.calls.len()),
        blob_gas: 0,
    };
    let mut calls = Vec::with_capacity(planned.calls.len());
    for request in planned.calls {
        watch.look()?;
        calls.push(running.call(request, gas_left)?);
        running.record_state_root(commitment, stored)?;
    }
    let withdrawals = fork.is_enabled_in(SpecId::SHANGHAI).then_some(planned.withdrawals);
    let (header, mut diff) = running.seal(spec, withdrawals.as_ref())?;
    let (state_root, advance) = commitment.advance(&mut diff, *stored)?;
    let header = with_roots(header, state_root, &calls).seal_slow();
    commitment.adopt(advance);
    state.absorb(&header, &diff);
    *parent = header.clone();
    Ok(Made { header, withdrawals, calls })
}

/// Fills in what depends on the parent.
fn open(spec: &ChainSpec, parent: &SealedHeader, planned: &Planned<'_>, mode: Mode) -> Header {
    let mut header = planned.header.clone();
    header.parent_hash = parent.hash();
    header.base_fee_per_gas = planned.base_fee;
    if header.base_fee_per_gas.is_none() && spec.has_base_fee(header.number) {
        // Without validation calls may offer no price, which a base fee would contradict.
        let next = if mode.validation { spec.next_base_fee(parent) } else { 0 };
        header.base_fee_per_gas = Some(next);
    }
    if spec.fork_of(&header).is_enabled_in(SpecId::CANCUN) {
        header.excess_blob_gas = spec.next_excess_blob_gas(parent, header.timestamp);
    }
    header
}

fn environment(spec: &ChainSpec, header: &Header, blob_base_fee: Option<u128>) -> EvmEnv {
    let mut environment = environment_of(spec, header);
    if let (Some(fee), Some(blob)) =
        (blob_base_fee, &mut environment.block_env.blob_excess_gas_and_price)
    {
        blob.blob_gasprice = fee;
    }
    let cfg = &mut environment.cfg_env;
    cfg.disable_block_gas_limit = true;
    cfg.disable_eip3607 = true;
    cfg.disable_nonce_check = true;
    cfg.disable_base_fee = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    cfg.max_blobs_per_tx = None;
    environment
}

impl Running<'_, '_> {
    fn call(
        &mut self,
        request: &TransactionRequest,
        gas_left: &mut u64,
    ) -> Result<Call, SimulateError> {
        let (message, is_capped) = self.message(request, *gas_left)?;
        let checks = Checks { nonce: self.mode.validation, base_fee: self.mode.validation };
        let sender = self.machine.db_mut().account(message.from)?.unwrap_or_default();
        let transaction = message.environment(self.chain_id, self.fork);
        let cfg = self.machine.cfg_env();
        if let Some(refusal) = refusal(&message, &sender, &transaction, cfg, self.prices, checks) {
            return Err(SimulateError::refused(&refusal, message.gas));
        }
        let outcome = match self.machine.transact(transaction) {
            Ok(outcome) => outcome,
            Err(EVMError::Transaction(reason)) => {
                let refusal = Refusal::Machine(reason.to_string());
                return Err(SimulateError::refused(&refusal, message.gas));
            }
            Err(error) => return Err(machine_error(error).into()),
        };
        self.machine.db_mut().commit(outcome.state);
        if sender.nonce == u64::MAX && message.to.is_some() {
            // Where nonces are not checked they wrap, as in geth; the machine leaves this one.
            self.machine.db_mut().set_account(message.from, |account| account.nonce = 0)?;
        }
        let gas = *outcome.result.gas();
        let gas_used = gas.tx_gas_used();
        let Some(left) = gas_left.checked_sub(gas_used) else {
            return Err(SimulateError::plain(format!(
                "RPC gas cap exhausted: need {gas_used}, remaining {gas_left}"
            )));
        };
        *gas_left = left;
        let inspector = self.machine.components_mut().1;
        let last = inspector.last;
        let logs = inspector.take();
        let transaction = Unsigned::new(&message, self.chain_id);
        let success = outcome.result.is_success();
        let (outcome, emitted) = match outcome.result {
            ExecutionResult::Success { output, logs, .. } => {
                (Outcome::Returned(output.into_data()), logs)
            }
            ExecutionResult::Revert { output, .. } => (Outcome::Reverted(output), Vec::new()),
            ExecutionResult::Halt { reason, .. } => {
                let mut words = halted(&reason, last);
                if is_capped {
                    words.push_str(" (gas limit was capped by the RPC server's global gas cap)");
                }
                (Outcome::Halted(words), Vec::new())
            }
        };
        let previous = self.receipts.last();
        let kind = transaction.kind;
        let receipt = ExecutedReceipt::after(previous, kind, success, gas_used, emitted);
        self.header.gas_used = receipt.cumulative_gas_used;
        self.receipts.push(receipt);
        let blobs = message.blob_hashes.as_ref().map_or(0, Vec::len);
        self.blob_gas += u64::try_from(blobs).unwrap_or(u64::MAX).saturating_mul(GAS_PER_BLOB);
        let gas_most = gas.total_gas_spent().max(gas.floor_gas());
        Ok(Call { message, transaction, outcome, logs, gas_used, gas_most })
    }

    /// The call with its defaults: the account's nonce, and all the gas that the block and the
    /// request have left. The flag says that the request's limit lowered its gas.
    fn message(
        &mut self,
        request: &TransactionRequest,
        gas_left: u64,
    ) -> Result<(Message, bool), SimulateError> {
        let remaining = self.header.gas_limit.saturating_sub(self.header.gas_used);
        let required = request.gas.unwrap_or(remaining);
        if remaining < required {
            return Err(SimulateError::new(
                -38015,
                format!("block gas limit reached: remaining: {remaining}, required: {required}"),
            ));
        }
        let mut message = Message::new(request, self.chain_id, 0).map_err(SimulateError::plain)?;
        message.gas = required.min(gas_left);
        if request.nonce.is_none() {
            let sender = self.machine.db_mut().account(message.from)?;
            message.nonce = sender.unwrap_or_default().nonce;
        }
        Ok((message, required > gas_left))
    }

    /// Before Byzantium receipts carry the state root.
    fn record_state_root(
        &mut self,
        commitment: &mut Commitment,
        stored: &Snapshot,
    ) -> Result<(), SimulateError> {
        if self.fork.is_enabled_in(SpecId::BYZANTIUM) {
            return Ok(());
        }
        let mut diff = self.machine.db_mut().diff()?;
        let (root, _) = commitment.advance(&mut diff, stored)?;
        if let Some(receipt) = self.receipts.last_mut() {
            receipt.state_root = Some(root);
        }
        Ok(())
    }

    /// What comes after the calls; returns the header without state and transactions roots.
    fn seal(
        mut self,
        spec: &ChainSpec,
        withdrawals: Option<&Withdrawals>,
    ) -> Result<(Header, StateDiff), SimulateError> {
        let mut header = self.header;
        if self.fork.is_enabled_in(SpecId::CANCUN) {
            header.blob_gas_used = Some(self.blob_gas);
        }
        if self.fork.is_enabled_in(SpecId::PRAGUE) {
            let contract = spec.forks.deposit_contract;
            let hash = system::requests_hash(&mut self.machine, contract, &self.receipts)?;
            header.requests_hash = Some(hash);
        }
        let (mut journal, _) = self.machine.finish();
        for withdrawal in withdrawals.iter().flat_map(|all| all.iter()) {
            journal.add_balance(withdrawal.address, withdrawal.amount_wei())?;
        }
        if !header.difficulty.is_zero() {
            rewards::pay_work(&mut journal, spec, header.number, header.beneficiary, &[])?;
        }
        let envelopes: Vec<_> = self.receipts.iter().map(ExecutedReceipt::envelope).collect();
        header.logs_bloom = envelopes.iter().fold(Bloom::ZERO, |mut bloom, receipt| {
            bloom.accrue_bloom(receipt.logs_bloom());
            bloom
        });
        header.receipts_root = proofs::calculate_receipt_root(&envelopes);
        header.withdrawals_root =
            withdrawals.map(|withdrawals| proofs::calculate_withdrawals_root(withdrawals));
        Ok((header, journal.into_diff()?))
    }
}

fn with_roots(mut header: Header, state_root: B256, calls: &[Call]) -> Header {
    header.state_root = state_root;
    header.transactions_root = proofs::ordered_trie_root_with_encoder(calls, |call, out| {
        out.put_slice(&call.transaction.encoded);
    });
    header
}
