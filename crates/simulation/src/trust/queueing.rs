//! How a provider waits in replicated jobs to be drawn as a mate, and leaves again with its bond.

use alloy_primitives::aliases::U96;
use alloy_sol_types::SolCall;
use tilth_contracts::{EntryState, Waiting};
use tilth_protocol::JobId;
use tilth_verification::replica::DRAW_SPAN_S;

use super::{
    mind::ProviderMind,
    pairing::Pairing,
    scene::{Scene, What},
};
use crate::farm::FarmError;

impl Pairing {
    /// Waits where it wants to, and leaves where it does not; when a job is over, it wants its bond back.
    pub(super) fn queue(
        &mut self,
        mind: &mut dyn ProviderMind,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        self.free_from = None;
        if self.bond == 0 || self.queueing {
            return Ok(());
        }
        let replicated = scene.public.jobs.iter().filter(|(_, facts)| facts.terms.replicas != 0);
        let jobs: Vec<(JobId, bool)> = replicated
            .filter(|(job, facts)| facts.over || scene.serves_providers(**job, self.name.who))
            .map(|(job, facts)| (*job, facts.over))
            .collect();
        for (job, over) in jobs {
            let entry = scene.entry(job, self.name.number)?;
            let state = EntryState::try_from(entry.state).unwrap_or(EntryState::Nobody);
            let may = !over && !self.turned_away.contains(&job);
            let wants = may && mind.waits(job, &scene.public);
            let free_from = entry.leftAt.to::<u64>() + u64::from(DRAW_SPAN_S) + 1;
            let is_bound = state == EntryState::Left && over && entry.busy == 0;
            if is_bound && scene.farm.now < free_from {
                let others = self.free_from.unwrap_or(free_from);
                self.free_from = Some(free_from.min(others));
                continue;
            }
            match state {
                EntryState::Nobody if wants => self.wait(job, scene),
                EntryState::Left if wants && mind.comes_back() => self.wait(job, scene),
                EntryState::Waiting if !wants => self.leave(job, scene),
                EntryState::Left if is_bound => self.leave(job, scene),
                _ => continue,
            }
            break;
        }
        Ok(())
    }

    fn wait(&mut self, job: JobId, scene: &mut Scene) {
        let bond = U96::saturating_from(self.bond);
        self.send(&Waiting::waitCall { jobId: job.0, bond, minPrice: U96::ZERO }, job, scene);
    }

    fn leave(&mut self, job: JobId, scene: &mut Scene) {
        self.send(&Waiting::leaveCall { jobId: job.0 }, job, scene);
    }

    fn send<C: SolCall>(&mut self, call: &C, job: JobId, scene: &mut Scene) {
        let waiting = scene.farm.addresses().waiting;
        scene.send(self.name.me, self.name.who, waiting, call, What::Line(job));
        self.queueing = true;
    }
}
