//! What the world asserts about every effect when it is asked for.

use tilth_protocol::{JobId, Price, RangeId};

use super::{
    Ask, Effect,
    job::Phase,
    range::Stage,
    world::{State, World},
};

impl World {
    /// Whether a transaction makes sense when it is sent; the chain answers later.
    pub(super) fn check_transaction(&mut self, effect: &Effect) {
        match effect {
            Effect::Submit { range, ask, .. } => {
                assert!(self.jobs[&range.job].ranges[&range.seq].mine, "submitted as mate");
                assert!(self.complete.contains(range) && !self.storing.contains(range));
                assert!(!self.told_submitted.contains(range), "{range} submitted twice");
                assert!(self.submitting.insert(*range), "{range} submitted twice at a time");
                if let Some(ask) = ask {
                    assert_eq!(self.rest, None, "asked while the owner was there");
                    self.check_ask(ask);
                    self.asks_with_submission += 1;
                    self.check_room();
                }
            }
            Effect::Release { range } => {
                assert!(self.jobs[&range.job].ranges[&range.seq].mine, "gave back as mate");
                assert!(!self.running.values().any(|other| other == range));
                assert!(!self.submitting.contains(range) && !self.storing.contains(range));
            }
            Effect::Settle { job, seqs } => {
                assert!(!seqs.is_empty() && seqs.len() <= super::BATCH);
                assert!(self.batches.insert((*job, true)), "settles twice at a time");
                for seq in seqs {
                    let range = &self.jobs[job].ranges[seq];
                    assert!(range.mine && matches!(range.state, State::Submitted | State::Settled));
                }
            }
            Effect::Expire { job, seqs } => {
                assert!(!seqs.is_empty() && seqs.len() <= super::BATCH);
                assert!(self.batches.insert((*job, false)), "expires twice at a time");
                let state = &self.jobs[job];
                for seq in seqs {
                    let range = &state.ranges[seq];
                    assert!(
                        !range.mine && range.claim.at + state.terms.range_timeout_ms < self.now
                    );
                }
            }
            _ => {}
        }
    }

    pub(super) fn check_ask(&self, ask: &Ask) {
        let job = &self.jobs[&ask.job];
        assert!(job.terms.price >= self.rules.price_floor, "asked below the floor");
        if let Some((clock, start)) = job.terms.clock {
            // With nothing taken the price is highest; what the machine knows may be a little old.
            let highest = clock.price(clock.level((self.now - start) / 1_000, 0, 1));
            assert!(highest >= self.rules.price_floor, "asked before the clock was there");
        }
        assert_eq!(job.terms.required_class & !self.rules.class_bits, 0, "asked of another class");
        assert!(job.fetched && job.calibrated, "asked before the job was ready");
        assert!(ask.want >= 1 && ask.min_price == Price(10));
        assert!(self.now < job.terms.deadline);
        if self.is_long(ask.job) {
            self.check_lines();
        }
    }

    /// Whether a job's ranges take so long that whoever is drawn cannot wait for a slot that has one.
    fn is_long(&self, job: JobId) -> bool {
        self.jobs[&job].terms.target_ms > 300_000
    }

    /// Whoever asks for a range that takes long, or for a place in a line, has a slot for every line that can draw it.
    pub(super) fn check_lines(&self) {
        let (jobs, ranges) = (&self.machine.jobs, &self.machine.ranges);
        let lines = jobs.values().filter(|job| job.line.is_drawable(self.now)).count();
        let keeps = |stage: Stage| matches!(stage, Stage::Held | Stage::Running);
        let kept = ranges.iter().filter(|(id, range)| self.is_long(id.job) && keeps(range.stage));
        let asked = jobs.iter().filter(|(id, _)| self.is_long(**id)).map(|(_, job)| job.asks);
        let (kept, asked) = (kept.count(), asked.sum::<u32>() as usize);
        let slots = usize::from(self.rules.slots);
        assert!(
            lines == 0 || lines + kept + asked <= slots,
            "{lines} lines, {kept} long ranges and {asked} asked for, on {slots} slots"
        );
    }

    /// What we were drawn for goes before ranges of our own.
    pub(super) fn check_run(&self, range: RangeId) {
        let machine = &self.machine;
        if machine.is_mates(range) {
            return;
        }
        let ready = |job: JobId| machine.jobs.get(&job).is_some_and(|j| j.phase == Phase::Ready);
        let waits = machine.ranges.iter().find(|(id, other)| {
            let held = other.is_mates() && other.stage == Stage::Held;
            held && other.not_before <= self.now && ready(id.job)
        });
        assert!(waits.is_none(), "{range} is begun, and this waits: {waits:?}");
    }

    pub(super) fn check_room(&self) {
        let taken = self.machine.held() - self.submitting.len().min(self.machine.held());
        let asked = self.asks + self.asks_with_submission;
        assert!(taken + asked <= self.rules.capacity() + 1, "{taken} held and {asked} asked for");
    }
}
