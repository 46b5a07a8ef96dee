//! Watches over when disputes are drawn, and how they end (decision 0018, step 5). One that nobody draws in its time is
//! undecided: its range is rejected, and nobody loses anything. One that is upheld leaves the time that its range's own
//! audit needs.

use std::collections::BTreeMap;

use alloy_primitives::Log;
use alloy_sol_types::SolEventInterface;
use tilth_contracts::{
    AuditOutcome, Audits::AuditsEvents, ReplicaOutcome, Replicas::ReplicasEvents,
};
use tilth_protocol::RangeId;
use tilth_verification::walk::DISPUTED_RATE;

use super::{counts::Counts, public::range, scene::Scene};

/// So long after its range was handed in a dispute can be drawn, seconds: `Parameters.DISPUTE_DRAW_TIME`.
pub const DISPUTE_DRAW_TIME_S: u64 = 216_000;
/// The same of what is no dispute: `Parameters.DRAW_TIME`.
const DRAW_TIME_S: u64 = 432_000;
/// What is left of that, at least, for the audit that follows a dispute.
const LEFT_S: u64 = 86_400;

/// Times by the chain's clock, seconds.
#[derive(Debug, Default)]
struct Dispute {
    /// When its range was.
    handed_in: u64,
    drawn: Option<u64>,
    outcome: Option<AuditOutcome>,
    is_closed: bool,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Disputes {
    /// What went wrong.
    pub(super) faults: Vec<String>,
    all: BTreeMap<RangeId, Dispute>,
}

impl Disputes {
    /// Reads a log of a block of this time, seconds, after the scene has.
    pub(super) fn read(&mut self, log: &Log, time: u64, scene: &Scene, counts: &mut Counts) {
        let at = scene.farm.addresses();
        if log.address == at.audits
            && let Ok(event) = AuditsEvents::decode_log(log)
        {
            match &event.data {
                AuditsEvents::AuditDue(e) => {
                    self.begin(range(e.jobId, e.seq), (e.rate, time), scene);
                }
                AuditsEvents::AuditStage(e) => self.draw(range(e.jobId, e.seq), time),
                AuditsEvents::AuditClosed(e) => {
                    let outcome = AuditOutcome::try_from(e.outcome).unwrap_or(AuditOutcome::Open);
                    self.decide(range(e.jobId, e.seq), (outcome, time), counts);
                }
                _ => {}
            }
        } else if log.address == at.replicas
            && let Ok(event) = ReplicasEvents::decode_log(log)
        {
            match &event.data {
                ReplicasEvents::MateLost(e) => self.lose(range(e.jobId, e.seq)),
                ReplicasEvents::ReplicaClosed(e) => {
                    let outcome = ReplicaOutcome::try_from(e.outcome);
                    let outcome = outcome.unwrap_or(ReplicaOutcome::Open);
                    self.close(range(e.jobId, e.seq), outcome);
                }
                _ => {}
            }
        }
    }

    /// Whether there is a dispute about a range for which nobody was drawn, so far.
    pub(super) fn is_undrawn(&self, id: RangeId) -> bool {
        self.all.get(&id).is_some_and(|dispute| dispute.drawn.is_none())
    }

    /// None is open in the end.
    pub(super) fn check(&mut self) {
        let open = self.all.iter().filter(|(_, one)| one.outcome.is_none() || !one.is_closed);
        self.faults.extend(open.map(|(id, one)| format!("{id} is still disputed: {one:?}")));
    }

    fn begin(&mut self, id: RangeId, (rate, time): (u32, u64), scene: &Scene) {
        let handed_in = scene.public.ranges.get(&id).map_or(0, |facts| facts.at);
        if rate == DISPUTED_RATE {
            self.all.insert(id, Dispute { handed_in, ..Dispute::default() });
        } else if let Some(before) = self.all.get(&id)
            && time + LEFT_S > handed_in + DRAW_TIME_S
        {
            self.faults.push(format!("{id} can hardly be audited after {before:?}, at {time}"));
        }
    }

    /// A stage begins; its first one when it is drawn.
    fn draw(&mut self, id: RangeId, time: u64) {
        let Some(dispute) = self.all.get_mut(&id) else { return };
        if dispute.drawn.is_some() || dispute.outcome.is_some() {
            return;
        }
        dispute.drawn = Some(time);
        if time > dispute.handed_in + DISPUTE_DRAW_TIME_S {
            self.faults.push(format!("the dispute of {id} is drawn too late: {dispute:?}"));
        }
    }

    /// A case is closed: if it is the dispute's, not before somebody was drawn, or nobody can be any more.
    fn decide(&mut self, id: RangeId, (outcome, time): (AuditOutcome, u64), counts: &mut Counts) {
        let Some(dispute) = self.all.get_mut(&id) else { return };
        if dispute.outcome.is_some() {
            return;
        }
        let is_drawn = dispute.drawn.is_some();
        counts.disputes[usize::from(!is_drawn)] += 1;
        let is_late = time > dispute.handed_in + DISPUTE_DRAW_TIME_S;
        let is_right = match outcome {
            AuditOutcome::Upheld | AuditOutcome::Overturned => is_drawn,
            AuditOutcome::Undecided => is_drawn || is_late,
            AuditOutcome::Open | AuditOutcome::Unaudited => false,
        };
        if !is_right {
            self.faults.push(format!("a dispute of {id} is {outcome} at {time}: {dispute:?}"));
        }
        dispute.outcome = Some(outcome);
    }

    /// A mate has lost something.
    fn lose(&mut self, id: RangeId) {
        let Some(dispute) = self.all.get(&id) else { return };
        if dispute.outcome == Some(AuditOutcome::Undecided) {
            self.faults.push(format!("the mate of {id} lost what nobody has decided: {dispute:?}"));
        }
    }

    /// The replica is closed: its range's audit follows if the primary's leaf is right, else the range was rejected.
    fn close(&mut self, id: RangeId, outcome: ReplicaOutcome) {
        let Some(dispute) = self.all.get_mut(&id) else { return };
        dispute.is_closed = true;
        let due = match dispute.outcome {
            None => ReplicaOutcome::Open,
            Some(AuditOutcome::Upheld) => ReplicaOutcome::Alone,
            Some(_) => ReplicaOutcome::Unequal,
        };
        if outcome == ReplicaOutcome::Open || outcome != due {
            self.faults.push(format!("{id} is closed as {outcome}, after {dispute:?}"));
        }
    }
}

#[cfg(test)]
#[path = "disputes_tests.rs"]
mod tests;
