//! Watches over what jobs cost their clients, to the unit: all that is put into one is paid for its ranges, or goes
//! back. One that is cancelled gives out no range any more, and pays for those that were out.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use tilth_contracts::{JobBook::JobBookEvents, JobState, RangeState};
use tilth_protocol::{JobId, RangeId};

use super::{counts::Counts, public::range, scene::Scene, workload::worth};

/// Base units.
#[derive(Debug, Default)]
struct Bill {
    funded: u128,
    /// What was paid for its ranges, with all that others than their providers got of it.
    paid: u128,
    refunded: u128,
    is_cancelled: bool,
    /// Ranges that were out when it was cancelled, and are not paid yet.
    out: BTreeSet<RangeId>,
}

/// See the module's head. Of jobs that it has not seen opened it knows nothing.
#[derive(Debug, Default)]
pub(super) struct Bills {
    /// What went wrong.
    pub(super) faults: Vec<String>,
    jobs: BTreeMap<JobId, Bill>,
}

impl Bills {
    /// Reads what the `JobBook` says, after the scene has.
    pub(super) fn read(&mut self, event: &JobBookEvents, scene: &Scene, counts: &mut Counts) {
        match event {
            JobBookEvents::JobOpened(e) => {
                let bill = Bill { funded: e.escrow, ..Bill::default() };
                self.jobs.insert(JobId(e.jobId), bill);
            }
            JobBookEvents::JobFunded(e) => {
                if let Some(bill) = self.jobs.get_mut(&JobId(e.jobId)) {
                    bill.funded += e.amount;
                }
            }
            JobBookEvents::RangeClaimed(e) if self.is_cancelled(JobId(e.jobId)) => {
                let id = range(e.jobId, e.seq);
                self.faults.push(format!("{id} is claimed, and its job was cancelled"));
            }
            JobBookEvents::JobCancelled(e) => {
                self.cancel(JobId(e.jobId), e.refunded, scene, counts);
            }
            JobBookEvents::RangeSettled(e) => {
                self.settle(range(e.jobId, e.seq), e.paid + e.fee, scene, counts);
            }
            // Nobody's part goes back to the job.
            JobBookEvents::MateSettled(e) if e.provider != Address::ZERO => {
                if let Some(bill) = self.jobs.get_mut(&JobId(e.jobId)) {
                    bill.paid += e.paid + e.fee;
                }
            }
            JobBookEvents::JobDone(e) => {
                self.end(JobId(e.jobId), JobState::try_from(e.state).ok(), e.refunded);
            }
            _ => {}
        }
    }

    /// Whether a job was cancelled.
    pub(super) fn is_cancelled(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|bill| bill.is_cancelled)
    }

    fn cancel(&mut self, job: JobId, refunded: u128, scene: &Scene, counts: &mut Counts) {
        let Some(bill) = self.jobs.get_mut(&job) else { return };
        if bill.is_cancelled {
            self.faults.push(format!("{job} is cancelled again"));
        }
        (bill.is_cancelled, bill.refunded) = (true, bill.refunded + refunded);
        counts.cancelled[0] += 1;
        let all = RangeId { job, seq: 0 }..=RangeId { job, seq: u32::MAX };
        for (id, found) in scene.public.ranges.range(all) {
            match found.state {
                RangeState::Claimed => counts.cancelled[1] += 1,
                RangeState::Submitted => counts.cancelled[2] += 1,
                _ => continue,
            }
            bill.out.insert(*id);
        }
    }

    /// A range is paid by what was handed in, whatever has become of its job.
    fn settle(&mut self, id: RangeId, sum: u128, scene: &Scene, counts: &mut Counts) {
        let Some(bill) = self.jobs.get_mut(&id.job) else { return };
        let units = scene.handed.get(&id).map_or(0, |handed| handed.units);
        let price = scene.public.ranges.get(&id).map_or(0, |facts| facts.price);
        bill.paid += sum;
        if bill.out.remove(&id) {
            counts.cancelled[3] += 1;
        }
        if sum != worth(units, price) {
            self.faults.push(format!("{id}, {units} units at {price}, cost {sum}"));
        }
    }

    fn end(&mut self, job: JobId, state: Option<JobState>, refunded: u128) {
        let Some(bill) = self.jobs.get_mut(&job) else { return };
        bill.refunded += refunded;
        let due = if bill.is_cancelled { JobState::Cancelled } else { JobState::Done };
        if state != Some(due) || bill.funded != bill.paid + bill.refunded {
            self.faults.push(format!("{job} ended as {state:?}: {bill:?}"));
        }
    }
}

#[cfg(test)]
#[path = "bills_tests.rs"]
mod tests;
