//! Logs as geth's simulation collects them: numbered in order of emission, those of failed frames
//! taken out again, and transfers of native coin among them if asked for.

use alloy_primitives::{Address, B256, Log, U256, address, b256};
use revm::{
    context_interface::{ContextTr, JournalTr},
    inspector::Inspector,
    interpreter::{
        CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter,
    },
};

use crate::message::LastStep;

/// Stands for the native coin (ERC-7528).
const NATIVE: Address = address!("0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE");
/// `keccak256("Transfer(address,address,uint256)")`.
const TRANSFER: B256 = b256!("0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// The logs of one call after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Transfers {
    /// Whether transfers are logged.
    traced: bool,
    /// The open frames, outermost first.
    frames: Vec<Vec<(u64, Log)>>,
    /// Logs of the block so far, those of failed frames included.
    count: u64,
    finished: Vec<(u64, Log)>,
    /// For the words about a call that failed.
    pub(super) last: LastStep,
}

impl Transfers {
    pub(super) fn new(traced: bool) -> Self {
        Self { traced, ..Self::default() }
    }

    /// The logs of the call that has just ended, each with its number in the block.
    pub(super) fn take(&mut self) -> Vec<(u64, Log)> {
        self.frames.clear();
        self.last = LastStep::default();
        std::mem::take(&mut self.finished)
    }

    fn push(&mut self, log: Log) {
        if let Some(frame) = self.frames.last_mut() {
            frame.push((self.count, log));
            self.count += 1;
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.traced && !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            self.push(Log::new_unchecked(NATIVE, topics, value.to_be_bytes_vec().into()));
        }
    }

    fn leave(&mut self, succeeded: bool) {
        let Some(logs) = self.frames.pop() else { return };
        let logs = if succeeded { logs } else { Vec::new() };
        match self.frames.last_mut() {
            Some(outer) => outer.extend(logs),
            None => self.finished = logs,
        }
    }
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for Transfers {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        self.last.step(interpreter, context);
    }

    fn log(&mut self, _: &mut C, log: Log) {
        self.push(log);
    }

    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let _ = self.last.call(context, inputs);
        self.frames.push(Vec::new());
        if matches!(inputs.scheme, CallScheme::Call)
            && let Some(value) = inputs.transfer_value()
        {
            self.transfer(inputs.caller, inputs.target_address, value);
        }
        None
    }

    fn call_end(&mut self, context: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.last.call_end(context, inputs, outcome);
        self.leave(outcome.result.is_ok());
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let _ = self.last.create(context, inputs);
        self.frames.push(Vec::new());
        if self.traced && !inputs.value().is_zero() {
            let caller = inputs.caller();
            // A failing read fails the creation as well.
            if let Ok(account) = context.journal_mut().load_account(caller) {
                let nonce = account.data.info.nonce;
                let created = inputs.created_address(nonce);
                self.transfer(caller, created, inputs.value());
            }
        }
        None
    }

    fn create_end(&mut self, context: &mut C, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.last.create_end(context, inputs, outcome);
        self.leave(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
