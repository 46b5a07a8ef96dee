//! Second providers: what the world does about them, and single decisions told as short stories.

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::{Amount, JobId, Price, RangeId};
use tilth_verification::replica::{DRAW_SPAN_S, REPLICA_TIME_S};

use super::{
    ChainEvent, Claim, Effect, Event, FINAL_MS, Machine, Millis, Note, Pace, Place, Rest,
    RunTrouble, Terms,
    sample::{self, START, commitment},
    world::{Later, State, World},
};

/// So long a range of before can draw whoever has left.
const SPAN: Millis = DRAW_SPAN_S as Millis * 1_000;
/// So long a mate has time.
const TIME: Millis = REPLICA_TIME_S as Millis * 1_000;

/// A range that we are drawn for.
#[derive(Clone, Copy, Debug)]
struct Duty {
    claim: Claim,
    due: Millis,
    /// Whether the keeper has what is to be committed to; then it finds it in the journal.
    found: bool,
    over: bool,
}

/// What the world knows of lines and of those that are drawn.
#[derive(Debug, Default)]
pub(super) struct Mating {
    /// Where we are, and since when.
    lines: BTreeMap<JobId, (Place, Millis)>,
    /// Jobs with a move under way.
    moving: BTreeSet<JobId>,
    duties: BTreeMap<RangeId, Duty>,
}

impl Mating {
    /// Whether a range is still to be committed to or to be shown.
    pub(super) fn is_open(&self, range: RangeId) -> bool {
        self.duties.get(&range).is_some_and(|duty| !duty.over)
    }

    /// What must not be removed.
    pub(super) fn is_needed(&self, range: RangeId) -> bool {
        self.duties.get(&range).is_some_and(|duty| duty.found && !duty.over)
    }

    /// Of this job.
    pub(super) fn needs(&self, job: JobId) -> bool {
        let of = RangeId { job, seq: 0 }..=RangeId { job, seq: u32::MAX };
        self.duties.range(of).any(|(_, duty)| duty.found && !duty.over)
    }
}

impl World {
    /// A range of somebody else's is drawn for us, if we are in its line.
    pub(super) fn draw_us(&mut self, id: JobId) {
        let now = self.now;
        let drawable = match self.mating.lines.get(&id) {
            Some((Place::On, _)) => true,
            Some((Place::Left, since)) => now <= since + SPAN,
            Some((Place::Off, _)) | None => false,
        };
        let Some(job) = self.jobs.get(&id).filter(|_| drawable) else { return };
        let duties = &self.mating.duties;
        let submitted = job.ranges.values().find(|range| {
            !range.mine
                && range.state == State::Submitted
                && !duties.contains_key(&range.claim.range)
        });
        let Some(claim) = submitted.map(|range| range.claim) else { return };
        let duty = Duty { claim, due: now + TIME, found: false, over: false };
        self.mating.duties.insert(claim.range, duty);
        self.later(10, Later::Tell(claim.range));
        self.later(TIME + 60_000, Later::DutyEnds(claim.range));
    }

    /// Moves that nobody waits for any more: whoever starts again knows nothing of them.
    pub(super) fn drop_moves(&mut self) {
        self.mating.moving.clear();
    }

    /// The keeper begins, or begins again, with what the chain says.
    pub(super) fn keep(&mut self) {
        let open = self.mating.duties.iter().filter(|(_, duty)| !duty.over);
        let open: Vec<_> = open.map(|(range, _)| *range).collect();
        let delay = 1 + self.draw(3_000);
        for range in open {
            self.later(delay, Later::Tell(range));
        }
        self.later(delay, Later::Answer(Event::DutiesKnown));
    }

    /// The keeper says what we answer for, again and again until it is done.
    pub(super) fn tell_duty(&mut self, range: RangeId) {
        let Some(duty) = self.mating.duties.get(&range).copied() else { return };
        if duty.over {
            return;
        }
        self.step(Event::Duty { range });
        if duty.found || self.now >= duty.due {
            return;
        }
        self.told_claimed.insert(range);
        let claim = Claim { at: self.now, ..duty.claim };
        self.step(Event::Drawn { claim, due: duty.due });
        self.later(5_000, Later::Tell(range));
    }

    /// The replica is closed, and the range is paid a little before or after we hear of it.
    pub(super) fn duty_ends(&mut self, range: RangeId) {
        let Some(duty) = self.mating.duties.get_mut(&range) else { return };
        duty.over = true;
        let first = self.draw(2) == 0;
        if first {
            self.step(Event::DutyOver { range });
        }
        self.acknowledge(range.job);
        if !first {
            self.later(500, Later::Answer(Event::DutyOver { range }));
        }
    }

    pub(super) fn found(&mut self, range: RangeId) {
        assert!(self.complete.contains(&range) && !self.storing.contains(&range));
        let duty = self.mating.duties.get_mut(&range).expect("found what nobody had asked for");
        duty.found = true;
    }

    /// Checks a move in a line when it is asked for.
    pub(super) fn begin_move(&mut self, effect: Effect, delay: u64) {
        let (Effect::Wait { job, .. } | Effect::Leave { job }) = effect else { return };
        assert!(self.mating.moving.insert(job), "moves twice at a time");
        if let Effect::Wait { bond, min_price, .. } = effect {
            let state = &self.jobs[&job];
            assert_eq!(self.rest, None, "waits while the owner is there");
            assert!(state.terms.replicated && state.fetched && state.calibrated);
            assert!(self.now < state.terms.deadline);
            assert!(min_price == Price(10) && bond > Amount::ZERO);
            self.check_lines();
        }
        self.later(delay, Later::Transaction(effect));
    }

    /// Carries a move in a line out, or loses it, or loses only its receipt.
    pub(super) fn end_move(&mut self, effect: &Effect, lost: bool, mute: bool) {
        let (Effect::Wait { job, .. } | Effect::Leave { job }) = effect else { return };
        let (waits, job) = (matches!(effect, Effect::Wait { .. }), *job);
        let (place, since) = self.mating.lines.get(&job).copied().unwrap_or_default();
        let of_job = |duty: &Duty| duty.claim.range.job == job && !duty.over;
        let busy = self.mating.duties.values().any(of_job);
        let bound = busy || self.now <= since + SPAN;
        let next = match (waits, place) {
            _ if lost => None,
            (true, _) if self.jobs[&job].cancelled => None,
            (true, _) => Some(Place::On),
            (false, Place::On) => Some(Place::Left),
            (false, Place::Left) if bound => None,
            (false, Place::Left | Place::Off) => Some(Place::Off),
        };
        if let Some(next) = next.filter(|next| *next != place) {
            self.mating.lines.insert(job, (next, self.now));
            self.log(ChainEvent::Line { job, place: next });
        }
        self.mating.moving.remove(&job);
        self.step(Event::Moved { job, place: next.filter(|_| !mute) });
    }
}

const JOB: JobId = JobId(1);
const RANGE: RangeId = RangeId { job: JOB, seq: 4 };
const DUE: Millis = START + TIME;
const DISCARD: Effect = Effect::Discard { range: RANGE };

fn tell(machine: &mut Machine, event: ChainEvent) -> Vec<Effect> {
    machine.step(Event::Chain(event), START)
}

/// A machine that has measured a replicated job, and what it does then.
fn calibrated() -> (Machine, Vec<Effect>) {
    let terms = Terms { audited: true, replicated: true, ..sample::terms(1_000) };
    let mut machine = Machine::new(sample::rules(1));
    machine.step(Event::CaughtUp, START);
    machine.step(Event::DutiesKnown, START);
    tell(&mut machine, ChainEvent::Opened { job: JOB, terms });
    machine.step(Event::Fetched { job: JOB }, START);
    let pace = Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 0 };
    let effects = machine.step(Event::Calibrated { slot: 0, job: JOB, pace }, START);
    (machine, effects)
}

/// One that waits in its line.
fn waiting() -> Machine {
    let (mut machine, _) = calibrated();
    machine.step(Event::Moved { job: JOB, place: Some(Place::On) }, START);
    assert_eq!(machine.standing().lines, 1);
    machine
}

/// One that is drawn and has run the range.
fn stored() -> Machine {
    let mut machine = waiting();
    let claim = Claim { range: RANGE, from: 40, count: 3, at: START };
    let effects = machine.step(Event::Drawn { claim, due: DUE }, START);
    let run = Effect::Run { slot: 0, range: RANGE, from: 40, count: 3, silence_ms: 30_000 };
    assert!(effects.contains(&run), "{effects:?}");
    assert_eq!((machine.standing().mates, machine.standing().held), (1, 0));
    let again = machine.step(Event::Drawn { claim, due: DUE }, START);
    assert!(!again.contains(&run), "told twice: {again:?}");
    let complete = Event::RangeComplete { slot: 0, range: RANGE, pace: None };
    let effects = machine.step(complete, START);
    assert!(effects.contains(&Effect::Store { range: RANGE, from: 40, count: 3 }), "{effects:?}");
    let stored = Event::Stored { range: RANGE, commitment: commitment() };
    let effects = machine.step(stored, START);
    let found = Effect::Found { range: RANGE, from: 40, count: 3, commitment: commitment() };
    assert!(effects.contains(&found), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Submit { .. })));
    assert_eq!((machine.standing().mates, machine.standing().unsettled), (0, 1));
    machine
}

#[test]
fn who_has_measured_a_job_waits_in_its_line_with_four_ceilings() {
    let (_, effects) = calibrated();
    // Five seconds at ten tasks a second, of ten units at most, for 100 each.
    let bond = Amount(4 * 50 * 10 * 100);
    let wait = Effect::Wait { job: JOB, bond, min_price: Price(10) };
    assert_eq!(effects[0], wait);
    assert!(matches!(effects[1], Effect::Claim(_)), "and works on it: {effects:?}");
}

#[test]
fn what_we_are_drawn_for_is_run_stored_and_kept_until_it_is_judged() {
    let mut machine = stored();
    // Too late is for what is not stored.
    assert!(!machine.step(Event::Tick, DUE + 1).contains(&DISCARD));
    machine.step(Event::DutyOver { range: RANGE }, DUE + 1);
    let paid = Amount(9);
    let provider = sample::rules(1).owner;
    tell(&mut machine, ChainEvent::MatePaid { range: RANGE, provider, paid });
    tell(&mut machine, ChainEvent::Settled { range: RANGE, paid: Amount(7) });
    assert_eq!(machine.standing().earned, paid, "what the other one earns is not ours");
    assert!(!machine.step(Event::Tick, START + FINAL_MS - 1).contains(&DISCARD));
    assert!(machine.step(Event::Tick, START + FINAL_MS).contains(&DISCARD));
}

/// A walk asks for leaves long after the range was stored, and its journal is gone.
#[test]
fn what_is_lost_while_it_is_kept_is_run_again() {
    let mut machine = stored();
    let (later, due) = (DUE + 3_600_000, DUE + 5_400_000);
    let claim = Claim { range: RANGE, from: 40, count: 3, at: later };
    let runs = |effects: &[Effect]| {
        let ours = |effect: &&Effect| matches!(effect, Effect::Run { range: RANGE, .. });
        effects.iter().filter(ours).count()
    };
    // Who is told only that we are its mate has it done already.
    assert_eq!(runs(&machine.step(Event::Drawn { claim, due }, later)), 0);
    let effects = machine.step(Event::KeptLost { range: RANGE, due }, later);
    assert_eq!(runs(&effects), 1, "{effects:?}");
    assert!(!effects.contains(&DISCARD) && machine.standing().mates == 1, "{effects:?}");
    // While it runs nothing is lost that could be told of.
    assert_eq!(runs(&machine.step(Event::KeptLost { range: RANGE, due }, later)), 0);
    assert_eq!(runs(&machine.step(Event::Drawn { claim, due }, later)), 0);
    let complete = Event::RangeComplete { slot: 0, range: RANGE, pace: None };
    machine.step(complete, later + 1_000);
    let stored = Event::Stored { range: RANGE, commitment: commitment() };
    let effects = machine.step(stored, later + 1_000);
    let found = Effect::Found { range: RANGE, from: 40, count: 3, commitment: commitment() };
    assert!(effects.contains(&found), "the keeper is told once more: {effects:?}");
    assert_eq!((machine.standing().mates, machine.standing().unsettled), (0, 1));
    // Lost again, and too late this time.
    machine.step(Event::KeptLost { range: RANGE, due }, due - 1);
    let effects = machine.step(Event::Tick, due);
    assert!(effects.contains(&Effect::Note(Note::Missed { range: RANGE })), "{effects:?}");
}

#[test]
fn what_is_not_done_in_time_is_let_go() {
    let mut machine = waiting();
    let claim = Claim { range: RANGE, from: 40, count: 3, at: START };
    machine.step(Event::Drawn { claim, due: DUE }, START);
    assert!(!machine.step(Event::Tick, DUE - 1).contains(&Effect::Abort { slot: 0 }));
    let effects = machine.step(Event::Tick, DUE);
    assert!(effects.contains(&Effect::Note(Note::Missed { range: RANGE })), "{effects:?}");
    assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
    let aborted = Event::RunFailed { slot: 0, done: 1, trouble: RunTrouble::Aborted };
    assert!(machine.step(aborted, DUE).contains(&DISCARD));
    // Whoever tells it late brings nothing back.
    machine.step(Event::Drawn { claim, due: DUE + TIME }, DUE);
    assert_eq!(machine.standing().mates, 0);
    // The contract has taken our place, and we do not ask for it again at once.
    let waits = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Wait { .. }));
    let left = ChainEvent::Line { job: JOB, place: Place::Left };
    let mut effects = machine.step(Event::Chain(left), DUE);
    effects.extend(machine.step(Event::Fetched { job: JOB }, DUE));
    effects.extend(machine.step(Event::Tick, DUE + 599_999));
    assert!(!waits(&effects), "{effects:?}");
    assert!(waits(&machine.step(Event::Tick, DUE + 600_000)));
}

#[test]
fn an_owner_who_wants_the_machine_costs_a_place_and_not_what_was_drawn() {
    let mut machine = waiting();
    let claim = Claim { range: RANGE, from: 40, count: 3, at: START };
    machine.step(Event::Drawn { claim, due: DUE }, START);
    let effects = machine.step(Event::Rest(Some(Rest::Release)), START);
    assert!(effects.contains(&Effect::Leave { job: JOB }), "{effects:?}");
    assert!(effects.contains(&Effect::Abort { slot: 0 }), "{effects:?}");
    let aborted = Event::RunFailed { slot: 0, done: 1, trouble: RunTrouble::Aborted };
    let effects = machine.step(aborted, START);
    assert!(!effects.contains(&Effect::Release { range: RANGE }), "{effects:?}");
    machine.step(Event::Moved { job: JOB, place: Some(Place::Left) }, START);
    // Back again; the files may be gone.
    machine.step(Event::Rest(None), START + 60_000);
    let effects = machine.step(Event::Fetched { job: JOB }, START + 60_000);
    assert!(effects.iter().any(|e| matches!(e, Effect::Run { range: RANGE, .. })), "{effects:?}");
}

#[test]
fn a_bond_is_had_back_when_nothing_can_draw_us_and_then_the_job_goes() {
    let mut machine = waiting();
    let effects = machine.step(Event::Drain, START);
    assert!(effects.contains(&Effect::Leave { job: JOB }), "{effects:?}");
    machine.step(Event::Duty { range: RANGE }, START);
    machine.step(Event::Moved { job: JOB, place: Some(Place::Left) }, START);
    assert_eq!((machine.standing().lines, machine.standing().bonds), (0, 1));
    tell(&mut machine, ChainEvent::Closed { job: JOB });
    machine.step(Event::ClaimRefused { job: JOB, epoch: 0, why: super::Refusal::Closed }, START);
    assert!(machine.jobs().any(|job| job == JOB));
    let late = START + SPAN + 5_000;
    let leaves = |effects: &[Effect]| effects.contains(&Effect::Leave { job: JOB });
    assert!(!leaves(&machine.step(Event::Tick, late)), "something is still answered for");
    assert!(leaves(&machine.step(Event::DutyOver { range: RANGE }, late)));
    machine.step(Event::Moved { job: JOB, place: None }, late);
    let wake = machine.next_wake().unwrap();
    assert!(leaves(&machine.step(Event::Tick, wake)), "tried again");
    let effects = machine.step(Event::Moved { job: JOB, place: Some(Place::Off) }, wake);
    assert!(effects.contains(&Effect::Forget { job: JOB, until: 0 }), "{effects:?}");
    assert_eq!(machine.next_wake(), None);
}

#[test]
fn before_it_is_known_what_is_answered_for_nothing_is_forgotten() {
    let terms = Terms { audited: true, replicated: true, ..sample::terms(10) };
    let mut machine = Machine::new(sample::rules(1));
    tell(&mut machine, ChainEvent::Opened { job: JOB, terms });
    assert_eq!(tell(&mut machine, ChainEvent::Closed { job: JOB }), []);
    assert_eq!(machine.step(Event::CaughtUp, START), []);
    machine.step(Event::Duty { range: RANGE }, START);
    assert_eq!(machine.step(Event::DutiesKnown, START), [], "it must still be shown");
    let effects = machine.step(Event::DutyOver { range: RANGE }, START);
    assert_eq!(effects, [Effect::Forget { job: JOB, until: 0 }]);
}

#[test]
fn there_are_no_more_lines_than_slots() {
    let (mut machine, _) = calibrated();
    let other = JobId(2);
    let terms = Terms { audited: true, replicated: true, ..sample::terms(1_000) };
    tell(&mut machine, ChainEvent::Opened { job: other, terms });
    machine.step(Event::Fetched { job: other }, START);
    let pace = Pace { tasks: 1, units: 10, micros: 100_000, load_micros: 0 };
    let effects = machine.step(Event::Calibrated { slot: 0, job: other, pace }, START);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Wait { .. })), "{effects:?}");
    // The first one failed, so there is room for the second.
    let effects = machine.step(Event::Moved { job: JOB, place: None }, START);
    assert!(effects.iter().any(|e| matches!(e, Effect::Wait { job, .. } if *job == other)));
}
