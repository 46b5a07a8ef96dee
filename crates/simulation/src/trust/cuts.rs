//! What may be cut from honest stakes, and how much.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use tilth_contracts::DeployParams;
use tilth_verification::arithmetic::Fault;

use crate::farm::TREASURY;

/// No fault of an auditor costs less than this part (1/x) of the least stake: `Parameters.FLOOR_PART`.
const FLOOR_PART: u128 = 100;
/// A late range costs this part (1/x) of the most that it can be worth: `JobLayout.BOND_BPS`.
const BOND_PART: u128 = 10;

/// Whose stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stake {
    /// A provider's.
    Provider,
    /// An auditor's.
    Auditor,
}

/// One cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Who lost it.
    pub owner: Address,
    /// From which stake.
    pub stake: Stake,
    /// What others were given of it, base units.
    pub given: u128,
    /// What was burned of it, base units.
    pub burned: u128,
    /// What is left of the stake, leaving or not, base units.
    pub left: u128,
}

impl Cut {
    /// All of it, base units.
    pub fn sum(&self) -> u128 {
        self.given + self.burned
    }

    /// Whether it is no more than what an absence costs an auditor.
    pub fn is_absence(&self) -> bool {
        let floor = DeployParams::standard(TREASURY).auditor_stake / FLOOR_PART;
        let before = self.left + self.sum();
        self.stake == Stake::Auditor && self.sum() <= Fault::Absent.penalty(before, floor)
    }
}

/// Cuts of providers, until a late range says what they were for.
#[derive(Debug, Default)]
pub struct Bonds(BTreeMap<Address, Vec<u128>>);

impl Bonds {
    /// A provider lost so much.
    pub fn cut(&mut self, owner: Address, sum: u128) {
        self.0.entry(owner).or_default().push(sum);
    }

    /// A range that can be worth at most `value` was late and cost `bond`. Whether just that was cut, and no more than
    /// such a range may cost.
    pub fn late(&mut self, owner: Address, bond: u128, value: u128) -> bool {
        let cuts = self.0.entry(owner).or_default();
        let found = cuts.iter().position(|sum| *sum == bond);
        if let Some(at) = found {
            cuts.swap_remove(at);
        }
        bond <= value / BOND_PART && (found.is_some() || bond == 0)
    }

    /// What was cut for no late range.
    pub fn left(&self) -> impl Iterator<Item = (Address, u128)> {
        let all = self.0.iter();
        all.map(|(owner, cuts)| (*owner, cuts.iter().sum::<u128>())).filter(|(_, sum)| *sum != 0)
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::amount::GRAIN;

    use super::*;

    const WHO: Address = Address::repeat_byte(7);

    #[test]
    fn an_absence_costs_a_thousandth_or_the_least_and_only_auditors() {
        let cut = |stake, sum: u128, left| {
            Cut { owner: WHO, stake, given: sum / 2, burned: sum - sum / 2, left }.is_absence()
        };
        // A hundredth of ten GRAIN, and a thousandth of a thousand.
        assert!(cut(Stake::Auditor, GRAIN / 10, 20 * GRAIN));
        assert!(!cut(Stake::Auditor, GRAIN / 10 + 1, 20 * GRAIN));
        assert!(cut(Stake::Auditor, GRAIN, 999 * GRAIN));
        assert!(!cut(Stake::Auditor, GRAIN + 1, 999 * GRAIN));
        assert!(!cut(Stake::Provider, 1, 999 * GRAIN));
    }

    #[test]
    fn a_late_range_accounts_for_its_bond_and_nothing_else() {
        let mut bonds = Bonds::default();
        assert!(bonds.late(WHO, 0, 100), "a stake of nothing has nothing to lose");
        bonds.cut(WHO, 10);
        bonds.cut(WHO, 7);
        assert!(bonds.late(WHO, 10, 100));
        assert!(!bonds.late(WHO, 10, 100), "it was cut once");
        assert_eq!(bonds.left().collect::<Vec<_>>(), [(WHO, 7)]);
        assert!(!bonds.late(WHO, 7, 69), "more than a tenth");
        assert_eq!(bonds.left().count(), 0);
    }
}
