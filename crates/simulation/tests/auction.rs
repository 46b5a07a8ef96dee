//! Small auctions: what the table says must hold in every one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use tilth_simulation::{Auction, Crowd, Outcome, Policy, Rule, auction::UNITS_PER_TASK, optimum};

const FLOOR: u128 = 100_000_000;
const CLOCK: Rule = Rule::Clock { floor: FLOOR, cap: 10 * FLOOR };
const HONEST: Crowd = Crowd { name: "honest", share: 0, policy: Policy::Honest };

fn auction(seed: u64) -> Auction {
    Auction { seed, bidders: 20, tasks: 600, finish_s: 1_200, slowest: 15 }
}

fn is_whole(outcome: &Outcome, auction: &Auction) -> bool {
    outcome.done == auction.tasks
}

#[test]
fn the_same_seed_gives_the_same_auction() {
    let auction = auction(3);
    let first = auction.hold(CLOCK, &HONEST).unwrap();
    assert_eq!(auction.hold(CLOCK, &HONEST).unwrap(), first);
    let other = Auction { seed: 4, ..auction };
    assert_ne!(other.hold(CLOCK, &HONEST).unwrap(), first);
}

#[test]
fn honest_bidders_end_near_the_finish_and_far_below_the_cap() {
    for seed in 0..4 {
        let auction = auction(seed);
        let machines = auction.draw(&HONEST);
        let tasks = u64::from(auction.tasks);
        let best = optimum::of(&machines, tasks, UNITS_PER_TASK, auction.finish_s.into()).unwrap();
        let outcome = auction.hold(CLOCK, &HONEST).unwrap();
        assert!(is_whole(&outcome, &auction), "{outcome:?}");
        assert!(outcome.paid >= best.cost / 2, "nobody works far below cost: {outcome:?} {best:?}");
        assert!(outcome.price() < 7 * FLOOR, "{outcome:?} {best:?}");
        assert!(outcome.lowest >= FLOOR && outcome.highest <= 10 * FLOOR);
        // Even the last task is offered at the cap by then, and a range takes about a minute.
        assert!(outcome.ended_s <= u64::from(auction.finish_s) * 5 / 4, "{outcome:?}");
    }
}

#[test]
fn a_ring_of_all_gets_its_price_and_no_more_than_the_cap() {
    let ring = Crowd { name: "ring", share: 100, policy: Policy::Ring(90) };
    let auction = auction(1);
    let outcome = auction.hold(CLOCK, &ring).unwrap();
    assert!(is_whole(&outcome, &auction), "the client gets its work: {outcome:?}");
    assert!(outcome.lowest >= 9 * FLOOR && outcome.highest <= 10 * FLOOR, "{outcome:?}");
    // At a posted price below theirs the same ring does nothing at all.
    let posted = auction.hold(Rule::Posted(5 * FLOOR), &ring).unwrap();
    assert_eq!((posted.done, posted.paid, posted.ranges), (0, 0, 0));
}

#[test]
fn a_ring_among_honest_bidders_is_underbid() {
    let auction = auction(2);
    let ring = Crowd { name: "ring", share: 30, policy: Policy::Ring(90) };
    let outcome = auction.hold(CLOCK, &ring).unwrap();
    assert!(is_whole(&outcome, &auction), "{outcome:?}");
    assert!(outcome.price() < 9 * FLOOR, "{outcome:?}");
}
