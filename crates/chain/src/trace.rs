//! Tracing executions in geth's formats.
//!
//! A [`Tracer`] is told what happens in geth's terms (a frame is entered or left, an instruction
//! is about to run and has run, a log is written) and makes its JSON of it. [`Tap`] sits in the
//! machine and translates. Where the machine's view differs from geth's (what a failing
//! instruction would have cost, how its error reads), [`fault`] says what geth says.
//!
//! A trace runs on the machine for requests, under its [`Watch`](crate::message::Watch), and ends
//! when its record grows too large.

mod call;
mod fault;
mod flat;
mod four_byte;
mod options;
mod prestate;
mod replay;
mod struct_log;
mod tap;
mod world;

use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use revm::{
    context::{
        TxEnv,
        result::{ExecutionResult, HaltReason, ResultAndState},
    },
    context_interface::result::EVMError,
};
use serde_json::Value;

pub(crate) use self::{
    options::{NAMES as OPTION_NAMES, TraceOptions},
    replay::Replay,
    world::World,
};
use self::{tap::Tap, world::After};
use crate::{
    message::{CalledPrecompiles, Watched, machine},
    state::{Journal, StateError, StateReader},
};

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// The deadline passed.
    #[error("execution timeout")]
    Timeout,
    /// The record has grown above the limit.
    #[error("trace exceeds the limit of {0} bytes")]
    TooLarge(usize),
    /// The transaction is not valid where it is to run.
    #[error("tracing failed: {0}")]
    Invalid(String),
    /// The machine itself failed.
    #[error("tracing failed: {0}")]
    Machine(String),
    /// The tracer is unknown, or its options are not valid.
    #[error("{0}")]
    Options(String),
    /// The state could not be read.
    #[error(transparent)]
    State(StateError),
}

impl From<StateError> for TraceError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Interrupted { .. } => Self::Timeout,
            other => Self::State(other),
        }
    }
}

impl From<EVMError<StateError>> for TraceError {
    fn from(error: EVMError<StateError>) -> Self {
        match error {
            EVMError::Database(error) => error.into(),
            EVMError::Transaction(reason) => Self::Invalid(reason.to_string()),
            EVMError::Header(reason) => Self::Invalid(reason.to_string()),
            other => Self::Machine(other.to_string()),
        }
    }
}

/// The transaction that is traced, as far as tracers report it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) block_hash: Option<B256>,
    pub(crate) block_number: Option<u64>,
    pub(crate) hash: Option<B256>,
    pub(crate) index: usize,
    /// Logs of the block before this transaction.
    pub(crate) logs_before: u64,
}

/// How a frame was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Call,
    CallCode,
    DelegateCall,
    StaticCall,
    Create,
    Create2,
    SelfDestruct,
}

impl FrameKind {
    fn name(self) -> &'static str {
        match self {
            Self::Call => "CALL",
            Self::CallCode => "CALLCODE",
            Self::DelegateCall => "DELEGATECALL",
            Self::StaticCall => "STATICCALL",
            Self::Create => "CREATE",
            Self::Create2 => "CREATE2",
            Self::SelfDestruct => "SELFDESTRUCT",
        }
    }

    fn is_create(self) -> bool {
        matches!(self, Self::Create | Self::Create2)
    }
}

/// A frame that begins.
#[derive(Clone, Debug)]
pub(crate) struct Enter {
    /// Zero for the transaction itself.
    depth: usize,
    kind: FrameKind,
    from: Address,
    to: Address,
    input: Bytes,
    gas: u64,
    /// `None` for a static call.
    value: Option<U256>,
    /// Whether `to` is a precompile.
    precompile: bool,
}

/// A frame that ends.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    depth: usize,
    output: Bytes,
    gas_used: u64,
    /// In geth's words.
    error: Option<String>,
    /// Whether the frame's changes were taken back.
    reverted: bool,
}

/// The words for a frame that executed `REVERT`.
const REVERTED: &str = "execution reverted";

/// An instruction that is about to run.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pc: usize,
    op: u8,
    gas: u64,
    /// One for the transaction's own code.
    depth: usize,
    /// The refund counter of the whole transaction.
    refund: u64,
    /// Whose storage and balance the code works on.
    address: Address,
    stack: &'a [U256],
    memory: &'a [u8],
    return_data: &'a [u8],
}

impl Step<'_> {
    /// The stack's item `depth` below the top.
    fn back(&self, depth: usize) -> Option<U256> {
        back(self.stack, depth)
    }
}

fn back(stack: &[U256], depth: usize) -> Option<U256> {
    stack.get(stack.len().checked_sub(depth + 1)?).copied()
}

/// The transaction before it runs.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    transaction: &'a TxEnv,
    beneficiary: Address,
}

/// The transaction after it ran.
#[derive(Debug)]
pub(crate) struct End {
    gas_used: u64,
}

/// One format of traces. Hooks come in the order of execution.
pub(crate) trait Tracer {
    /// Whether [`Tracer::step`] and [`Tracer::stepped`] are wanted.
    fn wants_steps(&self) -> bool {
        false
    }
    /// Before anything else, on the state before the transaction.
    fn start(&mut self, start: &Start<'_>, world: &mut dyn World) -> Result<(), StateError> {
        let _ = (start, world);
        Ok(())
    }
    fn enter(&mut self, frame: Enter) {
        let _ = frame;
    }
    fn exit(&mut self, frame: Exit) {
        let _ = frame;
    }
    /// Before each instruction.
    fn step(&mut self, step: &Step<'_>, world: &mut dyn World) -> Result<(), StateError> {
        let _ = (step, world);
        Ok(())
    }
    /// After the same instruction and before a frame it opens. `error` is set if it could not
    /// start: out of gas, or not the right number of items on the stack.
    fn stepped(&mut self, cost: u64, error: Option<&str>) {
        let _ = (cost, error);
    }
    /// `index` is the log's position in its block.
    fn log(&mut self, log: &Log, index: u64) {
        let _ = (log, index);
    }
    /// On the state after the transaction.
    fn end(&mut self, end: &End, world: &mut dyn World) -> Result<(), StateError> {
        let _ = (end, world);
        Ok(())
    }
    /// Bytes held, roughly.
    fn size(&self) -> usize;
    /// The trace as JSON.
    fn finish(self: Box<Self>) -> String;
}

/// A trace without content.
struct Noop;

impl Tracer for Noop {
    fn size(&self) -> usize {
        0
    }
    fn finish(self: Box<Self>) -> String {
        "{}".to_owned()
    }
}

/// Several tracers at once, in the order of their names.
struct Mux(Vec<(String, Box<dyn Tracer>)>);

impl Tracer for Mux {
    fn wants_steps(&self) -> bool {
        self.0.iter().any(|(_, tracer)| tracer.wants_steps())
    }
    fn start(&mut self, start: &Start<'_>, world: &mut dyn World) -> Result<(), StateError> {
        self.0.iter_mut().try_for_each(|(_, tracer)| tracer.start(start, world))
    }
    fn enter(&mut self, frame: Enter) {
        self.0.iter_mut().for_each(|(_, tracer)| tracer.enter(frame.clone()));
    }
    fn exit(&mut self, frame: Exit) {
        self.0.iter_mut().for_each(|(_, tracer)| tracer.exit(frame.clone()));
    }
    fn step(&mut self, step: &Step<'_>, world: &mut dyn World) -> Result<(), StateError> {
        self.0.iter_mut().try_for_each(|(_, tracer)| tracer.step(step, world))
    }
    fn stepped(&mut self, cost: u64, error: Option<&str>) {
        self.0.iter_mut().for_each(|(_, tracer)| tracer.stepped(cost, error));
    }
    fn log(&mut self, log: &Log, index: u64) {
        self.0.iter_mut().for_each(|(_, tracer)| tracer.log(log, index));
    }
    fn end(&mut self, end: &End, world: &mut dyn World) -> Result<(), StateError> {
        self.0.iter_mut().try_for_each(|(_, tracer)| tracer.end(end, world))
    }
    fn size(&self) -> usize {
        self.0.iter().map(|(_, tracer)| tracer.size()).sum()
    }
    fn finish(self: Box<Self>) -> String {
        let mut json = String::from("{");
        for (name, tracer) in self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&Value::from(name).to_string());
            json.push(':');
            json.push_str(&tracer.finish());
        }
        json.push('}');
        json
    }
}

/// Where a transaction is traced: all its machine needs.
pub(crate) struct Place<R: StateReader> {
    pub(crate) journal: Journal<Watched<R>>,
    pub(crate) environment: EvmEnv,
    pub(crate) precompiles: CalledPrecompiles,
}

/// A finished trace.
pub(crate) struct Traced<R: StateReader> {
    /// What the tracer wrote.
    pub(crate) json: String,
    /// What the transaction gave; its changes are not yet in the journal.
    pub(crate) outcome: ResultAndState<HaltReason>,
    /// Where it ran.
    pub(crate) place: Place<R>,
}

/// Runs a transaction with a tracer watching whose record may hold `bytes_max`. Leaves the journal
/// as it was.
pub(crate) fn run<R: StateReader>(
    mut place: Place<R>,
    transaction: TxEnv,
    subject: &Subject,
    mut tracer: Box<dyn Tracer>,
    bytes_max: usize,
) -> Result<Traced<R>, TraceError> {
    let beneficiary = place.environment.block_env.beneficiary;
    let fork = place.environment.cfg_env.spec;
    let start = Start { transaction: &transaction, beneficiary };
    tracer.start(&start, &mut place.journal)?;
    let tap = Tap::new(&mut *tracer, subject.logs_before, bytes_max, fork);
    let mut machine = machine(place.journal, place.environment, place.precompiles, tap, true);
    let outcome = machine.transact_raw(transaction);
    let inner = machine.into_inner();
    inner.inspector.finish()?;
    let mut place = Place {
        journal: inner.ctx.journaled_state.database,
        environment: EvmEnv { cfg_env: inner.ctx.cfg, block_env: inner.ctx.block },
        precompiles: inner.precompiles,
    };
    let outcome = outcome?;
    let end = End { gas_used: outcome.result.tx_gas_used() };
    tracer.end(&end, &mut After { state: &outcome.state, below: &mut place.journal })?;
    if tracer.size() > bytes_max {
        return Err(TraceError::TooLarge(bytes_max));
    }
    Ok(Traced { json: tracer.finish(), outcome, place })
}

/// Logs a transaction left behind.
pub(crate) fn logs_of(result: &ExecutionResult) -> u64 {
    match result {
        ExecutionResult::Success { logs, .. } => logs.len() as u64,
        ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
