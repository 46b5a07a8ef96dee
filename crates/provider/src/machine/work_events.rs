//! What the ends of effects change in the machine's knowledge.

use tilth_protocol::{JobId, RangeId};

use super::{
    Machine, Work,
    effect::{Effect, Note, Unfit},
    event::{
        Claim, Commitment, Event, Millis, MoveFailure, Pace, Refusal, RunTrouble, SlotId, Trouble,
    },
    job::{Phase, Sleep},
    pause,
    range::{Range, Stage},
};

/// First and longest pause after a failed fetch: peers come and go within seconds to minutes.
const FETCH_PAUSE: (Millis, Millis) = (2_000, 300_000);
/// First and longest pause after the chain could not be asked or told.
const CHAIN_PAUSE: (Millis, Millis) = (250, 30_000);
/// Pause before a job is asked again that had no room for us, if nothing of ours is settled before: auditors may have
/// come, the client of a kept job may have filled up its deposit or acknowledged what others have made, and stake may
/// be added.
const ROOM_PAUSE: Millis = 600_000;
/// First and longest pause after a failure of our own disk or processes.
const LOCAL_PAUSE: (Millis, Millis) = (1_000, 120_000);
/// First and longest pause after a job killed its worker so often that a range was given back.
const STRIKE_PAUSE: (Millis, Millis) = (60_000, 3_600_000);
/// Deaths of the worker without a new leaf in between after which a range is given back.
const MAX_DEATHS: u32 = 2;
/// Ranges given back in a row after which a job is left alone.
const MAX_STRIKES: u32 = 3;
/// Failed fetches after which ranges held from an earlier life are given back.
const MAX_FETCHES_WHILE_HELD: u32 = 3;

impl Machine {
    pub(super) fn apply(&mut self, event: Event, now: Millis, out: &mut Vec<Effect>) {
        match event {
            Event::CaughtUp => self.caught_up = true,
            Event::Chain(event) => self.apply_chain(event, now, out),
            Event::Fetched { job } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.phase = Phase::Ready;
                    job.fetch_failures = 0;
                }
            }
            Event::FetchFailed { job, trouble } => self.fetch_failed(job, trouble, now, out),
            Event::Calibrated { slot, job, pace } => self.calibrated(slot, job, pace, out),
            Event::Claimed { claim } => {
                self.end_ask(claim.range.job);
                self.own_claimed(claim, now, out);
            }
            Event::ClaimRefused { job, epoch, why } => {
                self.end_ask(job);
                self.refused(job, epoch, why, now, out);
            }
            Event::FetchRefused { job, epoch, why } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.phase = Phase::Seen { not_before: 0 };
                }
                self.refused(job, epoch, why, now, out);
            }
            Event::RangeComplete { slot, range, pace } => {
                self.complete(slot, range, pace, now, out)
            }
            Event::RunFailed { slot, done, trouble } => {
                self.run_failed(slot, done, trouble, now, out);
            }
            Event::Stored { range, commitment } => self.stored(range, commitment, now, out),
            Event::StoreFailed { range, lost } => self.store_failed(range, lost, now, out),
            Event::Submitted { range, at } => self.delivered(range, at, out),
            Event::SubmitFailed { range, why } => self.submit_failed(range, why, now, out),
            Event::Released { range } => self.returned(range, true, out),
            Event::ReleaseFailed { range, why } => self.release_failed(range, why, now, out),
            Event::SettleEnded { job, done } => self.settle_ended(job, done, now),
            Event::ExpireEnded { job, done } => self.expire_ended(job, done, now),
            Event::WithdrawEnded { done } => self.withdraw_ended(done, now),
            // One that crosses a withdrawal may be of before it.
            Event::FreeSeen { .. } if self.withdrawing => {}
            Event::FreeSeen { free } => self.to_withdraw = free,
            Event::Tick => {}
            Event::Drain => self.draining = true,
            Event::Rest(rest) => self.owner_wants(rest, out),
            Event::Crowded(crowded) => self.crowded = crowded,
            Event::Drawn { claim, due } => self.drawn(claim, due, now, out),
            Event::KeptLost { range, due } => self.kept_lost(range, due, now),
            Event::Duty { range } => {
                self.duties.insert(range);
            }
            Event::DutyOver { range } => self.duty_over(range, out),
            Event::DutiesKnown => self.duties_known = true,
            Event::Moved { job, place } => self.moved(job, place, now),
        }
    }

    fn stored(&mut self, id: RangeId, commitment: Commitment, now: Millis, out: &mut Vec<Effect>) {
        if self.ranges.get_mut(&id).is_some_and(|range| range.was_stale(now)) {
            return;
        }
        match self.ranges.get_mut(&id) {
            Some(range) if range.stage == Stage::Storing && range.is_mates() => {
                range.enter(Stage::Kept, now);
                let Claim { from, count, .. } = range.claim;
                if let Some(job) = self.jobs.get_mut(&id.job) {
                    job.line.has_done();
                }
                out.push(Effect::Found { range: id, from, count, commitment });
            }
            Some(range) if range.stage == Stage::Storing => {
                range.enter(Stage::Stored(commitment), now);
            }
            Some(_) => {}
            None => out.push(Effect::Discard { range: id }),
        }
    }

    fn fetch_failed(&mut self, id: JobId, trouble: Trouble, now: Millis, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if trouble == Trouble::Aborted {
            // Nobody's fault: it goes on when we do.
            job.phase = Phase::Seen { not_before: 0 };
            return;
        }
        job.fetch_failures = job.fetch_failures.saturating_add(1);
        let wait = pause(FETCH_PAUSE.0, job.fetch_failures, FETCH_PAUSE.1);
        job.phase = Phase::Seen { not_before: now.saturating_add(wait) };
        if trouble == Trouble::Lasting && job.unfit.is_none() {
            job.unfit = Some(Unfit::Inputs);
            out.push(Effect::Note(Note::Ignored { job: id, why: Unfit::Inputs }));
        }
        if trouble == Trouble::Lasting || job.fetch_failures >= MAX_FETCHES_WHILE_HELD {
            for (range, state) in self.ranges.range_mut(ranges_of(id)) {
                if state.stage == Stage::Held && !state.is_mates() {
                    state.enter(Stage::GivingUp, now);
                    out.push(Effect::Note(Note::GaveUp { range: *range, deaths: 0 }));
                }
            }
        }
        if trouble == Trouble::Lasting {
            let held = |range: &Range| range.is_duty() && range.stage == Stage::Held;
            let duties = self.ranges.range(ranges_of(id)).filter(|(_, range)| held(range));
            let duties: Vec<_> = duties.map(|(range, _)| *range).collect();
            duties.into_iter().for_each(|range| self.miss(range, now, out));
        }
    }

    fn calibrated(&mut self, slot: SlotId, id: JobId, pace: Pace, out: &mut Vec<Effect>) {
        if let Some(slot) = self.slot_mut(slot) {
            slot.work = Work::Idle;
            slot.leaving = false;
            slot.loaded = Some(id);
        }
        let rules = &self.rules;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.calibrating = false;
        job.trials_failed = 0;
        job.strikes = 0;
        job.learn(pace);
        if job.floor(rules) > job.terms.price && job.unfit.is_none() {
            job.unfit = Some(Unfit::Power);
            out.push(Effect::Note(Note::Ignored { job: id, why: Unfit::Power }));
        }
        // Four fifths: what is left is for storing and submitting.
        let longest = job.terms.range_timeout_ms.saturating_mul(1_000) / 5 * 4;
        let needed =
            job.speed.map_or(0, |speed| speed.task_micros.saturating_add(speed.load_micros));
        if needed > longest && job.unfit.is_none() {
            job.unfit = Some(Unfit::TooSlow);
            out.push(Effect::Note(Note::Ignored { job: id, why: Unfit::TooSlow }));
        }
    }

    fn end_ask(&mut self, job: JobId) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.asks = job.asks.saturating_sub(1);
        }
    }

    /// Puts a job to sleep until the reason of a refusal may be gone.
    fn refused(&mut self, id: JobId, epoch: u64, why: Refusal, now: Millis, out: &mut Vec<Effect>) {
        let outdated = epoch != self.epoch;
        let over = |range: &Range| matches!(range.stage, Stage::Settled | Stage::Rejected);
        let nothing_to_wait_for = self.ranges.values().all(over);
        if why == Refusal::Exposure && nothing_to_wait_for {
            out.push(Effect::Note(Note::StakeTooLow { job: id }));
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !matches!(why, Refusal::Later | Refusal::Unheld) {
            // The chain has answered, so the next time it cannot be asked is the first in a row.
            job.refusals = 0;
        }
        let sleep = match why {
            Refusal::Closed => {
                // What a job said before it was reopened is no news; one that is over says so itself.
                if !(outdated && job.terms.audited) {
                    job.stop();
                }
                return;
            }
            Refusal::Price if job.terms.clock.is_some() => {
                // Somebody claimed before us; the plan asks again when the clock is there.
                let wait = pause(CHAIN_PAUSE.0, 2, CHAIN_PAUSE.1);
                Sleep::Until(now.saturating_add(wait))
            }
            Refusal::Unfit | Refusal::Price => {
                job.unfit = Some(Unfit::Chain);
                out.push(Effect::Note(Note::Ignored { job: id, why: Unfit::Chain }));
                return;
            }
            Refusal::NoWork => Sleep::Work,
            Refusal::NoFunds => Sleep::Funds,
            // In audited jobs it may also be for want of auditors, who may come.
            Refusal::Exposure if job.terms.audited && nothing_to_wait_for => {
                Sleep::Until(now.saturating_add(ROOM_PAUSE))
            }
            Refusal::Exposure => Sleep::Settlement(now.saturating_add(ROOM_PAUSE)),
            Refusal::Unheld | Refusal::Later => {
                job.refusals = job.refusals.saturating_add(1);
                let until = now.saturating_add(pause(CHAIN_PAUSE.0, job.refusals, CHAIN_PAUSE.1));
                if why == Refusal::Later { Sleep::Until(until) } else { Sleep::Inputs(until) }
            }
        };
        // If there was news since the question was put, the reason may be gone; but a short pause
        // keeps a busy chain from making us ask at every log.
        let wait = now.saturating_add(CHAIN_PAUSE.0);
        job.sleep = Some(match sleep {
            Sleep::Until(_) | Sleep::Inputs(_) => sleep,
            _ if outdated => Sleep::Until(wait),
            _ => sleep,
        });
    }

    fn complete(
        &mut self,
        slot: SlotId,
        id: RangeId,
        pace: Option<Pace>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        if let Some(slot) = self.slot_mut(slot) {
            slot.work = Work::Idle;
            slot.leaving = false;
            if pace.is_some() {
                slot.loaded = Some(id.job);
            }
        }
        if let (Some(job), Some(pace)) = (self.jobs.get_mut(&id.job), pace) {
            job.learn(pace);
            job.strikes = 0;
        }
        match self.ranges.get_mut(&id) {
            Some(range) if range.stage == Stage::Running => range.enter(Stage::Complete, now),
            Some(_) => {}
            None => out.push(Effect::Discard { range: id }),
        }
    }

    fn run_failed(
        &mut self,
        slot: SlotId,
        done: u32,
        trouble: RunTrouble,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slot_mut(slot) else { return };
        let work = slot.work;
        slot.work = Work::Idle;
        slot.loaded = None;
        slot.leaving = false;
        match work {
            Work::Idle => {}
            Work::Calibrating(job) => self.calibration_failed(job, trouble, now, out),
            Work::Running(range, _) => self.range_failed(range, done, trouble, now, out),
        }
    }

    fn calibration_failed(
        &mut self,
        id: JobId,
        trouble: RunTrouble,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.calibrating = false;
        let (first, most) = match trouble {
            RunTrouble::Worker => STRIKE_PAUSE,
            RunTrouble::Local => LOCAL_PAUSE,
            // The owner came in between; it is made again when we work again.
            RunTrouble::Aborted => return,
        };
        job.trials_failed = job.trials_failed.saturating_add(1);
        job.sleep = Some(Sleep::Until(now.saturating_add(pause(first, job.trials_failed, most))));
        if trouble == RunTrouble::Worker {
            self.strike(id, now, out);
        }
    }

    fn range_failed(
        &mut self,
        id: RangeId,
        done: u32,
        trouble: RunTrouble,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(range) = self.ranges.get_mut(&id) else {
            out.push(Effect::Discard { range: id });
            return;
        };
        if range.stage != Stage::Running {
            return;
        }
        match trouble {
            RunTrouble::Worker => {
                range.deaths = if done > range.done { 1 } else { range.deaths.saturating_add(1) };
                range.done = range.done.max(done);
                let deaths = range.deaths;
                if deaths < MAX_DEATHS {
                    range.enter(Stage::Held, now);
                    return;
                }
                if range.is_mates() {
                    self.miss(id, now, out);
                } else {
                    range.enter(Stage::GivingUp, now);
                    out.push(Effect::Note(Note::GaveUp { range: id, deaths }));
                }
                self.strike(id.job, now, out);
            }
            RunTrouble::Local | RunTrouble::Aborted => {
                range.retry(Stage::Held, now, |n| pause(LOCAL_PAUSE.0, n, LOCAL_PAUSE.1));
                // Perhaps the files are gone; fetching is quick if they are not.
                if let Some(job) = self.jobs.get_mut(&id.job)
                    && job.phase == Phase::Ready
                {
                    job.phase = Phase::Seen { not_before: now };
                }
            }
        }
    }

    /// A job has cost us a worker for nothing; after some of these it is left alone.
    fn strike(&mut self, id: JobId, now: Millis, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.strikes = job.strikes.saturating_add(1);
        let wait = pause(STRIKE_PAUSE.0, job.strikes, STRIKE_PAUSE.1);
        job.sleep = Some(Sleep::Until(now.saturating_add(wait)));
        if job.strikes >= MAX_STRIKES && job.unfit.is_none() {
            job.unfit = Some(Unfit::Deadly);
            out.push(Effect::Note(Note::Ignored { job: id, why: Unfit::Deadly }));
        }
    }

    fn store_failed(&mut self, id: RangeId, lost: bool, now: Millis, out: &mut Vec<Effect>) {
        let Some(range) = self.ranges.get_mut(&id) else {
            out.push(Effect::Discard { range: id });
            return;
        };
        if range.was_stale(now) {
            return;
        }
        match (range.stage, lost) {
            (Stage::Storing, false) => {
                range.retry(Stage::Complete, now, |n| pause(LOCAL_PAUSE.0, n, LOCAL_PAUSE.1));
            }
            (Stage::Storing, true) => {
                // What the worker said cannot be true, which is as bad as its death.
                range.stage = Stage::Running;
                self.range_failed(id, 0, RunTrouble::Worker, now, out);
            }
            _ => {}
        }
    }

    fn submit_failed(&mut self, id: RangeId, why: MoveFailure, now: Millis, out: &mut Vec<Effect>) {
        let Some(range) = self.ranges.get_mut(&id) else { return };
        let Stage::Submitting(commitment) = range.stage else { return };
        match why {
            MoveFailure::Later => {
                range.retry(Stage::Stored(commitment), now, |n| {
                    pause(CHAIN_PAUSE.0, n, CHAIN_PAUSE.1)
                });
            }
            MoveFailure::Gone => {
                out.push(Effect::Note(Note::Lost { range: id }));
                self.drop_range(id, out);
            }
            MoveFailure::Refused => {
                range.enter(Stage::GivingUp, now);
                out.push(Effect::Note(Note::GaveUp { range: id, deaths: 0 }));
                self.strike(id.job, now, out);
            }
        }
    }

    fn release_failed(
        &mut self,
        id: RangeId,
        why: MoveFailure,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(range) = self.ranges.get_mut(&id) else { return };
        if range.stage != Stage::Releasing {
            return;
        }
        match why {
            MoveFailure::Gone => self.drop_range(id, out),
            MoveFailure::Later | MoveFailure::Refused => {
                range.retry(Stage::GivingUp, now, |n| pause(CHAIN_PAUSE.0, n, CHAIN_PAUSE.1));
            }
        }
    }

    fn settle_ended(&mut self, id: JobId, done: bool, now: Millis) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.settling = false;
        // After success the logs say what was settled; until they come, asking again is idle.
        job.settle_failures = if done { 0 } else { job.settle_failures.saturating_add(1) };
        let wait = if done { SETTLED_LOGS } else { pause(1_000, job.settle_failures, 60_000) };
        job.settle_not_before = now.saturating_add(wait);
    }

    fn expire_ended(&mut self, id: JobId, done: bool, now: Millis) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.expiring = false;
        job.expire_failures = if done { 0 } else { job.expire_failures.saturating_add(1) };
        let wait = if done { SETTLED_LOGS } else { pause(1_000, job.expire_failures, 60_000) };
        job.expire_not_before = now.saturating_add(wait);
    }

    fn withdraw_ended(&mut self, done: bool, now: Millis) {
        self.withdrawing = false;
        if !done {
            // The actor always takes all there is, so a later attempt makes up for this one.
            self.to_withdraw = self.rules.withdraw_above.unwrap_or_default();
            self.withdraw_not_before = now.saturating_add(WITHDRAW_PAUSE);
        }
    }
}

/// How long logs of a transaction that was carried out may take to reach us.
const SETTLED_LOGS: Millis = 5_000;
/// Pause after a failed withdrawal. Nothing is lost by waiting: the money is in the Ledger.
const WITHDRAW_PAUSE: Millis = 60_000;

/// All ranges of one job, as a range of keys.
pub(super) fn ranges_of(job: JobId) -> std::ops::RangeInclusive<RangeId> {
    RangeId { job, seq: 0 }..=RangeId { job, seq: u32::MAX }
}
