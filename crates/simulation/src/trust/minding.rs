//! What a client decides about its job by its own mind: adversaries, and whoever is away. Honest ones leave that to the
//! real one's machine (`tending`).

use alloy_primitives::Address;
use tilth_contracts::{Holders, JobBook, JobState, RangeState};
use tilth_protocol::JobId;

use super::{
    client::{Client, deadline, ranges},
    scene::{Scene, What},
};
use crate::farm::FarmError;

impl Client {
    /// Stops its job once. What is claimed is still judged and paid.
    pub(super) fn cancel(&mut self, job: JobId, scene: &mut Scene) {
        if !self.gave_up && self.mind.cancels(job, &scene.public) {
            self.send(job, &JobBook::cancelCall { jobId: job.0 }, scene);
            self.gave_up = true;
        }
    }

    /// Accepts what may be paid.
    pub(super) fn acknowledge(&mut self, job: JobId, scene: &mut Scene) {
        if !self.mind.acknowledges() {
            return;
        }
        let is_patient = !self.mind.is_impatient();
        let looks = scene.public.jobs[&job].terms.audited && is_patient;
        let waits = self.mind.waits_for_asks();
        let served = |who: &Address| !scene.keeps_outputs.get(who).copied().unwrap_or(false);
        let seqs: Vec<u32> = ranges(job, scene)
            .filter(|(id, range)| {
                range.state == RangeState::Submitted
                    && served(&range.provider)
                    && (!waits || scene.public.asked.contains(*id))
                    && (!looks || self.duty.may_be_paid(**id))
            })
            .map(|(id, _)| id.seq)
            .collect();
        if !seqs.is_empty() {
            let call = JobBook::acknowledgeCall { jobId: job.0, seqs };
            self.send(job, &call, scene);
        }
    }

    /// Takes its deposit back once there is something that it was meant for.
    pub(super) fn withdraw(&mut self, job: JobId, scene: &mut Scene) {
        if !self.mind.withdraws() || self.withdrew {
            return;
        }
        if !ranges(job, scene).any(|(_, range)| range.state == RangeState::Submitted) {
            return;
        }
        let holders = scene.farm.addresses().holders;
        let call = Holders::closeCall { jobId: job.0 };
        scene.send(self.me, self.who, holders, &call, What::Job(job));
        (self.withdrew, self.busy) = (true, true);
    }

    /// Ends what is over.
    pub(super) fn finish(&mut self, job: JobId, scene: &mut Scene) -> Result<(), FarmError> {
        let seen = self.seen == Some(scene.moment());
        if self.busy || seen && scene.farm.now <= deadline(job, scene) {
            return Ok(());
        }
        self.seen = Some(scene.moment());
        if scene.public.is_outstanding(job) {
            return Ok(());
        }
        let book = scene.farm.addresses().job_book;
        let state = scene.farm.read(book, &JobBook::jobCall { jobId: job.0 })?.state;
        let may_claim = JobState::try_from(state) == Ok(JobState::Open);
        if !may_claim || scene.farm.now > deadline(job, scene) {
            self.send(job, &JobBook::finishCall { jobId: job.0 }, scene);
        }
        Ok(())
    }
}
