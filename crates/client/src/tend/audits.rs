//! The audits of a job that is tended: followed, moved on, shown.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tilth_blobs::{Blobs, BlobsError, Kept, Tag};
use tilth_contracts::{AuditOutcome, HoldState, RangeState};
use tilth_protocol::{ContentHash, RangeId, leaf::MAX_RANGE_TASKS};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::{debug, info};

use super::{Tender, kept, replicas};
use crate::{
    Agreed, ChainError, RangeView,
    attention::Event,
    audit::{self, Hand, Keeper, Party, Post, Standing},
    holding, mates,
};

/// How long the last verdicts are waited for when all else of a job is over.
const VERDICTS: Duration = Duration::from_secs(60);

/// Audits of a job in numbers of ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuditTotals {
    /// Not decided yet.
    pub open: u32,
    /// Not drawn: paid like ranges of plain jobs.
    pub not_audited: u32,
    /// Results that stand.
    pub upheld: u32,
    /// Results that do not count, at their provider's cost.
    pub overturned: u32,
    /// Results that do not count, at nobody's cost.
    pub undecided: u32,
}

impl AuditTotals {
    fn of(standings: &BTreeMap<u32, Standing>) -> Self {
        let mut totals = Self::default();
        for standing in standings.values() {
            let count = match standing {
                Standing::Over(AuditOutcome::Upheld) => &mut totals.upheld,
                Standing::Over(AuditOutcome::Overturned) => &mut totals.overturned,
                Standing::Over(AuditOutcome::Undecided) => &mut totals.undecided,
                Standing::Over(AuditOutcome::Unaudited) | Standing::NotDrawn => {
                    &mut totals.not_audited
                }
                Standing::Over(AuditOutcome::Open) | Standing::Open(_) | Standing::Disputed(_) => {
                    &mut totals.open
                }
            };
            *count = count.saturating_add(1);
        }
        totals
    }
}

/// What has moved in the range with this number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moved {
    /// Its audit.
    Audit(u32, Standing),
    /// What comes before its audit in a replicated job.
    Replica(u32, mates::Standing),
    /// Who holds it, in a kept job.
    Kept(u32, holding::Standing),
    /// Who holds the job's inputs, without which nobody works on it.
    Inputs(HoldState),
    /// Nothing of the job's deposit is left that could come back.
    DepositBack,
}

/// Who is told of that.
pub(super) type Told = mpsc::UnboundedSender<Moved>;
/// How the audits of a job's ranges and what comes before them stand, as that changes.
pub(super) type Standings = mpsc::UnboundedReceiver<Moved>;
/// The same, and the tasks that follow them.
pub(super) type Followed = (Standings, JoinSet<Result<(), ChainError>>);

/// A client only looks on, and does what anybody may do.
#[derive(Debug)]
struct Onlooker {
    told: Told,
}

impl Hand for Onlooker {
    async fn perform(&self, effect: audit::Effect) -> audit::Event {
        // The machine asks a client for none of these.
        audit::Event::Ended { range: effect.range(), done: false }
    }

    fn note(&self, effect: &audit::Effect) {
        if let audit::Effect::Show { range, standing } = effect {
            // Nobody follows the job any more.
            let _ = self.told.send(Moved::Audit(range.seq, *standing));
        }
    }

    async fn failed(&self, _: &ChainError) {}

    fn caught_up(&self, _: Vec<RangeId>) {}

    fn read_up_to(&self, _: u64) {}
}

/// What is withheld of a range includes its parts as soon as they are known. Those that are files of jobs of ours are
/// everybody's all the same ([`Blobs::spare`]), of whatever job.
pub(super) async fn withhold_parts(
    blobs: &Blobs,
    agreed: &Agreed,
    range: &RangeView,
) -> Result<(), BlobsError> {
    if !agreed.terms.audited {
        return Ok(());
    }
    match blobs.read_sequence(range.content, MAX_RANGE_TASKS.saturating_add(1)).await {
        Ok(parts) => blobs.keep_also(&Tag::range(agreed.job, range.seq), parts),
        // Without a list nobody knows of parts.
        Err(BlobsError::NotHere { .. } | BlobsError::NotASequence { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Whether the audits of all ranges that are settled or rejected are known to be over.
fn are_decided(
    ranges: impl IntoIterator<Item = (u32, RangeState)>,
    standings: &BTreeMap<u32, Standing>,
) -> bool {
    let decided = |standing: &Standing| match standing {
        Standing::NotDrawn => true,
        Standing::Over(outcome) => *outcome != AuditOutcome::Open,
        Standing::Open(_) | Standing::Disputed(_) => false,
    };
    ranges
        .into_iter()
        .filter(|(_, state)| matches!(state, RangeState::Settled | RangeState::Rejected))
        .all(|(seq, _)| standings.get(&seq).is_some_and(decided))
}

impl Tender {
    /// Sees to the audits of the job, and to what comes before them, as far as anybody may; dropping what comes back ends
    /// that.
    pub(super) fn keep_audits(&self) -> Followed {
        let (told, seen) = mpsc::unbounded_channel();
        let mut audits = JoinSet::new();
        // Nobody else asks for holders of the inputs, also for a client that does not acknowledge anything.
        if self.follows_kept() {
            let (jobs, agreed) = (self.jobs.clone(), self.agreed.clone());
            audits.spawn(kept::follow(jobs, agreed, told.clone()));
        }
        if self.agreed.terms.audited && self.pays {
            if self.agreed.terms.replicas != 0 {
                audits.spawn(self.replica_keeper(told.clone()).keep());
            }
            let post = Post {
                account: self.jobs.account().clone(),
                party: Party::Client,
                from_block: self.agreed.opened_block,
                job: Some(self.agreed.job),
                seals: Vec::new(),
            };
            let keeper = Keeper::new(post, Arc::new(Onlooker { told }));
            audits.spawn(keeper.keep());
        }
        (seen, audits)
    }

    /// Serves the results of a range of an audited job to nobody as long as auditors are to find them out by themselves: the
    /// chain says under which hash they are, and we are where the job's files are.
    pub(super) fn withhold(&self, seq: u32, content: ContentHash) {
        let blind = self.standings.get(&seq).is_none_or(|standing| standing.is_blind());
        if self.agreed.terms.audited && blind {
            let tag = Tag::range(self.agreed.job, seq);
            // Who tended the job before in this life may have named the parts, too.
            self.jobs.blobs().keep_besides(Kept { tag, hashes: vec![content], only: None });
        }
    }

    /// Serves the results of a range to all, except what an earlier life has fetched of it (where the store keeps
    /// what it finds): nobody needs it from us.
    pub(super) fn give_free(&self, seq: u32) {
        self.jobs.blobs().release(&Tag::range(self.agreed.job, seq));
    }

    /// Audits are read on their own: that the job is over may be known before the last verdict is. Whether it is heard
    /// in time or not, nothing can go wrong any more.
    pub(super) async fn hear_verdicts(&mut self, standings: &mut Standings) {
        let last = Instant::now() + VERDICTS;
        while self.agreed.terms.audited
            && self.pays
            && !(self.is_decided() && self.has_deposit_back())
        {
            let heard = tokio::time::timeout_at(last.into(), standings.recv()).await;
            let Ok(Some(moved)) = heard else {
                info!(job = %self.agreed.job, "the last audits are not shown as they stand");
                if !self.has_deposit_back() {
                    info!(job = %self.agreed.job, "what is left of its deposit comes back when the job is fetched again");
                }
                return;
            };
            self.moved(moved);
        }
    }

    /// Whether it is known how all audits stand that have let a range be paid or rejected, and how its replica.
    fn is_decided(&self) -> bool {
        let ranges = || {
            let ranges = self.chronicle.iter().flat_map(|chronicle| chronicle.ranges.values());
            ranges.map(|range| (range.seq, range.state))
        };
        // Of a root that was never shown there is no audit.
        let judged = ranges().filter(|(seq, _)| !replicas::is_silent(&self.replicas, *seq));
        are_decided(judged, &self.standings)
            && (self.agreed.terms.replicas == 0 || replicas::are_closed(ranges(), &self.replicas))
    }

    /// Takes in how an audit or a replica stands; whether the job is to be left.
    pub(super) fn moved(&mut self, moved: Moved) -> bool {
        match moved {
            Moved::Audit(seq, standing) => self.stands(seq, standing),
            Moved::Replica(seq, standing) => {
                self.replica_stands(seq, standing);
                false
            }
            Moved::Kept(seq, standing) => {
                self.kept_stands(seq, standing);
                false
            }
            Moved::Inputs(state) => {
                self.inputs_stand(state);
                false
            }
            Moved::DepositBack => {
                self.deposit_back = true;
                false
            }
        }
    }

    fn stands(&mut self, seq: u32, standing: Standing) -> bool {
        if !standing.is_blind() {
            self.give_free(seq);
        }
        debug!(job = %self.agreed.job, seq, ?standing, "an audit has moved");
        self.last_work = Instant::now();
        self.standings.insert(seq, standing);
        let totals = AuditTotals::of(&self.standings);
        self.show.send_modify(|progress| progress.audits = Some(totals));
        standing.may_be_paid() && self.step(Event::MayBePaid(seq))
    }
}

#[cfg(test)]
mod tests {
    use tilth_contracts::AuditState;

    use super::*;

    #[test]
    fn a_job_has_its_verdicts_when_the_last_range_that_ended_has_one() {
        let ranges = [
            (0, RangeState::Settled),
            (1, RangeState::Released),
            (2, RangeState::Rejected),
            (3, RangeState::Expired),
            (4, RangeState::Settled),
        ];
        let mut standings = BTreeMap::from([
            (0, Standing::NotDrawn),
            (2, Standing::Over(AuditOutcome::Overturned)),
        ]);
        assert!(!are_decided(ranges, &standings), "nothing is known of the last");
        standings.insert(4, Standing::Open(AuditState::Revealing));
        assert!(!are_decided(ranges, &standings), "settled by somebody else before it was heard");
        standings.insert(4, Standing::Disputed(AuditState::Closed));
        assert!(!are_decided(ranges, &standings), "of one leaf, and the range's own comes next");
        let totals = AuditTotals::of(&standings);
        assert_eq!((totals.open, totals.upheld, totals.overturned), (1, 0, 1));
        standings.insert(4, Standing::Over(AuditOutcome::Upheld));
        assert!(are_decided(ranges, &standings));
        standings.remove(&2);
        assert!(!are_decided(ranges, &standings), "what was rejected is to be shown, too");
        assert!(are_decided([], &BTreeMap::new()));
    }
}
