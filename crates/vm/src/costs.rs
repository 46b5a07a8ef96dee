//! What work costs in fuel, and how fuel becomes units.
//!
//! These numbers are part of the protocol: a change makes old and new machines disagree about the
//! units of the same task, so it needs a new version of the engine key (see [`crate::engine_key`]).
//! Fuel is not time; the weights only keep the spread between cheap and dear instructions bounded.

use wasmtime::OperatorCost;

/// Fuel in one unit, a thousandth of a Gfuel.
pub const FUEL_PER_UNIT: u64 = 1_000_000;
/// Fuel of one call into the host, before the bytes it moves: about the time of a system call.
pub const HOST_CALL_FUEL: u64 = 500;
/// Fuel of one byte moved by the host, as for `memory.copy`.
pub const HOST_BYTE_FUEL: u64 = 1;
/// Fuel of one 64 KiB page added by `memory.grow`: zeroing and mapping fresh memory takes about 35 us.
pub const GROW_PAGE_FUEL: u64 = 16_384;
/// Fuel of one 64 KiB page a task starts with. Most tasks touch few pages of their image, so this is
/// far below [`GROW_PAGE_FUEL`]; it bounds what a task costs that does nothing but touch all of them.
pub const START_PAGE_FUEL: u64 = 4_096;
/// Fuel of one table element a task starts with; every task gets fresh tables.
pub const START_ELEMENT_FUEL: u64 = 16;

/// Units for so much fuel, rounded up.
pub fn units(fuel: u64) -> u64 {
    fuel.div_ceil(FUEL_PER_UNIT)
}

/// Weights of operators. 1 unless named; control flow that costs nothing is 0.
pub(crate) fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    macro_rules! weigh {
        ($weight:literal: $($operator:ident)*) => { $(cost.$operator = $weight;)* };
    }
    weigh!(2: I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U I64Load8S
        I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U V128Load V128Load8x8S V128Load8x8U
        V128Load16x4S V128Load16x4U V128Load32x2S V128Load32x2U V128Load8Splat V128Load16Splat
        V128Load32Splat V128Load64Splat V128Load32Zero V128Load64Zero V128Load8Lane V128Load16Lane
        V128Load32Lane V128Load64Lane);
    weigh!(2: I32Store I64Store F32Store F64Store I32Store8 I32Store16 I64Store8 I64Store16
        I64Store32 V128Store V128Store8Lane V128Store16Lane V128Store32Lane V128Store64Lane);
    weigh!(2: Call);
    weigh!(4: CallIndirect);
    weigh!(6: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU F32Div F64Div);
    weigh!(8: F32Sqrt F64Sqrt F32x4Div F64x2Div F32x4Sqrt F64x2Sqrt);
    weigh!(2: I64x2Mul I8x16Popcnt);
    // Bulk operations pay per byte or element besides; growing memory is charged by the host.
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_rounded_up() {
        assert_eq!(units(0), 0);
        assert_eq!(units(1), 1);
        assert_eq!(units(FUEL_PER_UNIT), 1);
        assert_eq!(units(FUEL_PER_UNIT + 1), 2);
        assert_eq!(units(u64::MAX), u64::MAX / FUEL_PER_UNIT + 1);
    }
}
