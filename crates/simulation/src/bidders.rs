//! Who bids: machines with their own speed and cost, and how their owners behave.

use alloy_primitives::Address;

use crate::random::Random;

/// How an owner decides which price to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Takes any price that covers its cost.
    Honest,
    /// Holds out for a quarter more than its cost, until a tenth of the tasks is left.
    Waiting,
    /// Belongs to a ring that takes nothing below a price, in hundredths of [`MOST_COST`].
    Ring(u8),
}

/// One provider with one slot.
#[derive(Clone, Copy, Debug)]
pub struct Bidder {
    /// Owner account, and node key as well.
    pub account: Address,
    /// Tasks in a thousand seconds.
    pub rate: u64,
    /// What a unit costs it, base units.
    pub cost: u128,
    /// How it behaves.
    pub policy: Policy,
}

impl Bidder {
    /// The least price it takes now.
    pub fn reserve(&self, unclaimed: u32, tasks: u32) -> u128 {
        match self.policy {
            Policy::Honest => self.cost,
            Policy::Waiting if unclaimed <= tasks / 10 => self.cost,
            Policy::Waiting => self.cost.saturating_mul(5) / 4,
            Policy::Ring(percent) => {
                self.cost.max(u128::from(MOST_COST) * u128::from(percent) / 100)
            }
        }
    }

    /// Seconds for so many tasks.
    pub fn seconds(&self, tasks: u32) -> u64 {
        u64::from(tasks).saturating_mul(1_000).div_ceil(self.rate.max(1)).max(1)
    }
}

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// For people.
    pub name: &'static str,
    /// How many of a hundred behave so; the others are honest.
    pub share: u64,
    /// How these behave.
    pub policy: Policy,
}

/// What a machine costs per unit is between this and ten times as much.
pub const LEAST_COST: u64 = 100_000_000;
/// What nearly every machine costs at most per unit.
pub const MOST_COST: u64 = 10 * LEAST_COST;

/// Draws `count` bidders; the same seed gives the same machines, whatever the crowd.
pub fn draw(seed: u64, count: u64, rate: u64, crowd: &Crowd) -> Vec<Bidder> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|number| {
            let (rate, cost) = (random.decade(rate), u128::from(random.decade(LEAST_COST)));
            let policy =
                if random.below(100) < crowd.share { crowd.policy } else { Policy::Honest };
            Bidder { account: account(number), rate, cost, policy }
        })
        .collect()
}

fn account(number: u64) -> Address {
    let mut bytes = [0x0a; 20];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    Address::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Crowd = Crowd { name: "ring", share: 30, policy: Policy::Ring(90) };
    const HONEST: Crowd = Crowd { name: "honest", share: 0, policy: Policy::Honest };

    #[test]
    fn the_crowd_changes_manners_and_not_machines() {
        let (ring, honest) = (draw(7, 100, 50, &RING), draw(7, 100, 50, &HONEST));
        let machines =
            |all: &[Bidder]| all.iter().map(|b| (b.account, b.rate, b.cost)).collect::<Vec<_>>();
        assert_eq!(machines(&ring), machines(&honest));
        let members = ring.iter().filter(|b| b.policy != Policy::Honest).count();
        assert!((15..=45).contains(&members), "{members}");
    }

    #[test]
    fn reserves_follow_the_policy() {
        let bidder = |policy| Bidder { policy, cost: 400, ..draw(1, 1, 50, &HONEST)[0] };
        assert_eq!(bidder(Policy::Honest).reserve(50, 100), 400);
        assert_eq!(bidder(Policy::Waiting).reserve(50, 100), 500);
        assert_eq!(bidder(Policy::Waiting).reserve(10, 100), 400);
        assert_eq!(bidder(Policy::Ring(90)).reserve(10, 100), 900_000_000);
        assert_eq!(Bidder { rate: 50, ..bidder(Policy::Honest) }.seconds(3), 60);
    }
}
