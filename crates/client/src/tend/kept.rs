//! The inputs and the kept ranges of a job that is tended: followed, paid for, shown.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Serialize, Serializer};
use tilth_contracts::{HoldState, JobState};
use tilth_protocol::{Contact, ContentHash, JobSpec, Problem, RangeId};
use tilth_verification::holding::inputs_mib;
use tracing::debug;

use super::{
    Tender,
    audits::{Moved, Told},
};
use crate::{
    Agreed, ChainError, Jobs, RangeView,
    audit::Millis,
    holding::{
        self, Filling, Hand, Keeper, Part, Party, Post, Standing, fill_up, holders_of, is_unserved,
        unserved,
    },
};

/// How often it is tried to lock a deposit while the chain does not answer.
const LOCK_AGAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether the deposit has to be filled up, whatever has become of that before.
const FILL_AGAIN: Duration = Duration::from_secs(600);

/// Kept ranges of a job in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeptTotals {
    /// Handed in, and not paid or held yet.
    pub open: u32,
    /// Held by auditors.
    pub held: u32,
    /// Acknowledged or rejected before anybody held it.
    pub unneeded: u32,
    /// The deposit did not pay for holders: paid without.
    pub waived: u32,
    /// Too few auditors could fetch it: rejected, at its provider's cost.
    pub lost: u32,
}

impl KeptTotals {
    fn of(standings: &BTreeMap<u32, Standing>) -> Self {
        let mut totals = Self::default();
        for standing in standings.values() {
            let count = match standing {
                Standing::Open(_) => &mut totals.open,
                Standing::Waived => &mut totals.waived,
                Standing::Over(HoldState::Held) | Standing::Spot(_) => &mut totals.held,
                Standing::Over(HoldState::Lost) => &mut totals.lost,
                Standing::Over(_) => &mut totals.unneeded,
            };
            *count = count.saturating_add(1);
        }
        totals
    }
}

/// Where inputs stand, as it is told to people.
pub(super) fn in_words<S: Serializer>(state: &Option<HoldState>, to: S) -> Result<S::Ok, S::Error> {
    state.map(|state| state.to_string()).serialize(to)
}

/// A client pays and looks on, asks for holders of its inputs, and does what anybody may do.
#[derive(Debug)]
struct Onlooker {
    told: Told,
    spec: Arc<JobSpec>,
}

impl Hand for Onlooker {
    async fn size(&self, range: RangeId, part: Part) -> Option<u32> {
        // Of what is made it knows no size, and the machine does not ask it.
        let ours = range.is_inputs() && ContentHash(part.root.0) == self.spec.hash();
        if ours { inputs_mib(&self.spec) } else { None }
    }

    async fn fetch(&self, _: RangeId, _: Part, _: u32, _: Millis) -> bool {
        false
    }

    fn note(&self, effect: &holding::Effect) {
        if let holding::Effect::Show { range, standing } = effect {
            let moved = match standing {
                Standing::Open(state) | Standing::Over(state) if range.is_inputs() => {
                    Moved::Inputs(*state)
                }
                // Work goes on for as long as it would: they are held.
                Standing::Spot(_) if range.is_inputs() => Moved::Inputs(HoldState::Held),
                standing => Moved::Kept(range.seq, *standing),
            };
            // Nobody follows the job any more.
            let _ = self.told.send(moved);
        }
    }

    fn closed(&self) {
        let _ = self.told.send(Moved::DepositBack);
    }

    async fn failed(&self, _: &ChainError) {}

    fn caught_up(&self, _: Vec<RangeId>) {}

    fn read_up_to(&self, _: u64) {}
}

/// Sees to the inputs and the kept ranges of a job, from its deposit on.
pub(super) async fn follow(jobs: Jobs, agreed: Agreed, told: Told) -> Result<(), ChainError> {
    let (account, job) = (jobs.account().clone(), agreed.job);
    let mut filling = Filling::new(jobs.deposit_of(job));
    // Before that there are no ranges, so nobody waits for this but those who would work.
    while let Err(error) = Box::pin(filling.see_to(&account, &agreed)).await {
        // What is refused is refused again, until something is different.
        if !error.is_temporary() {
            break;
        }
        tokio::time::sleep(LOCK_AGAIN).await;
    }
    let post = Post {
        account: account.clone(),
        party: Party::Client,
        from_block: agreed.opened_block,
        job: Some(job),
        most: filling.most(),
    };
    let hand = Onlooker { told, spec: Arc::clone(&agreed.spec) };
    let keeper = Box::pin(Keeper::new(post, Arc::new(hand)).keep());
    tokio::select! {
        ended = keeper => ended,
        // It does not end.
        () = fill_up(&account, &agreed, filling, FILL_AGAIN) => Ok(()),
    }
}

/// Who holds a range, if anybody does and the chain answers.
pub(super) async fn holders(jobs: &Jobs, agreed: &Agreed, range: &RangeView) -> Vec<Contact> {
    if !agreed.terms.kept {
        return Vec::new();
    }
    let of = RangeId { job: agreed.job, seq: range.seq };
    let found = holders_of(jobs.account().link(), jobs.first_block(), of).await;
    found.unwrap_or_else(|error| {
        debug!(range = %of, %error, "who holds it is not known");
        Vec::new()
    })
}

impl Tender {
    /// Whether it is ours to have the job's inputs and ranges held.
    pub(super) fn follows_kept(&self) -> bool {
        let ours = self.agreed.client == self.jobs.account().address();
        self.agreed.terms.kept && (self.pays || ours)
    }

    /// A kept range stands otherwise than before. Nothing is fetched or acknowledged by that.
    pub(super) fn kept_stands(&mut self, seq: u32, standing: Standing) {
        debug!(job = %self.agreed.job, seq, ?standing, "a kept range has moved");
        self.kept.insert(seq, standing);
        let totals = KeptTotals::of(&self.kept);
        self.show.send_modify(|progress| progress.kept = Some(totals));
    }

    /// The ask for holders of the job's inputs stands otherwise than before.
    pub(super) fn inputs_stand(&mut self, state: HoldState) {
        debug!(job = %self.agreed.job, %state, "the inputs of a job have moved");
        self.inputs = Some(state);
        self.show.send_modify(|progress| progress.inputs = Some(state));
    }

    /// Why nobody will ever work on the job, if it still waits for that.
    pub(super) fn has_lost_inputs(&self) -> Option<Problem> {
        let state = self.chronicle.as_ref()?.state;
        let waits = matches!(state, JobState::Open | JobState::Draining);
        let lost = self.inputs.is_some_and(is_unserved);
        (waits && lost).then(|| unserved(self.agreed.job))
    }

    /// Whether nothing of ours is locked for holders any more.
    pub(super) fn has_deposit_back(&self) -> bool {
        !self.agreed.terms.kept || self.deposit_back
    }
}

#[cfg(test)]
mod tests {
    use tilth_contracts::SpotState;

    use super::*;

    #[test]
    fn every_kept_range_is_counted_once() {
        let standings = [
            Standing::Open(HoldState::None),
            Standing::Open(HoldState::Open),
            Standing::Waived,
            Standing::Over(HoldState::Held),
            Standing::Spot(SpotState::Asked),
            Standing::Over(HoldState::Lost),
            Standing::Over(HoldState::Dropped),
            Standing::Over(HoldState::None),
        ];
        let totals = KeptTotals::of(&(0..).zip(standings).collect());
        assert_eq!(totals, KeptTotals { open: 2, held: 2, unneeded: 2, waived: 1, lost: 1 });
    }
}
