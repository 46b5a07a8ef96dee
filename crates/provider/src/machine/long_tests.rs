//! Long ranges and lines, told as short stories.

use tilth_protocol::{JobId, Price, RangeId};

use crate::machine::{
    ChainEvent, Claim, Effect, Event, Machine, Pace, Place, Rest, Terms,
    sample::{self, START},
};

/// A replicated job, one whose ranges take ten minutes and which pays better, and another replicated one.
const LINED: JobId = JobId(1);
const LONG: JobId = JobId(2);
const OTHER: JobId = JobId(3);
const DAY: u64 = 86_400_000;
/// A bond stays an hour, and a little longer.
const BOUND: u64 = 3_605_000;

fn replicated() -> Terms {
    Terms { audited: true, replicated: true, deadline: START + DAY, ..sample::terms(1_000) }
}

fn long() -> Terms {
    Terms {
        price: Price(200),
        range_timeout_ms: 3_600_000,
        target_ms: 600_000,
        deadline: START + DAY,
        ..sample::terms(1_000)
    }
}

/// Has a job opened, fetched and measured; a slot must be idle.
fn measure(machine: &mut Machine, job: JobId, terms: Terms, now: u64) -> Vec<Effect> {
    machine.step(Event::Chain(ChainEvent::Opened { job, terms }), now);
    machine.step(Event::Fetched { job }, now);
    let pace = Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 0 };
    machine.step(Event::Calibrated { slot: 0, job, pace }, now)
}

/// Waits in the line of one job, and has asked it for a range.
fn waiting() -> Machine {
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START);
    machine.step(Event::DutiesKnown, START);
    measure(&mut machine, LINED, replicated(), START);
    machine.step(Event::Moved { job: LINED, place: Some(Place::On) }, START);
    assert_eq!(machine.standing().lines, 1);
    machine
}

fn range(seq: u32) -> RangeId {
    RangeId { job: LINED, seq }
}

fn claim(seq: u32) -> Claim {
    Claim { range: range(seq), from: 3 * seq, count: 3, at: START }
}

fn asks(effects: &[Effect], job: JobId) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Claim(ask) if ask.job == job))
}

fn waits(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Wait { .. }))
}

fn runs(effects: &[Effect]) -> Option<RangeId> {
    effects.iter().find_map(|effect| match effect {
        Effect::Run { range, .. } => Some(*range),
        _ => None,
    })
}

#[test]
fn what_we_are_drawn_for_goes_before_our_own_by_its_deadline() {
    let mut machine = waiting();
    assert_eq!(runs(&machine.step(Event::Claimed { claim: claim(0) }, START)), Some(range(0)));
    machine.step(Event::Claimed { claim: claim(1) }, START);
    for (seq, due) in [(4, START + 900_000), (5, START + 600_000)] {
        let drawn = Event::Drawn { claim: claim(seq), due };
        assert_eq!(runs(&machine.step(drawn, START)), None, "the slot is busy");
    }
    for (done, next) in [(0, 5), (5, 4), (4, 1)] {
        let complete = Event::RangeComplete { slot: 0, range: range(done), pace: None };
        assert_eq!(runs(&machine.step(complete, START)), Some(range(next)), "after {done}");
    }
}

#[test]
fn who_can_be_drawn_asks_for_nothing_long_and_leaves_the_line_for_it() {
    let mut machine = waiting();
    let mut effects = measure(&mut machine, LONG, long(), START);
    assert!(effects.contains(&Effect::Leave { job: LINED }), "{effects:?}");
    effects.extend(machine.step(Event::Moved { job: LINED, place: Some(Place::Left) }, START));
    effects.extend(machine.step(Event::Tick, START + BOUND - 1));
    assert!(!asks(&effects, LONG), "ranges of before can still draw us: {effects:?}");
    assert!(!waits(&effects), "{effects:?}");
    // The bond is had back, and then the slot is free for hours.
    machine.step(Event::Tick, START + BOUND);
    let off = Event::Moved { job: LINED, place: Some(Place::Off) };
    let effects = machine.step(off, START + BOUND);
    assert!(asks(&effects, LONG) && !waits(&effects), "{effects:?}");
}

#[test]
fn a_line_that_can_still_draw_us_keeps_its_slot_from_other_lines() {
    let mut machine = waiting();
    let mut effects = measure(&mut machine, OTHER, replicated(), START);
    let cancelled = Event::Chain(ChainEvent::Closed { job: LINED });
    effects.extend(machine.step(cancelled, START));
    assert!(effects.contains(&Effect::Leave { job: LINED }), "{effects:?}");
    effects.extend(machine.step(Event::Moved { job: LINED, place: Some(Place::Left) }, START));
    effects.extend(machine.step(Event::Tick, START + BOUND - 1));
    assert!(!waits(&effects), "two lines and one slot: {effects:?}");
    // When its bond is had back, too, the slot is the other's.
    let effects = machine.step(Event::Tick, START + BOUND);
    assert!(effects.contains(&Effect::Leave { job: LINED }), "{effects:?}");
    let off = Event::Moved { job: LINED, place: Some(Place::Off) };
    let effects = machine.step(off, START + BOUND);
    assert!(effects.iter().any(|e| matches!(e, Effect::Wait { job, .. } if *job == OTHER)));
}

#[test]
fn who_comes_back_to_a_line_needs_no_other_slot_for_it() {
    let mut machine = waiting();
    let effects = machine.step(Event::Rest(Some(Rest::Release)), START);
    assert!(effects.contains(&Effect::Leave { job: LINED }), "{effects:?}");
    machine.step(Event::Moved { job: LINED, place: Some(Place::Left) }, START);
    let effects = machine.step(Event::Rest(None), START + 60_000);
    assert!(waits(&effects), "{effects:?}");
}

#[test]
fn who_waits_in_no_line_takes_as_much_long_work_as_there_is() {
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START);
    machine.step(Event::DutiesKnown, START);
    assert!(asks(&measure(&mut machine, LONG, long(), START), LONG));
    let claim = Claim { range: RangeId { job: LONG, seq: 0 }, from: 0, count: 9, at: START };
    let effects = machine.step(Event::Claimed { claim }, START);
    assert!(asks(&effects, LONG), "one ahead: {effects:?}");
}
