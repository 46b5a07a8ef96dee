//! Between the machine and a tracer.

use alloy_eips::eip4844::kzg_to_versioned_hash;
use alloy_evm::eth::EthEvmContext;
use alloy_primitives::{Address, Bytes, Log, U256, map::HashMap};
use revm::{
    Inspector,
    bytecode::opcode as op,
    context::{ContextTr as _, JournalTr as _, TxEnv, transaction::AuthorizationTr as _},
    context_interface::CreateScheme,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CallValue, CreateInputs, CreateOutcome, FrameInput,
        InstructionResult, Interpreter, InterpreterAction, InterpreterResult,
        interpreter_types::{InputsTr as _, Jumps as _, LoopControl as _, RuntimeFlag as _},
    },
    primitives::hardfork::SpecId,
};

use super::{
    Enter, Exit, FrameKind, REVERTED, Step, TraceError, Tracer, World as _,
    fault::{self, Before},
    world::During,
};
use crate::{
    message::Watched,
    state::{Journal, StateError, StateReader},
};

/// Weight of recording one instruction, for the watch.
const RECORDING: u32 = 32;

/// What the transaction's authorisations refund for each account that exists (EIP-7702).
const AUTHORIZATION_REFUND: i64 = 12_500;

/// See the module's description.
pub(super) struct Tap<'a> {
    tracer: &'a mut dyn Tracer,
    wants_steps: bool,
    logs_before: u64,
    bytes_max: usize,
    fork: SpecId,
    frames: Vec<Open>,
    /// The instruction under way.
    before: Option<Before>,
    /// Set when the instruction under way is a self-destruction: heir and balance.
    bequest: Option<(Address, Address, U256)>,
    stopped: Option<TraceError>,
}

/// A frame that is open.
struct Open {
    kind: FrameKind,
    gas: u64,
    /// Refunds of the frames below this one.
    refund_below: i64,
    /// Refund counter of the frame itself.
    refund: i64,
    /// Why its last instruction failed.
    error: Option<String>,
    /// The precompile that runs, and its input.
    precompile: Option<(Address, Bytes)>,
    /// Code that a creation returned before Homestead, where it need not be paid for.
    unpaid: Option<Bytes>,
}

impl<'a> Tap<'a> {
    pub(super) fn new(
        tracer: &'a mut dyn Tracer,
        logs_before: u64,
        bytes_max: usize,
        fork: SpecId,
    ) -> Self {
        Self {
            wants_steps: tracer.wants_steps(),
            tracer,
            logs_before,
            bytes_max,
            fork,
            frames: Vec::new(),
            before: None,
            bequest: None,
            stopped: None,
        }
    }

    /// Whether the trace is whole.
    pub(super) fn finish(self) -> Result<(), TraceError> {
        self.stopped.map_or(Ok(()), Err)
    }

    /// Whether the execution must end now.
    fn must_stop(&mut self) -> bool {
        if self.stopped.is_some() {
            return true;
        }
        if self.tracer.size() > self.bytes_max {
            self.stopped = Some(TraceError::TooLarge(self.bytes_max));
        }
        self.stopped.is_some()
    }

    fn note(&mut self, result: Result<(), StateError>) {
        if let Err(error) = result {
            self.stopped.get_or_insert(error.into());
        }
    }

    fn open(&mut self, kind: FrameKind, gas: u64, first_refund: impl FnOnce() -> i64) {
        let refund_below = match self.frames.last() {
            Some(parent) => parent.refund_below + parent.refund,
            None => first_refund(),
        };
        self.frames.push(Open {
            kind,
            gas,
            refund_below,
            refund: 0,
            error: None,
            precompile: None,
            unpaid: None,
        });
    }

    fn close(&mut self, result: &InterpreterResult, nowhere: bool) {
        let Some(frame) = self.frames.pop() else { return };
        let kept = result.result.is_ok_or_revert();
        let gas_used =
            if kept { frame.gas.saturating_sub(result.gas.remaining()) } else { frame.gas };
        let mut error = frame_error(&frame, result.result);
        if nowhere && result.result.is_ok() {
            error = Some("nonce uint64 overflow".to_owned());
        }
        let output = result.output.clone();
        // Only before Homestead can a creation fail and stay.
        let reverted = error.is_some();
        self.tracer.exit(Exit {
            depth: self.frames.len(),
            output: frame.unpaid.filter(|_| output.is_empty()).unwrap_or(output),
            gas_used,
            error,
            reverted,
        });
    }
}

fn frame_error(frame: &Open, result: InstructionResult) -> Option<String> {
    use InstructionResult as R;
    if result.is_ok() {
        return None;
    }
    if result == R::Revert {
        return Some(REVERTED.to_owned());
    }
    if let Some(error) = &frame.error {
        return Some(error.clone());
    }
    let text = match result {
        R::CallTooDeep => "max call depth exceeded",
        R::OutOfFunds => "insufficient balance for transfer",
        R::CreateCollision => "contract address collision",
        R::CreateContractSizeLimit => "max code size exceeded",
        R::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        R::NonceOverflow => "nonce uint64 overflow",
        R::OutOfGas if frame.kind.is_create() => "contract creation code storage out of gas",
        R::PrecompileError => precompile_words(frame.precompile.as_ref()),
        _ => "out of gas",
    };
    Some(text.to_owned())
}

/// geth's words for what a precompile does not accept; the machine here gives none.
fn precompile_words(precompile: Option<&(Address, Bytes)>) -> &'static str {
    const POINT: &str = "invalid point: not on curve";
    const LENGTH: &str = "invalid input length";
    let Some((address, input)) = precompile else { return POINT };
    let length = input.len();
    match address.into_word().last() {
        Some(5) => "one or more of base/exponent/modulus length exceeded 1024 bytes",
        Some(8) if length % 192 != 0 => "bad elliptic curve pairing size",
        Some(6..=8) => "point is not on curve",
        Some(9) if length != 213 => LENGTH,
        Some(9) => "invalid final flag",
        Some(0x0a) if length != 192 => LENGTH,
        Some(0x0a) if kzg_to_versioned_hash(&input[96..144])[..] != input[..32] => {
            "mismatched versioned hash"
        }
        Some(0x0a) => "error verifying kzg proof",
        Some(0x0b) if length != 256 => LENGTH,
        Some(0x0c) if length == 0 || length % 160 != 0 => LENGTH,
        Some(0x0d) if length != 512 => LENGTH,
        Some(0x0e) if length == 0 || length % 288 != 0 => LENGTH,
        Some(0x0f) if length == 0 || length % 384 != 0 => LENGTH,
        Some(0x10) if length != 64 => LENGTH,
        Some(0x11) if length != 128 => LENGTH,
        Some(0x10 | 0x11) => "invalid field element top bytes",
        _ => POINT,
    }
}

type Context<R> = EthEvmContext<Journal<Watched<R>>>;

fn is_warm_account<R: StateReader>(context: &Context<R>, address: &Address) -> bool {
    let inner = &context.journaled_state.inner;
    inner.warm_addresses.is_warm(address)
        || inner
            .state
            .get(address)
            .is_some_and(|account| !account.is_cold_transaction_id(inner.transaction_id))
}

fn is_warm_slot<R: StateReader>(context: &Context<R>, address: &Address, slot: &U256) -> bool {
    let inner = &context.journaled_state.inner;
    inner.warm_addresses.is_storage_warm(address, slot)
        || inner
            .state
            .get(address)
            .and_then(|account| account.storage.get(slot))
            .is_some_and(|value| !value.is_cold_transaction_id(inner.transaction_id))
}

fn world<R: StateReader>(context: &mut Context<R>) -> During<'_, Watched<R>> {
    let journal = &mut context.journaled_state;
    During { state: &journal.inner.state, below: &mut journal.database }
}

/// What geth refunds before the first instruction: for each authorisation that takes effect on an
/// account that exists.
fn authorization_refund<R: StateReader>(context: &mut Context<R>) -> Result<i64, StateError> {
    let transaction: TxEnv = context.tx.clone();
    let chain_id = U256::from(context.cfg.chain_id);
    // The authorisations have been applied already: nonces are read from below the transaction.
    let database = &mut context.journaled_state.database;
    let mut nonces: HashMap<Address, u64> = HashMap::default();
    nonces.insert(transaction.caller, transaction.nonce.saturating_add(1));
    let mut refund = 0;
    for authorization in &transaction.authorization_list {
        let chain = authorization.chain_id();
        let Some(authority) = authorization.authority() else { continue };
        if (!chain.is_zero() && chain != chain_id) || authorization.nonce() == u64::MAX {
            continue;
        }
        let seen = super::World::account(database, authority)?;
        let code = super::World::code(database, authority)?;
        let applied_before = nonces.contains_key(&authority);
        let nonce = nonces.entry(authority).or_insert(seen.nonce);
        if (!code.is_empty() && !code.starts_with(&[0xef, 0x01, 0x00]))
            || *nonce != authorization.nonce()
        {
            continue;
        }
        *nonce += 1;
        if applied_before || !seen.is_empty() {
            refund += AUTHORIZATION_REFUND;
        }
    }
    Ok(refund)
}

impl Before {
    fn of<R: StateReader>(
        interpreter: &Interpreter,
        context: &mut Context<R>,
    ) -> Result<Self, StateError> {
        let stack = interpreter.stack.data();
        let code = interpreter.bytecode.opcode();
        let address = interpreter.input.target_address();
        let mut before = Self {
            op: code,
            gas: interpreter.gas.remaining(),
            is_static: interpreter.runtime_flag.is_static(),
            stack_len: stack.len(),
            top: stack[stack.len().saturating_sub(7)..].to_vec(),
            memory_len: interpreter.memory.len(),
            ..Self::default()
        };
        let top = |depth| super::back(stack, depth);
        let account = |depth| top(depth).map(|word| Address::from_word(word.into()));
        match code {
            op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH | op::EXTCODECOPY => {
                before.warm = account(0).is_some_and(|target| is_warm_account(context, &target));
            }
            op::SLOAD => {
                before.warm = top(0).is_some_and(|slot| is_warm_slot(context, &address, &slot));
            }
            op::SSTORE => {
                let Some(slot) = top(0) else { return Ok(before) };
                before.warm = is_warm_slot(context, &address, &slot);
                let known = context.journaled_state.inner.state.get(&address);
                before.slot = match known.and_then(|account| account.storage.get(&slot)) {
                    Some(value) => (value.present_value, value.original_value),
                    None => {
                        let value = world(context).storage(address, slot)?;
                        (value, value)
                    }
                };
            }
            op::CALL | op::CALLCODE | op::DELEGATECALL | op::STATICCALL => {
                let Some(target) = account(1) else { return Ok(before) };
                before.warm = is_warm_account(context, &target);
                if code == op::CALL && top(2).is_some_and(|value| !value.is_zero()) {
                    before.new_account = world(context).account(target)?.is_empty();
                }
            }
            op::SELFDESTRUCT => {
                let Some(target) = account(0) else { return Ok(before) };
                before.warm = is_warm_account(context, &target);
                let mut world = world(context);
                before.new_account =
                    world.account(target)?.is_empty() && !world.account(address)?.balance.is_zero();
            }
            _ => {}
        }
        Ok(before)
    }
}

/// Whether the price of an instruction depends on the state, so that a failure needs it.
fn may_run_out(code: u8, gas: u64) -> bool {
    // No instruction costs more than this without its memory, which is priced without the state.
    const PRICE_MAX: u64 = 100_000;
    gas < PRICE_MAX
        || !matches!(
            code,
            op::BALANCE
                | op::EXTCODESIZE
                | op::EXTCODEHASH
                | op::EXTCODECOPY
                | op::SLOAD
                | op::SSTORE
                | op::CALL
                | op::CALLCODE
                | op::DELEGATECALL
                | op::STATICCALL
                | op::SELFDESTRUCT
        )
}

impl<R: StateReader> Inspector<Context<R>> for Tap<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut Context<R>) {
        self.before = None;
        self.bequest = None;
        let ticked = context.journaled_state.database.parent().watch.tick(RECORDING);
        self.note(ticked);
        if self.must_stop() {
            interpreter.halt(InstructionResult::OutOfGas);
            return;
        }
        if interpreter.bytecode.original_byte_slice().is_empty() {
            // geth does not run code of no length, the machine here runs one STOP.
            return;
        }
        let code = interpreter.bytecode.opcode();
        let before = if may_run_out(code, interpreter.gas.remaining()) {
            Before::of(interpreter, context)
        } else {
            Ok(Before { op: code, gas: interpreter.gas.remaining(), ..Before::default() })
        };
        match before {
            Ok(before) => self.before = Some(before),
            Err(error) => self.note(Err(error)),
        }
        let address = interpreter.input.target_address();
        if code == op::SELFDESTRUCT
            && let Some(heir) = super::back(interpreter.stack.data(), 0)
        {
            match world(context).account(address) {
                Ok(seen) => {
                    self.bequest = Some((address, Address::from_word(heir.into()), seen.balance));
                }
                Err(error) => self.note(Err(error)),
            }
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.refund = interpreter.gas.refunded();
        }
        if self.wants_steps {
            let refund = self.frames.last().map_or(0, |frame| frame.refund_below + frame.refund);
            let memory = interpreter.memory.context_memory();
            let step = Step {
                pc: interpreter.bytecode.pc(),
                op: code,
                gas: interpreter.gas.remaining(),
                depth: self.frames.len(),
                refund: u64::try_from(refund).unwrap_or(0),
                address,
                stack: interpreter.stack.data(),
                memory: &memory,
                return_data: interpreter.return_data.0.as_ref(),
            };
            let result = self.tracer.step(&step, &mut world(context));
            self.note(result);
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, _: &mut Context<R>) {
        let Some(before) = self.before.take() else { return };
        let left = interpreter.gas.remaining();
        let (result, passed_on) = match interpreter.bytecode.action() {
            Some(InterpreterAction::Return(result)) => {
                if !self.fork.is_enabled_in(SpecId::HOMESTEAD)
                    && let Some(frame) = self.frames.last_mut()
                {
                    frame.unpaid = frame.kind.is_create().then(|| result.output.clone());
                }
                (result.result, 0)
            }
            // A creation's gas is taken when it runs, a call's before.
            Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) => {
                (InstructionResult::Suspend, inputs.gas_limit())
            }
            Some(InterpreterAction::NewFrame(_)) | None => (InstructionResult::Suspend, 0),
        };
        if result.is_ok_or_revert() {
            let cost = before.gas.saturating_sub(left).saturating_sub(passed_on);
            self.tracer.stepped(cost, None);
            if result == InstructionResult::SelfDestruct
                && let Some((from, to, balance)) = self.bequest.take()
            {
                let (depth, input) = (self.frames.len(), Bytes::new());
                self.tracer.enter(Enter {
                    depth,
                    kind: FrameKind::SelfDestruct,
                    from,
                    to,
                    input,
                    gas: 0,
                    value: Some(balance),
                    precompile: false,
                });
                let output = Bytes::new();
                self.tracer.exit(Exit { depth, output, gas_used: 0, error: None, reverted: false });
            }
            return;
        }
        let fault = fault::explain(&before, result, self.fork);
        self.tracer.stepped(fault.cost, fault.early.then_some(fault.error.as_str()));
        if let Some(frame) = self.frames.last_mut() {
            frame.error = Some(fault.error);
        }
    }

    fn log(&mut self, context: &mut Context<R>, log: Log) {
        let held = context.journal().logs().len() as u64;
        self.tracer.log(&log, self.logs_before + held.saturating_sub(1));
    }

    fn call(&mut self, context: &mut Context<R>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let (kind, from, to) = match inputs.scheme {
            CallScheme::Call => (FrameKind::Call, inputs.caller, inputs.target_address),
            CallScheme::StaticCall => (FrameKind::StaticCall, inputs.caller, inputs.target_address),
            CallScheme::CallCode => {
                (FrameKind::CallCode, inputs.target_address, inputs.bytecode_address)
            }
            CallScheme::DelegateCall => {
                (FrameKind::DelegateCall, inputs.target_address, inputs.bytecode_address)
            }
        };
        let value = match inputs.value {
            _ if kind == FrameKind::StaticCall => None,
            CallValue::Transfer(value) | CallValue::Apparent(value) => Some(value),
        };
        let input = inputs.input.bytes_local(context.local());
        let precompile = context.journal().precompile_addresses().contains(&to);
        let gas = inputs.gas_limit;
        let depth = self.frames.len();
        let called = precompile.then(|| (to, input.clone()));
        self.tracer.enter(Enter { depth, kind, from, to, input, gas, value, precompile });
        self.open_frame(kind, gas, context);
        if let Some(frame) = self.frames.last_mut() {
            frame.precompile = called;
        }
        None
    }

    fn call_end(&mut self, _: &mut Context<R>, _: &CallInputs, outcome: &mut CallOutcome) {
        self.close(&outcome.result, false);
    }

    fn create(
        &mut self,
        context: &mut Context<R>,
        inputs: &mut CreateInputs,
    ) -> Option<CreateOutcome> {
        let nonce = match world(context).account(inputs.caller()) {
            Ok(seen) => seen.nonce,
            Err(error) => {
                self.note(Err(error));
                0
            }
        };
        let kind = match inputs.scheme() {
            CreateScheme::Create2 { .. } => FrameKind::Create2,
            CreateScheme::Create | CreateScheme::Custom { .. } => FrameKind::Create,
        };
        self.tracer.enter(Enter {
            depth: self.frames.len(),
            kind,
            from: inputs.caller(),
            to: inputs.created_address(nonce),
            input: inputs.init_code().clone(),
            gas: inputs.gas_limit(),
            value: Some(inputs.value()),
            precompile: false,
        });
        self.open_frame(kind, inputs.gas_limit(), context);
        None
    }

    fn create_end(&mut self, _: &mut Context<R>, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.close(&outcome.result, outcome.address.is_none());
    }
}

impl Tap<'_> {
    fn open_frame<R: StateReader>(&mut self, kind: FrameKind, gas: u64, context: &mut Context<R>) {
        let mut failure = None;
        self.open(kind, gas, || {
            authorization_refund(context).unwrap_or_else(|error| {
                failure = Some(error);
                0
            })
        });
        if let Some(error) = failure {
            self.note(Err(error));
        }
    }
}
