//! Watches over when disputes are drawn, and how they end (decision 0018, step 5). One that nobody draws in its time is
//! undecided: its range is rejected, and nobody loses anything. One that is upheld leaves the time that its range's own
//! audit needs. Its mate loses all when auditors have found something else than it has, and by nothing else.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Log, keccak256};
use alloy_sol_types::SolEventInterface;
use tilth_contracts::{
    AuditOutcome,
    Audits::{AuditDue, AuditsEvents},
    ReplicaOutcome,
    Replicas::ReplicasEvents,
    bindings::replicas::MerkleSum::Leaf,
};
use tilth_protocol::RangeId;
use tilth_verification::{audit::SAMPLES, walk::DISPUTED_RATE};

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
    /// What auditors have found, if they have decided.
    found: B256,
    /// What it comes to if its mate's leaf is right. `None`: that has shown none.
    by_mate: Option<B256>,
    /// Whether its mate has lost something by it.
    has_cost: bool,
    is_closed: bool,
}

impl Dispute {
    /// Whether its mate was wrong, as has been decided: `Replicas.conclude`.
    fn is_mate_wrong(&self) -> bool {
        match self.outcome {
            Some(AuditOutcome::Upheld) => true,
            Some(AuditOutcome::Overturned) => self.by_mate != Some(self.found),
            _ => false,
        }
    }
}

/// The answer of who was drawn for one leaf every time: `AuditRules.answerOfOne` of `MerkleSum.leafHash`.
fn answer_of_one(leaf: &Leaf) -> B256 {
    let parts = [
        b"\0".as_slice(),
        &leaf.job.to_be_bytes(),
        &leaf.index.to_be_bytes(),
        &[leaf.status],
        leaf.output.as_slice(),
        &leaf.size.to_be_bytes(),
        &leaf.units.to_be_bytes(),
    ];
    keccak256(keccak256(parts.concat()).0.repeat(SAMPLES as usize))
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Disputes {
    /// What went wrong.
    pub(super) faults: Vec<String>,
    all: BTreeMap<RangeId, Dispute>,
    /// What the leaves come to that were shown, by the numbers of those who have.
    shown: BTreeMap<RangeId, Vec<(u32, B256)>>,
}

impl Disputes {
    /// Reads a log of a block of this time, seconds, after the scene has.
    pub(super) fn read(&mut self, log: &Log, time: u64, scene: &Scene, counts: &mut Counts) {
        let at = scene.farm.addresses();
        if log.address == at.audits
            && let Ok(event) = AuditsEvents::decode_log(log)
        {
            match &event.data {
                AuditsEvents::AuditDue(e) => self.begin(e, time, scene),
                AuditsEvents::AuditStage(e) => self.draw(range(e.jobId, e.seq), time),
                AuditsEvents::AuditClosed(e) => {
                    let outcome = AuditOutcome::try_from(e.outcome).unwrap_or(AuditOutcome::Open);
                    self.decide(range(e.jobId, e.seq), (outcome, e.answer), time, counts);
                }
                _ => {}
            }
        } else if log.address == at.replicas
            && let Ok(event) = ReplicasEvents::decode_log(log)
        {
            match &event.data {
                ReplicasEvents::LeafShown(e) => {
                    let shown = self.shown.entry(range(e.jobId, e.seq)).or_default();
                    shown.push((e.number, answer_of_one(&e.leaf)));
                }
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

    fn begin(&mut self, e: &AuditDue, time: u64, scene: &Scene) {
        let id = range(e.jobId, e.seq);
        let handed_in = scene.public.ranges.get(&id).map_or(0, |facts| facts.at);
        if e.rate == DISPUTED_RATE {
            // Both have shown theirs before, and the primary is whom the case is about.
            let shown = self.shown.get(&id).into_iter().flatten();
            let by_mate = shown.copied().find(|(number, _)| *number != e.provider);
            let by_mate = by_mate.map(|(_, answer)| answer);
            if by_mate.is_none() {
                self.faults.push(format!("{id} is disputed, and its mate has shown nothing"));
            }
            self.all.insert(id, Dispute { handed_in, by_mate, ..Dispute::default() });
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
    fn decide(
        &mut self,
        id: RangeId,
        (outcome, found): (AuditOutcome, B256),
        time: u64,
        counts: &mut Counts,
    ) {
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
        (dispute.outcome, dispute.found) = (Some(outcome), found);
    }

    /// A mate has lost something: if its leaf is before the auditors, only by what they have decided, and once. Who is late or
    /// silent loses before that.
    fn lose(&mut self, id: RangeId) {
        let Some(dispute) = self.all.get_mut(&id) else { return };
        if dispute.has_cost || dispute.is_closed || !dispute.is_mate_wrong() {
            self.faults.push(format!("the mate of {id} lost what nobody has decided: {dispute:?}"));
        }
        dispute.has_cost = true;
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
        let is_settled = dispute.has_cost == dispute.is_mate_wrong();
        if outcome == ReplicaOutcome::Open || outcome != due || !is_settled {
            self.faults.push(format!("{id} is closed as {outcome}, after {dispute:?}"));
        }
    }
}

#[cfg(test)]
#[path = "disputes_tests.rs"]
mod tests;
