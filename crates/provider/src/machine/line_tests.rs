//! Places in lines, told as short stories; more of them are in `mated`.

use alloy_primitives::B256;
use tilth_protocol::{Amount, ContentHash, JobId, RangeId};

use crate::machine::{
    ChainEvent, Claim, Commitment, Effect, Event, Machine, Note, Pace, Place, RunTrouble, Terms,
    sample::{self, START},
};

const JOB: JobId = JobId(1);
const RANGE: RangeId = RangeId { job: JOB, seq: 4 };

fn terms() -> Terms {
    Terms { audited: true, replicated: true, ..sample::terms(1_000) }
}

/// A machine that has measured a job with these terms, and what it does then.
fn calibrated(terms: Terms, units: u64) -> (Machine, Vec<Effect>) {
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START);
    machine.step(Event::DutiesKnown, START);
    machine.step(Event::Chain(ChainEvent::Opened { job: JOB, terms }), START);
    machine.step(Event::Fetched { job: JOB }, START);
    let pace = Pace { tasks: 1, units, micros: 100_000, load_micros: 0 };
    let effects = machine.step(Event::Calibrated { slot: 0, job: JOB, pace }, START);
    (machine, effects)
}

/// One that waits in its line.
fn waiting() -> Machine {
    let (mut machine, _) = calibrated(terms(), 10);
    machine.step(Event::Moved { job: JOB, place: Some(Place::On) }, START);
    machine
}

#[test]
fn a_place_in_a_line_is_not_forgotten_because_a_node_is_late() {
    let mut machine = waiting();
    let (mut now, mut tries) = (START, 0);
    let mut effects = machine.step(Event::Drain, now);
    while machine.standing().lines == 1 {
        assert!(effects.contains(&Effect::Leave { job: JOB }), "{tries}: {effects:?}");
        machine.step(Event::Moved { job: JOB, place: Some(Place::Off) }, now);
        tries += 1;
        if machine.standing().lines == 1 {
            now = machine.next_wake().unwrap();
            effects = machine.step(Event::Tick, now);
        }
        assert!(now < START + 300_000, "in the end it is believed");
    }
    assert_eq!(tries, 6);
    // One that has heard of it meanwhile says how it is.
    let mut machine = waiting();
    machine.step(Event::Drain, START);
    machine.step(Event::Moved { job: JOB, place: Some(Place::Off) }, START);
    let wake = machine.next_wake().unwrap();
    machine.step(Event::Tick, wake);
    machine.step(Event::Moved { job: JOB, place: Some(Place::Left) }, wake);
    assert_eq!((machine.standing().lines, machine.standing().bonds), (0, 1));
}

#[test]
fn a_bond_draws_nothing_that_we_cannot_do_in_time() {
    let bond = |units| {
        let terms = Terms { target_ms: 50_000, ..terms() };
        let (_, effects) = calibrated(terms, units);
        effects.iter().find_map(|effect| match effect {
            Effect::Wait { bond, .. } => Some(*bond),
            _ => None,
        })
    };
    // Fifty seconds at ten tasks a second, of ten units at most, for 100 each; and that four times.
    assert_eq!(bond(10), Some(Amount(4 * 500 * 10 * 100)));
    // They take one unit each, so this is what is done in 450 seconds.
    assert_eq!(bond(1), Some(Amount(450 * 10 * 100)));
    assert_eq!(bond(0), Some(Amount(450)), "something in any case");
}

/// A range is drawn for us and not done; says when.
fn miss(machine: &mut Machine, seq: u32, now: u64) -> u64 {
    let claim = Claim { range: RangeId { job: JOB, seq }, from: 40, count: 3, at: now };
    let due = now + 900_000;
    machine.step(Event::Drawn { claim, due }, now);
    let effects = machine.step(Event::Tick, due);
    assert!(effects.contains(&Effect::Note(Note::Missed { range: claim.range })), "{effects:?}");
    let aborted = Event::RunFailed { slot: 0, done: 1, trouble: RunTrouble::Aborted };
    machine.step(aborted, due);
    machine.step(Event::Chain(ChainEvent::Line { job: JOB, place: Place::Left }), due);
    due
}

/// It waits again after so long, and no earlier; says when that is.
fn comes_back(machine: &mut Machine, now: u64, after: u64) -> u64 {
    let waits = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Wait { .. }));
    let at = now + after;
    assert!(!waits(&machine.step(Event::Tick, at - 1)), "{after}");
    assert!(waits(&machine.step(Event::Tick, at)), "{after}");
    machine.step(Event::Moved { job: JOB, place: Some(Place::On) }, at);
    at
}

#[test]
fn who_misses_one_range_after_another_comes_back_ever_later() {
    let terms = Terms { deadline: START + 86_400_000, ..terms() };
    let (mut machine, _) = calibrated(terms, 10);
    machine.step(Event::Moved { job: JOB, place: Some(Place::On) }, START);
    let mut now = START;
    for (seq, after) in [(1, 600_000), (2, 1_200_000), (3, 2_400_000)] {
        now = miss(&mut machine, seq, now);
        now = comes_back(&mut machine, now, after);
    }
    let claim = Claim { range: RANGE, from: 40, count: 3, at: now };
    machine.step(Event::Drawn { claim, due: now + 900_000 }, now);
    machine.step(Event::RangeComplete { slot: 0, range: RANGE, pace: None }, now);
    let content = ContentHash([6; 32]);
    let commitment = Commitment { root: B256::repeat_byte(5), units: 70, failures: 0, content };
    machine.step(Event::Stored { range: RANGE, commitment }, now);
    now = miss(&mut machine, 5, now);
    comes_back(&mut machine, now, 600_000);
}

#[test]
fn a_range_that_has_other_tasks_after_a_reorganisation_is_run_anew() {
    let drawn = |count| {
        let claim = Claim { range: RANGE, from: 40, count, at: START };
        Event::Drawn { claim, due: START + 900_000 }
    };
    let run = |count| Effect::Run { slot: 0, range: RANGE, from: 40, count, silence_ms: 30_000 };
    let content = ContentHash([6; 32]);
    let commitment = Commitment { root: B256::repeat_byte(5), units: 70, failures: 0, content };
    let found = |count| Effect::Found { range: RANGE, from: 40, count, commitment };
    let complete = Event::RangeComplete { slot: 0, range: RANGE, pace: None };
    let stored = Event::Stored { range: RANGE, commitment };

    let mut machine = waiting();
    assert!(machine.step(drawn(3), START).contains(&run(3)));
    machine.step(complete.clone(), START);
    assert!(machine.step(stored.clone(), START).contains(&found(3)));
    let effects = machine.step(drawn(5), START);
    assert!(effects.contains(&run(5)), "{effects:?}");
    // Another one, while it runs.
    let effects = machine.step(drawn(6), START);
    assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
    let aborted = Event::RunFailed { slot: 0, done: 1, trouble: RunTrouble::Aborted };
    machine.step(aborted, START);
    machine.step(Event::Fetched { job: JOB }, START);
    let effects = machine.step(Event::Tick, START + 120_000);
    assert!(effects.contains(&run(6)), "{effects:?}");
    machine.step(complete, START + 120_000);
    assert!(machine.step(stored, START + 120_000).contains(&found(6)));
}
