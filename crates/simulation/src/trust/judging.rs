//! What verdicts may be.

use alloy_primitives::B256;
use tilth_contracts::{AuditOutcome, DeployParams};
use tilth_protocol::RangeId;
use tilth_verification::audit::first_votes;

use super::{
    cast::Allowed,
    oracle::{FRAMED, NO_LEAD, Oracle},
    scene::{Handed, Scene},
    workload::worth,
};
use crate::farm::TREASURY;

impl Oracle {
    /// Compares a verdict with what execution finds in the drawn leaves: about work in which that finds nothing wrong as about
    /// work in which it does, whoever handed it in.
    pub(super) fn judge(
        &mut self,
        id: RangeId,
        outcome: AuditOutcome,
        answer: B256,
        scene: &Scene,
    ) {
        let Some(handed) = scene.handed.get(&id) else {
            return self.blame(format!("{id} is judged and nobody handed it in"));
        };
        if matches!(outcome, AuditOutcome::Unaudited | AuditOutcome::Open) {
            return;
        }
        self.counts.verdicts += 1;
        let by_foe = handed.by_foe;
        let hit = self.cases.get(&id).and_then(|seen| seen.hit);
        let found = hit == Some(true);
        // Without an answer nobody has voted it down: its provider did not name or open its leaves in time.
        let silent = outcome == AuditOutcome::Overturned && answer.is_zero();
        let wrong = match outcome {
            AuditOutcome::Upheld => found,
            AuditOutcome::Overturned => !found && !silent,
            AuditOutcome::Undecided | AuditOutcome::Unaudited | AuditOutcome::Open => false,
        };
        if wrong {
            let overturned = outcome == AuditOutcome::Overturned;
            let owner = scene.public.ranges.get(&id).map(|facts| facts.provider);
            self.cuts.misjudged(id, owner.filter(|_| overturned));
        }
        let Allowed { bought_votes, idle_votes, absences, .. } = self.allowed;
        // Where nobody who can look is kept from it, somebody decides, if it is asked in time.
        let unasked = self.is_left_undrawn(id);
        let undecided = outcome == AuditOutcome::Undecided && !(by_foe && absences) && !unasked;
        if silent {
            if !by_foe {
                self.blame(format!("{id} was overturned as if its provider had been silent"));
            }
        } else if found && bought_votes {
            let chance = self.chance_to_buy(id, handed, scene);
            self.counts.bought.add(chance, outcome == AuditOutcome::Upheld);
        } else if !found && (bought_votes || idle_votes) {
            self.counts.framed.add(FRAMED, outcome == AuditOutcome::Overturned);
            if idle_votes {
                self.counts.no_lead.add(NO_LEAD, outcome == AuditOutcome::Undecided);
            }
        } else if wrong || undecided && !idle_votes {
            self.blame(format!("{id}, by a foe: {by_foe}, hit: {hit:?}, came to {outcome}"));
        }
    }

    /// Whether nobody was drawn for a dispute about a range, where that may be.
    pub(super) fn is_left_undrawn(&self, id: RangeId) -> bool {
        self.allowed.late_disputes && self.disputes.is_undrawn(id)
    }

    /// The chance that all who are drawn first for a range are bought, billionths.
    fn chance_to_buy(&self, id: RangeId, handed: &Handed, scene: &Scene) -> u32 {
        let small = DeployParams::standard(TREASURY).small_value;
        let price = scene.public.ranges.get(&id).map_or(0, |facts| facts.price);
        let first = first_votes(worth(handed.units, price), small);
        (1..first).fold(self.bought, |chance, _| chance.of(self.bought)).0
    }
}
