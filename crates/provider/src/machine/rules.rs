//! What this provider wants and can, fixed for the life of the machine.

use alloy_primitives::Address;
use tilth_protocol::{Amount, Price, gpu::CLASS_GPU};

use super::{effect::Unfit, event::Terms};

/// The provider's side of every decision.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The owner account, the provider's name on chain.
    pub owner: Address,
    /// Slots: ranges run at the same time. At least 1.
    pub slots: u16,
    /// Least price of a unit.
    pub price_floor: Price,
    /// What an hour of one slot's work costs its owner, in base units: electricity. Work that pays less is
    /// left alone; 0 asks nothing.
    pub slot_cost_per_hour: u128,
    /// Device class bits registered.
    pub class_bits: u64,
    /// Graphics memory registered.
    pub vram_mib: u32,
    /// How long a range is served after it was settled.
    pub retention_ms: u64,
    /// Earnings are moved to the wallet when they reach this; `None` leaves them in the Ledger.
    pub withdraw_above: Option<Amount>,
}

impl Rules {
    /// Why a job with these terms is none of ours, if it is none.
    pub(super) fn unfit(&self, terms: &Terms) -> Option<Unfit> {
        if terms.price < self.price_floor {
            Some(Unfit::Price)
        } else if terms.required_class & !self.class_bits != 0 {
            Some(Unfit::Class)
        } else if terms.min_vram_mib > self.vram_mib {
            Some(Unfit::Vram)
        } else if terms.chained {
            Some(Unfit::Chained)
        } else if terms.audited && terms.required_class & CLASS_GPU != 0 {
            Some(Unfit::Audited)
        } else {
            None
        }
    }

    /// Most ranges held at a time: one running and one waiting per slot, as the Registry allows.
    pub(super) fn capacity(&self) -> usize {
        usize::from(self.slots).saturating_mul(2)
    }
}
