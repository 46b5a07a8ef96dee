//! What the logs of the contracts change in the machine's knowledge.

use tilth_protocol::{Amount, JobId, RangeId};

use super::{
    MAX_JOBS, Machine, Slot, Work,
    effect::{Effect, Note},
    event::{ChainEvent, Claim, Millis, SlotId, Terms},
    job::{Job, Sleep},
    range::{Range, Stage},
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
                    self.own_claimed(claim);
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
            ChainEvent::Settled { range, paid } => self.settled(range, paid, now),
            ChainEvent::Closed { job } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.closed = true;
                }
            }
        }
    }

    fn opened(&mut self, id: JobId, terms: Terms, out: &mut Vec<Effect>) {
        if self.jobs.contains_key(&id) || self.jobs.len() >= MAX_JOBS {
            return;
        }
        let job = Job::new(terms, &self.rules);
        if let Some(why) = job.unfit {
            out.push(Effect::Note(Note::Ignored { job: id, why }));
        }
        self.jobs.insert(id, job);
    }

    /// Books a range as ours. The chain's log and the answer to our ask both say so.
    pub(super) fn own_claimed(&mut self, claim: Claim) {
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
    fn slot_of(&self, id: RangeId) -> Option<SlotId> {
        let runs = |slot: &Slot| matches!(slot.work, Work::Running(range, _) if range == id);
        self.slots.iter().position(runs).and_then(|slot| SlotId::try_from(slot).ok())
    }

    fn settled(&mut self, id: RangeId, paid: Amount, now: Millis) {
        let Some(range) = self.ranges.get_mut(&id) else { return };
        if matches!(range.stage, Stage::Settled) {
            return;
        }
        range.enter(Stage::Settled, now);
        self.earned = self.earned.checked_add(paid).unwrap_or(self.earned);
        self.to_withdraw = self.to_withdraw.checked_add(paid).unwrap_or(self.to_withdraw);
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.strikes = 0;
        }
        self.news();
        let jobs: Vec<_> = self.jobs.keys().copied().collect();
        for job in jobs {
            self.rouse(job, |sleep| matches!(sleep, Sleep::Settlement));
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
