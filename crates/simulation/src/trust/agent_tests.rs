//! What a provider that works by a machine keeps on disk.

use alloy_primitives::Address;

use super::*;
use crate::trust::scene::Actor;

const RANGE: RangeId = RangeId { job: JobId(1), seq: 0 };
const PART: Part = Part { from: 5, count: 10 };
const START: Millis = 1_000_000;

/// One that needs a second for a task.
fn agent() -> Agent {
    let (me, who) = (Actor::Provider(0), Address::repeat_byte(1));
    Agent::new(Name { me, who, number: 1, pace: 1_000 }, 1, 0)
}

fn units(count: u32) -> u64 {
    workload::units(&workload::leaves(RANGE.job, PART.from, count))
}

#[test]
fn who_is_killed_loses_the_task_in_flight_and_nothing_else() {
    let mut agent = agent();
    assert_eq!(agent.run(0, RANGE, PART, START), None);
    agent.restart(START + 4_500);
    assert_eq!((agent.executed, agent.due(), agent.life), (units(4), None, 1));
    assert_eq!(agent.store(RANGE, PART), Event::StoreFailed { range: RANGE, lost: true });
    assert_eq!(agent.run(0, RANGE, PART, START + 5_000), None);
    assert_eq!(agent.due(), Some(START + 11_000));
    assert_eq!(agent.ended(START + 10_999), []);
    let ended = agent.ended(START + 11_000);
    let [Event::RangeComplete { slot: 0, range: RANGE, pace: Some(pace) }] = ended.as_slice()
    else {
        panic!("{ended:?}");
    };
    assert_eq!((pace.tasks, pace.micros, agent.executed), (6, 6_000_000, units(10)));
    let Event::Stored { commitment, .. } = agent.store(RANGE, PART) else { panic!() };
    let stored = agent.take_stored(RANGE).unwrap().found();
    assert_eq!((commitment.root, commitment.units), (stored.root, units(10)));
    // It is all there, and is not run once more; other tasks are.
    let complete = Event::RangeComplete { slot: 0, range: RANGE, pace: None };
    assert_eq!(agent.run(0, RANGE, PART, START + 12_000), Some(complete));
    assert_eq!(agent.run(0, RANGE, Part { from: 6, ..PART }, START + 12_000), None);
}

#[test]
fn what_is_stopped_says_how_far_it_is() {
    let mut agent = agent();
    assert_eq!(agent.run(0, RANGE, PART, START), None);
    let stopped = Event::RunFailed { slot: 0, done: 2, trouble: RunTrouble::Aborted };
    assert_eq!(agent.abort(0, START + 2_000), Some(stopped));
    assert_eq!(agent.abort(0, START + 2_000), None);
}

#[test]
fn a_task_that_was_tried_is_not_executed_again() {
    let mut agent = agent();
    agent.calibrate(0, RANGE.job, PART.from, START);
    let pace = Pace { tasks: 1, units: units(1), micros: 1_000_000, load_micros: 0 };
    let tried = Event::Calibrated { slot: 0, job: RANGE.job, pace };
    assert_eq!(agent.ended(START + 1_000), [tried]);
    assert_eq!(agent.run(0, RANGE, PART, START + 1_000), None);
    assert_eq!(agent.ended(START + 11_000).len(), 1);
    assert_eq!(agent.executed, units(10));
}
