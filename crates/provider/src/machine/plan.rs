//! The plan: one pass over everything known, asking for what is due and not yet asked for.
//!
//! Order matters twice: submissions come before new asks (they can carry one), and ranges that are
//! held get slots before calibrations do.

use tilth_protocol::{Amount, JobId, RangeId};

use super::{
    BATCH, Claim, FINAL_MS, Machine, Slot, Work,
    effect::{Ask, Effect},
    event::{Millis, Rest, SlotId},
    job::{Job, Phase, Sleep},
    range::{Range, Stage},
    work_events::ranges_of,
};

/// Jobs fetched at the same time: the line stays busy while some of them wait for their peers.
pub const MAX_FETCHES: usize = 4;
/// Releases per job that the contract does not charge for (`FREE_RELEASES`).
const FREE_RELEASES: usize = 3;
/// Shortest silence of a worker that is taken for its death: a loaded machine can stall that long.
const MIN_SILENCE_MS: u64 = 30_000;
/// How much slower than measured a task may be before its worker is taken for dead.
const SLOWDOWN: u64 = 10;
/// After a window or timeout is over, wait so much longer, for clocks differ and many end together.
const GRACE_MS: Millis = 2_000;
/// Expiring others' ranges is spread over so much time, so that not all providers do it at once.
const EXPIRE_SPREAD_MS: Millis = 3_000;

impl Machine {
    pub(super) fn plan(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.miss_late(now, out);
        self.discard_and_forget(now, out);
        self.settle(now, out);
        self.store_and_submit(now, out);
        self.rest(now, out);
        self.give_back(now, out);
        self.fetch(now, out);
        self.run(now, out);
        self.calibrate(now, out);
        // Before ranges are asked for, which fill the slots.
        self.line_up(now, out);
        self.claim(now, out);
        self.expire(now, out);
        self.unload(now, out);
        self.withdraw(now, out);
    }

    /// Stops serving what is over for long enough, and forgets jobs of which nothing is left.
    fn discard_and_forget(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let ids: Vec<_> = self.ids(|stage| matches!(stage, Stage::Settled | Stage::Rejected));
        for id in ids {
            let Some(range) = self.ranges.get(&id).copied() else { continue };
            // Paid is paid: what is served beyond that is a courtesy that needs room.
            let courtesy = range.stage == Stage::Settled && !self.crowded;
            let retention_ms = if courtesy { self.rules.retention_ms } else { 0 };
            // Whoever is audited must be able to answer until that cannot be asked any more.
            let audited = self.jobs.get(&id.job).is_none_or(|job| job.terms.audited);
            let least_ms = if audited { FINAL_MS } else { 0 };
            if self.is_due(range.since.saturating_add(retention_ms.max(least_ms)), now) {
                if let Some(job) = self.jobs.get_mut(&id.job) {
                    job.end(id.seq);
                }
                self.ranges.remove(&id);
                out.push(Effect::Discard { range: id });
            }
        }
        let idle: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.asks == 0 && !job.is_fetching() && !job.calibrating)
            .filter(|(id, job)| !self.is_bound_to(**id, job))
            .map(|(id, job)| (*id, job.ends()))
            .filter(|(id, _)| self.ranges.range(ranges_of(*id)).next().is_none())
            .collect();
        for (job, ends) in idle {
            if self.slots.iter().any(|slot| slot.is_busy_with(job)) || !self.is_due(ends, now) {
                continue;
            }
            for (slot, state) in (0..).zip(&mut self.slots) {
                if state.loaded == Some(job) {
                    state.loaded = None;
                    out.push(Effect::Unload { slot });
                }
            }
            let state = self.jobs.remove(&job);
            let until = state.map_or(0, |job| if job.closed { 0 } else { job.terms.deadline });
            out.push(Effect::Forget { job, until });
        }
    }

    /// Has ranges paid whose window is over and that the client has not acknowledged.
    fn settle(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let jobs: Vec<_> = self.jobs.keys().copied().collect();
        for id in jobs {
            let Some(job) = self.jobs.get(&id) else { continue };
            if job.settling {
                continue;
            }
            let (window, not_before) = (job.terms.window_ms, job.settle_not_before);
            let submitted: Vec<_> = self
                .ranges
                .range(ranges_of(id))
                .filter(|(_, range)| range.stage == Stage::Submitted)
                .map(|(id, range)| (id.seq, range.since))
                .collect();
            let mut seqs = Vec::new();
            for (seq, since) in submitted {
                let over = since.saturating_add(window).saturating_add(GRACE_MS);
                if self.is_due(over.max(not_before), now) && seqs.len() < BATCH {
                    seqs.push(seq);
                }
            }
            if let Some(job) = self.jobs.get_mut(&id).filter(|_| !seqs.is_empty()) {
                job.settling = true;
                out.push(Effect::Settle { job: id, seqs });
            }
        }
    }

    /// Commits to what is complete, submits what is committed to.
    fn store_and_submit(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let ids = self.ids(|stage| matches!(stage, Stage::Complete | Stage::Stored(_)));
        for id in ids {
            let Some(range) = self.ranges.get(&id).copied() else { continue };
            if !self.is_due(range.not_before, now) {
                continue;
            }
            let (stage, effect) = if let Stage::Stored(commitment) = range.stage {
                let ask = self.ask_with_submission(id.job, now);
                (Stage::Submitting(commitment), Effect::Submit { range: id, commitment, ask })
            } else {
                let Claim { from, count, .. } = range.claim;
                (Stage::Storing, Effect::Store { range: id, from, count })
            };
            if let Some(range) = self.ranges.get_mut(&id) {
                range.stage = stage;
            }
            out.push(effect);
        }
    }

    /// Gives back what cannot be done, and, when draining, what was not begun.
    fn give_back(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.draining || self.rest == Some(Rest::Finish) {
            for id in self.ids(|stage| stage == Stage::Held) {
                if self.is_mates(id) {
                    continue;
                }
                let going =
                    |range: &Range| matches!(range.stage, Stage::GivingUp | Stage::Releasing);
                let going = self.ranges.range(ranges_of(id.job)).filter(|(_, r)| going(r)).count();
                let free = self.jobs.get(&id.job).is_some_and(|job| {
                    (job.releases as usize).saturating_add(going) < FREE_RELEASES
                });
                if let Some(range) = self.ranges.get_mut(&id).filter(|range| free && !range.begun) {
                    range.enter(Stage::GivingUp, now);
                }
            }
        }
        for id in self.ids(|stage| stage == Stage::GivingUp) {
            let not_before = self.ranges.get(&id).map_or(0, |range| range.not_before);
            if !self.is_due(not_before, now) {
                continue;
            }
            if let Some(range) = self.ranges.get_mut(&id) {
                range.stage = Stage::Releasing;
                out.push(Effect::Release { range: id });
            }
        }
    }

    /// Fetches what is wanted: first for ranges that are ours already, then jobs not yet tried, so that
    /// clients who do not serve their inputs keep nobody else waiting.
    fn fetch(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.stands_still() {
            return;
        }
        let mut candidates = Vec::new();
        for (id, job) in &self.jobs {
            let Phase::Seen { not_before } = job.phase else { continue };
            let held = |range: &Range| range.stage == Stage::Held;
            let holds = self.ranges.range(ranges_of(*id)).any(|(_, range)| held(range));
            let wanted = self.takes_work() && job.is_open(now) && job.remaining() > 0;
            if holds || wanted {
                candidates.push((!holds, job.fetch_failures, *id, not_before, job.sleep));
            }
        }
        candidates.sort_unstable_by_key(|(others, failures, id, ..)| (*others, *failures, *id));
        let mut running = self.jobs.values().filter(|job| job.is_fetching()).count();
        for (others, _, id, not_before, sleep) in candidates {
            let due = self.is_due(not_before, now) && (!others || self.is_awake(sleep, now));
            if !due || running >= MAX_FETCHES {
                continue;
            }
            running += 1;
            let epoch = self.epoch;
            if let Some(job) = self.jobs.get_mut(&id) {
                job.phase = Phase::Fetching;
                job.sleep = None;
                out.push(Effect::Fetch { job: id, holds: !others, epoch });
            }
        }
    }

    /// Puts held ranges on free slots, on one that has the job loaded if there is one. What we were drawn for comes before
    /// all that is ours, by its deadline: it cannot be given back, and to be late costs.
    fn run(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.stands_still() {
            return;
        }
        let held = self.ids(|stage| stage == Stage::Held);
        let due = |id: &RangeId| self.ranges.get(id).and_then(Range::due);
        let (mut duties, own): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|id| due(id).is_some());
        duties.sort_by_key(due);
        for ids in [duties, own] {
            for by_loaded in [true, false] {
                for id in &ids {
                    self.run_held(*id, by_loaded, now, out);
                }
            }
        }
    }

    /// Puts a held range on a free slot, if there is one for it.
    fn run_held(&mut self, id: RangeId, by_loaded: bool, now: Millis, out: &mut Vec<Effect>) {
        let ready = self.jobs.get(&id.job).is_some_and(|job| job.phase == Phase::Ready);
        let held = |range: &&Range| range.stage == Stage::Held;
        let Some(range) = self.ranges.get(&id).filter(held).copied() else { return };
        if !ready || !self.is_due(range.not_before, now) {
            return;
        }
        if let Some(slot) = self.free_slot(id.job, by_loaded) {
            self.start(slot, id, now, out);
        }
    }

    fn start(&mut self, slot: SlotId, id: RangeId, now: Millis, out: &mut Vec<Effect>) {
        let silence_ms = self.jobs.get(&id.job).map_or(MIN_SILENCE_MS, silence);
        let Some(range) = self.ranges.get_mut(&id) else { return };
        range.stage = Stage::Running;
        range.begun = true;
        let Claim { from, count, .. } = range.claim;
        if let Some(slot) = self.slot_mut(slot) {
            slot.work = Work::Running(id, now);
            slot.loaded = Some(id.job);
        }
        out.push(Effect::Run { slot, range: id, from, count, silence_ms });
    }

    /// A free slot; if `loaded`, only one whose worker has this job.
    fn free_slot(&self, job: JobId, loaded: bool) -> Option<SlotId> {
        let fits = |slot: &Slot| slot.work == Work::Idle && (!loaded || slot.loaded == Some(job));
        let empty_first = self.slots.iter().position(|slot| fits(slot) && slot.loaded.is_none());
        let any = || self.slots.iter().position(fits);
        empty_first.or_else(any).and_then(|slot| SlotId::try_from(slot).ok())
    }

    fn calibrate(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if !self.takes_work() {
            return;
        }
        for id in self.waiting_for_calibration(now) {
            let Some(index) = self.jobs.get(&id).and_then(Job::next_index) else { continue };
            let Some(slot) = self.free_slot(id, true).or_else(|| self.free_slot(id, false)) else {
                return;
            };
            if let Some(job) = self.jobs.get_mut(&id) {
                job.calibrating = true;
            }
            if let Some(slot) = self.slot_mut(slot) {
                slot.work = Work::Calibrating(id);
                slot.loaded = Some(id);
            }
            out.push(Effect::Calibrate { slot, job: id, index });
        }
    }

    /// Jobs that could be claimed from if only we knew our speed.
    fn waiting_for_calibration(&mut self, now: Millis) -> Vec<JobId> {
        let jobs: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.is_open(now) && job.remaining() > 0)
            .filter(|(_, job)| job.phase == Phase::Ready)
            .filter(|(_, job)| job.speed.is_none() && !job.calibrating)
            .map(|(id, job)| (*id, job.sleep))
            .collect();
        let awake = jobs.into_iter().filter(|(_, sleep)| self.is_awake(*sleep, now));
        // Work and money come back by themselves only for those who do not sleep by the clock.
        awake.map(|(id, _)| id).collect()
    }

    fn is_awake(&mut self, sleep: Option<Sleep>, now: Millis) -> bool {
        match sleep {
            None => true,
            Some(Sleep::Until(time) | Sleep::Inputs(time) | Sleep::Settlement(time)) => {
                self.is_due(time, now)
            }
            Some(Sleep::Work | Sleep::Funds) => false,
        }
    }

    /// Asks for ranges as long as there is room for them.
    fn claim(&mut self, now: Millis, out: &mut Vec<Effect>) {
        while let Some(ask) = self.best_ask(now) {
            self.put(ask);
            out.push(Effect::Claim(ask));
        }
    }

    /// An ask that travels with a submission of the same job.
    fn ask_with_submission(&mut self, job: JobId, now: Millis) -> Option<Ask> {
        // The range that is being submitted makes room for the one asked for.
        if !self.has_room(1, now) || self.best_job(now) != Some(job) {
            return None;
        }
        let ask = self.ask(job, now)?;
        self.put(ask);
        Some(ask)
    }

    fn put(&mut self, ask: Ask) {
        if let Some(job) = self.jobs.get_mut(&ask.job) {
            job.asks = job.asks.saturating_add(1);
            job.sleep = None;
        }
    }

    fn best_ask(&mut self, now: Millis) -> Option<Ask> {
        if !self.has_room(0, now) {
            return None;
        }
        let job = self.best_job(now)?;
        let state = self.jobs.get(&job)?;
        let idle = self.slots.iter().filter(|slot| slot.work == Work::Idle).count();
        // Several asks at a time fill several idle slots; for a range ahead one is enough. A range
        // that is nearly submitted will carry an ask of its own.
        let soon = |range: &Range| range.is_nearly_submitted();
        let soon = self.ranges.range(ranges_of(job)).filter(|(_, range)| soon(range)).count();
        if (state.asks as usize).saturating_add(soon) >= idle.max(1) {
            return None;
        }
        self.ask(job, now)
    }

    /// Whether another range may be asked for, once `freed` of those committed to are submitted.
    fn has_room(&mut self, freed: usize, now: Millis) -> bool {
        if !self.takes_work() {
            return false;
        }
        // A job that waits for its calibration gets a slot by no range being asked for ahead of it.
        let kept = if self.waiting_for_calibration(now).is_empty() { 0 } else { 2 };
        // What is being submitted is as good as gone; if it is not, the chain refuses us.
        let leaving = |range: &&Range| matches!(range.stage, Stage::Submitting(_));
        let submitting = self.ranges.values().filter(leaving).count();
        let taken = (self.held() + self.to_be_done() + self.asks()).saturating_sub(submitting);
        taken < self.rules.capacity().saturating_sub(kept) + freed
    }

    /// The job that pays best per second, among those that can be asked now and leave slots for what we can be drawn for.
    fn best_job(&mut self, now: Millis) -> Option<JobId> {
        let long = self.may_take_long(now);
        let ready = self.workable(now).into_iter();
        let fits = |(id, _): &(JobId, u128)| long || !self.jobs.get(id).is_some_and(Job::is_long);
        // Of equals the oldest, which is closest to its end.
        let best = ready.filter(fits).max_by_key(|(id, value)| (*value, std::cmp::Reverse(*id)));
        best.map(|(id, _)| id)
    }

    /// Jobs that can be asked now, with what a second of each pays.
    pub(super) fn workable(&mut self, now: Millis) -> Vec<(JobId, u128)> {
        let candidates: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.is_open(now) && job.phase == Phase::Ready)
            .filter(|(_, job)| job.remaining() > 0)
            .filter_map(|(id, job)| {
                let floor = job.floor(&self.rules);
                let pays = job.pays_from(floor);
                if floor > job.terms.price {
                    return None;
                }
                Some((*id, job.worth(now)?, job.sleep, pays))
            })
            .collect();
        // On the clock a job waits for its price; claims of others may put that off.
        let ready = candidates
            .into_iter()
            .filter(|(.., sleep, pays)| self.is_awake(*sleep, now) && self.is_due(*pays, now));
        ready.map(|(id, value, ..)| (id, value)).collect()
    }

    /// How much of a job to ask for: what fits half of its range timeout after what we already hold.
    fn ask(&mut self, id: JobId, now: Millis) -> Option<Ask> {
        let job = self.jobs.get(&id)?;
        let speed = job.speed?;
        let min_price = job.floor(&self.rules);
        let wait = self.wait_for_slot(now);
        let half = job.terms.range_timeout_ms / 2;
        let work_ms = half.saturating_sub(wait).saturating_sub(speed.load_micros / 1_000);
        let fitting = work_ms.saturating_mul(1_000) / speed.task_micros.max(1);
        let mut want = u32::try_from(fitting).unwrap_or(u32::MAX).min(job.remaining());
        if want == 0 {
            if wait > 0 {
                // It fits when the slots have done more of what they hold; look again half-way.
                self.is_due(now.saturating_add(wait / 2).saturating_add(1), now);
                return None;
            }
            // Slower than half, faster than four fifths: one task at a time.
            want = 1;
        }
        let want = want.min(tilth_protocol::leaf::MAX_RANGE_TASKS);
        Some(Ask { job: id, want, min_price, epoch: self.epoch })
    }

    /// Time until a slot is likely to be free for a range asked for now.
    fn wait_for_slot(&self, now: Millis) -> Millis {
        let waiting = self.ids(|stage| stage == Stage::Held);
        let mut free_at: Vec<Millis> =
            self.slots.iter().map(|slot| self.time_left(slot, now)).collect();
        for id in waiting {
            if let Some(least) = free_at.iter_mut().min() {
                *least = least.saturating_add(self.duration(id));
            }
        }
        free_at.into_iter().min().unwrap_or(0)
    }

    pub(super) fn time_left(&self, slot: &Slot, now: Millis) -> Millis {
        match slot.work {
            Work::Idle => 0,
            Work::Calibrating(_) => 0,
            Work::Running(range, since) => {
                let until = slot.frozen.unwrap_or(now);
                self.duration(range).saturating_sub(until.saturating_sub(since))
            }
        }
    }

    pub(super) fn duration(&self, id: RangeId) -> Millis {
        let tasks = self.ranges.get(&id).map_or(0, |range| range.claim.count);
        let speed = self.jobs.get(&id.job).and_then(|job| job.speed);
        speed.map_or(0, |speed| speed.task_micros.saturating_mul(u64::from(tasks)) / 1_000)
    }

    /// Takes late ranges from others, if there is nothing better to do.
    fn expire(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if !self.has_room(0, now) {
            return;
        }
        let jobs: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.is_open(now) && job.phase == Phase::Ready && !job.expiring)
            .filter(|(_, job)| job.remaining() == 0 && job.speed.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in jobs {
            let Some(job) = self.jobs.get(&id) else { continue };
            let (timeout, not_before) = (job.terms.range_timeout_ms, job.expire_not_before);
            let others: Vec<_> = job
                .open
                .iter()
                .filter(|(_, open)| !open.mine)
                .map(|(seq, open)| (*seq, open.at))
                .collect();
            let mut seqs = Vec::new();
            for (seq, at) in others {
                let late = at.saturating_add(timeout).saturating_add(GRACE_MS);
                let late = late.saturating_add(self.spread(id, seq));
                if self.is_due(late.max(not_before), now) && seqs.len() < BATCH {
                    seqs.push(seq);
                }
            }
            if let Some(job) = self.jobs.get_mut(&id).filter(|_| !seqs.is_empty()) {
                job.expiring = true;
                out.push(Effect::Expire { job: id, seqs });
            }
        }
    }

    /// A delay that differs between providers and ranges, the same at every call.
    fn spread(&self, job: JobId, seq: u32) -> Millis {
        let owner = self.rules.owner.as_slice();
        let seed = owner.iter().fold(job.0 ^ u64::from(seq), |sum, byte| {
            sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*byte))
        });
        (seed >> 16) % EXPIRE_SPREAD_MS
    }

    /// Ends workers of jobs that have nothing more for us.
    fn unload(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let wanted = |job: &Job| job.is_open(now) && (job.remaining() > 0 || job.asks > 0);
        for (slot, state) in (0..).zip(&mut self.slots) {
            let Some(id) = state.loaded.filter(|_| state.work == Work::Idle) else { continue };
            let held =
                self.ranges.range(ranges_of(id)).any(|(_, range)| range.stage == Stage::Held);
            let unwanted = self.draining || self.rest == Some(Rest::Release);
            if !held && (unwanted || !self.jobs.get(&id).is_some_and(wanted)) {
                state.loaded = None;
                out.push(Effect::Unload { slot });
            }
        }
    }

    fn withdraw(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let Some(above) = self.rules.withdraw_above else { return };
        let enough = self.to_withdraw > Amount::ZERO && self.to_withdraw >= above;
        if enough && !self.withdrawing && self.is_due(self.withdraw_not_before, now) {
            self.withdrawing = true;
            self.to_withdraw = Amount::ZERO;
            out.push(Effect::Withdraw);
        }
    }

    pub(super) fn ids(&self, wanted: impl Fn(Stage) -> bool) -> Vec<RangeId> {
        self.ranges.iter().filter(|(_, range)| wanted(range.stage)).map(|(id, _)| *id).collect()
    }
}

/// How long a worker of this job may be silent.
fn silence(job: &Job) -> u64 {
    let Some(speed) = job.speed else {
        return job.terms.range_timeout_ms.max(MIN_SILENCE_MS);
    };
    (speed.task_micros / 1_000).saturating_mul(SLOWDOWN).max(MIN_SILENCE_MS)
}

impl Slot {
    pub(super) fn is_busy_with(&self, job: JobId) -> bool {
        match self.work {
            Work::Idle => false,
            Work::Calibrating(other) => other == job,
            Work::Running(range, _) => range.job == job,
        }
    }
}
