//! Values that tests start from.

use alloy_primitives::{Address, B256};
use tilth_protocol::{ContentHash, Price};

use super::{Commitment, Rules, Terms};

/// A time in 2026, in milliseconds.
pub(crate) const START: u64 = 1_790_000_000_000;

pub(crate) fn rules(slots: u16) -> Rules {
    Rules {
        owner: Address::repeat_byte(1),
        slots,
        price_floor: Price(10),
        slot_cost_per_hour: 0,
        class_bits: 0b1,
        vram_mib: 0,
        retention_ms: 60_000,
        withdraw_above: None,
    }
}

pub(crate) fn terms(task_count: u32) -> Terms {
    Terms {
        task_count,
        price: Price(100),
        clock: None,
        window_ms: 60_000,
        range_timeout_ms: 60_000,
        deadline: START + 3_600_000,
        required_class: 0,
        min_vram_mib: 0,
        chained: false,
        replicated: false,
        unit_cap: 10,
        prepare_cap: 0,
        target_ms: 5_000,
        first_range: 1,
        audited: false,
    }
}

/// What came of a range.
pub(crate) fn commitment() -> Commitment {
    Commitment { root: B256::repeat_byte(5), units: 70, failures: 0, content: ContentHash([6; 32]) }
}
