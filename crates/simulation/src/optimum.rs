//! The best that could have been done, by one who knows every machine: an oracle to compare with.

use crate::bidders::Bidder;

/// The best assignment of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optimum {
    /// Cost of the cheapest machines that together finish in time, all busy until the end.
    pub cost: u128,
    /// Cost per unit of the dearest machine among them: no single price below it is enough.
    pub price: u128,
}

/// Fills the cheapest machines first. `None`: all together are too slow.
///
/// `tasks` of `units` each are to be done within `seconds`.
pub fn of(bidders: &[Bidder], tasks: u64, units: u64, seconds: u64) -> Option<Optimum> {
    let mut cheapest: Vec<_> = bidders.iter().map(|bidder| (bidder.cost, bidder.rate)).collect();
    cheapest.sort_unstable();
    let mut left = tasks;
    let mut cost = 0_u128;
    for (price, rate) in cheapest {
        let done = (rate.saturating_mul(seconds) / 1_000).min(left);
        cost = cost.saturating_add(price * u128::from(done) * u128::from(units));
        left -= done;
        if left == 0 {
            return Some(Optimum { cost, price });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bidders::{Crowd, Policy, draw};

    #[test]
    fn the_cheapest_work_first_and_the_last_one_sets_the_price() {
        let crowd = Crowd { name: "", share: 0, policy: Policy::Honest };
        let base = draw(1, 1, 1, &crowd)[0];
        let bidder = |cost, rate| Bidder { cost, rate, ..base };
        let all = [bidder(9, 1_000), bidder(1, 100), bidder(5, 1_000)];
        // 100 s: 10 tasks at 1, then 30 at 5.
        let best = of(&all, 40, 2, 100).unwrap();
        assert_eq!(best, Optimum { cost: 2 * (10 + 150), price: 5 });
        assert_eq!(of(&all, 211, 2, 100), None);
    }
}
