//! Why an instruction failed, as geth reports it.
//!
//! geth charges an instruction's whole price before it runs and reports that price even if it
//! cannot be paid; the machine here stops at the first part it cannot pay. So for an instruction
//! that failed the price is worked out again, in geth's order of checks.

use std::borrow::Cow;

use alloy_primitives::U256;
use revm::{
    bytecode::opcode::{self as op, OpCode},
    interpreter::{InstructionResult, instructions::gas_table_spec},
    primitives::hardfork::SpecId,
};

use super::back;

/// geth's name of an instruction.
pub(super) fn name(code: u8) -> Cow<'static, str> {
    match (code, OpCode::new(code)) {
        (op::DIFFICULTY, _) => "DIFFICULTY".into(),
        (_, Some(known)) => known.as_str().into(),
        (_, None) => format!("opcode {code:#x} not defined").into(),
    }
}

/// An instruction before it ran, and what its price depends on.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    pub(super) op: u8,
    pub(super) gas: u64,
    pub(super) is_static: bool,
    pub(super) stack_len: usize,
    /// The items nearest the top, the top last.
    pub(super) top: Vec<U256>,
    pub(super) memory_len: usize,
    /// Whether the account or slot the instruction names was used before in the transaction.
    pub(super) warm: bool,
    /// Current and original value of the slot that is to be written.
    pub(super) slot: (U256, U256),
    /// Whether a value transfer or a self-destruction would make a new account.
    pub(super) new_account: bool,
}

/// How geth reports a failed instruction.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) cost: u64,
    pub(super) error: String,
    /// Whether it failed before it could run.
    pub(super) early: bool,
}

/// The part of the price that cannot be worked out or paid.
enum Shortage {
    /// Fails while the price is worked out; the text follows "out of gas: ".
    Reason(String),
    /// The memory asked for is beyond any price.
    Overflow,
}

const OUT_OF_GAS: &str = "out of gas";
const OVERFLOW: &str = "gas uint64 overflow";

fn reason(text: &str) -> Shortage {
    Shortage::Reason(text.to_owned())
}

/// Explains `result`, with which the instruction ended.
pub(super) fn explain(before: &Before, result: InstructionResult, fork: SpecId) -> Fault {
    use InstructionResult as R;
    let late = |cost, error: String| Fault { cost, error, early: false };
    let early = |cost, error: String| Fault { cost, error, early: true };
    if matches!(result, R::OpcodeNotFound | R::NotActivated | R::InvalidFEOpcode) {
        return late(0, format!("invalid opcode: {}", name(before.op)));
    }
    let fixed = fixed_cost(before.op, fork);
    let (inputs, outputs) = OpCode::new(before.op)
        .map_or((0, 0), |code| (usize::from(code.inputs()), usize::from(code.outputs())));
    let most = (1024 + inputs).saturating_sub(outputs);
    if before.stack_len < inputs {
        return early(fixed, format!("stack underflow ({} <=> {inputs})", before.stack_len));
    }
    if before.stack_len > most {
        return early(fixed, format!("stack limit reached {} ({most})", before.stack_len));
    }
    if before.gas < fixed {
        return early(fixed, OUT_OF_GAS.into());
    }
    let variable = match variable_cost(before, fork, before.gas - fixed) {
        Ok(cost) => cost,
        Err(Shortage::Overflow) => return early(fixed, OVERFLOW.into()),
        Err(Shortage::Reason(reason)) => return early(fixed, format!("{OUT_OF_GAS}: {reason}")),
    };
    let cost = u64::try_from(u128::from(fixed) + variable).unwrap_or(u64::MAX);
    if before.gas < cost {
        return early(cost, OUT_OF_GAS.into());
    }
    let error = match result {
        R::InvalidJump => "invalid jump destination",
        R::OutOfOffset => "return data out of bounds",
        R::StateChangeDuringStaticCall | R::CallNotAllowedInsideStatic => "write protection",
        _ => OUT_OF_GAS,
    };
    late(cost, error.into())
}

/// The price that does not depend on the instruction's arguments.
fn fixed_cost(code: u8, fork: SpecId) -> u64 {
    let berlin = fork.is_enabled_in(SpecId::BERLIN);
    match code {
        op::SLOAD if berlin => 0,
        op::SSTORE | op::EXP | op::LOG0..=op::LOG4 => 0,
        op::CREATE | op::CREATE2 => 32_000,
        op::SELFDESTRUCT => {
            if berlin {
                5_000
            } else {
                0
            }
        }
        _ => u64::from(gas_table_spec(fork)[usize::from(code)]),
    }
}

/// Offset and length of the memory an instruction uses, by position from the top of the stack.
fn memory_ranges(before: &Before) -> Vec<(U256, U256)> {
    let item = |depth| back(&before.top, depth).unwrap_or_default();
    let word = |bytes: u64| U256::from(bytes);
    match before.op {
        op::KECCAK256 | op::RETURN | op::REVERT | op::LOG0..=op::LOG4 => vec![(item(0), item(1))],
        op::CALLDATACOPY | op::CODECOPY | op::RETURNDATACOPY => vec![(item(0), item(2))],
        op::EXTCODECOPY => vec![(item(1), item(3))],
        op::MLOAD | op::MSTORE => vec![(item(0), word(32))],
        op::MSTORE8 => vec![(item(0), word(1))],
        op::MCOPY => vec![(item(0).max(item(1)), item(2))],
        op::CREATE | op::CREATE2 => vec![(item(1), item(2))],
        op::CALL | op::CALLCODE => vec![(item(3), item(4)), (item(5), item(6))],
        op::DELEGATECALL | op::STATICCALL => vec![(item(2), item(3)), (item(4), item(5))],
        _ => Vec::new(),
    }
}

/// The price of growing the memory to what the instruction uses.
fn memory_cost(before: &Before) -> Result<u128, Shortage> {
    let mut size = 0_u64;
    for (offset, length) in memory_ranges(before) {
        if length.is_zero() {
            continue;
        }
        let end = u64::try_from(offset)
            .ok()
            .zip(u64::try_from(length).ok())
            .and_then(|(offset, length)| offset.checked_add(length))
            .and_then(|end| end.checked_next_multiple_of(32))
            .ok_or(Shortage::Overflow)?;
        size = size.max(end);
    }
    if size > 0x1f_ffff_ffe0 {
        return Err(reason(OVERFLOW));
    }
    let price = |bytes: u128| {
        let words = bytes / 32;
        words * 3 + words * words / 512
    };
    let held = before.memory_len as u128;
    Ok(price(u128::from(size).max(held)) - price(held))
}

fn words(length: U256, per_word: u128) -> Result<u128, Shortage> {
    let length = u64::try_from(length).map_err(|_| reason(OVERFLOW))?;
    Ok(u128::from(length).div_ceil(32) * per_word)
}

/// The rest of the price, if it can be worked out with the gas that is `left`.
fn variable_cost(before: &Before, fork: SpecId, left: u64) -> Result<u128, Shortage> {
    let item = |depth| back(&before.top, depth).unwrap_or_default();
    let protected = || if before.is_static { Err(reason("write protection")) } else { Ok(()) };
    let berlin = fork.is_enabled_in(SpecId::BERLIN);
    let cold_account = || if berlin && !before.warm { 2_500 } else { 0 };
    Ok(match before.op {
        op::MLOAD | op::MSTORE | op::MSTORE8 | op::RETURN | op::REVERT => memory_cost(before)?,
        op::KECCAK256 => memory_cost(before)? + words(item(1), 6)?,
        op::CALLDATACOPY | op::CODECOPY | op::RETURNDATACOPY | op::MCOPY => {
            memory_cost(before)? + words(item(2), 3)?
        }
        op::EXTCODECOPY => memory_cost(before)? + words(item(3), 3)? + cold_account(),
        op::BALANCE | op::EXTCODESIZE | op::EXTCODEHASH => cold_account(),
        op::EXP => {
            let bytes = item(1).bit_len().div_ceil(8) as u128;
            let per_byte = if fork.is_enabled_in(SpecId::SPURIOUS_DRAGON) { 50 } else { 10 };
            10 + bytes * per_byte
        }
        op::LOG0..=op::LOG4 => {
            let size = u64::try_from(item(1)).map_err(|_| reason(OVERFLOW))?;
            let topics = u128::from(before.op - op::LOG0);
            memory_cost(before)? + 375 + 375 * topics + 8 * u128::from(size)
        }
        op::SLOAD if berlin => {
            if before.warm {
                100
            } else {
                2_100
            }
        }
        op::SSTORE => {
            protected()?;
            storage_cost(before, fork, left)?
        }
        op::CREATE | op::CREATE2 => {
            protected()?;
            creation_cost(before, fork)?
        }
        op::SELFDESTRUCT => {
            protected()?;
            let mut cost = 0;
            if berlin && !before.warm {
                cost = 2_600;
                if u128::from(left) < cost {
                    return Err(reason(OUT_OF_GAS));
                }
            } else if !berlin && fork.is_enabled_in(SpecId::TANGERINE) {
                cost = 5_000;
            }
            cost + if before.new_account { 25_000 } else { 0 }
        }
        op::CALL | op::CALLCODE | op::DELEGATECALL | op::STATICCALL => {
            call_cost(before, fork, left)?
        }
        _ => 0,
    })
}

fn creation_cost(before: &Before, fork: SpecId) -> Result<u128, Shortage> {
    let size = back(&before.top, 2).unwrap_or_default();
    let memory = memory_cost(before)?;
    let hashing = if before.op == op::CREATE2 { 6 } else { 0 };
    if !fork.is_enabled_in(SpecId::SHANGHAI) {
        return Ok(memory + words(size, hashing)?);
    }
    let most = revm::primitives::eip3860::MAX_INITCODE_SIZE;
    if size > U256::from(most) {
        return Err(Shortage::Reason(format!(
            "max initcode size exceeded: code size {size} limit {most}"
        )));
    }
    Ok(memory + words(size, hashing + 2)?)
}

fn storage_cost(before: &Before, fork: SpecId, left: u64) -> Result<u128, Shortage> {
    let (current, original) = before.slot;
    let value = back(&before.top, 1).unwrap_or_default();
    if !fork.is_enabled_in(SpecId::ISTANBUL) {
        return Ok(if current.is_zero() && !value.is_zero() { 20_000 } else { 5_000 });
    }
    if left <= 2_300 {
        return Err(reason("not enough gas for reentrancy sentry"));
    }
    let berlin = fork.is_enabled_in(SpecId::BERLIN);
    let (read, reset) = if berlin { (100, 2_900) } else { (800, 5_000) };
    let cold = if berlin && !before.warm { 2_100 } else { 0 };
    Ok(cold
        + if current == value || original != current {
            read
        } else if original.is_zero() {
            20_000
        } else {
            reset
        })
}

/// A call's price with the gas it passes on.
fn call_cost(before: &Before, fork: SpecId, left: u64) -> Result<u128, Shortage> {
    let with_value = matches!(before.op, op::CALL | op::CALLCODE)
        && back(&before.top, 2).is_some_and(|value| !value.is_zero());
    if before.op == op::CALL && before.is_static && with_value {
        return Err(reason("write protection"));
    }
    let prague = fork.is_enabled_in(SpecId::PRAGUE);
    let cold = if fork.is_enabled_in(SpecId::BERLIN) && !before.warm { 2_500 } else { 0 };
    let available = u128::from(left).checked_sub(cold).ok_or_else(|| reason(OUT_OF_GAS))?;
    let mut cost = memory_cost(before)? + if with_value { 9_000 } else { 0 };
    if before.op == op::CALL {
        if available < cost {
            return Err(reason(OUT_OF_GAS));
        }
        cost += if before.new_account { 25_000 } else { 0 };
    }
    if prague {
        // Whatever is missing from here on is found missing while the price is worked out.
        return Err(reason(OUT_OF_GAS));
    }
    let asked = u128::try_from(back(&before.top, 0).unwrap_or_default()).unwrap_or(u128::MAX);
    Ok(cold.saturating_add(cost).saturating_add(asked.min(u128::from(u64::MAX))))
}
