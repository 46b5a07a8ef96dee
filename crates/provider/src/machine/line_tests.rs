//! Places in lines, told as short stories; more of them are in `mated`.

use tilth_protocol::JobId;

use crate::machine::{
    ChainEvent, Effect, Event, Machine, Pace, Place, Terms,
    sample::{self, START},
};

const JOB: JobId = JobId(1);

/// A machine that waits in a job's line.
fn waiting() -> Machine {
    let terms = Terms { audited: true, replicated: true, ..sample::terms(1_000) };
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START);
    machine.step(Event::DutiesKnown, START);
    machine.step(Event::Chain(ChainEvent::Opened { job: JOB, terms }), START);
    machine.step(Event::Fetched { job: JOB }, START);
    let pace = Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 0 };
    machine.step(Event::Calibrated { slot: 0, job: JOB, pace }, START);
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
