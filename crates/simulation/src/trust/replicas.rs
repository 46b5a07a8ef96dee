//! What all parties see of replicated ranges before their audit, and what anybody may do about them.

use alloy_primitives::{Address, B256};
use tilth_client::{
    audit::Millis,
    mates::{Effect, Part, View},
};
use tilth_contracts::{
    AuditOutcome, Audits, JobBook, RangeState, ReplicaOutcome, ReplicaState, Replicas,
    SoloRandomness, Waiting, WaitingEntry,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::walk::Place;

use super::scene::{Actor, Scene, What};
use crate::farm::FarmError;

impl Scene {
    /// A replica as the chain shows it now; what cannot have changed is not asked again. `local`: what the asking
    /// party's clock says.
    ///
    /// # Errors
    /// Those of [`Farm::read`](crate::Farm::read).
    pub fn look_at_pair(&mut self, id: RangeId, local: Millis) -> Result<View, FarmError> {
        let at = *self.farm.addresses();
        let (job_id, seq) = (id.job.0, id.seq);
        let known = self.pairs.get(&id).filter(|(version, ..)| *version == self.version);
        let (part, pair) = match known {
            Some((_, part, pair)) => (*part, pair.clone()),
            None => {
                let call = JobBook::rangeCall { jobId: job_id, seq };
                let range = self.farm.read(at.job_book, &call)?;
                let part = Part { from: range.from, count: range.count };
                let call = Replicas::pairCall { jobId: job_id, seq };
                let pair = self.farm.read(at.replicas, &call)?;
                self.pairs.insert(id, (self.version, part, pair.clone()));
                (part, pair)
            }
        };
        let state = ReplicaState::try_from(pair.state).unwrap_or(ReplicaState::None);
        let outcome = ReplicaOutcome::try_from(pair.outcome).unwrap_or(ReplicaOutcome::Open);
        let decided = state == ReplicaState::Disputed && self.is_decided(id)?;
        // Before the draw, which notes it, a value can come and go with the blocks.
        let (beacon, lapses) = self.beacon(pair.round, state != ReplicaState::Sealed)?;
        let over = self.public.ranges.get(&id).map(|range| range.state);
        Ok(View {
            state,
            outcome,
            due: pair.due.to::<u64>().saturating_mul(1_000),
            part,
            round: pair.round,
            primary: pair.primary,
            mate: pair.mate,
            shown: pair.shown,
            at: Place { level: u32::from(pair.level), index: pair.index },
            decided,
            tries: pair.tries,
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block: self.farm.block,
            now: self.farm.now.saturating_mul(1_000),
            next: self.farm.now.saturating_mul(1_000).max(local),
            range_over: matches!(over, Some(RangeState::Settled | RangeState::Rejected)),
        })
    }

    /// Whether auditors have decided about a range.
    fn is_decided(&mut self, id: RangeId) -> Result<bool, FarmError> {
        let audits = self.farm.addresses().audits;
        let call = Audits::auditCaseCall { jobId: id.job.0, seq: id.seq };
        let case = self.farm.read(audits, &call)?;
        let outcome = AuditOutcome::try_from(case.outcome).unwrap_or(AuditOutcome::Open);
        Ok(outcome != AuditOutcome::Open)
    }

    /// The value of a beacon's round, zero if there is none, and how often it lapsed. What is `noted` stays.
    ///
    /// # Errors
    /// Those of [`Farm::read`](crate::Farm::read).
    pub(super) fn beacon(&mut self, round: u64, noted: bool) -> Result<(B256, u8), FarmError> {
        let known = self.beacons.get(&round).copied();
        let known =
            known.filter(|(seen, value, _)| *seen == self.farm.block || noted && !value.is_zero());
        if let Some((_, value, lapses)) = known {
            return Ok((value, lapses));
        }
        let randomness = self.farm.addresses().randomness;
        let value = self.farm.read(randomness, &SoloRandomness::valueCall { round })?;
        let lapses = self.farm.read(randomness, &SoloRandomness::lapsesCall { round })?;
        self.beacons.insert(round, (self.farm.block, value, lapses));
        Ok((value, lapses))
    }

    /// How a provider stands in the line of a job.
    ///
    /// # Errors
    /// Those of [`Farm::read`](crate::Farm::read).
    pub fn entry(&mut self, job: JobId, number: u32) -> Result<WaitingEntry, FarmError> {
        let known = self.entries.get(&(job, number));
        if let Some((_, entry)) = known.filter(|(version, _)| *version == self.version) {
            return Ok(entry.clone());
        }
        let waiting = self.farm.addresses().waiting;
        let entry = self.farm.read(waiting, &Waiting::entryCall { jobId: job.0, number })?;
        self.entries.insert((job, number), (self.version, entry.clone()));
        Ok(entry)
    }

    /// Sends what anybody may do about a replica, if the effect is that.
    pub fn send_about_pair(&mut self, by: Actor, from: Address, effect: &Effect) {
        let at = *self.farm.addresses();
        let id = effect.range();
        let (job_id, seq, what) = (id.job.0, id.seq, What::Mate(id));
        match effect {
            Effect::Poke { round, .. } => {
                let call = SoloRandomness::noteCall { round: *round };
                self.send(by, from, at.randomness, &call, what);
            }
            Effect::Draw { .. } => {
                let call = Replicas::drawCall { jobId: job_id, seq };
                self.send(by, from, at.replicas, &call, what);
            }
            Effect::Advance { .. } => {
                let call = Replicas::advanceCall { jobId: job_id, seq };
                self.send(by, from, at.replicas, &call, what);
            }
            Effect::Conclude { .. } => {
                let call = Replicas::concludeCall { jobId: job_id, seq };
                self.send(by, from, at.replicas, &call, what);
            }
            _ => {}
        }
    }
}
