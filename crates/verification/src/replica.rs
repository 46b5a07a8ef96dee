//! A replicated range: what its two providers commit to before either root is known, and who the second one is.
//!
//! The provider of a range (its primary) hands in a seal instead of a root. Then a mate is drawn from those that wait in the
//! job, runs the range, and commits to a seal of its own. Only when both have, both show what is in them. A seal binds
//! its sender ([`crate::audit::seal`]), so a copied one opens nothing.
//!
//! ```text
//! answer = keccak256(root 32 | units u64 | failures u32)
//! salt   = keccak256(secret 32 | chain u256 | contract 20 | job u64 | seq u32 | answer 32)
//! seal   = audit::seal(chain, contract, range, owner, answer, salt)
//! mate   = the first that is fit of the panel that a seed draws: see mate()
//! ```
//!
//! Salts are derived from a secret in the provider's folder, so no range has a file of its own that could be lost.
//! `contracts/src/Replicas.sol` and `contracts/src/Waiting.sol` hold the same rules; how salts are made is the
//! provider's own affair.

use std::fmt;

use alloy_primitives::{Address, B256, keccak256};
use tilth_protocol::RangeId;

use crate::{
    audit,
    draw::{Person, Purpose, Seed},
};

/// Most draws for one range, those included that find somebody who is not fit.
pub const MATE_DRAWS: usize = 8;
/// Mates that may be late with one range.
pub const REPLICA_TRIES: u32 = 3;
/// From the submission of a range on mates are drawn so long, seconds; who leaves a line can be drawn so long.
pub const DRAW_SPAN_S: u32 = 3_600;
/// Time of a mate to run a range and to commit, seconds: four times the longest range of an audited job
/// ([`audit::MAX_RANGE_TIMEOUT_S`]).
pub const REPLICA_TIME_S: u32 = 900;

/// Ranges that a mate has open in a job at most. Who is drawn and has as many gets no more, and nobody is in its place.
pub const MATE_DUTIES: u16 = 8;

/// What a provider found in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// Top of the Merkle-sum tree.
    pub root: B256,
    /// Units of all leaves together.
    pub units: u64,
    /// Leaves that are not `Ok`.
    pub failures: u32,
}

impl Found {
    /// What is sealed. Two providers agree if and only if theirs are equal.
    pub fn answer(&self) -> B256 {
        let mut packed = [0_u8; 32 + 8 + 4];
        packed[..32].copy_from_slice(self.root.as_slice());
        packed[32..40].copy_from_slice(&self.units.to_be_bytes());
        packed[40..].copy_from_slice(&self.failures.to_be_bytes());
        keccak256(packed)
    }
}

/// Makes the seals of one provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sealer {
    /// The chain's id.
    pub chain_id: u64,
    /// Where `Replicas` is.
    pub contract: Address,
    /// The provider's owner account.
    pub owner: Address,
    secret: [u8; 32],
}

impl Sealer {
    /// Of a provider with this secret: 32 bytes from a secure source, the same for all its life. With another one it cannot
    /// show what it has committed to, and loses its stake.
    pub const fn new(chain_id: u64, contract: Address, owner: Address, secret: [u8; 32]) -> Self {
        Self { chain_id, contract, owner, secret }
    }

    /// The salt of a seal; to be shown with what is in it, and not before.
    pub fn salt(&self, range: RangeId, found: &Found) -> B256 {
        let mut packed = [0_u8; 32 + 32 + 20 + 8 + 4 + 32];
        packed[..32].copy_from_slice(&self.secret);
        packed[56..64].copy_from_slice(&self.chain_id.to_be_bytes());
        packed[64..84].copy_from_slice(self.contract.as_slice());
        packed[84..92].copy_from_slice(&range.job.0.to_be_bytes());
        packed[92..96].copy_from_slice(&range.seq.to_be_bytes());
        packed[96..].copy_from_slice(found.answer().as_slice());
        keccak256(packed)
    }

    /// What is handed in instead of a root, or committed to by a mate.
    pub fn seal(&self, range: RangeId, found: &Found) -> B256 {
        let salt = self.salt(range, found);
        audit::seal(self.chain_id, self.contract, range, self.owner, found.answer(), salt)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain_id, contract, owner, secret: _ } = self;
        let mut shown = f.debug_struct("Sealer");
        shown.field("chain_id", chain_id).field("contract", contract).field("owner", owner);
        shown.finish_non_exhaustive()
    }
}

/// Somebody who waits in a job. Their order is that of their numbers in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter<Owner> {
    /// Who it is.
    pub owner: Owner,
    /// Its part of the line, base units; below 2^96. In the second before the range's submission.
    pub bond: u128,
    /// Least price per unit, base units.
    pub min_price: u128,
    /// What it has to lose, active and leaving, base units.
    pub reach: u128,
}

/// What a range asks of a mate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is worth: units times price, base units.
    pub value: u128,
    /// Price per unit, base units.
    pub price: u128,
}

impl<Owner> Waiter<Owner> {
    /// Whether it does a range for this price, and has enough at stake for it.
    pub const fn fits(&self, asked: Asked) -> bool {
        self.bond >= asked.value && self.min_price <= asked.price && self.reach >= asked.value
    }
}

/// The mate of a range, as a place in `line`, and the draws that are used up then: the first that is fit of those whom the draws
/// from `first` on find. The draws 0 ..= 7 find one each and nobody twice, whoever of them was asked before. `None`:
/// nobody is left, or no draw.
///
/// `excluded`: the primary and the client.
pub fn mate<Owner: PartialEq>(
    seed: Seed,
    first: usize,
    line: &[Waiter<Owner>],
    asked: Asked,
    excluded: impl Fn(&Owner) -> bool,
) -> (Option<usize>, usize) {
    let people: Vec<_> =
        line.iter().map(|waiter| Person { owner: &waiter.owner, stake: waiter.bond }).collect();
    let panel =
        seed.panel(Purpose::Replica, 0, MATE_DRAWS, &people, |owner: &&Owner| excluded(*owner));
    let drawn = panel.members.iter().enumerate().skip(first);
    let mut fit = drawn.filter(|(_, place)| line[**place].fits(asked));
    match fit.next() {
        Some((draw, place)) => (Some(*place), draw.saturating_add(1)),
        None => (None, panel.members.len()),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;
    use proptest::prelude::*;
    use tilth_protocol::JobId;

    use super::*;

    const RANGE: RangeId = RangeId { job: JobId(7), seq: 9 };
    const ASKED: Asked = Asked { value: 50, price: 7 };

    fn found() -> Found {
        Found { root: B256::repeat_byte(0x11), units: 1_234_567, failures: 3 }
    }

    fn sealer() -> Sealer {
        let (contract, owner) = (Address::repeat_byte(0x22), Address::repeat_byte(0x33));
        Sealer::new(31_337, contract, owner, [0x44; 32])
    }

    fn waiter(owner: u32, bond: u128) -> Waiter<u32> {
        Waiter { owner, bond, min_price: 0, reach: bond }
    }

    fn seed(n: u32) -> Seed {
        Seed::new(B256::repeat_byte(7), RangeId { seq: n, ..RANGE }, 0)
    }

    /// The same numbers are in `contracts/test/Replicas.t.sol`; a third program computed them.
    #[test]
    fn seals_are_what_the_contract_computes() {
        assert_eq!(
            found().answer(),
            b256!("0x2000beae2ab40b9126a3d77f781ddb77b1b95817a110a20be5089923441cca81")
        );
        assert_eq!(
            sealer().salt(RANGE, &found()),
            b256!("0x10d40b6655a74bb75c4c28196a4957e7ccd327afb569ccb7946ed2c5b8284e8d")
        );
        assert_eq!(
            sealer().seal(RANGE, &found()),
            b256!("0x2aebb7a1587c624eb608a4741b95a7c345f7df85d567433f32ffa6a8da350d82")
        );
    }

    #[test]
    fn no_two_seals_or_salts_are_the_same() {
        let (found, sealer) = (found(), sealer());
        let other_job = RangeId { job: JobId(8), ..RANGE };
        let seals = [
            (sealer, RANGE, found),
            (Sealer { chain_id: 1, ..sealer }, RANGE, found),
            (Sealer { contract: Address::ZERO, ..sealer }, RANGE, found),
            (Sealer { secret: [1; 32], ..sealer }, RANGE, found),
            (sealer, RangeId { seq: 10, ..RANGE }, found),
            (sealer, other_job, found),
            (sealer, RANGE, Found { root: B256::ZERO, ..found }),
            (sealer, RANGE, Found { units: 0, ..found }),
            (sealer, RANGE, Found { failures: 0, ..found }),
        ];
        let mut seen = std::collections::HashSet::new();
        for (sealer, range, found) in seals {
            assert!(seen.insert(sealer.salt(range, &found)), "{sealer:?} {range:?} {found:?}");
            assert!(seen.insert(sealer.seal(range, &found)), "{sealer:?} {range:?} {found:?}");
        }
        // The secret alone makes the salt; that it is somebody's is what the seal says.
        let friend = Sealer { owner: Address::ZERO, ..sealer };
        assert!(seen.insert(friend.seal(RANGE, &found)));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let text = format!("{:?}", Sealer { secret: [0xab; 32], ..sealer() });
        assert!(!text.contains("171") && !text.contains("ab, ab"), "{text}");
    }

    #[test]
    fn times_are_those_of_audited_jobs() {
        assert_eq!(REPLICA_TIME_S, 4 * audit::MAX_RANGE_TIMEOUT_S);
        const { assert!(DRAW_SPAN_S >= REPLICA_TRIES * REPLICA_TIME_S) };
        // It has the time of an auditor's leaf for each.
        let leaf = audit::COMMIT_TIME_S / audit::SAMPLES;
        assert_eq!(u32::from(MATE_DUTIES), DRAW_SPAN_S / leaf);
    }

    #[test]
    fn who_is_not_fit_is_passed_over() {
        let fit = waiter(1, 50);
        assert!(fit.fits(ASKED));
        assert!(!Waiter { bond: 49, ..fit }.fits(ASKED));
        assert!(!Waiter { min_price: 8, ..fit }.fits(ASKED));
        assert!(!Waiter { reach: 49, ..fit }.fits(ASKED));
        let line = [waiter(1, 1_000), Waiter { min_price: 8, ..waiter(2, 1_000) }];
        for n in 0..20 {
            let (place, next) = mate(seed(n), 0, &line, ASKED, |_| false);
            assert_eq!(place, Some(0));
            assert!(next <= 2);
            // Nobody else is left for another try.
            assert_eq!(mate(seed(n), next, &line, ASKED, |_| false), (None, 2));
            assert_eq!(mate(seed(n), 0, &line, ASKED, |owner| *owner == 1), (None, 1));
        }
        assert_eq!(mate::<u32>(seed(0), 0, &[], ASKED, |_| false), (None, 0));
    }

    #[test]
    fn a_friend_is_drawn_as_often_as_its_share_of_the_bonds_says() {
        let line: Vec<_> = (0..10).map(|owner| waiter(owner, 100)).collect();
        let friends =
            (0..10_000).filter(|n| mate(seed(*n), 0, &line, ASKED, |_| false).0 == Some(4)).count();
        // Five standard deviations of 10,000 draws at a tenth: 150.
        assert!(friends.abs_diff(1_000) < 150, "{friends}");
    }

    proptest! {
        /// Whoever is asked one after the other is somebody else each time, and the tries end.
        #[test]
        fn mates_of_one_range_are_all_different(bonds in prop::collection::vec(0_u128..200, 0..20), n: u32, primary in 0_u32..20) {
            let line: Vec<_> =
                (0..).zip(&bonds).map(|(owner, bond)| waiter(owner, *bond)).collect();
            let (mut first, mut seen) = (0, std::collections::HashSet::new());
            loop {
                let (place, next) = mate(seed(n), first, &line, ASKED, |owner| *owner == primary);
                prop_assert!(next <= MATE_DRAWS);
                let Some(place) = place else { break };
                prop_assert!(next > first);
                prop_assert!(line[place].fits(ASKED) && line[place].owner != primary);
                prop_assert!(seen.insert(place));
                first = next;
            }
            prop_assert!(seen.len() <= MATE_DRAWS);
        }
    }
}
