//! What may be cut from honest stakes, and how much.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use tilth_contracts::DeployParams;
use tilth_protocol::RangeId;
use tilth_verification::arithmetic::Fault;

use super::cast::Allowed;
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

/// Cuts of honest stakes, and what explains each of them: the bond of a late range, an absence, or a verdict that was
/// wrong about the very range for which the stake was cut.
#[derive(Debug, Default)]
pub struct Cuts {
    /// Bonds of late ranges.
    pub bonds: Bonds,
    /// What nothing has explained yet; of an auditor with the range in which its vote was overturned.
    open: Vec<(Cut, Option<RangeId>)>,
    /// Whether the last cut of all is the last of `open`: the range of an overturned vote is told of after its cut.
    fresh: bool,
    /// Ranges about which the verdict was wrong.
    misjudged: BTreeSet<RangeId>,
    /// Whose stake the last wrong verdict takes: it is told of before the cuts.
    framed: Option<Address>,
}

impl Cuts {
    /// A stake was cut: that of somebody honest, or another's.
    pub fn cut(&mut self, cut: Cut, honest: bool, allowed: Allowed) {
        self.fresh = false;
        if !honest {
            return;
        }
        match cut.stake {
            Stake::Auditor if allowed.absences && cut.is_absence() => {}
            // First what its case costs, then the rest of it.
            Stake::Provider if self.framed == Some(cut.owner) => {
                if cut.left == 0 {
                    self.framed = None;
                }
            }
            // The range that was late is told of after its bond.
            Stake::Provider if allowed.bonds => self.bonds.cut(cut.owner, cut.sum()),
            _ => {
                self.open.push((cut, None));
                self.fresh = true;
            }
        }
    }

    /// A vote in the case of a range was overturned, which cost so much.
    pub fn voted(&mut self, range: RangeId, sum: u128) {
        if let Some((cut, why)) = self.open.last_mut().filter(|_| self.fresh)
            && cut.stake == Stake::Auditor
            && cut.sum() == sum
        {
            *why = Some(range);
        }
    }

    /// The verdict about a range was wrong; `framed`: the owner of its stake, if that is cut for it now.
    pub fn misjudged(&mut self, range: RangeId, framed: Option<Address>) {
        self.misjudged.insert(range);
        self.framed = framed;
    }

    /// What is left to explain when all is over.
    pub fn unexplained(&self) -> Vec<String> {
        let bonds = self.bonds.left();
        let late =
            bonds.map(|(owner, sum)| format!("{owner} lost {sum} and no range of its was late"));
        let open = self
            .open
            .iter()
            .filter(|(_, why)| why.is_none_or(|range| !self.misjudged.contains(&range)));
        let cut = open.map(|(cut, why)| format!("an honest stake was cut for {why:?}: {cut:?}"));
        late.chain(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, amount::GRAIN};

    use super::*;

    const WHO: Address = Address::repeat_byte(7);
    const JUDGED: RangeId = RangeId { job: JobId(1), seq: 2 };
    const OTHER: RangeId = RangeId { job: JobId(1), seq: 3 };

    /// A number of the contracts, as it is written there.
    fn number(source: &str, name: &str) -> u128 {
        let (_, rest) = source.split_once(&format!(" constant {name} = ")).unwrap();
        let (text, _) = rest.split_once(';').unwrap();
        text.replace('_', "").parse().unwrap()
    }

    #[test]
    fn our_parts_are_the_contracts() {
        let parameters = include_str!("../../../../contracts/src/libraries/Parameters.sol");
        let layout = include_str!("../../../../contracts/src/JobLayout.sol");
        assert_eq!(FLOOR_PART, number(parameters, "FLOOR_PART"));
        assert_eq!(crate::trust::cast::MIN_FEE_PART, number(parameters, "MIN_FEE_PART"));
        // The same name stands for ours.
        assert!(parameters.contains(" constant INPUTS_LOST = MOST_HELD;"));
        assert_eq!(BOND_PART * number(layout, "BOND_BPS"), number(layout, "BPS"));
    }

    fn of(owner: Address, stake: Stake, sum: u128, left: u128) -> Cut {
        Cut { owner, stake, given: sum / 2, burned: sum - sum / 2, left }
    }

    /// What is left unexplained of cuts that are all of honest people.
    fn left(allowed: Allowed, tell: impl Fn(&mut Cuts, &dyn Fn(&mut Cuts, Cut))) -> usize {
        let mut cuts = Cuts::default();
        tell(&mut cuts, &|cuts, cut| cuts.cut(cut, true, allowed));
        cuts.unexplained().len()
    }

    #[test]
    fn a_wrong_verdict_explains_the_cuts_of_its_own_case_and_no_others() {
        let none = Allowed::default();
        let vote = of(WHO, Stake::Auditor, 50, 50);
        let explained = |of: RangeId| {
            left(none, |cuts, cut| {
                cut(cuts, vote);
                cuts.voted(of, 50);
                cuts.misjudged(JUDGED, None);
            })
        };
        assert_eq!((explained(JUDGED), explained(OTHER)), (0, 1));
        let other_sum = left(none, |cuts, cut| {
            cut(cuts, vote);
            cuts.voted(JUDGED, 49);
            cuts.misjudged(JUDGED, None);
        });
        assert_eq!(other_sum, 1);
        let others_vote = left(none, |cuts, cut| {
            cut(cuts, vote);
            cuts.cut(of(Address::ZERO, Stake::Auditor, 50, 50), false, none);
            cuts.voted(JUDGED, 50);
            cuts.misjudged(JUDGED, None);
        });
        assert_eq!(others_vote, 1, "it was somebody else's vote");
    }

    #[test]
    fn who_is_framed_loses_one_stake_and_nothing_besides() {
        for bonds in [false, true] {
            let allowed = Allowed { bonds, ..Allowed::default() };
            let fees = of(WHO, Stake::Provider, 20, 80);
            let rest = of(WHO, Stake::Provider, 80, 0);
            let framed = |first: bool, again: bool, owner: Address| {
                left(allowed, |cuts, cut| {
                    if first {
                        cut(cuts, fees);
                    }
                    cuts.misjudged(JUDGED, Some(owner));
                    if !first {
                        cut(cuts, fees);
                    }
                    cut(cuts, rest);
                    if again {
                        cut(cuts, fees);
                    }
                })
            };
            assert_eq!(framed(false, false, WHO), 0, "fees of the case, and the rest");
            assert_eq!(framed(true, false, WHO), 1, "a cut before");
            assert_eq!(framed(false, true, WHO), 1, "a cut after");
            assert!(framed(false, false, Address::ZERO) > 0, "somebody else was framed");
        }
    }

    #[test]
    fn bonds_are_explained_by_late_ranges_though_somebody_was_framed() {
        let allowed = Allowed { bonds: true, idle_votes: true, ..Allowed::default() };
        let mut cuts = Cuts::default();
        cuts.misjudged(JUDGED, Some(Address::ZERO));
        cuts.cut(of(Address::ZERO, Stake::Provider, 100, 0), true, allowed);
        cuts.cut(of(WHO, Stake::Provider, 10, 90), true, allowed);
        assert_eq!(cuts.unexplained().len(), 1);
        assert!(cuts.bonds.late(WHO, 10, 100));
        assert_eq!(cuts.unexplained(), Vec::<String>::new());
    }

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
