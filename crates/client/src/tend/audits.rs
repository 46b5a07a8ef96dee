//! The audits of a job that is tended: followed, moved on, shown.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use serde::Serialize;
use tilth_blobs::{Blobs, BlobsError, Kept, Tag};
use tilth_contracts::AuditOutcome;
use tilth_protocol::{ContentHash, RangeId, leaf::MAX_RANGE_TASKS};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::debug;

use super::Tender;
use crate::{
    Agreed, ChainError, RangeView,
    attention::Event,
    audit::{self, Hand, Keeper, Party, Post, Standing},
};

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
                Standing::Over(AuditOutcome::Open) | Standing::Open(_) => &mut totals.open,
            };
            *count = count.saturating_add(1);
        }
        totals
    }
}

/// How the audits of a job stand, as that changes, and the task that follows them.
pub(super) type Followed =
    (mpsc::UnboundedReceiver<(u32, Standing)>, JoinSet<Result<(), ChainError>>);

/// A client only looks on, and does what anybody may do.
#[derive(Debug)]
struct Onlooker {
    standings: mpsc::UnboundedSender<(u32, Standing)>,
}

impl Hand for Onlooker {
    async fn perform(&self, effect: audit::Effect) -> audit::Event {
        // The machine asks a client for none of these.
        audit::Event::Ended { range: effect.range(), done: false }
    }

    fn note(&self, effect: &audit::Effect) {
        if let audit::Effect::Show { range, standing } = effect {
            // Nobody follows the job any more.
            let _ = self.standings.send((range.seq, *standing));
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

impl Tender {
    /// Sees to the audits of the job as far as anybody may; dropping what comes back ends that.
    pub(super) fn keep_audits(&self) -> Followed {
        let (standings, seen) = mpsc::unbounded_channel();
        let mut audits = JoinSet::new();
        if self.agreed.terms.audited && self.pays {
            let post = Post {
                account: self.jobs.account().clone(),
                party: Party::Client,
                from_block: self.agreed.opened_block,
                job: Some(self.agreed.job),
                seals: Vec::new(),
            };
            let keeper = Keeper::new(post, Arc::new(Onlooker { standings }));
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
            self.jobs.blobs().keep(Kept { tag, hashes: vec![content], only: None });
        }
    }

    /// Serves the results of a range to all, except what an earlier life has fetched of it (where the store keeps
    /// what it finds): nobody needs it from us.
    pub(super) fn give_free(&self, seq: u32) {
        self.jobs.blobs().release(&Tag::range(self.agreed.job, seq));
    }

    pub(super) fn stands(&mut self, seq: u32, standing: Standing) -> bool {
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
