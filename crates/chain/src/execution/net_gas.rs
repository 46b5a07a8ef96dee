//! Net gas metering of storage as Constantinople had it (EIP-1283) until Petersburg took it back.
//!
//! The rules are those of Istanbul (EIP-2200) with another price and without the sentry. The machine
//! knows Constantinople only as it was after Petersburg, so its prices and its instruction are put
//! in here.

use revm::{
    bytecode::opcode::SSTORE,
    context::CfgEnv,
    context_interface::{
        Host,
        cfg::{GasId, GasParams},
    },
    handler::instructions::EthInstructions,
    interpreter::{
        Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        instructions::host, interpreter::EthInterpreter,
    },
    primitives::hardfork::SpecId,
};

/// Gas of a store that changes nothing, or what was changed before (EIP-1283).
const AGAIN: u64 = 200;

/// Gas of the first change of a slot that was zero when the transaction began.
const SET: u64 = 20_000;

/// Gas of the first change of another slot.
const RESET: u64 = 5_000;

/// Prices of Constantinople.
pub(super) fn prices() -> GasParams {
    let mut prices = GasParams::new_spec(SpecId::PETERSBURG);
    prices.override_gas([
        (GasId::sstore_static(), AGAIN),
        (GasId::sstore_set_without_load_cost(), SET - AGAIN),
        (GasId::sstore_reset_without_cold_load_cost(), RESET - AGAIN),
        (GasId::sstore_set_refund(), SET - AGAIN),
        (GasId::sstore_reset_refund(), RESET - AGAIN),
    ]);
    prices
}

/// Gives a machine of Constantinople, which is told by its prices, the instruction that goes with
/// them; leaves others alone.
pub(crate) fn meter_net_gas<H: Host>(
    config: &CfgEnv,
    instructions: &mut EthInstructions<EthInterpreter, H>,
) {
    if config.spec == SpecId::PETERSBURG && config.gas_params.sstore_static_gas() == AGAIN {
        let table = instructions.instruction_table_mut();
        table[usize::from(SSTORE)] = Instruction::new(store);
    }
}

fn store<H: Host>(context: InstructionContext<'_, H, EthInterpreter>) -> InstructionExecResult {
    host::sstore_with_gas_accounting(context, |context, _, load| {
        let prices = context.host.gas_params();
        let cost = prices.sstore_dynamic_gas(true, &load.data, false);
        let refund = prices.sstore_refund(true, &load.data);
        if !context.interpreter.gas.record_regular_cost(cost) {
            return Err(InstructionResult::OutOfGas);
        }
        context.interpreter.gas.record_refund(refund);
        Ok(())
    })
}
