//! What the logs of the contracts change in the machine's knowledge.

use tilth_protocol::{Amount, JobId, RangeId};

use super::{
    MAX_JOBS, MAX_PAST_JOBS, Machine, Slot, Work,
    effect::{Effect, Note},
    event::{ChainEvent, Claim, Millis, SlotId, Terms},
    job::{Job, Sleep},
    range::{Range, Stage},
    work_events::ranges_of,
};

impl Machine {
    pub(super) fn apply_chain(&mut self, event: ChainEvent, now: Millis, out: &mut Vec<Effect>) {
        match event {
            ChainEvent::Opened { job, terms } => self.opened(job, terms, out),
            ChainEvent::ToppedUp { job } => {
                self.news();
                self.rouse(job, |sleep| matches!(sleep, Sleep::Funds));
            }
            ChainEvent::Claimed { provider, claim } => {
                let mine = provider == self.rules.owner;
                if mine {
                    self.own_claimed(claim, now, out);
                } else if let Some(job) = self.jobs.get_mut(&claim.range.job) {
                    job.book_claim(&claim, false);
                }
            }
            ChainEvent::Submitted { range, at } => {
                self.news();
                // What a submission did not use goes back to the escrow.
                self.rouse(range.job, |sleep| matches!(sleep, Sleep::Funds));
                self.delivered(range, at, out);
            }
            ChainEvent::Released { range } => self.returned(range, true, out),
            ChainEvent::Expired { range } => self.returned(range, false, out),
            ChainEvent::Rejected { range } => self.rejected(range, now, out),
            ChainEvent::Settled { range, paid } => self.settled(range, paid, now, out),
            ChainEvent::MatePaid { range, provider, paid } => {
                if provider == self.rules.owner {
                    self.earn(paid);
                } else if provider.is_zero() {
                    // Nobody has earned it, so it is in the escrow again.
                    self.news();
                    self.rouse(range.job, |sleep| matches!(sleep, Sleep::Funds));
                }
            }
            ChainEvent::Line { job, place } => self.placed(job, place, now),
            ChainEvent::Draining { job } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.stop();
                }
            }
            ChainEvent::Reopened { job } => {
                self.news();
                self.rouse(job, |sleep| matches!(sleep, Sleep::Work | Sleep::Funds));
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.halted = false;
                }
            }
            ChainEvent::Closed { job } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.closed = true;
                }
                if !self.caught_up {
                    self.let_go(job, out);
                }
            }
        }
    }

    /// Forgets a job of the past of which nothing is ours, so that there is room for those of which something is.
    fn let_go(&mut self, id: JobId, out: &mut Vec<Effect>) {
        let is_ours = self.ranges.range(ranges_of(id)).next().is_some()
            || self.slots.iter().any(|slot| slot.loaded == Some(id) || slot.is_busy_with(id));
        let idle = |job: &&Job| job.asks == 0 && !job.is_fetching() && !job.calibrating;
        let Some(job) = self.jobs.get(&id).filter(idle) else { return };
        if is_ours || job.ends() != 0 || self.is_bound_to(id, job) {
            return;
        }
        let until = if job.closed { 0 } else { job.terms.deadline };
        self.jobs.remove(&id);
        out.push(Effect::Forget { job: id, until });
    }

    fn opened(&mut self, id: JobId, terms: Terms, out: &mut Vec<Effect>) {
        if self.jobs.contains_key(&id) {
            return;
        }
        // While the past is read nobody knows yet in which jobs something is ours, so more are kept.
        let most = if self.caught_up { MAX_JOBS } else { MAX_PAST_JOBS };
        // Later each goes in its time, which gives its folder and slots back.
        if !self.caught_up && self.jobs.len() >= most {
            let unfit = self.jobs.iter().filter(|(_, job)| job.ends() == 0).map(|(id, _)| *id);
            let unfit: Vec<_> = unfit.collect();
            unfit.into_iter().for_each(|id| self.let_go(id, out));
        }
        if self.jobs.len() >= most {
            return;
        }
        let job = Job::new(terms, &self.rules);
        if let Some(why) = job.unfit {
            out.push(Effect::Note(Note::Ignored { job: id, why }));
        }
        self.jobs.insert(id, job);
    }

    /// Books a range as ours. The chain's log and the answer to our ask both say so.
    pub(super) fn own_claimed(&mut self, claim: Claim, now: Millis, out: &mut Vec<Effect>) {
        let other = |range: &Range| range.is_held() && !range.is_of(&claim);
        if self.ranges.get(&claim.range).is_some_and(other) {
            return self.claimed_anew(claim, now, out);
        }
        let Some(job) = self.jobs.get_mut(&claim.range.job) else { return };
        // A range leaves the book when it is submitted or returned; if its log comes after that,
        // it is old news.
        if self.ranges.contains_key(&claim.range) || job.is_over(claim.range.seq) {
            return;
        }
        job.book_claim(&claim, true);
        job.refusals = 0;
        self.ranges.insert(claim.range, Range::new(claim));
    }

    /// A range of ours has other tasks than before, after a reorganisation: whoever hands in those of before loses its
    /// stake.
    fn claimed_anew(&mut self, claim: Claim, now: Millis, out: &mut Vec<Effect>) {
        let slot = self.slot_of(claim.range);
        let Some(range) = self.ranges.get_mut(&claim.range) else { return };
        match range.stage {
            Stage::Running => {}
            // Its end is waited for: it works in the same journal, and would be taken for that of the tasks of now.
            Stage::Storing => range.stale = true,
            Stage::Held | Stage::Complete | Stage::Stored(_) => {
                range.enter(Stage::Held, now);
            }
            // What is sent already cannot be called back.
            _ => return,
        }
        range.claim = claim;
        if let Some(slot) = slot {
            self.stop(slot, out);
        }
    }

    /// Books a range as submitted, by whoever holds it.
    pub(super) fn delivered(&mut self, id: RangeId, at: Millis, out: &mut Vec<Effect>) {
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.book_submission(id.seq);
        }
        let Some(range) = self.ranges.get_mut(&id) else { return };
        if !range.is_held() {
            return;
        }
        range.enter(Stage::Submitted, at);
        // A transaction of an earlier life can land while we run the same range again.
        if let Some(slot) = self.slot_of(id) {
            self.stop(slot, out);
        }
    }

    /// Books a range as given back or taken back.
    pub(super) fn returned(&mut self, id: RangeId, released: bool, out: &mut Vec<Effect>) {
        self.news();
        self.rouse(id.job, |sleep| matches!(sleep, Sleep::Work | Sleep::Funds));
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.book_return(id.seq);
        }
        let Some(range) = self.ranges.get(&id).copied() else { return };
        if !range.is_held() {
            return;
        }
        if !released {
            out.push(Effect::Note(Note::Lost { range: id }));
        } else if let Some(job) = self.jobs.get_mut(&id.job) {
            job.releases = job.releases.saturating_add(1);
        }
        self.drop_range(id, out);
    }

    /// Books the tasks of a submitted range as to be had again.
    fn rejected(&mut self, id: RangeId, now: Millis, out: &mut Vec<Effect>) {
        self.news();
        self.rouse(id.job, |sleep| matches!(sleep, Sleep::Work | Sleep::Funds));
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.book_rejection(id.seq);
        }
        if self.mates_judged(id, Stage::Rejected, now, out) {
            self.rouse_for_exposure();
            return;
        }
        let submitted = |range: &&mut Range| range.stage == Stage::Submitted;
        if let Some(range) = self.ranges.get_mut(&id).filter(submitted) {
            // Its journal is all that proves it, should the verdict be in a block that will not count.
            range.enter(Stage::Rejected, now);
            out.push(Effect::Note(Note::Rejected { range: id }));
            self.rouse_for_exposure();
        }
    }

    /// Forgets a range that is not ours any more, wherever it is.
    pub(super) fn drop_range(&mut self, id: RangeId, out: &mut Vec<Effect>) {
        let Some(range) = self.ranges.remove(&id) else { return };
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.end(id.seq);
        }
        if let Some(slot) = self.slot_of(id) {
            self.stop(slot, out);
        } else if !matches!(range.stage, Stage::Storing) {
            out.push(Effect::Discard { range: id });
        }
        // A running or storing range still has the journal open; it is discarded when that ends.
    }

    /// The slot a range runs on, if it does.
    pub(super) fn slot_of(&self, id: RangeId) -> Option<SlotId> {
        let runs = |slot: &Slot| matches!(slot.work, Work::Running(range, _) if range == id);
        self.slots.iter().position(runs).and_then(|slot| SlotId::try_from(slot).ok())
    }

    fn settled(&mut self, id: RangeId, paid: Amount, now: Millis, out: &mut Vec<Effect>) {
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.book_settlement(id.seq);
        }
        if self.mates_judged(id, Stage::Settled, now, out) {
            self.news();
            self.rouse_for_exposure();
            return;
        }
        let Some(range) = self.ranges.get_mut(&id) else { return };
        if matches!(range.stage, Stage::Settled) {
            return;
        }
        range.enter(Stage::Settled, now);
        self.earn(paid);
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.strikes = 0;
        }
        self.news();
        self.rouse_for_exposure();
    }

    fn earn(&mut self, paid: Amount) {
        self.earned = self.earned.checked_add(paid).unwrap_or(self.earned);
    }

    /// Work of ours that is judged makes room for other work, in any job.
    fn rouse_for_exposure(&mut self) {
        let jobs: Vec<_> = self.jobs.keys().copied().collect();
        for job in jobs {
            self.rouse(job, |sleep| matches!(sleep, Sleep::Settlement(_)));
        }
    }

    /// Refusals that were decided before this moment may be outdated.
    fn news(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn rouse(&mut self, job: JobId, wakes: impl Fn(Sleep) -> bool) {
        if let Some(job) = self.jobs.get_mut(&job)
            && job.sleep.is_some_and(wakes)
        {
            job.sleep = None;
        }
    }
}
