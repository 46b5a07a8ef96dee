//! Watches over which ranges of kept jobs are given out, and which of them are paid without holders.

use tilth_contracts::HoldState;
use tilth_protocol::RangeId;

use super::{counts::Counts, keeps::Keeps, scene::Scene};

impl Keeps {
    /// Nobody works in a kept job before its inputs are held, and while its deposit does not reach for all ranges that are out
    /// then, whatever was taken back of it before.
    pub(super) fn claim(&mut self, id: RangeId, scene: &Scene) {
        let is_kept = scene.public.jobs.get(&id.job).is_some_and(|facts| facts.terms.kept);
        if !is_kept {
            return;
        }
        if !self.are_inputs_held(id.job) {
            self.faults.push(format!("{id} is claimed, and nobody holds its inputs"));
        }
        let out = scene.public.outstanding(id.job);
        let deposit = self.deposits.entry(id.job).or_default();
        deposit.is_taken_back = false;
        if !deposit.reaches_for(out) {
            self.faults.push(format!("{id} is claimed, one of {out}, out of {deposit:?}"));
        }
    }

    /// Without its client a range is paid when it is held, or when nobody could be paid for holding it.
    pub(super) fn pay(
        &mut self,
        id: RangeId,
        (time, acknowledged): (u64, bool),
        counts: &mut Counts,
    ) {
        self.end(id, time);
        let Some(seen) = self.ranges.get(&id) else { return };
        if acknowledged || seen.state == HoldState::Held {
            return;
        }
        counts.holds[0] += 1;
        // No range is given out for which the deposit does not reach, unless its client takes it back afterwards.
        let deposit = self.deposits.entry(id.job).or_default();
        let is_waived = deposit.is_waived() && deposit.is_taken_back;
        if seen.state != HoldState::None || !is_waived {
            self.faults.push(format!("{id} is paid, and nobody holds it: {seen:?}"));
        }
    }
}

#[cfg(test)]
#[path = "giving_tests.rs"]
mod tests;
