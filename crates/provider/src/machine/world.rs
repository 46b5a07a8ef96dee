//! A small world for the machine: a contract that enforces what the real one does, workers that die,
//! transactions whose receipts are lost, logs that come late, other providers, a client, and crashes of
//! the machine itself. Everything is drawn from one seed. Every effect is checked as it is asked for.

#[path = "errands.rs"]
mod errands;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use tilth_protocol::{Amount, JobId, Price, RangeId};

use super::{
    Ask, ChainEvent, Claim, Effect, Event, Machine, Millis, MoveFailure, Pace, Refusal, Rest,
    Rules, RunTrouble, SlotId, Terms,
    mated::Mating,
    sample::{self, START},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Claimed,
    Submitted,
    Settled,
    Returned,
}

#[derive(Debug)]
pub(super) struct WorldRange {
    pub mine: bool,
    pub state: State,
    pub claim: Claim,
    /// Set by others who will never submit.
    vanished: bool,
}

#[derive(Debug)]
pub(super) struct WorldJob {
    pub terms: Terms,
    pub pieces: Vec<(u32, u32)>,
    pub funded: bool,
    pub cancelled: bool,
    pub ranges: BTreeMap<u32, WorldRange>,
    /// What the provider's disk holds; survives crashes.
    pub fetched: bool,
    pub calibrated: bool,
    broken: bool,
    deadly: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Later {
    Answer(Event),
    Transaction(Effect),
    Log(ChainEvent),
    Other(RangeId),
    /// We are told what we were drawn for.
    Tell(RangeId),
    DutyEnds(RangeId),
}

#[derive(Debug)]
pub(super) struct World {
    pub machine: Machine,
    pub jobs: BTreeMap<JobId, WorldJob>,
    pub now: Millis,
    pub rules: Rules,
    seed: u64,
    serial: u64,
    /// Chance of a fault, in percent.
    pub trouble: u64,
    todo: BTreeMap<(Millis, u64), Later>,
    last_log: Millis,
    past: Vec<ChainEvent>,
    slots: Vec<Option<u64>>,
    /// What the owner wants.
    pub rest: Option<Rest>,
    /// Slots that stand still: how long they still have to run, and what comes then.
    frozen: BTreeMap<SlotId, (u64, Event)>,
    pub running: BTreeMap<SlotId, RangeId>,
    pub complete: BTreeSet<RangeId>,
    pub storing: BTreeSet<RangeId>,
    pub submitting: BTreeSet<RangeId>,
    /// Jobs with a settling (true) or expiring (false) transaction under way.
    pub batches: BTreeSet<(JobId, bool)>,
    /// What the machine has been told is submitted.
    pub told_submitted: BTreeSet<RangeId>,
    /// What the machine has been told is its own.
    pub told_claimed: BTreeSet<RangeId>,
    pub mating: Mating,
    pub asks: usize,
    pub asks_with_submission: usize,
    pub effects: u64,
    pub most_held: usize,
}

impl World {
    pub(super) fn new(seed: u64, slots: u16) -> Self {
        let rules = sample::rules(slots);
        Self {
            machine: Machine::new(rules.clone()),
            rules,
            jobs: BTreeMap::new(),
            now: START,
            seed,
            serial: 0,
            trouble: 0,
            todo: BTreeMap::new(),
            last_log: START,
            past: Vec::new(),
            slots: vec![None; usize::from(slots)],
            rest: None,
            frozen: BTreeMap::new(),
            running: BTreeMap::new(),
            complete: BTreeSet::new(),
            storing: BTreeSet::new(),
            submitting: BTreeSet::new(),
            batches: BTreeSet::new(),
            told_submitted: BTreeSet::new(),
            told_claimed: BTreeSet::new(),
            mating: Mating::default(),
            asks: 0,
            asks_with_submission: 0,
            effects: 0,
            most_held: 0,
        }
    }

    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn pick(&mut self, below: u32) -> u32 {
        u32::try_from(self.draw(below.into())).expect("a number below one of 32 bits")
    }

    fn fault(&mut self) -> bool {
        self.draw(100) < self.trouble
    }

    pub(super) fn later(&mut self, delay: u64, what: Later) -> u64 {
        self.serial += 1;
        self.todo.insert((self.now + delay, self.serial), what);
        self.serial
    }

    /// A log, delivered after those before it.
    pub(super) fn log(&mut self, event: ChainEvent) {
        self.past.push(event.clone());
        let delay = self.draw(700);
        self.last_log = self.last_log.max(self.now + delay);
        self.serial += 1;
        self.todo.insert((self.last_log, self.serial), Later::Log(event));
    }

    /// The machine begins, or begins again: everything that was under way in its process is lost.
    pub(super) fn start(&mut self) {
        self.machine = Machine::new(self.rules.clone());
        self.todo.retain(|_, what| matches!(what, Later::Other(_) | Later::DutyEnds(_)));
        self.drop_moves();
        self.slots.fill(None);
        self.frozen.clear();
        self.running.clear();
        self.storing.clear();
        self.submitting.clear();
        self.batches.clear();
        self.told_submitted.clear();
        self.told_claimed.clear();
        (self.asks, self.asks_with_submission) = (0, 0);
        for job in self.jobs.values_mut() {
            job.calibrated = false;
        }
        for event in self.past.clone() {
            self.tell(&event);
            let effects = self.machine.step(Event::Chain(event), self.now);
            let only_notes = |e: &Effect| {
                matches!(e, Effect::Note(_) | Effect::Discard { .. } | Effect::Forget { .. })
            };
            assert!(effects.iter().all(only_notes), "decided before caught up: {effects:?}");
            assert_eq!(self.machine.next_wake(), None);
        }
        let effects = self.machine.step(Event::Rest(self.rest), self.now);
        assert_eq!(effects, [], "decided before caught up");
        self.step(Event::CaughtUp);
        self.keep();
    }

    /// The owner comes or goes.
    pub(super) fn owner(&mut self, rest: Option<Rest>) {
        self.rest = rest;
        self.step(Event::Rest(rest));
        let frozen = rest == Some(Rest::Freeze);
        let still = frozen || rest == Some(Rest::Release);
        let busy = self.slots.iter().flatten().count() - self.frozen.len();
        // Those that were told to stop are the only ones that may still run.
        let stopping = self.todo.values().filter(|what| {
            matches!(what, Later::Answer(Event::RunFailed { trouble: RunTrouble::Aborted, .. }))
        });
        assert!(!still || busy <= stopping.count(), "something runs although the owner is there");
        assert!(frozen || self.frozen.is_empty());
        let fetched = |what: &Later| matches!(what, Later::Answer(Event::Fetched { .. }));
        assert!(!still || !self.todo.values().any(fetched), "fetched although the owner is there");
    }

    fn tell(&mut self, event: &ChainEvent) {
        match event {
            ChainEvent::Claimed { provider, claim } if *provider == self.rules.owner => {
                self.told_claimed.insert(claim.range);
            }
            ChainEvent::Submitted { range, .. } => {
                self.told_submitted.insert(*range);
            }
            _ => {}
        }
    }

    pub(super) fn open(&mut self, terms: Terms) -> JobId {
        let id = JobId(self.jobs.len() as u64 + 1);
        let (broken, deadly) = (self.draw(100) < 8, self.draw(100) < 8);
        let job = WorldJob {
            terms,
            pieces: vec![(0, terms.task_count)],
            funded: self.draw(4) > 0,
            cancelled: false,
            ranges: BTreeMap::new(),
            fetched: false,
            calibrated: false,
            broken: broken && self.trouble > 0,
            deadly: deadly && self.trouble > 0,
        };
        self.jobs.insert(id, job);
        self.log(ChainEvent::Opened { job: id, terms });
        id
    }

    pub(super) fn cancel(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.cancelled = true;
        self.log(ChainEvent::Closed { job: id });
    }

    pub(super) fn top_up(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.funded = true;
        self.log(ChainEvent::ToppedUp { job: id });
    }

    /// Another provider takes a piece; some of those never come back.
    pub(super) fn other_claims(&mut self, id: JobId) {
        let now = self.now;
        if self.jobs.get(&id).is_none_or(|job| now >= job.terms.deadline) {
            return;
        }
        let want = 1 + self.pick(8);
        if let Ok(claim) = self.give(id, want, false) {
            let vanished = self.fault();
            let delay = 100 + self.draw(4_000);
            if let Some(range) = self.range_mut(claim.range) {
                range.vanished = vanished;
            }
            if !vanished {
                self.later(delay, Later::Other(claim.range));
            }
        }
    }

    /// The client accepts everything that is submitted.
    pub(super) fn acknowledge(&mut self, id: JobId) {
        let seqs: Vec<_> = self.jobs.get(&id).map_or(Vec::new(), |job| {
            let submitted = job.ranges.iter().filter(|(_, r)| r.state == State::Submitted);
            submitted.map(|(seq, _)| *seq).collect()
        });
        // Nothing is paid before both roots are shown.
        let open = |seq: &u32| self.mating.is_open(RangeId { job: id, seq: *seq });
        let seqs: Vec<_> = seqs.into_iter().filter(|seq| !open(seq)).collect();
        for seq in seqs {
            self.pay(RangeId { job: id, seq });
        }
    }

    fn pay(&mut self, id: RangeId) {
        if let Some(range) = self.range_mut(id) {
            range.state = State::Settled;
        }
        self.log(ChainEvent::Settled { range: id, paid: Amount(5) });
    }

    fn range_mut(&mut self, id: RangeId) -> Option<&mut WorldRange> {
        self.jobs.get_mut(&id.job)?.ranges.get_mut(&id.seq)
    }

    pub(super) fn held_by_me(&self) -> usize {
        let ranges = self.jobs.values().flat_map(|job| job.ranges.values());
        ranges.filter(|range| range.mine && range.state == State::Claimed).count()
    }

    /// The contract's `claim`.
    fn give(&mut self, id: JobId, want: u32, mine: bool) -> Result<Claim, Refusal> {
        let (held, now) = (self.held_by_me(), self.now);
        let capacity = self.rules.capacity();
        let owner = self.rules.owner;
        let job = self.jobs.get_mut(&id).ok_or(Refusal::Closed)?;
        if job.cancelled || now >= job.terms.deadline {
            return Err(Refusal::Closed);
        }
        if mine && held >= capacity {
            return Err(Refusal::Later);
        }
        if mine && price_in_force(job, now) < self.rules.price_floor {
            return Err(Refusal::Price);
        }
        let Some((from, piece)) = job.pieces.pop() else { return Err(Refusal::NoWork) };
        if !job.funded {
            job.pieces.push((from, piece));
            return Err(Refusal::NoFunds);
        }
        let count = want.min(piece).min((piece / 4).max(1));
        if count < piece {
            job.pieces.push((from + count, piece - count));
        }
        let seq = u32::try_from(job.ranges.len()).expect("few ranges");
        let claim = Claim { range: RangeId { job: id, seq }, from, count, at: now };
        let range = WorldRange { mine, state: State::Claimed, claim, vanished: false };
        job.ranges.insert(seq, range);
        let provider = if mine { owner } else { Address::repeat_byte(9) };
        self.log(ChainEvent::Claimed { provider, claim });
        self.most_held = self.most_held.max(self.held_by_me());
        Ok(claim)
    }

    fn take_back(&mut self, id: RangeId) {
        let Some(job) = self.jobs.get_mut(&id.job) else { return };
        let Some(range) = job.ranges.get_mut(&id.seq) else { return };
        range.state = State::Returned;
        job.pieces.push((range.claim.from, range.claim.count));
    }

    /// Lets the next thing happen, or waits for the machine's own time. False: nothing will happen.
    pub(super) fn advance(&mut self) -> bool {
        let next = self.todo.first_key_value().map(|(key, _)| *key);
        match (next, self.machine.next_wake()) {
            (None, None) => false,
            (Some((time, _)), Some(wake)) if wake < time => self.tick(wake),
            (None, Some(wake)) => self.tick(wake),
            (Some(key), _) => {
                self.now = self.now.max(key.0);
                if let Some(what) = self.todo.remove(&key) {
                    self.happen(what);
                }
                true
            }
        }
    }

    fn tick(&mut self, wake: Millis) -> bool {
        assert!(wake >= self.now, "a wake-up in the past would spin");
        self.now = wake;
        self.step(Event::Tick);
        true
    }

    fn happen(&mut self, what: Later) {
        match what {
            Later::Answer(event) => self.step(event),
            Later::Log(event) => {
                self.tell(&event);
                self.step(Event::Chain(event));
            }
            Later::Other(range) => {
                let now = self.now;
                if let Some(state) = self.range_mut(range).filter(|r| r.state == State::Claimed) {
                    state.state = State::Submitted;
                    self.log(ChainEvent::Submitted { range, at: now });
                }
            }
            Later::Transaction(effect) => self.transact(effect),
            Later::Tell(range) => self.tell_duty(range),
            Later::DutyEnds(range) => self.duty_ends(range),
        }
    }

    /// Carries out a transaction, or loses it, or loses only its receipt.
    fn transact(&mut self, effect: Effect) {
        let (lost, mute) = (self.fault(), self.fault());
        match effect {
            Effect::Claim(ask) => {
                let given =
                    if lost { Err(Refusal::Later) } else { self.give(ask.job, ask.want, true) };
                self.asks -= 1;
                self.answer_ask(&ask, if mute { Err(Refusal::Later) } else { given });
            }
            Effect::Submit { range, ask, .. } => {
                self.submitting.remove(&range);
                let (outcome, given) = self.carry_out_submission(range, ask, lost);
                let answer = match outcome {
                    Ok(at) if !mute => {
                        self.told_submitted.insert(range);
                        Event::Submitted { range, at }
                    }
                    Ok(_) => Event::SubmitFailed { range, why: MoveFailure::Later },
                    Err(why) => Event::SubmitFailed { range, why },
                };
                self.step(answer);
                if let Some(ask) = ask {
                    self.asks_with_submission -= 1;
                    self.answer_ask(&ask, if mute { Err(Refusal::Later) } else { given });
                }
            }
            Effect::Release { range } => {
                let ours = self.range_mut(range).is_some_and(|r| r.state == State::Claimed);
                let answer = match (lost, ours) {
                    (true, _) => Event::ReleaseFailed { range, why: MoveFailure::Later },
                    (_, false) => Event::ReleaseFailed { range, why: MoveFailure::Gone },
                    _ => {
                        self.take_back(range);
                        self.log(ChainEvent::Released { range });
                        if mute {
                            Event::ReleaseFailed { range, why: MoveFailure::Later }
                        } else {
                            Event::Released { range }
                        }
                    }
                };
                self.step(answer);
            }
            Effect::Settle { job, seqs } => {
                for seq in seqs.into_iter().filter(|_| !lost) {
                    let id = RangeId { job, seq };
                    if self.range_mut(id).is_some_and(|range| range.state == State::Submitted) {
                        self.pay(id);
                    }
                }
                self.batches.remove(&(job, true));
                self.step(Event::SettleEnded { job, done: !lost && !mute });
            }
            Effect::Expire { job, seqs } => {
                for seq in seqs.into_iter().filter(|_| !lost) {
                    let range = RangeId { job, seq };
                    if self.range_mut(range).is_some_and(|r| r.state == State::Claimed) {
                        self.take_back(range);
                        self.log(ChainEvent::Expired { range });
                    }
                }
                self.batches.remove(&(job, false));
                self.step(Event::ExpireEnded { job, done: !lost && !mute });
            }
            Effect::Wait { .. } | Effect::Leave { .. } => self.end_move(&effect, lost, mute),
            other => panic!("{other:?} is no transaction"),
        }
    }

    fn carry_out_submission(
        &mut self,
        range: RangeId,
        ask: Option<Ask>,
        lost: bool,
    ) -> (Result<Millis, MoveFailure>, Result<Claim, Refusal>) {
        let now = self.now;
        if lost {
            return (Err(MoveFailure::Later), Err(Refusal::Later));
        }
        match self.range_mut(range).map(|range| range.state) {
            Some(State::Claimed) => {
                if let Some(range) = self.range_mut(range) {
                    range.state = State::Submitted;
                }
                self.log(ChainEvent::Submitted { range, at: now });
                let ask = ask.map(|ask| self.give(ask.job, ask.want, true));
                (Ok(now), ask.unwrap_or(Err(Refusal::Later)))
            }
            // An earlier submission had arrived and only its receipt was lost.
            Some(State::Submitted | State::Settled) => (Ok(now), Err(Refusal::Later)),
            _ => (Err(MoveFailure::Gone), Err(Refusal::Later)),
        }
    }

    fn answer_ask(&mut self, ask: &Ask, given: Result<Claim, Refusal>) {
        let answer = match given {
            Ok(claim) => {
                self.told_claimed.insert(claim.range);
                Event::Claimed { claim }
            }
            Err(why) => Event::ClaimRefused { job: ask.job, epoch: ask.epoch, why },
        };
        self.step(answer);
    }

    pub(super) fn step(&mut self, event: Event) {
        match &event {
            Event::Calibrated { slot, job, .. } => {
                self.slots[usize::from(*slot)] = None;
                if let Some(job) = self.jobs.get_mut(job) {
                    job.calibrated = true;
                }
            }
            Event::RangeComplete { slot, range, .. } => {
                self.slots[usize::from(*slot)] = None;
                self.running.remove(slot);
                self.complete.insert(*range);
                // A measured range is as good as a calibration.
                if let Some(job) = self.jobs.get_mut(&range.job) {
                    job.calibrated = true;
                }
            }
            Event::RunFailed { slot, .. } => {
                self.slots[usize::from(*slot)] = None;
                self.running.remove(slot);
            }
            Event::Stored { range, .. } | Event::StoreFailed { range, .. } => {
                self.storing.remove(range);
                if matches!(&event, Event::StoreFailed { lost: true, .. }) {
                    self.complete.remove(range);
                }
            }
            Event::FetchRefused { .. } | Event::FetchFailed { .. } => {}
            _ => {}
        }
        let effects = self.machine.step(event, self.now);
        if let Some(wake) = self.machine.next_wake() {
            assert!(wake > self.now, "wake-up at {wake}, now {}", self.now);
        }
        for effect in effects {
            self.effects += 1;
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let delay = 1 + self.draw(400);
        match effect {
            Effect::Fetch { job, holds, epoch } => self.fetch(job, holds, epoch, delay),
            Effect::StopFetch { job } => self.stop_fetch(job, delay),
            Effect::Calibrate { slot, job, index } => {
                assert_eq!(self.rest, None, "calibrated while the owner was there");
                self.calibrate(slot, job, index, delay);
            }
            Effect::Freeze { slot } => self.freeze(slot),
            Effect::Thaw { slot } => {
                if let Some((left, answer)) = self.frozen.remove(&slot) {
                    self.slots[usize::from(slot)] = None;
                    self.occupy(slot, left, answer);
                }
            }
            Effect::Claim(ask) => {
                assert_eq!(self.rest, None, "claimed while the owner was there");
                self.check_ask(&ask);
                self.asks += 1;
                self.check_room();
                self.later(delay, Later::Transaction(Effect::Claim(ask)));
            }
            Effect::Run { slot, range, from, count, silence_ms } => {
                let may = matches!(self.rest, None | Some(Rest::Finish));
                assert!(may, "began {range} while the owner was there");
                self.check_run(range);
                assert!(self.told_claimed.contains(&range), "ran {range} without a claim");
                let claim = self.jobs[&range.job].ranges[&range.seq].claim;
                assert_eq!((claim.from, claim.count), (from, count));
                assert!(self.jobs[&range.job].fetched && silence_ms >= 1_000);
                assert!(!self.running.values().any(|other| *other == range), "{range} runs twice");
                self.running.insert(slot, range);
                let answer = self.run_answer(slot, range, count);
                self.occupy(slot, delay + u64::from(count) * 90, answer);
            }
            Effect::Abort { slot } => {
                let serial = self.slots[usize::from(slot)].expect("aborted an idle slot");
                self.todo.retain(|(_, other), _| *other != serial);
                self.frozen.remove(&slot);
                let trouble = RunTrouble::Aborted;
                self.slots[usize::from(slot)] = None;
                self.occupy(slot, delay, Event::RunFailed { slot, done: 0, trouble });
            }
            Effect::Unload { slot } => {
                assert!(self.slots[usize::from(slot)].is_none(), "unloaded a busy slot");
            }
            Effect::Wait { .. } | Effect::Leave { .. } => self.begin_move(effect, delay),
            Effect::Found { range, .. } => self.found(range),
            Effect::Store { range, .. } => self.store(range, delay),
            Effect::Submit { .. }
            | Effect::Release { .. }
            | Effect::Settle { .. }
            | Effect::Expire { .. } => {
                self.check_transaction(&effect);
                self.later(delay, Later::Transaction(effect));
            }
            Effect::Discard { range } => {
                assert!(!self.running.values().any(|other| *other == range));
                assert!(!self.storing.contains(&range));
                assert!(!self.mating.is_needed(range), "discarded what must still be shown");
                self.complete.remove(&range);
            }
            Effect::Forget { job, .. } => self.forget(job),
            Effect::Withdraw => {
                self.later(delay, Later::Answer(Event::WithdrawEnded { done: true }));
            }
            Effect::Note(_) => {}
        }
    }

    fn forget(&mut self, id: JobId) {
        assert!(!self.running.values().any(|range| range.job == id));
        assert!(!self.mating.needs(id), "forgot what must still be shown");
        self.complete.retain(|range| range.job != id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.fetched = false;
        }
    }

    fn freeze(&mut self, slot: SlotId) {
        let serial = self.slots[usize::from(slot)].expect("froze an idle slot");
        let key = self.todo.keys().copied().find(|(_, other)| *other == serial);
        let key = key.expect("froze what was frozen");
        let Some(Later::Answer(answer)) = self.todo.remove(&key) else { panic!("no run") };
        self.frozen.insert(slot, (key.0.saturating_sub(self.now), answer));
    }

    fn calibrate(&mut self, slot: SlotId, job: JobId, index: u32, delay: u64) {
        let state = &self.jobs[&job];
        assert!(state.fetched, "calibrated without inputs");
        assert!(index < state.terms.task_count);
        let pace = Pace { tasks: 1, units: 7, micros: 90_000, load_micros: 50_000 };
        let died = state.deadly || self.fault();
        let answer = if died {
            Event::RunFailed { slot, done: 0, trouble: RunTrouble::Worker }
        } else {
            Event::Calibrated { slot, job, pace }
        };
        self.occupy(slot, delay, answer);
    }

    fn run_answer(&mut self, slot: SlotId, range: RangeId, count: u32) -> Event {
        let deadly = self.jobs[&range.job].deadly;
        if self.complete.contains(&range) {
            return Event::RangeComplete { slot, range, pace: None };
        }
        if deadly {
            return Event::RunFailed { slot, done: 0, trouble: RunTrouble::Worker };
        }
        if self.fault() {
            let done = self.pick(count);
            let trouble = [RunTrouble::Worker, RunTrouble::Local][self.pick(2) as usize];
            return Event::RunFailed { slot, done, trouble };
        }
        let micros = u64::from(count) * (80_000 + self.draw(20_000));
        let pace = Pace { tasks: count, units: u64::from(count) * 7, micros, load_micros: 0 };
        Event::RangeComplete { slot, range, pace: Some(pace) }
    }

    fn occupy(&mut self, slot: SlotId, delay: u64, answer: Event) {
        assert!(self.slots[usize::from(slot)].is_none(), "slot {slot} got two things to do");
        let serial = self.later(delay, Later::Answer(answer));
        self.slots[usize::from(slot)] = Some(serial);
    }
}

/// What a claim pays now: the contract's rule, from what nobody holds.
fn price_in_force(job: &WorldJob, now: Millis) -> Price {
    let Some((clock, start)) = job.terms.clock else { return job.terms.price };
    let left: u32 = job.pieces.iter().map(|(_, count)| count).sum();
    let tasks = job.terms.task_count;
    clock.price(clock.level((now - start) / 1_000, tasks - left, tasks))
}
