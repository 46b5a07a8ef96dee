//! The virtual machine for requests: that of `execution`, with a watch on the state it reads and
//! on every instruction that a long execution must pass again and again.

use alloy_evm::{EthEvm, EvmEnv, eth::EthEvmContext};
use revm::{
    Context, MainBuilder, MainContext,
    bytecode::opcode::{
        CALL, CALLCODE, CALLDATACOPY, CODECOPY, CREATE, CREATE2, DELEGATECALL, EXTCODECOPY, JUMP,
        JUMPI, KECCAK256, MCOPY, RETURNDATACOPY, STATICCALL,
    },
    context_interface::context::ContextError,
    inspector::Inspector,
    interpreter::{
        Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        instructions::{contract, control, host, memory, system},
        interpreter::EthInterpreter,
    },
    primitives::hardfork::SpecId,
};

use super::{CalledPrecompiles, Watch, Watched};
use crate::{
    execution::meter_net_gas,
    state::{Journal, StateReader},
};

/// The context in which a request's messages run.
type Watching<R> = EthEvmContext<Journal<Watched<R>>>;

/// A machine under a watch.
pub(crate) type Machine<R, I> = EthEvm<Journal<Watched<R>>, I, CalledPrecompiles>;

/// Weight of an instruction that may read, copy or hash much for its gas.
const HEAVY: u32 = 256;

/// Makes a machine; the inspector is asked if `inspect` says so.
pub(crate) fn machine<R: StateReader, I: Inspector<Watching<R>>>(
    mut journal: Journal<Watched<R>>,
    environment: EvmEnv,
    precompiles: CalledPrecompiles,
    inspector: I,
    inspect: bool,
) -> Machine<R, I> {
    journal.allow_delegations(environment.cfg_env.spec.is_enabled_in(SpecId::PRAGUE));
    let mut evm = Context::mainnet()
        .with_block(environment.block_env)
        .with_cfg(environment.cfg_env)
        .with_db(journal)
        .build_mainnet_with_inspector(inspector)
        .with_precompiles(precompiles);
    meter_net_gas(&evm.ctx.cfg, &mut evm.instruction);
    let table = evm.instruction.instruction_table_mut();
    for (opcode, instruction) in watched::<R>() {
        table[usize::from(opcode)] = instruction;
    }
    EthEvm::new(evm, inspect)
}

fn watched<R: StateReader>() -> [(u8, Instruction<EthInterpreter, Watching<R>>); 14] {
    [
        (JUMP, Instruction::new(|context| pass(context, 1, control::jump))),
        (JUMPI, Instruction::new(|context| pass(context, 1, control::jumpi))),
        (KECCAK256, Instruction::new(|context| pass(context, HEAVY, system::keccak256))),
        (MCOPY, Instruction::new(|context| pass(context, HEAVY, memory::mcopy))),
        (CODECOPY, Instruction::new(|context| pass(context, HEAVY, system::codecopy))),
        (CALLDATACOPY, Instruction::new(|context| pass(context, HEAVY, system::calldatacopy))),
        (RETURNDATACOPY, Instruction::new(|context| pass(context, HEAVY, system::returndatacopy))),
        (EXTCODECOPY, Instruction::new(|context| pass(context, HEAVY, host::extcodecopy))),
        (CREATE, Instruction::new(|context| pass(context, HEAVY, contract::create::<false, _, _>))),
        (CREATE2, Instruction::new(|context| pass(context, HEAVY, contract::create::<true, _, _>))),
        (CALL, Instruction::new(|context| pass(context, HEAVY, contract::call::<CALL, _, _>))),
        (
            CALLCODE,
            Instruction::new(|context| pass(context, HEAVY, contract::call::<CALLCODE, _, _>)),
        ),
        (
            DELEGATECALL,
            Instruction::new(|context| pass(context, HEAVY, contract::call::<DELEGATECALL, _, _>)),
        ),
        (
            STATICCALL,
            Instruction::new(|context| pass(context, HEAVY, contract::call::<STATICCALL, _, _>)),
        ),
    ]
}

type Step<'a, R> = InstructionContext<'a, Watching<R>, EthInterpreter>;

/// Ticks, then does what the instruction does.
#[inline(always)]
fn pass<R: StateReader>(
    context: Step<'_, R>,
    weight: u32,
    instruction: impl FnOnce(Step<'_, R>) -> InstructionExecResult,
) -> InstructionExecResult {
    let watch: &Watch = &context.host.journaled_state.database.parent().watch;
    if let Err(interrupted) = watch.tick(weight) {
        context.host.error = Err(ContextError::Db(interrupted));
        return Err(InstructionResult::FatalExternalError);
    }
    instruction(context)
}
