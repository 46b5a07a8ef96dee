//! What everybody can read of kept jobs from the chain's logs.

use alloy_primitives::Log;
use tilth_client::holding;
use tilth_contracts::{Holders::HoldersEvents, Spots::SpotsEvents};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::SPOT_DUE_S;

use super::public::{Kept, Public, job_of, range};

impl Public {
    /// Takes in what becomes of contents that are held, and of the deposit without which nobody is asked to.
    pub(super) fn read_kept(&mut self, event: &HoldersEvents) {
        match event {
            HoldersEvents::KeepFunded(e) => {
                // As the first thing that its client does about it.
                let job = JobId(e.jobId);
                let inputs = RangeId::inputs(job);
                self.holds.push((job, holding::Event::Opened { inputs }));
            }
            HoldersEvents::RangeHeld(e) => {
                let due = e.until.to::<u64>() + SPOT_DUE_S;
                self.held.insert(range(e.jobId, e.seq), Kept { due, over: false });
            }
            _ => {}
        }
    }

    /// Takes in up to when those who hold something are looked at.
    pub(super) fn read_look(&mut self, event: &SpotsEvents) {
        match event {
            SpotsEvents::SpotAsked(e) => {
                if let Some(kept) = self.held.get_mut(&range(e.jobId, e.seq)) {
                    kept.due = e.until.to();
                }
            }
            SpotsEvents::SpotOver(e) => {
                if let Some(kept) = self.held.get_mut(&range(e.jobId, e.seq)) {
                    kept.over = true;
                }
            }
            SpotsEvents::Spotted(_) => {}
        }
    }

    /// Takes in what a log of the `JobBook`, of `Holders` or of `Spots` says of kept ranges.
    pub(super) fn read_hold(&mut self, log: &Log) {
        let Some(job) = job_of(log) else { return };
        let is_kept = self.jobs.get(&job).is_some_and(|facts| facts.terms.kept);
        let Some(event) = holding::heard(log).filter(|_| is_kept) else { return };
        if let holding::Event::Asked { range, .. } = event {
            self.asked.insert(range);
        }
        self.holds.push((job, event));
    }
}
