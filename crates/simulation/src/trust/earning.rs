//! How a provider sees to its pay: what it has handed in is paid when nobody looks into it any more.

use tilth_client::audit::Millis;
use tilth_contracts::{JobBook, RangeState};
use tilth_protocol::RangeId;

use super::{
    provider::Provider,
    scene::{Scene, What},
};

impl Provider {
    /// From when on anybody may have a range paid, or this provider tries to.
    pub(super) fn payable_from(&self, range: RangeId, scene: &Scene) -> Option<Millis> {
        let facts = scene.public.ranges.get(&range)?;
        let paying = self.work.get(&range).is_none_or(|work| work.paying);
        if facts.state != RangeState::Submitted || paying {
            return None;
        }
        if self.mind.is_impatient() {
            return Some(facts.at.saturating_mul(1_000));
        }
        let terms = &scene.public.jobs.get(&range.job)?.terms;
        let waits = terms.audited && !self.duty.may_be_paid(range)
            || terms.kept && !self.holding.may_be_paid(range);
        if waits {
            return None;
        }
        Some((facts.at + u64::from(terms.window)).saturating_mul(1_000))
    }

    pub(super) fn see_to_pay(&mut self, scene: &mut Scene) {
        let judged = |range: &RangeId| {
            let facts = scene.public.ranges.get(range);
            facts.is_none_or(|facts| {
                !matches!(facts.state, RangeState::Claimed | RangeState::Submitted)
            })
        };
        self.work.retain(|range, _| !judged(range));
        let clock = scene.farm.now.saturating_mul(1_000);
        let due: Vec<RangeId> = self
            .work
            .keys()
            .copied()
            .filter(|range| self.payable_from(*range, scene).is_some_and(|from| from <= clock))
            .collect();
        for range in due {
            if let Some(work) = self.work.get_mut(&range) {
                work.paying = true;
            }
            let call = JobBook::settleCall { jobId: range.job.0, seqs: vec![range.seq] };
            let book = scene.farm.addresses().job_book;
            scene.send(self.me, self.who, book, &call, What::Pay(vec![range]));
        }
    }
}
