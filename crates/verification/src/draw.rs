//! Who and what is drawn: leaves of a range, and people by their stake.
//!
//! Everything follows from a [`Seed`]: the beacon's value, which nobody knew when the provider
//! committed to its root, and the name of what is drawn for. `contracts/src/libraries/Draw.sol` holds the
//! same rules; both read `vectors/trust.json`.
//!
//! ```text
//! seed       = keccak256(beacon 32 | job u64 | seq u32 | stage u8)
//! word(p, i) = keccak256(seed 32 | purpose u8 | i u32), a number of 256 bits
//! leaf i     = even i, or no units at all:  position  word(LEAF, i) mod leaves
//!              odd i:                       unit      word(LEAF, i) mod units
//! person i   = the one in whose part of the line of stakes word(PERSON, i) mod the line's length lies
//! ```
//!
//! Auditors' votes are drawn with replacement ([`Seed::votes`]): who is drawn again has one more vote. Replicas are
//! drawn without ([`Seed::panel`]), because two of them must be of different owners.
//!
//! The line is the one of before the commitment (an audit's: the second before the range's submission), so no stake
//! that moves when the beacon is known changes who is drawn. Who is excluded has no part of the line: whoever is
//! excluded and holds nearly all of the stake could otherwise make every search fail. So every draw finds somebody
//! while anybody is left.
//!
//! A drawn unit belongs to the leaf whose units it is among when the leaves' units stand in a row. The
//! tree commits every node's sum, so one opening proves it ([`Pick::is_answered_by`]). The remainder of
//! 256 bits prefers small results by less than one part in 2^128 (totals have at most 128 bits).

use alloy_primitives::{B256, U256, keccak256};
use tilth_protocol::{Leaf, RangeId};

use crate::merkle_sum::Opening;

/// What a word is drawn for. Two purposes never share a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Whether a range is audited.
    Decision = 0,
    /// Which leaves.
    Leaf = 1,
    /// Which auditors.
    Auditor = 2,
    /// Which providers hold the replicas.
    Replica = 3,
    /// Which auditors hold what a range has made.
    Holder = 4,
    /// Which auditors look whether they serve it.
    Spot = 5,
}

/// Where all draws of one stage of one range come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub B256);

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Decision, Self::Leaf, Self::Auditor, Self::Replica, Self::Holder, Self::Spot];
}

impl Seed {
    /// The seed of a stage: 0 for the first audit of a range, then one more with every escalation.
    ///
    /// `beacon`: the value of a block at least two after the submission.
    pub fn new(beacon: B256, range: RangeId, stage: u8) -> Self {
        let mut packed = [0_u8; 32 + 8 + 4 + 1];
        packed[..32].copy_from_slice(beacon.as_slice());
        packed[32..40].copy_from_slice(&range.job.0.to_be_bytes());
        packed[40..44].copy_from_slice(&range.seq.to_be_bytes());
        packed[44] = stage;
        Self(keccak256(packed))
    }

    /// The word of draw `i`.
    pub fn word(self, purpose: Purpose, i: u32) -> U256 {
        let mut packed = [0_u8; 32 + 1 + 4];
        packed[..32].copy_from_slice(self.0.as_slice());
        packed[32] = purpose as u8;
        packed[33..].copy_from_slice(&i.to_be_bytes());
        U256::from_be_bytes(keccak256(packed).0)
    }

    /// Draw `i` among the `leaves` of a range that claims `units`; half of the draws go by units, so that
    /// neither many small wrong results nor one large one can hide. `None` for a range without leaves.
    pub fn pick(self, i: u32, leaves: u32, units: u64) -> Option<Pick> {
        if leaves == 0 {
            return None;
        }
        let word = self.word(Purpose::Leaf, i);
        if i % 2 == 1 && units != 0 {
            return Some(Pick::Unit(remainder(word, units)));
        }
        let position = (leaves != 0).then(|| remainder(word, u64::from(leaves)))?;
        Some(Pick::Position(u32::try_from(position).ok()?))
    }

    /// Draws `votes` votes in proportion to stakes, from draw `first` on, with replacement: a vote of somebody who has
    /// votes already is one more of theirs. So a share of the stake has that share of the votes, in however many
    /// accounts it lies. Who is excluded (in an audit: the provider's owner, the client, in a dispute the mate's owner, who
    /// was silent before) is not on the line. Without anybody on it there are no votes.
    pub fn votes<Owner>(
        self,
        purpose: Purpose,
        first: u32,
        votes: usize,
        people: &[Person<Owner>],
        excluded: impl Fn(&Owner) -> bool,
    ) -> Panel {
        let line: Vec<usize> =
            (0..people.len()).filter(|person| !excluded(&people[*person].owner)).collect();
        let total: U256 = line.iter().map(|person| U256::from(people[*person].stake)).sum();
        let mut panel = Panel { members: Vec::new(), next: first };
        while panel.members.len() < votes && !total.is_zero() {
            let at = self.word(purpose, panel.next) % total;
            let Some(found) = standing_at(people, &line, at) else { break };
            panel.next = panel.next.saturating_add(1);
            panel.members.push(found);
        }
        panel
    }

    /// Draws `seats` different people in proportion to their stakes, from draw `first` on. Who is
    /// excluded, or has the same owner as somebody who is in already, is not on the line.
    pub fn panel<Owner: PartialEq>(
        self,
        purpose: Purpose,
        first: u32,
        seats: usize,
        people: &[Person<Owner>],
        excluded: impl Fn(&Owner) -> bool,
    ) -> Panel {
        let mut line: Vec<usize> =
            (0..people.len()).filter(|person| !excluded(&people[*person].owner)).collect();
        let mut panel = Panel { members: Vec::with_capacity(seats.min(people.len())), next: first };
        while panel.members.len() < seats {
            let total: U256 = line.iter().map(|person| U256::from(people[*person].stake)).sum();
            if total.is_zero() {
                break;
            }
            let at = self.word(purpose, panel.next) % total;
            let Some(found) = standing_at(people, &line, at) else { break };
            panel.next = panel.next.saturating_add(1);
            panel.members.push(found);
            line.retain(|person| people[*person].owner != people[found].owner);
        }
        panel
    }
}

/// The remainder of a word, exact.
fn remainder(word: U256, of: u64) -> u64 {
    // Smaller than `of`, so the lowest limb is all of it.
    (word % U256::from(of)).as_limbs()[0]
}

/// In whose part of the line of stakes a place lies.
fn standing_at<Owner>(people: &[Person<Owner>], line: &[usize], at: U256) -> Option<usize> {
    let mut end = U256::ZERO;
    line.iter().copied().find(|person| {
        end += U256::from(people[*person].stake);
        at < end
    })
}

/// Somebody who can be drawn. Their order is that of their numbers in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person<Owner> {
    /// Who gains by it; on a panel nobody is twice, under whatever number.
    pub owner: Owner,
    /// Stake, base units; below 2^96. Without stake nobody is drawn.
    pub stake: u128,
}

/// People that were drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panel {
    /// Places in the list that was drawn from, in the order of the draws; of votes the same one may come again. Fewer than
    /// asked for when nobody else with stake is left.
    pub members: Vec<usize>,
    /// The draw after the last one: where the search for somebody else goes on when a member does not show up.
    pub next: u32,
}

/// What one draw asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pick {
    /// The leaf at this place.
    Position(u32),
    /// The leaf that this unit belongs to, counted from the first leaf's first unit.
    Unit(u64),
}

impl Pick {
    /// Whether an opening is of the leaf that was drawn. That the opening leads to the submitted root and
    /// tally is the caller's to check ([`Opening::proves`]); without that the sums in it mean nothing.
    pub fn is_answered_by(self, opening: &Opening, leaf: &Leaf) -> bool {
        match self {
            Self::Position(position) => opening.position == position,
            Self::Unit(unit) => opening
                .units_before()
                .and_then(|before| unit.checked_sub(before))
                .is_some_and(|inside| inside < leaf.units),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tilth_protocol::{JobId, Status};

    use super::*;
    use crate::merkle_sum::MerkleSum;

    const JOB: JobId = JobId(4);

    fn seed(n: u32) -> Seed {
        Seed::new(B256::repeat_byte(7), RangeId { job: JOB, seq: n }, 0)
    }

    fn people(stakes: &[u128]) -> Vec<Person<usize>> {
        stakes.iter().enumerate().map(|(owner, stake)| Person { owner, stake: *stake }).collect()
    }

    #[test]
    fn seeds_and_words_are_all_different() {
        let beacon = B256::repeat_byte(1);
        let range = RangeId { job: JobId(1), seq: 2 };
        let mut words = std::collections::HashSet::new();
        for seed in [
            Seed::new(beacon, range, 0),
            Seed::new(beacon, range, 1),
            Seed::new(beacon, RangeId { seq: 3, ..range }, 0),
            Seed::new(beacon, RangeId { job: JobId(2), ..range }, 0),
            Seed::new(B256::repeat_byte(2), range, 0),
        ] {
            for purpose in Purpose::ALL {
                assert!((0..50).all(|i| words.insert(seed.word(purpose, i))));
            }
        }
    }

    #[test]
    fn half_of_the_draws_go_by_units() {
        // One leaf of a hundred claims half of all units.
        let units: Vec<u64> = (0..100).map(|n| if n == 31 { 99 } else { 1 }).collect();
        let leaves: Vec<_> =
            (0..).zip(&units).map(|(i, units)| Leaf::failed(i, Status::Trap, *units)).collect();
        let tree = MerkleSum::build(JOB, &leaves).unwrap();
        let mut hits = [0_u32; 2];
        for n in 0..10_000 {
            for i in 0..2_u32 {
                hits[i as usize] += match seed(n).pick(i, 100, 198).unwrap() {
                    Pick::Position(position) => u32::from(position == 31),
                    Pick::Unit(unit) => u32::from(tree.position_of_unit(unit) == Some(31)),
                };
            }
        }
        // Five standard deviations: 50 of 100, 250 of 5,000.
        assert!(hits[0].abs_diff(100) < 50 && hits[1].abs_diff(5_000) < 250, "{hits:?}");
        assert_eq!(seed(0).pick(0, 0, 5), None);
        assert!(matches!(seed(0).pick(1, 3, 0), Some(Pick::Position(0..=2))));
    }

    #[test]
    fn people_are_drawn_by_stake() {
        let people = people(&[1, 0, 2, 7]);
        let mut seen = [0_u32; 4];
        for n in 0..10_000 {
            let panel = seed(n).panel(Purpose::Auditor, 0, 1, &people, |_| false);
            seen[panel.members[0]] += 1;
        }
        assert_eq!(seen[1], 0);
        for (times, expected) in [(seen[0], 1_000), (seen[2], 2_000), (seen[3], 7_000)] {
            assert!(times.abs_diff(expected) < 250, "{seen:?}");
        }
    }

    #[test]
    fn nobody_is_drawn_where_nobody_can_be() {
        let draw = |people: &[Person<usize>], seats| {
            seed(1).panel(Purpose::Auditor, 0, seats, people, |owner| *owner == 0)
        };
        assert_eq!(draw(&[], 2), Panel { members: vec![], next: 0 });
        assert_eq!(draw(&people(&[0, 0]), 2), Panel { members: vec![], next: 0 });
        assert_eq!(draw(&people(&[5]), 1), Panel { members: vec![], next: 0 });
        assert_eq!(draw(&people(&[5, 5]), 2), Panel { members: vec![1], next: 1 });
        // However much of the stake is excluded, the first draw finds the other one.
        assert_eq!(draw(&people(&[1 << 90, 1]), 1), Panel { members: vec![1], next: 1 });
        assert_eq!(draw(&people(&[5, 5]), 0), Panel { members: vec![], next: 0 });
    }

    #[test]
    fn votes_go_by_stake_however_many_accounts_it_lies_in() {
        // Four with a hundred each against eleven with one each: 2.7 % of the stake have 2.7 % of the votes.
        let people = people(&[100, 100, 100, 100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let mut of_the_crowd = 0_u32;
        for n in 0..1_000 {
            let votes = seed(n).votes(Purpose::Auditor, 0, 15, &people, |_| false);
            assert_eq!((votes.members.len(), votes.next), (15, 15));
            of_the_crowd +=
                u32::try_from(votes.members.iter().filter(|at| **at >= 4).count()).unwrap();
        }
        // Five standard deviations of 15,000 votes: 100.
        assert!(of_the_crowd.abs_diff(15_000 * 11 / 411) < 100, "{of_the_crowd}");
    }

    #[test]
    fn votes_find_whoever_is_left_and_nobody_where_nobody_is() {
        let alone =
            seed(1).votes(Purpose::Auditor, 3, 4, &people(&[1 << 90, 1]), |owner| *owner == 0);
        assert_eq!(alone, Panel { members: vec![1; 4], next: 7 });
        let none = seed(1).votes(Purpose::Auditor, 3, 4, &people(&[5, 0]), |owner| *owner == 0);
        assert_eq!(none, Panel { members: vec![], next: 3 });
        // The first vote is whom a panel would have first.
        let people = people(&[3; 40]);
        let panel = seed(2).panel(Purpose::Auditor, 0, 1, &people, |_| false);
        assert_eq!(seed(2).votes(Purpose::Auditor, 0, 1, &people, |_| false), panel);
    }

    #[test]
    fn next_draw_goes_on_where_the_last_one_ended() {
        let people = people(&[3; 40]);
        let five = seed(1).panel(Purpose::Auditor, 0, 5, &people, |_| false);
        let two = seed(1).panel(Purpose::Auditor, 0, 2, &people, |_| false);
        let more = seed(1)
            .panel(Purpose::Auditor, two.next, 3, &people, |owner| two.members.contains(owner));
        assert_eq!([two.members, more.members].concat(), five.members);
        assert_eq!(more.next, five.next);
    }

    proptest! {
        #[test]
        fn a_panel_is_of_different_owners(stakes in prop::collection::vec(0_u128..9, 1..30), seats in 0_usize..9,
            owners in 1_usize..9, n: u32) {
            let people: Vec<_> =
                stakes.iter().enumerate().map(|(i, stake)| Person { owner: i % owners, stake: *stake }).collect();
            let panel = seed(n).panel(Purpose::Replica, 0, seats, &people, |owner| *owner == 1);
            let owners: std::collections::HashSet<_> =
                panel.members.iter().map(|member| people[*member].owner).collect();
            prop_assert_eq!(owners.len(), panel.members.len());
            prop_assert!(panel.members.len() <= seats && !owners.contains(&1));
            prop_assert!(panel.members.iter().all(|member| people[*member].stake > 0));
        }

        #[test]
        fn exactly_one_leaf_answers_a_pick(units in prop::collection::vec(0_u64..5, 1..40), i in 0_u32..6, n: u32) {
            let leaves: Vec<_> =
                (0..).zip(&units).map(|(i, units)| Leaf::failed(i, Status::Trap, *units)).collect();
            let tree = MerkleSum::build(JOB, &leaves).unwrap();
            let total = tree.root().tally.units;
            let pick = seed(n).pick(i, u32::try_from(leaves.len()).unwrap(), total).unwrap();
            let answers: Vec<u32> = (0..u32::try_from(leaves.len()).unwrap())
                .filter(|at| pick.is_answered_by(&tree.open(*at).unwrap(), &leaves[*at as usize]))
                .collect();
            let due = match pick {
                Pick::Position(position) => position,
                Pick::Unit(unit) => tree.position_of_unit(unit).unwrap(),
            };
            prop_assert_eq!(answers, vec![due]);
            prop_assert_eq!(tree.position_of_unit(total), None);
        }

        #[test]
        fn openings_of_another_shape_have_no_units_before(count in 2_u32..40, at: u32) {
            let leaves: Vec<_> = (0..count).map(|i| Leaf::failed(i, Status::Trap, 3)).collect();
            let tree = MerkleSum::build(JOB, &leaves).unwrap();
            let at = at % count;
            let mut opening = tree.open(at).unwrap();
            prop_assert_eq!(opening.units_before(), Some(u64::from(at) * 3));
            opening.siblings.pop();
            prop_assert_eq!(opening.units_before(), None);
            opening.position = count;
            prop_assert_eq!(opening.units_before(), None);
        }
    }
}
