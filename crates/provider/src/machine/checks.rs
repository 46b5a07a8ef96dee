//! What the world asserts about every effect when it is asked for.

use tilth_protocol::Price;

use super::{
    Ask, Effect,
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
    }

    pub(super) fn check_room(&self) {
        let taken = self.machine.held() - self.submitting.len().min(self.machine.held());
        let asked = self.asks + self.asks_with_submission;
        assert!(taken + asked <= self.rules.capacity() + 1, "{taken} held and {asked} asked for");
    }
}
