//! The look at those who hold a range, told as short stories.

use alloy::primitives::B256;
use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_verification::draw::Seed;

use super::{
    scenarios::{NOTHING, asked_for, one, pass},
    spotting::SpotView,
    words::{Effect, Event, Party, Standing},
    world::{AUDITOR, DUE, HOUR, OURS, PROVIDER, SPOT_ROUND, SPOTS, World, at},
};
use crate::{audit::FINAL, cases::REACH};

/// A range that is held, with or without us, and paid, and whose holders are looked at.
fn called(party: Party, bits: u16) -> World {
    let mut world = one(party, HoldState::Held);
    world.end_range(0, RangeState::Settled);
    let case = &mut world.cases[0];
    case.bits = bits;
    world.now = case.until + HOUR;
    case.spot = SpotView { state: SpotState::Asked, end: world.now + 2 * HOUR, bits: 0, draws: 0 };
    case.block = SPOT_ROUND + 1;
    world
}

fn is_check(effect: &Effect) -> bool {
    matches!(effect, Effect::Check { .. })
}

#[test]
fn who_holds_calls_for_those_who_look_when_its_time_is_over() {
    let mut world = one(Party::Auditor(AUDITOR), HoldState::Held);
    world.end_range(0, RangeState::Settled);
    let until = world.cases[0].until;
    world.introduce();
    world.work_off();
    pass(&mut world, |world| world.cases[0].spot.state == SpotState::Asked);
    let end = world.cases[0].spot.end;
    assert!(end > until + 2 * HOUR && end < until + 3 * HOUR, "soon after it");
    assert_eq!(world.kept[0], Some(end));
    assert_eq!(world.shown[0], Some(Standing::Spot(SpotState::Asked)));
    // Where nobody makes blocks it makes them, and it is one of those who look.
    pass(&mut world, |world| world.cases[0].spot.bits == SPOTS);
    assert!(world.now < end);
    pass(&mut world, |world| world.forgotten[0]);
    assert_eq!(world.cases[0].spot.state, SpotState::Over);
    assert!(world.now >= end + FINAL);
}

#[test]
fn who_was_away_calls_for_them_as_long_as_it_can() {
    for (late, calls) in [(DUE / 2, true), (DUE - HOUR, true), (DUE + HOUR, false)] {
        let mut world = one(Party::Auditor(AUDITOR), HoldState::Held);
        world.end_range(0, RangeState::Settled);
        world.cases[0].block = 9_999;
        world.now = world.cases[0].until + late;
        world.introduce();
        let asked = asked_for(&mut world, 5);
        assert_eq!(asked.iter().any(is_check), calls, "{late} too late: {asked:?}");
        assert_eq!(world.kept[0].is_some(), calls);
        world.now += FINAL;
        world.tell(Event::Tick);
        world.work_off();
        assert_eq!(world.forgotten[0], !calls);
    }
}

#[test]
fn only_who_holds_calls_for_them() {
    for party in [Party::Client, Party::Provider(PROVIDER), Party::Auditor(AUDITOR + 1)] {
        let mut world = one(party, HoldState::Held);
        world.end_range(0, RangeState::Settled);
        world.now = world.cases[0].until + HOUR;
        world.introduce();
        assert_eq!(asked_for(&mut world, 30), NOTHING, "{party:?}");
    }
}

#[test]
fn who_is_drawn_looks_at_all_who_have_signed_and_says_what_it_has_seen() {
    // Without our signature.
    let mut world = called(Party::Auditor(AUDITOR), 0b1011);
    assert_eq!(world.cases[0].bits & OURS, 0);
    world.introduce();
    world.end(0, true);
    assert_eq!(world.under_way, NOTHING, "the beacon is not known");
    world.note_spot(0);
    let beacon = world.cases[0].spot_beacon.unwrap();
    let (part, seed) = (world.cases[0].part, Seed::new(beacon, at(0), 0).0);
    let holders = vec![(0, 100), (1, 101), (3, 103)];
    for draw in [1, 4] {
        if world.under_way.is_empty() {
            world.now = world.machine.next_wake().unwrap();
            world.tell(Event::Tick);
        }
        world.end(0, true);
        let left = world.cases[0].spot.end - world.now;
        let holders = holders.clone();
        let looks = Effect::Inspect { range: at(0), part, draw, seed, holders, left };
        assert_eq!(world.under_way, [looks]);
        world.end(0, true);
        world.end(0, true);
        assert_eq!(world.under_way, [Effect::Spot { range: at(0), draw, seen: 0b1010 }]);
        world.end(0, true);
    }
    world.end(0, true);
    assert!(world.forgotten[0], "what others say is none of its business");
    assert_eq!((world.cases[0].spot.bits, world.kept[0]), (SPOTS, None));
}

#[test]
fn who_could_not_look_says_nothing() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1011);
    world.note_spot(0);
    world.introduce();
    let asked = asked_for(&mut world, 60);
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|effect| matches!(effect, Effect::Inspect { .. })), "{asked:?}");
    asked_for(&mut world, 70);
    assert!(world.forgotten[0], "it is over");
}

#[test]
fn what_was_seen_of_other_holders_is_not_said() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1011);
    world.note_spot(0);
    world.introduce();
    world.end(0, true);
    world.end(0, true);
    // It was another chain.
    world.cases[0].spot_beacon = Some(B256::repeat_byte(7));
    world.end(0, true);
    let [Effect::Inspect { draw: 1, seed, .. }] = world.under_way[..] else {
        panic!("{:?}", world.under_way)
    };
    assert_eq!(seed, Seed::new(B256::repeat_byte(7), at(0), 0).0);
}

#[test]
fn whom_no_draw_names_forgets_it_when_the_beacon_is_known_or_lost() {
    let mut world = called(Party::Auditor(AUDITOR + 1), 0b1011);
    world.introduce();
    world.end(0, true);
    assert!(!world.forgotten[0]);
    world.note_spot(0);
    pass(&mut world, |world| world.forgotten[0]);
    let mut world = called(Party::Auditor(AUDITOR), 0b1011);
    world.cases[0].block = SPOT_ROUND + REACH + 1;
    world.introduce();
    world.end(0, true);
    assert!(world.forgotten[0]);
}

#[test]
fn a_beacon_that_no_vote_notes_is_noted_once_by_who_holds() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1111);
    world.note_spot(0);
    world.cases[0].block = SPOT_ROUND + REACH / 2 + 1;
    world.introduce();
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Poke { range: at(0), round: SPOT_ROUND }]);
    world.end(0, true);
    world.end(0, true);
    assert!(matches!(world.under_way[..], [Effect::Inspect { .. }]), "{:?}", world.under_way);
}

#[test]
fn where_no_blocks_come_a_look_ends_by_our_clock() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1111);
    world.note_spot(0);
    world.cases[0].spot.bits = SPOTS;
    world.wrong_clock = 3 * HOUR;
    world.introduce();
    let asked = asked_for(&mut world, 3);
    assert_eq!(asked, [Effect::Poke { range: at(0), round: SPOT_ROUND }]);
    // The block has the time that our clock has.
    (world.now, world.wrong_clock) = (world.now + 3 * HOUR, 0);
    let asked = asked_for(&mut world, 1);
    assert_eq!(asked, [Effect::Conclude { range: at(0) }]);
}

#[test]
fn a_client_waits_for_nobody_and_takes_back_what_nobody_has_earned() {
    let ends = |called: bool, after: u64| {
        let mut world = one(Party::Client, HoldState::Held);
        world.end_range(0, RangeState::Settled);
        let case = &mut world.cases[0];
        if called {
            let end = case.until + 2 * HOUR;
            case.spot = SpotView { state: SpotState::Asked, end, bits: 0, draws: 0 };
        }
        world.now = case.until + after;
        world.job_over = true;
        world.introduce();
        world.work_off();
        assert!(world.forgotten[0] && world.closed, "it is not kept from anything");
        assert_eq!(world.deposit, world.reserved());
        world.deposit == 0
    };
    assert!(!ends(false, DUE), "somebody may call yet");
    assert!(ends(false, DUE + 1));
    assert!(!ends(true, 2 * HOUR), "somebody may look yet");
    assert!(ends(true, 2 * HOUR + 1));
}

#[test]
fn a_client_whose_clock_is_wrong_tries_once_and_lets_it_be() {
    let mut world = one(Party::Client, HoldState::Held);
    world.end_range(0, RangeState::Settled);
    world.wrong_clock = 40 * HOUR;
    world.introduce();
    world.end(0, true);
    assert_eq!(world.under_way, [Effect::Conclude { range: at(0) }]);
    world.end(0, false);
    world.now = world.machine.next_wake().unwrap();
    world.tell(Event::Tick);
    world.end(0, true);
    assert!(world.forgotten[0]);
}
