//! How an execution ended that neither returned nor reverted, in geth's words.
//!
//! geth names the instruction and the height of the stack; the machine does not. So an execution
//! that ended in such a way is repeated with [`LastStep`] looking on.

use revm::{
    bytecode::opcode::OPCODE_INFO,
    context::result::{HaltReason, OutOfGasError},
    context_interface::ContextTr,
    inspector::Inspector,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter::EthInterpreter, interpreter_types::Jumps,
    },
};

/// Remembers the last instruction of the outermost frame and the height of its stack.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastStep {
    depth: usize,
    opcode: u8,
    height: usize,
}

impl<C: ContextTr> Inspector<C, EthInterpreter> for LastStep {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        if self.depth == 1 {
            self.opcode = interpreter.bytecode.opcode();
            self.height = interpreter.stack.len();
        }
    }
    fn call(&mut self, _: &mut C, _: &mut CallInputs) -> Option<CallOutcome> {
        self.depth += 1;
        None
    }
    fn call_end(&mut self, _: &mut C, _: &CallInputs, _: &mut CallOutcome) {
        self.depth = self.depth.saturating_sub(1);
    }
    fn create(&mut self, _: &mut C, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.depth += 1;
        None
    }
    fn create_end(&mut self, _: &mut C, _: &CreateInputs, _: &mut CreateOutcome) {
        self.depth = self.depth.saturating_sub(1);
    }
}

/// Whether the words for `reason` need the last step.
pub(crate) fn needs_last_step(reason: &HaltReason) -> bool {
    matches!(
        reason,
        HaltReason::OpcodeNotFound
            | HaltReason::NotActivated
            | HaltReason::StackUnderflow
            | HaltReason::StackOverflow
    )
}

/// geth's words for `reason`.
pub(crate) fn halted(reason: &HaltReason, last: LastStep) -> String {
    match reason {
        HaltReason::OutOfGas(
            OutOfGasError::Basic
            | OutOfGasError::MemoryLimit
            | OutOfGasError::Memory
            | OutOfGasError::Precompile
            | OutOfGasError::ReentrancySentry,
        ) => "out of gas".to_owned(),
        HaltReason::OutOfGas(OutOfGasError::InvalidOperand) => "gas uint64 overflow".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => {
            format!("invalid opcode: {}", name(last.opcode))
        }
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        // The machine takes a DUP of what is not there for an overflow.
        HaltReason::StackUnderflow | HaltReason::StackOverflow => {
            let required = OPCODE_INFO[usize::from(last.opcode)].map_or(0, |info| info.inputs());
            if last.height < usize::from(required) {
                format!("stack underflow ({} <=> {required})", last.height)
            } else {
                "stack limit reached 1024 (1023)".to_owned()
            }
        }
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        HaltReason::CreateContractStartingWithEF => {
            "invalid code: must not begin with 0xef".to_owned()
        }
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        HaltReason::NonceOverflow => "nonce uint64 overflow".to_owned(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::PrecompileError
        | HaltReason::PrecompileErrorWithContext(_)
        | HaltReason::OverflowPayment => reason.to_string(),
    }
}

/// An opcode's name; geth prints the number of one that has none.
fn name(opcode: u8) -> String {
    match OPCODE_INFO[usize::from(opcode)] {
        Some(info) => info.name().to_owned(),
        None => format!("opcode {opcode:#x} not defined"),
    }
}
