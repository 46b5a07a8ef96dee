//! What is kept for audits, told as short stories.

use tilth_protocol::{Amount, JobId, RangeId};

use super::{
    ChainEvent, Claim, Effect, Event, FINAL_MS, MAX_JOBS, Machine, Note, Terms,
    sample::{self, START},
};

const JOB: JobId = JobId(1);
const RANGE: RangeId = RangeId { job: JOB, seq: 0 };
const DISCARD: Effect = Effect::Discard { range: RANGE };

fn log(event: ChainEvent) -> Event {
    Event::Chain(event)
}

/// A machine whose submitted range awaits its audit.
fn submitted() -> Machine {
    let rules = sample::rules(1);
    let provider = rules.owner;
    let mut machine = Machine::new(rules);
    let terms = Terms { audited: true, ..sample::terms(10) };
    machine.step(log(ChainEvent::Opened { job: JOB, terms }), START);
    let claim = Claim { range: RANGE, from: 0, count: 10, at: START };
    machine.step(log(ChainEvent::Claimed { provider, claim }), START);
    machine.step(log(ChainEvent::Submitted { range: RANGE, at: START }), START);
    machine.step(Event::CaughtUp, START);
    assert_eq!(machine.standing().unsettled, 1);
    machine
}

#[test]
fn the_journal_of_a_rejected_range_stays_until_the_verdict_cannot_be_taken_back() {
    let mut machine = submitted();
    let effects = machine.step(log(ChainEvent::Rejected { range: RANGE }), START);
    assert!(effects.contains(&Effect::Note(Note::Rejected { range: RANGE })), "{effects:?}");
    assert!(!effects.contains(&DISCARD), "{effects:?}");
    assert_eq!(machine.standing().unsettled, 0);
    // Disk space is no reason either.
    assert!(!machine.step(Event::Crowded(true), START + FINAL_MS - 1).contains(&DISCARD));
    assert!(machine.step(Event::Tick, START + FINAL_MS).contains(&DISCARD));
}

#[test]
fn a_verdict_that_is_taken_back_leaves_a_range_that_can_be_paid() {
    let mut machine = submitted();
    machine.step(log(ChainEvent::Rejected { range: RANGE }), START);
    machine.step(log(ChainEvent::Settled { range: RANGE, paid: Amount(7) }), START + 9_000);
    assert_eq!(machine.standing().earned, Amount(7));
    assert!(!machine.step(Event::Tick, START + FINAL_MS).contains(&DISCARD));
    assert!(machine.step(Event::Tick, START + 9_000 + FINAL_MS).contains(&DISCARD));
}

#[test]
fn reading_a_long_past_does_not_make_it_blind_for_a_range_of_its_own() {
    let rules = sample::rules(1);
    let provider = rules.owner;
    let mut machine = Machine::new(rules);
    let many = u64::try_from(MAX_JOBS).unwrap() + 10;
    let terms = Terms { audited: true, ..sample::terms(10) };
    let mut forgotten = 0;
    // Some are over, some are open; ours comes last.
    for job in (2..many).chain([1]).map(JobId) {
        let opened = machine.step(log(ChainEvent::Opened { job, terms }), START);
        assert_eq!(opened, []);
        if job.0 % 2 == 0 {
            let effects = machine.step(log(ChainEvent::Closed { job }), START);
            assert_eq!(effects, [Effect::Forget { job, until: 0 }]);
            forgotten += 1;
        }
    }
    for job in (many..many + many).map(JobId) {
        machine.step(log(ChainEvent::Opened { job, terms }), START);
    }
    let claim = Claim { range: RANGE, from: 0, count: 10, at: START };
    machine.step(log(ChainEvent::Claimed { provider, claim }), START);
    machine.step(log(ChainEvent::Submitted { range: RANGE, at: START }), START);
    // Closing the job does not end what is ours in it.
    assert_eq!(machine.step(log(ChainEvent::Closed { job: JOB }), START), []);
    machine.step(Event::CaughtUp, START);
    assert_eq!((machine.standing().unsettled, forgotten > 1_000), (1, true));
    assert!(machine.jobs().any(|job| job == JOB));
}
