//! The look at those who hold a range, told as short stories.

use alloy::primitives::B256;
use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_verification::draw::Seed;

use super::{
    party::Party,
    said::Standing,
    scenarios::{NOTHING, asked_for, one, pass},
    spotting::SpotView,
    words::{Effect, Event},
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

fn is_inspect(effect: &Effect) -> bool {
    matches!(effect, Effect::Inspect { .. })
}

fn is_note(effect: &Effect) -> bool {
    matches!(effect, Effect::Poke { once: true, .. })
}

/// Everything works and time passes, until this is to be done.
fn until(world: &mut World, is_it: fn(&Effect) -> bool) {
    for _ in 0..100 {
        if world.under_way.iter().any(is_it) {
            return;
        }
        if world.under_way.is_empty() {
            world.now = world.machine.next_wake().expect("it waits for nothing");
            world.tell(Event::Tick);
        } else {
            world.end(0, true);
        }
    }
    panic!("it does not come to that: {:?}", world.under_way);
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
fn a_range_that_is_kept_is_not_looked_at_before_its_time_is_over() {
    let mut world = one(Party::Auditor(AUDITOR), HoldState::Held);
    world.end_range(0, RangeState::Settled);
    world.introduce();
    world.work_off();
    let (until, wake) = (world.cases[0].until, world.machine.next_wake().unwrap());
    assert!(until > world.now + HOUR && wake > until, "{wake} before {until}");
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
        until(&mut world, is_inspect);
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
    until(&mut world, is_inspect);
    let asked = asked_for(&mut world, 60);
    assert!(!asked.is_empty());
    assert!(asked.iter().all(is_inspect), "{asked:?}");
    asked_for(&mut world, 70);
    assert!(world.forgotten[0], "it is over");
}

#[test]
fn what_was_seen_of_other_holders_is_not_said() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1011);
    world.note_spot(0);
    world.introduce();
    until(&mut world, is_inspect);
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
fn a_look_that_takes_longer_than_the_beacon_lasts_still_counts() {
    // Without our signature, and with it.
    for bits in [0b1011, 0b1111] {
        let mut world = called(Party::Auditor(AUDITOR), bits);
        world.note_spot(0);
        world.introduce();
        until(&mut world, is_inspect);
        // Somebody who is away is asked again and again.
        world.now += 2 * HOUR / 3;
        world.pass_blocks(0, REACH + 50);
        until(&mut world, |effect| matches!(effect, Effect::Spot { .. }));
        world.end(0, true);
        assert_eq!(world.cases[0].spot.bits, 1 << 1, "our first draw has spoken");
    }
}

#[test]
fn what_could_not_be_noted_is_noted_before_anybody_looks() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1011);
    world.note_spot(0);
    world.introduce();
    for _ in 0..3 {
        until(&mut world, is_note);
        world.end(0, false);
        assert!(!world.cases[0].spot_noted);
    }
    until(&mut world, is_note);
    world.end(0, true);
    until(&mut world, is_inspect);
    world.end(0, true);
    until(&mut world, |effect| matches!(effect, Effect::Spot { .. }));
}

#[test]
fn who_holds_has_the_beacon_noted_though_it_is_not_drawn_to_look() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1111);
    world.note_spot(0);
    world.introduce();
    for _ in 0..2 {
        world.under_way.clear();
        let mut view = world.view(0);
        view.spot.draws = 0;
        world.tell(Event::Looked { range: at(0), view: Some(Box::new(view)) });
        if world.under_way.is_empty() {
            world.now = world.machine.next_wake().expect("it is not its turn yet");
            world.tell(Event::Tick);
        }
    }
    let note = Effect::Poke { range: at(0), round: SPOT_ROUND, once: true };
    assert_eq!(world.under_way, [note]);
}

#[test]
fn where_no_blocks_come_a_look_ends_by_our_clock() {
    let mut world = called(Party::Auditor(AUDITOR), 0b1111);
    world.note_spot(0);
    world.cases[0].spot.bits = SPOTS;
    world.wrong_clock = 3 * HOUR;
    world.introduce();
    let asked = asked_for(&mut world, 3);
    assert_eq!(asked, [Effect::Poke { range: at(0), round: SPOT_ROUND, once: false }]);
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
