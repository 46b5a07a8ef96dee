//! Preparing and running one message on the state of one block: `eth_call`, and what
//! `eth_estimateGas`, `eth_createAccessList` and `debug_traceCall` begin with.

use std::rc::Rc;

use alloy_eips::BlockId;
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::Bytes;
use alloy_rpc_types_eth::{TransactionRequest, state::StateOverride};
use revm::{
    context::{TxEnv, result::ExecutionResult},
    context_interface::result::EVMError,
    inspector::Inspector,
};

use super::{Arguments, Rpc, convert::StateView, error::RpcError};
use crate::{
    block::SealedHeader,
    execution::{environment_of, machine_error},
    message::{
        BlockOverrides, Checks, LastStep, Machine, Message, Precompiles, Prices, Refusal, Watch,
        Watched, halted, machine, needs_last_step, override_state, refusal,
    },
    node::Head,
    state::{AccountState, Journal},
};

/// The state a message runs on: the overrides above, the block's state below, a watch on all.
pub(super) type CallState<'a> = Journal<Watched<StateView<'a>>>;

/// The context that inspectors of a message see.
pub(super) type CallContext<'a> = alloy_evm::eth::EthEvmContext<CallState<'a>>;

/// A block's state and environment with all overrides applied, before any message.
///
/// What every execution on behalf of a request starts from; it runs under the node's time limit
/// and in turns with the others. [`Prepared::run`] takes a message and an inspector.
pub(super) struct Prepared<'a> {
    /// The block whose state is read.
    pub(super) header: SealedHeader,
    /// The block the messages see; without overrides, `header`'s own.
    pub(super) environment: EvmEnv,
    pub(super) precompiles: Precompiles,
    pub(super) state: CallState<'a>,
}

/// Prepares the state of `block` with the overrides that `eth_call` takes.
pub(super) fn prepare<'a>(
    rpc: &Rpc,
    head: &'a Head,
    block: Option<BlockId>,
    overrides: Option<&StateOverride>,
    block_overrides: Option<&BlockOverrides>,
) -> Result<Prepared<'a>, RpcError> {
    let (header, reader) = rpc.view(head, block)?;
    let environment = environment_of(&rpc.node.spec, &header);
    let hashes_below = u64::try_from(environment.block_env.number).unwrap_or(u64::MAX);
    let watch = Rc::new(Watch::start(&rpc.turns, rpc.node.limits.call_time_max));
    let state = Journal::new(Watched { reader, watch, hashes_below });
    overridden(rpc, header, environment, state, overrides, block_overrides)
}

/// Applies overrides to a state and the environment of the block it belongs to.
pub(super) fn overridden<'a>(
    rpc: &Rpc,
    header: SealedHeader,
    mut environment: EvmEnv,
    mut state: CallState<'a>,
    overrides: Option<&StateOverride>,
    block_overrides: Option<&BlockOverrides>,
) -> Result<Prepared<'a>, RpcError> {
    if let Some(overrides) = block_overrides {
        overrides.apply(&rpc.node.spec, &mut environment)?;
    }
    let mut precompiles = Precompiles::of(environment.cfg_env.spec);
    if let Some(overrides) = overrides {
        override_state(&mut state, &mut precompiles, overrides)?;
    }
    Ok(Prepared { header, environment, precompiles, state })
}

/// A message on its machine. It can run again and again: nothing it changes stays.
pub(super) struct Session<'a, I> {
    machine: Machine<StateView<'a>, I>,
    pub(super) message: Message,
    pub(super) sender: AccountState,
    prices: Prices,
}

/// Why an execution has no result.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It did not start.
    Refused(Refusal),
    /// The state could not be read, or the time was over.
    Failed(RpcError),
}

impl<'a> Prepared<'a> {
    /// Puts a message on a machine. An inspector looks on from the start if `inspect` says so.
    pub(super) fn run<I: Inspector<CallContext<'a>>>(
        self,
        message: Message,
        inspector: I,
        inspect: bool,
    ) -> Result<Session<'a, I>, RpcError> {
        let Placed { state, environment, precompiles, message, sender, prices } =
            self.place(message)?;
        let precompiles = precompiles.called();
        let machine = machine(state, environment, precompiles, inspector, inspect);
        Ok(Session { machine, message, sender, prices })
    }

    /// Adapts the environment to a message.
    pub(super) fn place(mut self, message: Message) -> Result<Placed<'a>, RpcError> {
        let block = &mut self.environment.block_env;
        if message.price(block.basefee) == 0 {
            // As in geth, a message that offers no price sees a block without a base fee.
            block.basefee = 0;
        }
        let mut prices = Prices { base_fee: block.basefee, blob: 0 };
        if let Some(blob) = &mut block.blob_excess_gas_and_price {
            if message.blob_fee_cap == Some(0) {
                blob.blob_gasprice = 0;
            }
            prices.blob = blob.blob_gasprice;
        }
        let cfg = &mut self.environment.cfg_env;
        cfg.disable_block_gas_limit = true;
        cfg.disable_eip3607 = true;
        cfg.disable_nonce_check = true;
        cfg.disable_base_fee = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        cfg.max_blobs_per_tx = None;
        let sender = self.state.account(message.from)?.unwrap_or_default();
        let Self { state, environment, precompiles, .. } = self;
        Ok(Placed { state, environment, precompiles, message, sender, prices })
    }
}

/// A message with all its machine needs.
pub(super) struct Placed<'a> {
    pub(super) state: CallState<'a>,
    pub(super) environment: EvmEnv,
    pub(super) precompiles: Precompiles,
    pub(super) message: Message,
    pub(super) sender: AccountState,
    pub(super) prices: Prices,
}

impl<'a, I: Inspector<CallContext<'a>>> Session<'a, I> {
    /// The message as the machine takes it.
    pub(super) fn transaction(&self) -> TxEnv {
        let cfg = self.machine.cfg_env();
        self.message.environment(cfg.chain_id, cfg.spec)
    }

    /// Executes the message.
    pub(super) fn execute(&mut self) -> Result<ExecutionResult, Stopped> {
        let transaction = self.transaction();
        let cfg = self.machine.cfg_env();
        let refused =
            refusal(&self.message, &self.sender, &transaction, cfg, self.prices, Checks::CALL);
        if let Some(refusal) = refused {
            return Err(Stopped::Refused(refusal));
        }
        match self.machine.transact(transaction) {
            Ok(outcome) => Ok(outcome.result),
            Err(EVMError::Transaction(reason)) => {
                Err(Stopped::Refused(Refusal::Machine(reason.to_string())))
            }
            Err(error) => Err(Stopped::Failed(machine_error(error).into())),
        }
    }

    /// Executes the message with another gas limit.
    pub(super) fn execute_with(&mut self, gas: u64) -> Result<ExecutionResult, Stopped> {
        let given = std::mem::replace(&mut self.message.gas, gas);
        let result = self.execute();
        self.message.gas = given;
        result
    }

    /// The state, with overrides and without what the message did.
    pub(super) fn state(&mut self) -> &mut CallState<'a> {
        self.machine.db_mut()
    }

    pub(super) fn machine(&mut self) -> &mut Machine<StateView<'a>, I> {
        &mut self.machine
    }
}

impl Session<'_, LastStep> {
    /// geth's error for an execution without success. Repeats it if its last step must be known.
    pub(super) fn complaint(&mut self, result: &ExecutionResult) -> Option<RpcError> {
        match result {
            ExecutionResult::Success { .. } => None,
            ExecutionResult::Revert { output, .. } => Some(RpcError::reverted(output)),
            ExecutionResult::Halt { reason, .. } => {
                if needs_last_step(reason) {
                    *self.machine.components_mut().1 = LastStep::default();
                    self.machine.set_inspector_enabled(true);
                    let repeated = self.execute();
                    self.machine.set_inspector_enabled(false);
                    if let Err(Stopped::Failed(error)) = repeated {
                        return Some(error);
                    }
                }
                let last = *self.machine.components().1;
                Some(RpcError::server(halted(reason, last)))
            }
        }
    }
}

pub(super) fn call(rpc: &Rpc, mut args: Arguments<'_>) -> Result<Bytes, RpcError> {
    let request: TransactionRequest = args.take()?;
    let block: Option<BlockId> = args.take_optional()?;
    let overrides: Option<StateOverride> = args.take_optional()?;
    let block_overrides: Option<BlockOverrides> = args.take_optional()?;
    let head = rpc.head();
    let prepared = prepare(rpc, &head, block, overrides.as_ref(), block_overrides.as_ref())?;
    let message = Message::new(&request, rpc.node.spec.chain_id, rpc.node.limits.call_gas_max)
        .map_err(RpcError::server)?;
    let gas = message.gas;
    let mut session = prepared.run(message, LastStep::default(), false)?;
    match session.execute() {
        Ok(ExecutionResult::Success { output, .. }) => Ok(output.into_data()),
        Ok(result) => Err(session
            .complaint(&result)
            .unwrap_or_else(|| RpcError::internal("the execution ended without a result"))),
        Err(Stopped::Refused(refusal)) => {
            Err(RpcError::server(format!("err: {refusal} (supplied gas {gas})")))
        }
        Err(Stopped::Failed(error)) => Err(error),
    }
}
