//! The replicas of a job that is tended, before their audits: followed, moved on, shown.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use alloy::primitives::Address;
use serde::Serialize;
use tilth_contracts::{RangeState, Registry, ReplicaOutcome, Replicas};
use tilth_protocol::{JobId, Leaf, RangeId};
use tilth_verification::replica::Found;
use tracing::debug;

use super::{
    Tender,
    audits::{Moved, Told},
};
use crate::{
    ChainError, Jobs, RangeView,
    audit::Millis,
    mates::{self, Hand, Keeper, Part, Party, Post, Role, Standing},
};

/// Replicas of a job in numbers of ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReplicaTotals {
    /// Handed in, and the root is not shown yet.
    pub sealed: u32,
    /// Two providers have found the same.
    pub matched: u32,
    /// The root is shown, and there was no mate, or it was wrong.
    pub alone: u32,
    /// Two providers have found different results, and the provider's was not found to be right: the range is rejected.
    pub unequal: u32,
    /// The root was never shown: the range is rejected, at its provider's cost.
    pub silent: u32,
}

impl ReplicaTotals {
    fn of(standings: &BTreeMap<u32, Standing>) -> Self {
        let mut totals = Self::default();
        for standing in standings.values() {
            let count = match standing {
                Standing::Over(ReplicaOutcome::Matched) => &mut totals.matched,
                Standing::Over(ReplicaOutcome::Alone) => &mut totals.alone,
                Standing::Over(ReplicaOutcome::Unequal) => &mut totals.unequal,
                Standing::Over(ReplicaOutcome::Silent) => &mut totals.silent,
                Standing::Over(ReplicaOutcome::Open) | Standing::Open(_) => &mut totals.sealed,
            };
            *count = count.saturating_add(1);
        }
        totals
    }
}

/// A client only looks on, and does what anybody may do.
#[derive(Debug)]
pub(super) struct Onlooker {
    told: Told,
}

impl Hand for Onlooker {
    async fn run(&self, _: RangeId, _: Role, _: Part, _: Millis) -> Option<Found> {
        // The machine asks a client for none.
        None
    }

    async fn leaves(&self, _: RangeId, _: Role, _: Part, _: Millis) -> Option<Vec<Leaf>> {
        // Nor for these.
        None
    }

    fn note(&self, effect: &mates::Effect) {
        if let mates::Effect::Show { range, standing } = effect {
            // Nobody follows the job any more.
            let _ = self.told.send(Moved::Replica(range.seq, *standing));
        }
    }

    async fn failed(&self, _: &ChainError) {}

    fn caught_up(&self, _: Vec<RangeId>) {}

    fn read_up_to(&self, _: u64) {}
}

/// Whether a range was rejected because its root was never shown.
pub(super) fn is_silent(standings: &BTreeMap<u32, Standing>, seq: u32) -> bool {
    standings.get(&seq) == Some(&Standing::Over(ReplicaOutcome::Silent))
}

/// Whether the replicas of all ranges that are settled or rejected are known to be over.
pub(super) fn are_closed(
    ranges: impl IntoIterator<Item = (u32, RangeState)>,
    standings: &BTreeMap<u32, Standing>,
) -> bool {
    ranges
        .into_iter()
        .filter(|(_, state)| matches!(state, RangeState::Settled | RangeState::Rejected))
        .all(|(seq, _)| matches!(standings.get(&seq), Some(Standing::Over(_))))
}

/// Owner of the provider that has found the same in a range, if there is one and the chain answers.
pub(super) async fn mate_of(jobs: &Jobs, job: JobId, range: &RangeView) -> Option<Address> {
    if let Some(mate) = range.mate {
        return Some(mate.provider);
    }
    let link = jobs.account().link();
    let at = *link.addresses();
    let call = Replicas::mateOfCall { jobId: job.0, seq: range.seq };
    let number = link.read(at.replicas, call).await.ok().filter(|number| *number != 0)?;
    let owner = link.read(at.registry, Registry::ownerOfCall { number }).await.ok()?;
    (!owner.is_zero()).then_some(owner)
}

impl Tender {
    /// Who sees to the replicas of the job, as far as anybody may.
    pub(super) fn replica_keeper(&self, told: Told) -> Keeper<Onlooker> {
        let post = Post {
            account: self.jobs.account().clone(),
            party: Party::Client,
            sealer: None,
            from_block: self.agreed.opened_block,
            job: Some(self.agreed.job),
        };
        Keeper::new(post, Arc::new(Onlooker { told }))
    }

    /// A replica stands otherwise than before. Nothing is fetched or acknowledged by that: the JobBook says when the root is
    /// known.
    pub(super) fn replica_stands(&mut self, seq: u32, standing: Standing) {
        debug!(job = %self.agreed.job, seq, ?standing, "a replica has moved");
        self.last_work = Instant::now();
        self.replicas.insert(seq, standing);
        let totals = ReplicaTotals::of(&self.replicas);
        self.show.send_modify(|progress| progress.replicas = Some(totals));
    }
}

#[cfg(test)]
mod tests {
    use tilth_contracts::ReplicaState;

    use super::*;

    #[test]
    fn a_job_has_its_replicas_when_the_last_range_that_ended_has_one() {
        let ranges = [
            (0, RangeState::Settled),
            (1, RangeState::Released),
            (2, RangeState::Rejected),
            (3, RangeState::Submitted),
        ];
        let mut standings = BTreeMap::from([(0, Standing::Over(ReplicaOutcome::Matched))]);
        assert!(!are_closed(ranges, &standings), "nothing is known of the rejected one");
        standings.insert(2, Standing::Open(ReplicaState::Revealing));
        assert!(!are_closed(ranges, &standings), "rejected before that was heard");
        assert!(!is_silent(&standings, 2));
        standings.insert(2, Standing::Over(ReplicaOutcome::Silent));
        assert!(are_closed(ranges, &standings));
        assert!(is_silent(&standings, 2) && !is_silent(&standings, 0) && !is_silent(&standings, 3));
    }

    #[test]
    fn every_replica_is_counted_once() {
        let standings = [
            Standing::Open(ReplicaState::Sealed),
            Standing::Open(ReplicaState::Alone),
            Standing::Over(ReplicaOutcome::Matched),
            Standing::Over(ReplicaOutcome::Alone),
            Standing::Over(ReplicaOutcome::Unequal),
            Standing::Over(ReplicaOutcome::Silent),
        ];
        let totals = ReplicaTotals::of(&(0..).zip(standings).collect());
        let one = ReplicaTotals { sealed: 2, matched: 1, alone: 1, unequal: 1, silent: 1 };
        assert_eq!(totals, one);
    }
}
