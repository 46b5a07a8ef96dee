//! Executing messages without a transaction: `eth_call` and `eth_estimateGas`.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{
    TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use revm::{
    context::{
        TxEnv,
        either::Either,
        result::{ExecutionResult, HaltReason, OutOfGasError},
    },
    context_interface::result::{EVMError, InvalidTransaction},
    primitives::eip7825::TX_GAS_LIMIT_CAP,
};

use super::{Arguments, Rpc, convert::StateView, error::RpcError};
use crate::{
    block::SealedHeader,
    execution::{BlockAttributes, block_environment, machine, machine_error},
    node::Head,
    state::{Journal, StateReader},
};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// An estimate may be this many thousandths above the true need (geth's 1.5 %).
const ESTIMATE_SLACK: u64 = 15;

/// The machine's input: what to run on, in which block, and the message.
struct Message<'a> {
    state: StateView<'a>,
    environment: EvmEnv,
    transaction: TxEnv,
    overrides: StateOverride,
}

type Machine<'a> = alloy_evm::EthEvm<
    Journal<StateView<'a>>,
    revm::inspector::NoOpInspector,
    alloy_evm::precompiles::PrecompilesMap,
>;

pub(super) fn call(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let request: TransactionRequest = args.required()?;
    let block: Option<BlockId> = args.optional()?;
    let overrides: StateOverride = args.optional()?.unwrap_or_default();
    let head = rpc.head();
    let message = prepare(rpc, &head, &request, block, overrides)?;
    let (mut machine, transaction) = message.load()?;
    match run(&mut machine, transaction)? {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(RpcError::server(halted(&reason))),
    }
}

pub(super) fn estimate_gas(rpc: &Rpc, mut args: Arguments<'_>) -> Result<U256, RpcError> {
    let request: TransactionRequest = args.required()?;
    let block: Option<BlockId> = args.optional()?;
    let overrides: StateOverride = args.optional()?.unwrap_or_default();
    let head = rpc.head();
    let message = prepare(rpc, &head, &request, block, overrides)?;
    let price = message.transaction.gas_price;
    let limit = request.gas.unwrap_or(message.environment.block_env.gas_limit);
    let limit = limit.min(TX_GAS_LIMIT_CAP).min(rpc.node.limits.call_gas_max);
    let (mut machine, transaction) = message.load()?;
    let limit = affordable(&mut machine, &transaction, price, limit)?;
    search(&mut machine, transaction, limit).map(U256::from)
}

/// Lowers the limit to what the sender can pay.
fn affordable(
    machine: &mut Machine<'_>,
    transaction: &TxEnv,
    price: u128,
    limit: u64,
) -> Result<u64, RpcError> {
    if price == 0 {
        return Ok(limit);
    }
    let caller = transaction.caller;
    let balance = machine.db_mut().account(caller)?.unwrap_or_default().balance;
    let Some(available) = balance.checked_sub(transaction.value) else {
        return Err(RpcError::server("insufficient funds for transfer"));
    };
    let gas = available / U256::from(price);
    Ok(limit.min(gas.saturating_to()))
}

/// The smallest gas limit with which the message succeeds, within the slack.
fn search(machine: &mut Machine<'_>, mut transaction: TxEnv, limit: u64) -> Result<u64, RpcError> {
    let to_plain_account = match transaction.kind {
        TxKind::Call(to) if transaction.data.is_empty() => {
            let account = machine.db_mut().account(to)?.unwrap_or_default();
            account.code_hash == alloy_trie::KECCAK_EMPTY
        }
        TxKind::Call(_) | TxKind::Create => false,
    };
    if to_plain_account && limit >= TRANSFER_GAS && succeeds(machine, &transaction, TRANSFER_GAS)? {
        return Ok(TRANSFER_GAS);
    }
    transaction.gas_limit = limit;
    let first = match run(machine, transaction.clone()) {
        Ok(result) => result,
        Err(error) if error.is_out_of_gas() => return Err(exceeds_allowance(limit)),
        Err(error) => return Err(error),
    };
    let gas = match &first {
        ExecutionResult::Success { gas, .. } => *gas,
        ExecutionResult::Revert { output, .. } => return Err(RpcError::reverted(output)),
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
            return Err(exceeds_allowance(limit));
        }
        ExecutionResult::Halt { reason, .. } => return Err(RpcError::server(halted(reason))),
    };
    // What it used is a lower bound; a call keeps 1/64 back and refunds come after the end.
    let mut low = gas.tx_gas_used().saturating_sub(1);
    let mut high = limit;
    let spent = gas.total_gas_spent().max(gas.floor_gas());
    let likely = spent.saturating_add(2_300).saturating_mul(64) / 63;
    if likely < high {
        if succeeds(machine, &transaction, likely)? {
            high = likely;
        } else {
            low = low.max(likely);
        }
    }
    while low + 1 < high && (high - low).saturating_mul(1000) > high.saturating_mul(ESTIMATE_SLACK)
    {
        // Most messages need little more than they used: lean to the low side.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(low + 1));
        if succeeds(machine, &transaction, middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

fn succeeds(machine: &mut Machine<'_>, message: &TxEnv, gas: u64) -> Result<bool, RpcError> {
    let transaction = TxEnv { gas_limit: gas, ..message.clone() };
    match run(machine, transaction) {
        Ok(result) => Ok(result.is_success()),
        Err(error) if error.is_out_of_gas() => Ok(false),
        Err(error) => Err(error),
    }
}

fn exceeds_allowance(limit: u64) -> RpcError {
    RpcError::server(format!("gas required exceeds allowance ({limit})"))
}

fn run(machine: &mut Machine<'_>, transaction: TxEnv) -> Result<ExecutionResult, RpcError> {
    let (caller, gas) = (transaction.caller, transaction.gas_limit);
    match machine.transact(transaction) {
        Ok(outcome) => Ok(outcome.result),
        Err(EVMError::Transaction(reason)) => Err(refused(&reason, caller, gas)),
        Err(error) => Err(machine_error(error).into()),
    }
}

/// A message that the machine does not even start, in geth's words.
fn refused(reason: &InvalidTransaction, caller: Address, gas: u64) -> RpcError {
    let text = match reason {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => format!(
            "insufficient funds for gas * price + value: address {caller} have {balance} want {fee}"
        ),
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => {
            format!("max fee per gas less than block base fee: address {caller}")
        }
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => {
            "max priority fee per gas higher than max fee per gas".to_owned()
        }
        other => other.to_string(),
    };
    RpcError::server(format!("err: {text} (supplied gas {gas})"))
}

/// How an execution ended that used up its gas, in geth's words.
fn halted(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::Basic | OutOfGasError::Precompile) => {
            "out of gas".to_owned()
        }
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => {
            "invalid opcode: opcode not defined".to_owned()
        }
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::StackOverflow => "stack limit reached 1024 (1023)".to_owned(),
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateContractStartingWithEF => {
            "invalid code: must not begin with 0xef".to_owned()
        }
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        other => other.to_string(),
    }
}

impl RpcError {
    fn is_out_of_gas(&self) -> bool {
        let text = self.message();
        text.contains("intrinsic gas too low") || text.contains("floor data gas cost")
    }
}

fn prepare<'a>(
    rpc: &Rpc,
    head: &'a Head,
    request: &TransactionRequest,
    block: Option<BlockId>,
    overrides: StateOverride,
) -> Result<Message<'a>, RpcError> {
    let (header, state) = head.state_of(block)?;
    let mut environment = match block {
        Some(BlockId::Number(BlockNumberOrTag::Pending)) => {
            block_environment(&rpc.node.spec, &header, &rpc.node.next_attributes(&header))
        }
        Some(_) | None => environment_of(rpc, &header),
    };
    let cfg = &mut environment.cfg_env;
    cfg.disable_block_gas_limit = true;
    cfg.disable_eip3607 = true;
    cfg.disable_nonce_check = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    let transaction = message(rpc, request)?;
    if transaction.gas_price == 0 {
        // As in geth, a message that offers no price sees a block without a base fee.
        environment.block_env.basefee = 0;
    }
    Ok(Message { state, environment, transaction, overrides })
}

/// The environment a finished block was executed in.
fn environment_of(rpc: &Rpc, header: &SealedHeader) -> EvmEnv {
    let mut environment =
        block_environment(&rpc.node.spec, header, &BlockAttributes::of(header.inner()));
    environment.block_env.number = U256::from(header.number);
    environment.block_env.basefee = header.base_fee_per_gas.unwrap_or_default();
    environment
}

/// The request as the machine takes it.
fn message(rpc: &Rpc, request: &TransactionRequest) -> Result<TxEnv, RpcError> {
    let (input, data) = (&request.input.input, &request.input.data);
    if let (Some(input), Some(data)) = (input, data)
        && input != data
    {
        return Err(RpcError::server(
            "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass \
             transaction call data",
        ));
    }
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && dynamic {
        return Err(RpcError::server(
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
        ));
    }
    if request.blob_versioned_hashes.is_some() || request.max_fee_per_blob_gas.is_some() {
        return Err(RpcError::server("transaction type not supported"));
    }
    let want = rpc.node.spec.chain_id;
    if let Some(have) = request.chain_id
        && have != want
    {
        return Err(RpcError::server(format!(
            "chainId does not match node's (have={have}, want={want})"
        )));
    }
    let authorizations = request.authorization_list.clone().unwrap_or_default();
    let tx_type = match () {
        () if !authorizations.is_empty() => 4,
        () if dynamic => 2,
        () if request.access_list.is_some() => 1,
        () => 0,
    };
    let gas_max = rpc.node.limits.call_gas_max;
    Ok(TxEnv {
        tx_type,
        caller: request.from.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(gas_max).min(gas_max),
        gas_price: request.max_fee_per_gas.or(request.gas_price).unwrap_or_default(),
        gas_priority_fee: (tx_type == 2 || tx_type == 4)
            .then(|| request.max_priority_fee_per_gas.unwrap_or_default()),
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: input.clone().or_else(|| data.clone()).unwrap_or_default(),
        nonce: request.nonce.unwrap_or_default(),
        chain_id: Some(want),
        access_list: request.access_list.clone().unwrap_or_default(),
        authorization_list: authorizations.into_iter().map(Either::Left).collect(),
        ..TxEnv::default()
    })
}

impl<'a> Message<'a> {
    fn load(self) -> Result<(Machine<'a>, TxEnv), RpcError> {
        let mut journal = Journal::new(self.state);
        for (address, account) in self.overrides {
            apply_override(&mut journal, address, account)?;
        }
        Ok((machine(journal, self.environment), self.transaction))
    }
}

fn apply_override<R: StateReader>(
    journal: &mut Journal<R>,
    address: Address,
    account: AccountOverride,
) -> Result<(), RpcError> {
    if account.move_precompile_to.is_some() {
        return Err(RpcError::invalid("movePrecompileToAddress is not supported"));
    }
    if account.state.is_some() && account.state_diff.is_some() {
        return Err(RpcError::server(format!(
            "account {address} has both 'state' and 'stateDiff'"
        )));
    }
    journal.set_account(address, |state| {
        state.balance = account.balance.unwrap_or(state.balance);
        state.nonce = account.nonce.unwrap_or(state.nonce);
    })?;
    if let Some(code) = account.code {
        journal.set_code(address, code)?;
    }
    if account.state.is_some() {
        journal.clear_storage(address)?;
    }
    for (slot, value) in account.state.or(account.state_diff).unwrap_or_default() {
        journal.set_storage(address, slot.into(), value.into())?;
    }
    Ok(())
}
