//! Single decisions, told as short stories.

use alloy_primitives::Address;
use tilth_protocol::{Amount, JobId, Price, RangeId, gpu::CLASS_GPU};

use super::{
    Ask, ChainEvent, Claim, Effect, Event, Machine, MoveFailure, Note, Pace, Place, Refusal, Rest,
    Rules, RunTrouble, Terms, Trouble, Unfit,
    sample::{self, START, commitment},
};

const JOB: JobId = JobId(1);

fn range(seq: u32) -> RangeId {
    RangeId { job: JOB, seq }
}

fn claim(seq: u32, from: u32, count: u32) -> Claim {
    Claim { range: range(seq), from, count, at: START }
}

fn pace() -> Pace {
    Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 1_000_000 }
}

/// A machine that has been told of one job and has fetched it; and what it does then.
fn fetched(rules: Rules, terms: Terms) -> (Machine, Vec<Effect>) {
    let mut machine = Machine::new(rules);
    machine.step(Event::CaughtUp, START);
    let opened = ChainEvent::Opened { job: JOB, terms };
    let effects = machine.step(Event::Chain(opened), START);
    assert!(matches!(effects[..], [Effect::Fetch { job: JOB, holds: false, .. }]), "{effects:?}");
    let effects = machine.step(Event::Fetched { job: JOB }, START);
    (machine, effects)
}

fn calibrated(rules: Rules, terms: Terms) -> (Machine, Vec<Effect>) {
    let (mut machine, effects) = fetched(rules, terms);
    assert_eq!(effects, [Effect::Calibrate { slot: 0, job: JOB, index: 0 }]);
    let effects = machine.step(Event::Calibrated { slot: 0, job: JOB, pace: pace() }, START);
    (machine, effects)
}

/// Anything at all about a handful of jobs and ranges.
#[expect(clippy::cast_possible_truncation, reason = "any bits of the number will do")]
pub(super) fn stray_event(n: u64) -> Event {
    let job = JobId(n % 3);
    let range = RangeId { job, seq: (n >> 4) as u32 % 4 };
    let slot = (n >> 8) as u16 % 3;
    let claim =
        Claim { range, from: (n >> 12) as u32 % 8, count: 1 + (n >> 9) as u32 % 5, at: START };
    let provider = Address::repeat_byte(1 + (n >> 7) as u8 % 2);
    let trouble = [RunTrouble::Worker, RunTrouble::Local, RunTrouble::Aborted][n as usize % 3];
    let why = [MoveFailure::Gone, MoveFailure::Later, MoveFailure::Refused][n as usize % 3];
    let places = [Some(Place::Off), Some(Place::On), Some(Place::Left), None];
    match (n >> 24) % 39 {
        0 => Event::CaughtUp,
        1 => Event::Chain(ChainEvent::Opened { job, terms: sample::terms(10) }),
        2 => Event::Chain(ChainEvent::Claimed { provider, claim }),
        3 => Event::Chain(ChainEvent::Submitted { range, at: START }),
        4 => Event::Chain(ChainEvent::Released { range }),
        5 => Event::Chain(ChainEvent::Expired { range }),
        6 => Event::Chain(ChainEvent::Settled { range, paid: Amount(u128::MAX) }),
        7 => Event::Chain(ChainEvent::Closed { job }),
        8 => Event::Fetched { job },
        9 => {
            let trouble = [Trouble::Passing, Trouble::Lasting, Trouble::Aborted][n as usize % 3];
            Event::FetchFailed { job, trouble }
        }
        10 => Event::Calibrated { slot, job, pace: Pace { micros: n, ..pace() } },
        11 => Event::Claimed { claim },
        12 => Event::ClaimRefused { job, epoch: n % 5, why: Refusal::NoWork },
        13 => Event::RangeComplete { slot, range, pace: Some(Pace { tasks: 0, ..pace() }) },
        14 => Event::RunFailed { slot, done: 0, trouble },
        15 => Event::Stored { range, commitment: commitment() },
        16 => Event::StoreFailed { range, lost: n & 1 == 0 },
        17 => Event::Submitted { range, at: START },
        18 => Event::SubmitFailed { range, why },
        19 => Event::ReleaseFailed { range, why },
        20 => Event::SettleEnded { job, done: n & 1 == 0 },
        21 => Event::Crowded(n & 1 == 0),
        22 => Event::Rest(
            [None, Some(Rest::Freeze), Some(Rest::Finish), Some(Rest::Release)][n as usize % 4],
        ),
        23 => Event::Chain(ChainEvent::Rejected { range }),
        24 => Event::Chain(ChainEvent::Draining { job }),
        25 => Event::Chain(ChainEvent::Reopened { job }),
        26 => {
            let terms = Terms { audited: true, replicated: true, ..sample::terms(10) };
            Event::Chain(ChainEvent::Opened { job, terms })
        }
        27 => Event::Drawn { claim, due: START + (n >> 30) % 4_000_000 },
        28 => match n & 3 {
            0 => Event::Duty { range },
            1 => Event::DutiesKnown,
            2 => Event::KeptLost { range, due: START + (n >> 30) % 4_000_000 },
            _ => Event::DutyOver { range },
        },
        29 => Event::Moved { job, place: places[n as usize % 4] },
        30 => Event::Chain(ChainEvent::Line { job, place: places[n as usize % 3].unwrap() }),
        31 => Event::Chain(ChainEvent::MatePaid { range, provider, paid: Amount(n.into()) }),
        32 => Event::FreeSeen { free: Amount(n.into()) },
        33 => Event::WithdrawEnded { done: n & 1 == 0 },
        34 => Event::ExpireEnded { job, done: n & 1 == 0 },
        35 => Event::FetchRefused { job, epoch: n % 5, why: Refusal::NoFunds },
        36 => Event::Released { range },
        37 => Event::Chain(ChainEvent::ToppedUp { job }),
        _ => Event::Tick,
    }
}

#[test]
fn a_job_is_fetched_calibrated_claimed_run_stored_submitted_and_asked_for_again() {
    let (mut machine, effects) = calibrated(sample::rules(1), sample::terms(1_000));
    // Half the range timeout less the time to load, at ten tasks a second.
    let ask = Ask { job: JOB, want: 290, min_price: Price(10), epoch: 0 };
    assert_eq!(effects, [Effect::Claim(ask)]);

    let effects = machine.step(Event::Claimed { claim: claim(0, 0, 8) }, START);
    let run = Effect::Run { slot: 0, range: range(0), from: 0, count: 8, silence_ms: 30_000 };
    let Effect::Claim(ahead) = effects[1] else { panic!("{effects:?}") };
    assert_eq!(effects[0], run);
    assert_eq!(ahead.want, 282, "less what the slot still has to do");
    machine.step(Event::Claimed { claim: claim(1, 8, 8) }, START);

    let complete = Event::RangeComplete { slot: 0, range: range(0), pace: None };
    let effects = machine.step(complete, START + 800);
    assert_eq!(effects[0], Effect::Store { range: range(0), from: 0, count: 8 });
    assert!(matches!(effects[1], Effect::Run { range: RangeId { seq: 1, .. }, .. }));
    assert_eq!(effects.len(), 2, "the next ask travels with the submission: {effects:?}");

    let stored = Event::Stored { range: range(0), commitment: commitment() };
    let effects = machine.step(stored, START + 810);
    assert!(matches!(effects[..], [Effect::Submit { ask: Some(_), .. }]), "{effects:?}");
}

#[test]
fn jobs_that_do_not_fit_are_left_alone() {
    let fits = sample::terms(10);
    for (terms, why) in [
        (Terms { price: Price(9), ..fits }, Unfit::Price),
        (Terms { required_class: 0b11, ..fits }, Unfit::Class),
        (Terms { min_vram_mib: 1, ..fits }, Unfit::Vram),
        (Terms { chained: true, ..fits }, Unfit::Chained),
        (Terms { audited: true, required_class: CLASS_GPU, ..fits }, Unfit::Audited),
    ] {
        let mut machine = Machine::new(sample::rules(1));
        machine.step(Event::CaughtUp, START);
        let effects = machine.step(Event::Chain(ChainEvent::Opened { job: JOB, terms }), START);
        let ignored = Effect::Note(Note::Ignored { job: JOB, why });
        let until = terms.deadline;
        assert_eq!(effects, [ignored, Effect::Forget { job: JOB, until }]);
        assert_eq!(machine.next_wake(), None);
    }
}

#[test]
fn a_job_whose_tasks_take_longer_than_a_range_may_is_left_alone() {
    let (mut machine, _) = fetched(sample::rules(1), sample::terms(10));
    let slow = Pace { micros: 60_000_000, ..pace() };
    let effects = machine.step(Event::Calibrated { slot: 0, job: JOB, pace: slow }, START);
    assert!(effects.contains(&Effect::Note(Note::Ignored { job: JOB, why: Unfit::TooSlow })));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Claim(_))));
}

#[test]
fn an_audited_job_that_failures_have_drained_is_worked_on_again_when_they_are_taken_back() {
    let claims = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Claim(_)));
    let tell = |machine: &mut Machine, event| machine.step(Event::Chain(event), START);
    for audited in [true, false] {
        let terms = Terms { audited, ..sample::terms(10) };
        let (mut machine, effects) = calibrated(sample::rules(1), terms);
        let Effect::Claim(ask) = effects[0] else { panic!("{effects:?}") };
        let refused = Event::ClaimRefused { job: JOB, epoch: ask.epoch, why: Refusal::Closed };
        assert!(!claims(&machine.step(refused, START)));
        assert!(!claims(&tell(&mut machine, ChainEvent::Draining { job: JOB })));
        let reopened = tell(&mut machine, ChainEvent::Reopened { job: JOB });
        assert_eq!(claims(&reopened), audited, "{reopened:?}");
        tell(&mut machine, ChainEvent::Closed { job: JOB });
        assert!(!claims(&tell(&mut machine, ChainEvent::Reopened { job: JOB })));
    }
}

#[test]
fn a_dry_job_sleeps_until_it_is_topped_up() {
    let (mut machine, effects) = calibrated(sample::rules(1), sample::terms(10));
    let Effect::Claim(ask) = effects[0] else { panic!("{effects:?}") };
    let refused = Event::ClaimRefused { job: JOB, epoch: ask.epoch, why: Refusal::NoFunds };
    assert_eq!(machine.step(refused, START), []);
    let later = START + 3_000_000;
    assert_eq!(machine.step(Event::Tick, later), [], "no asking by the clock");
    let topped_up = Event::Chain(ChainEvent::ToppedUp { job: JOB });
    assert!(matches!(machine.step(topped_up, later)[..], [Effect::Claim(_)]));
}

#[test]
fn a_dry_job_goes_on_when_nobody_has_earned_the_second_part_of_a_range() {
    let (mut machine, effects) = calibrated(sample::rules(1), sample::terms(10));
    let Effect::Claim(ask) = effects[0] else { panic!("{effects:?}") };
    let refused = Event::ClaimRefused { job: JOB, epoch: ask.epoch, why: Refusal::NoFunds };
    assert_eq!(machine.step(refused, START), []);
    let given = |provider| ChainEvent::MatePaid { range: range(3), provider, paid: Amount(70) };
    let other = Event::Chain(given(Address::repeat_byte(9)));
    assert_eq!(machine.step(other, START), [], "a mate has it");
    let back = Event::Chain(given(Address::ZERO));
    assert!(matches!(machine.step(back, START)[..], [Effect::Claim(_)]));
}

#[test]
fn a_stake_that_is_too_low_for_a_job_is_said() {
    let (mut machine, effects) = calibrated(sample::rules(1), sample::terms(10));
    let Effect::Claim(ask) = effects[0] else { panic!("{effects:?}") };
    let refused = Event::ClaimRefused { job: JOB, epoch: ask.epoch, why: Refusal::Exposure };
    assert_eq!(machine.step(refused, START), [Effect::Note(Note::StakeTooLow { job: JOB })]);
}

#[test]
fn an_audited_job_without_room_is_asked_again_for_auditors_may_have_come() {
    let terms = Terms { audited: true, ..sample::terms(10) };
    let (mut machine, effects) = calibrated(sample::rules(1), terms);
    let Effect::Claim(ask) = effects[0] else { panic!("{effects:?}") };
    let refused = Event::ClaimRefused { job: JOB, epoch: ask.epoch, why: Refusal::Exposure };
    assert_eq!(machine.step(refused, START), [Effect::Note(Note::StakeTooLow { job: JOB })]);
    let wake = machine.next_wake().unwrap();
    assert!((START + 60_000..START + 3_000_000).contains(&wake), "in minutes, not at once");
    assert!(matches!(machine.step(Event::Tick, wake)[..], [Effect::Claim(_)]));
}

#[test]
fn a_refusal_that_crossed_the_news_is_not_slept_through() {
    let (mut machine, effects) = calibrated(sample::rules(1), sample::terms(10));
    let Effect::Claim(ask) = effects[0] else { panic!("{effects:?}") };
    machine.step(Event::Chain(ChainEvent::ToppedUp { job: JOB }), START);
    let refused = Event::ClaimRefused { job: JOB, epoch: ask.epoch, why: Refusal::NoFunds };
    machine.step(refused, START);
    let wake = machine.next_wake().unwrap();
    assert!(wake <= START + 1_000);
    assert!(matches!(machine.step(Event::Tick, wake)[..], [Effect::Claim(_)]));
}

#[test]
fn a_range_that_kills_its_worker_twice_is_given_back_and_its_job_rests() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(10));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    let died = Event::RunFailed { slot: 0, done: 0, trouble: RunTrouble::Worker };
    let effects = machine.step(died.clone(), START);
    assert!(matches!(effects[..], [Effect::Run { .. }, ..]), "tried again: {effects:?}");
    let effects = machine.step(died, START);
    assert!(effects.contains(&Effect::Release { range: range(0) }), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Run { .. })));
}

#[test]
fn a_worker_that_dies_after_progress_is_forgiven() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(10));
    machine.step(Event::Claimed { claim: claim(0, 0, 9) }, START);
    for done in 1..6 {
        let died = Event::RunFailed { slot: 0, done, trouble: RunTrouble::Worker };
        let effects = machine.step(died, START);
        assert!(matches!(effects[0], Effect::Run { .. }), "{effects:?}");
    }
}

#[test]
fn a_range_taken_from_us_while_it_runs_is_stopped_and_discarded() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(10));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    let effects = machine.step(Event::Chain(ChainEvent::Expired { range: range(0) }), START);
    assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
    let aborted = Event::RunFailed { slot: 0, done: 1, trouble: RunTrouble::Aborted };
    let effects = machine.step(aborted, START);
    assert!(effects.contains(&Effect::Discard { range: range(0) }), "{effects:?}");
}

#[test]
fn a_late_log_does_not_bring_a_returned_range_back() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(10));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    machine.step(Event::Released { range: range(0) }, START);
    let owner = sample::rules(1).owner;
    let log = ChainEvent::Claimed { provider: owner, claim: claim(0, 0, 2) };
    machine.step(Event::Chain(log), START);
    assert_eq!(machine.standing().held, 0);
}

#[test]
fn ranges_of_an_earlier_life_are_run_without_calibration_and_submitted() {
    let mut machine = Machine::new(sample::rules(1));
    let owner = sample::rules(1).owner;
    let opened = ChainEvent::Opened { job: JOB, terms: sample::terms(10) };
    machine.step(Event::Chain(opened), START);
    let log = ChainEvent::Claimed { provider: owner, claim: claim(0, 0, 10) };
    machine.step(Event::Chain(log), START);
    let effects = machine.step(Event::CaughtUp, START);
    assert!(matches!(effects[..], [Effect::Fetch { holds: true, .. }]), "{effects:?}");
    let effects = machine.step(Event::Fetched { job: JOB }, START);
    assert!(matches!(effects[..], [Effect::Run { from: 0, count: 10, .. }]), "{effects:?}");
}

#[test]
fn ranges_of_an_earlier_life_without_inputs_are_given_back() {
    let mut machine = Machine::new(sample::rules(1));
    let owner = sample::rules(1).owner;
    machine.step(Event::Chain(ChainEvent::Opened { job: JOB, terms: sample::terms(10) }), START);
    let log = ChainEvent::Claimed { provider: owner, claim: claim(0, 0, 10) };
    machine.step(Event::Chain(log), START);
    machine.step(Event::CaughtUp, START);
    let failed = Event::FetchFailed { job: JOB, trouble: Trouble::Lasting };
    let effects = machine.step(failed, START);
    assert!(effects.contains(&Effect::Release { range: range(0) }), "{effects:?}");
}

#[test]
fn unacknowledged_work_is_settled_after_its_window_and_served_for_a_while() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(2));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    machine.step(Event::RangeComplete { slot: 0, range: range(0), pace: None }, START);
    machine.step(Event::Stored { range: range(0), commitment: commitment() }, START);
    machine.step(Event::Submitted { range: range(0), at: START }, START);
    let due = machine.next_wake().unwrap();
    assert_eq!(due, START + 62_000);
    let effects = machine.step(Event::Tick, due);
    assert_eq!(effects, [Effect::Settle { job: JOB, seqs: vec![0] }]);
    let settled = ChainEvent::Settled { range: range(0), paid: Amount(7_000) };
    machine.step(Event::Chain(settled), due);
    machine.step(Event::SettleEnded { job: JOB, done: true }, due);
    assert_eq!(machine.standing().earned, Amount(7_000));
    let effects = machine.step(Event::Tick, due + 60_000);
    assert_eq!(effects, [Effect::Discard { range: range(0) }]);
}

#[test]
fn what_is_paid_counts_once_towards_the_threshold() {
    let rules = Rules { withdraw_above: Some(Amount(10)), ..sample::rules(1) };
    let owner = rules.owner;
    let (mut machine, _) = calibrated(rules, sample::terms(20));
    let seen = |free| Event::FreeSeen { free: Amount(free) };
    for (seq, paid, free, withdraws) in [(0, 9, 9, false), (1, 1, 10, true), (2, 9, 9, false)] {
        machine.step(Event::Claimed { claim: claim(seq, seq, 1) }, START);
        machine.step(Event::Submitted { range: range(seq), at: START }, START);
        // The Ledger shows it before its log is read.
        let effects = machine.step(seen(free), START);
        assert_eq!(effects.contains(&Effect::Withdraw), withdraws, "{effects:?}");
        let settled = ChainEvent::Settled { range: range(seq), paid: Amount(paid) };
        let effects = machine.step(Event::Chain(settled), START);
        assert!(!effects.contains(&Effect::Withdraw), "{effects:?}");
        let mate_paid =
            ChainEvent::MatePaid { range: range(seq), provider: owner, paid: Amount(9) };
        let effects = machine.step(Event::Chain(mate_paid), START);
        assert!(!effects.contains(&Effect::Withdraw), "{effects:?}");
        machine.step(Event::WithdrawEnded { done: true }, START);
    }
    assert_eq!(machine.standing().earned, Amount(46));
}

#[test]
fn what_came_in_for_something_else_is_withdrawn_as_well() {
    let rules = Rules { withdraw_above: Some(Amount(10)), ..sample::rules(1) };
    let (mut machine, _) = calibrated(rules, sample::terms(20));
    let mut withdraws = |event| machine.step(event, START).contains(&Effect::Withdraw);
    let seen = |free| Event::FreeSeen { free: Amount(free) };
    assert!(!withdraws(seen(9)));
    assert!(withdraws(seen(10)));
    assert!(!withdraws(seen(10)), "it is on its way");
    assert!(!withdraws(Event::WithdrawEnded { done: true }), "and was not seen a second time");
    assert!(!withdraws(seen(0)));
    assert!(withdraws(seen(11)));
}

#[test]
fn draining_finishes_what_runs_gives_back_what_waits_and_asks_for_nothing() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(100));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    machine.step(Event::Claimed { claim: claim(1, 2, 2) }, START);
    let effects = machine.step(Event::Drain, START);
    assert_eq!(effects, [Effect::Release { range: range(1) }]);
    machine.step(Event::Released { range: range(1) }, START);
    let complete = Event::RangeComplete { slot: 0, range: range(0), pace: None };
    let effects = machine.step(complete, START);
    assert!(effects.contains(&Effect::Unload { slot: 0 }), "{effects:?}");
    let stored = Event::Stored { range: range(0), commitment: commitment() };
    let effects = machine.step(stored, START);
    assert!(matches!(effects[..], [Effect::Submit { ask: None, .. }]), "{effects:?}");
    machine.step(Event::Submitted { range: range(0), at: START }, START);
    assert_eq!(machine.standing().held, 0);
    assert_eq!(machine.standing().unsettled, 1);
}

#[test]
fn a_range_of_ours_that_has_other_tasks_after_a_reorganisation_is_run_anew() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(100));
    let provider = sample::rules(1).owner;
    let anew = |from| {
        let claim = claim(0, from, 2);
        Event::Chain(ChainEvent::Claimed { provider, claim })
    };
    let run = |from| Effect::Run { slot: 0, range: range(0), from, count: 2, silence_ms: 30_000 };
    let abort = Effect::Abort { slot: 0 };
    assert!(machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START).contains(&run(0)));
    assert!(!machine.step(anew(0), START).contains(&abort), "it has the tasks that it had");
    let effects = machine.step(anew(10), START);
    assert!(effects.contains(&abort), "{effects:?}");
    let aborted = Event::RunFailed { slot: 0, done: 1, trouble: RunTrouble::Aborted };
    machine.step(aborted, START);
    machine.step(Event::Fetched { job: JOB }, START);
    let later = START + 120_000;
    let effects = machine.step(Event::Tick, later);
    assert!(effects.contains(&run(10)), "{effects:?}");
    let complete = Event::RangeComplete { slot: 0, range: range(0), pace: None };
    let effects = machine.step(complete, later);
    assert!(effects.contains(&Effect::Store { range: range(0), from: 10, count: 2 }));
    // Twice more, while it is stored: what comes of that is of other tasks, and they are run when it has come.
    let stored = Event::Stored { range: range(0), commitment: commitment() };
    let failed = Event::StoreFailed { range: range(0), lost: true };
    for (from, ended) in [(20, &stored), (30, &failed)] {
        let effects = machine.step(anew(from), later);
        assert!(!effects.contains(&run(from)), "not beside it: {effects:?}");
        let effects = machine.step(ended.clone(), later);
        assert!(effects.contains(&run(from)), "{effects:?}");
        assert!(!effects.iter().any(|e| matches!(e, Effect::Submit { .. })), "{effects:?}");
        let complete = Event::RangeComplete { slot: 0, range: range(0), pace: None };
        let effects = machine.step(complete, later);
        assert!(effects.contains(&Effect::Store { range: range(0), from, count: 2 }));
    }
    let effects = machine.step(stored, later);
    assert!(effects.iter().any(|e| matches!(e, Effect::Submit { .. })), "{effects:?}");
}

/// A transaction of an earlier life lands while this one gives the range back.
#[test]
fn what_was_delivered_before_it_is_given_back_keeps_its_journal() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(100));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    machine.step(Event::Claimed { claim: claim(1, 2, 2) }, START);
    let effects = machine.step(Event::Drain, START);
    assert_eq!(effects, [Effect::Release { range: range(1) }]);
    let effects = machine.step(Event::Submitted { range: range(1), at: START }, START);
    assert!(!effects.contains(&Effect::Discard { range: range(1) }), "{effects:?}");
    assert_eq!((machine.standing().held, machine.standing().unsettled), (1, 1));
}

#[test]
fn a_better_paying_job_is_calibrated_in_between_and_then_preferred() {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(100));
    machine.step(Event::Claimed { claim: claim(0, 0, 2) }, START);
    machine.step(Event::ClaimRefused { job: JOB, epoch: 0, why: Refusal::Later }, START);
    let better = JobId(2);
    let terms = Terms { price: Price(500), ..sample::terms(100) };
    let opened = ChainEvent::Opened { job: better, terms };
    machine.step(Event::Chain(opened), START + 10_000);
    let effects = machine.step(Event::Fetched { job: better }, START + 10_000);
    assert_eq!(effects, [], "nothing is asked for ahead while a job waits to be measured");
    let complete = Event::RangeComplete { slot: 0, range: range(0), pace: None };
    let effects = machine.step(complete, START + 11_000);
    assert!(effects.contains(&Effect::Calibrate { slot: 0, job: better, index: 0 }), "{effects:?}");
    machine.step(Event::Calibrated { slot: 0, job: better, pace: pace() }, START + 12_000);
    let stored = Event::Stored { range: range(0), commitment: commitment() };
    let effects = machine.step(stored, START + 12_000);
    assert!(matches!(effects[0], Effect::Submit { ask: None, .. }), "{effects:?}");
}

/// The clock was two days ahead for a while. What was put off for seconds then is not put off for days.
#[test]
fn a_clock_that_is_set_back_puts_nothing_off() {
    const AHEAD: u64 = 48 * 3_600_000;
    let seconds = |machine: &Machine| machine.next_wake().map(|wake| wake.abs_diff(START) / 1_000);
    let terms = Terms { deadline: START + 2 * AHEAD, ..sample::terms(1_000) };
    // A fetch.
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START + AHEAD);
    machine.step(Event::Chain(ChainEvent::Opened { job: JOB, terms }), START + AHEAD);
    machine.step(Event::FetchFailed { job: JOB, trouble: Trouble::Passing }, START + AHEAD);
    let before = machine.next_wake().unwrap() - AHEAD;
    machine.step(Event::Tick, START);
    assert_eq!(machine.next_wake(), Some(before));
    let effects = machine.step(Event::Tick, before);
    assert!(matches!(effects[..], [Effect::Fetch { .. }]), "{effects:?}");
    // A claim, and a submission.
    let (mut machine, _) = calibrated(sample::rules(1), terms);
    let refused = Event::ClaimRefused { job: JOB, epoch: 0, why: Refusal::Later };
    machine.step(refused, START + AHEAD);
    machine.step(Event::Tick, START);
    assert!(seconds(&machine).is_some_and(|wait| wait < 60), "{machine:?}");
    machine.step(Event::Claimed { claim: claim(0, 0, 8) }, START);
    machine.step(Event::RangeComplete { slot: 0, range: range(0), pace: None }, START);
    machine.step(Event::Stored { range: range(0), commitment: commitment() }, START);
    let failed = Event::SubmitFailed { range: range(0), why: MoveFailure::Later };
    machine.step(failed, START + AHEAD);
    machine.step(Event::Tick, START);
    let wake = machine.next_wake().unwrap();
    assert!(wake < START + 60_000, "{machine:?}");
    let effects = machine.step(Event::Tick, wake);
    let submits = |effect: &Effect| matches!(effect, Effect::Submit { .. });
    assert!(effects.iter().any(submits), "{effects:?}");
    // What is paid is served for its time, and no longer.
    machine.step(Event::Submitted { range: range(0), at: START }, START);
    let paid = Event::Chain(ChainEvent::Settled { range: range(0), paid: Amount(5) });
    machine.step(paid, START + AHEAD);
    machine.step(Event::Tick, START);
    let effects = machine.step(Event::Tick, START + 60_001);
    assert!(effects.contains(&Effect::Discard { range: range(0) }), "{effects:?}");
}

/// A machine whose only slot runs ten tasks of a tenth of a second each, claimed at the start.
fn running() -> Machine {
    let (mut machine, _) = calibrated(sample::rules(1), sample::terms(1_000));
    let effects = machine.step(Event::Claimed { claim: claim(0, 0, 10) }, START);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Run { .. })), "{effects:?}");
    machine
}

#[test]
fn work_stands_still_while_the_owner_is_there_and_goes_on_afterwards() {
    let mut machine = running();
    let effects = machine.step(Event::Rest(Some(Rest::Freeze)), START + 400);
    assert_eq!(effects, [Effect::Freeze { slot: 0 }]);
    // Nine tenths of a minute, less the 600 ms that are left to run: then it is too late.
    assert_eq!(machine.next_wake(), Some(START + 54_000 - 600));
    assert_eq!(machine.step(Event::Tick, START + 30_000), []);
    let effects = machine.step(Event::Rest(None), START + 40_000);
    assert!(effects.contains(&Effect::Thaw { slot: 0 }), "{effects:?}");
    let Some(super::Work::Running(_, since)) = machine.work().next() else { panic!() };
    assert_eq!(since, START + 39_600, "time stood is not time run");
}

#[test]
fn what_would_be_late_is_stopped_and_given_back() {
    let mut machine = running();
    machine.step(Event::Rest(Some(Rest::Freeze)), START + 400);
    let effects = machine.step(Event::Tick, START + 53_400);
    assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::Abort { .. })).count(), 1);
    assert_eq!(machine.step(Event::Tick, START + 53_500), [], "stopped once");
    let failed = Event::RunFailed { slot: 0, done: 4, trouble: RunTrouble::Aborted };
    let effects = machine.step(failed, START + 53_600);
    assert!(effects.contains(&Effect::Release { range: range(0) }), "{effects:?}");
    assert!(effects.contains(&Effect::Note(Note::TooLate { range: range(0) })), "{effects:?}");
}

#[test]
fn what_stands_still_keeps_nobody_from_stopping() {
    let mut machine = running();
    assert_eq!((machine.standing().held, machine.standing().still), (1, 0));
    machine.step(Event::Rest(Some(Rest::Freeze)), START + 400);
    machine.step(Event::Drain, START + 500);
    assert_eq!((machine.standing().held, machine.standing().still), (1, 1));
    // What is about to be given back is not left standing.
    machine.step(Event::Tick, START + 53_400);
    assert_eq!((machine.standing().held, machine.standing().still), (1, 0));
    let failed = Event::RunFailed { slot: 0, done: 4, trouble: RunTrouble::Aborted };
    machine.step(failed, START + 53_600);
    assert_eq!((machine.standing().held, machine.standing().still), (1, 0));
    machine.step(Event::Released { range: range(0) }, START + 53_700);
    assert_eq!(machine.standing().held, 0);
}

#[test]
fn an_owner_who_wants_the_memory_gets_it_at_once() {
    let mut machine = running();
    let effects = machine.step(Event::Rest(Some(Rest::Release)), START + 400);
    assert_eq!(effects, [Effect::Abort { slot: 0 }]);
    let failed = Event::RunFailed { slot: 0, done: 4, trouble: RunTrouble::Aborted };
    let effects = machine.step(failed, START + 500);
    assert!(effects.contains(&Effect::Release { range: range(0) }), "{effects:?}");
}

#[test]
fn an_owner_who_wants_the_memory_gets_that_of_a_trial_task_too() {
    let (mut machine, _) = fetched(sample::rules(1), sample::terms(100));
    assert_eq!(machine.work().next(), Some(super::Work::Calibrating(JOB)));
    assert_eq!(machine.step(Event::Rest(Some(Rest::Freeze)), START), [Effect::Freeze { slot: 0 }]);
    let effects = machine.step(Event::Rest(Some(Rest::Release)), START + 1);
    assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
    assert_eq!(machine.step(Event::Tick, START + 2), [], "stopped once");
    let failed = Event::RunFailed { slot: 0, done: 0, trouble: RunTrouble::Aborted };
    assert_eq!(machine.step(failed, START + 3), []);
    // Nobody is punished for it: the trial is made again at once.
    let effects = machine.step(Event::Rest(None), START + 4);
    assert_eq!(effects, [Effect::Calibrate { slot: 0, job: JOB, index: 0 }]);
}

#[test]
fn a_trial_of_a_job_that_is_over_does_not_stand_still_for_ever() {
    for closes in [true, false] {
        let (mut machine, _) = fetched(sample::rules(1), sample::terms(100));
        let effects = machine.step(Event::Rest(Some(Rest::Freeze)), START);
        assert_eq!(effects, [Effect::Freeze { slot: 0 }]);
        let mut now = START + 1;
        let effects = if closes {
            machine.step(Event::Chain(ChainEvent::Closed { job: JOB }), now)
        } else {
            // Nobody closes it, but its deadline comes.
            now = machine.next_wake().unwrap();
            assert_eq!(now, sample::terms(100).deadline);
            machine.step(Event::Tick, now)
        };
        assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
        let failed = Event::RunFailed { slot: 0, done: 0, trouble: RunTrouble::Aborted };
        let effects = machine.step(failed, now + 1);
        assert!(
            effects.iter().any(|effect| matches!(effect, Effect::Forget { .. })),
            "{effects:?}"
        );
        assert_eq!((machine.jobs().count(), machine.next_wake()), (0, None));
    }
}

#[test]
fn what_is_fetched_and_compiled_is_left_off_while_the_owner_is_there() {
    for rest in [Rest::Freeze, Rest::Release] {
        let mut machine = Machine::new(sample::rules(1));
        machine.step(Event::CaughtUp, START);
        let opened = ChainEvent::Opened { job: JOB, terms: sample::terms(10) };
        let effects = machine.step(Event::Chain(opened), START);
        assert!(matches!(effects[..], [Effect::Fetch { .. }]), "{effects:?}");
        let effects = machine.step(Event::Rest(Some(rest)), START);
        assert_eq!(effects, [Effect::StopFetch { job: JOB }]);
        assert_eq!(machine.step(Event::Rest(Some(rest)), START), [], "said once");
        let failed = Event::FetchFailed { job: JOB, trouble: Trouble::Aborted };
        assert_eq!(machine.step(failed, START), []);
        let effects = machine.step(Event::Rest(None), START + 1);
        assert!(matches!(effects[..], [Effect::Fetch { .. }]), "at once: {effects:?}");
    }
    // Work that is finished needs its files.
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START);
    let opened = ChainEvent::Opened { job: JOB, terms: sample::terms(10) };
    machine.step(Event::Chain(opened), START);
    assert_eq!(machine.step(Event::Rest(Some(Rest::Finish)), START), []);
}

#[test]
fn troubles_of_different_kinds_do_not_lengthen_each_other() {
    // Long sleeps after failed trials are not those after a chain that could not be asked.
    let (mut machine, _) = fetched(sample::rules(1), sample::terms(100));
    let mut now = START;
    for _ in 0..5 {
        let failed = Event::RunFailed { slot: 0, done: 0, trouble: RunTrouble::Local };
        machine.step(failed, now);
        now = machine.next_wake().unwrap();
        let effects = machine.step(Event::Tick, now);
        assert!(matches!(effects[..], [Effect::Calibrate { .. }]), "{effects:?}");
    }
    machine.step(Event::Calibrated { slot: 0, job: JOB, pace: pace() }, now);
    let refused = |why| Event::ClaimRefused { job: JOB, epoch: 0, why };
    machine.step(refused(Refusal::Later), now);
    assert_eq!(machine.next_wake(), Some(now + 250), "the first in a row");
    machine.step(Event::Tick, now + 250);
    machine.step(refused(Refusal::Later), now + 250);
    assert_eq!(machine.next_wake(), Some(now + 750), "the second");
    // An answer of the chain ends the row, though it gives nothing.
    machine.step(Event::Tick, now + 750);
    machine.step(refused(Refusal::NoFunds), now + 750);
    machine.step(Event::Chain(ChainEvent::ToppedUp { job: JOB }), now + 1_000);
    machine.step(refused(Refusal::Later), now + 1_000);
    assert_eq!(machine.next_wake(), Some(now + 1_250), "{machine:?}");
}

#[test]
fn an_owner_with_patience_lets_work_be_finished() {
    let mut machine = running();
    assert_eq!(machine.step(Event::Rest(Some(Rest::Finish)), START + 400), []);
    let complete = Event::RangeComplete { slot: 0, range: range(0), pace: None };
    let effects = machine.step(complete, START + 1_000);
    assert!(
        effects.contains(&Effect::Store { range: range(0), from: 0, count: 10 }),
        "{effects:?}"
    );
    let stored = Event::Stored { range: range(0), commitment: commitment() };
    let effects = machine.step(stored, START + 1_010);
    assert!(matches!(effects[..], [Effect::Submit { ask: None, .. }]), "{effects:?}");
}

#[test]
fn a_full_disk_ends_courtesies_and_new_work() {
    let mut machine = running();
    let settled = ChainEvent::Settled { range: range(0), paid: Amount(5) };
    let submitted = ChainEvent::Submitted { range: range(0), at: START + 1_000 };
    machine.step(Event::Chain(submitted), START + 1_000);
    let failed = Event::RunFailed { slot: 0, done: 4, trouble: RunTrouble::Aborted };
    machine.step(failed, START + 1_000);
    let effects = machine.step(Event::Chain(settled), START + 2_000);
    assert!(!effects.contains(&Effect::Discard { range: range(0) }), "it is kept for a minute");
    let effects = machine.step(Event::Crowded(true), START + 2_001);
    assert_eq!(effects[0], Effect::Discard { range: range(0) }, "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Claim(_))));
}
