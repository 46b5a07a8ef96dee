//! A job's history, rebuilt from its events alone.
//!
//! Pure: events go in, the present state comes out. The same history is shown to people and drives
//! the decisions of [`attention`](crate::attention).

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde::Serialize;
use tilth_contracts::{
    JobBook::{JobBookEvents, MateSettled, RangeClaimed, RangeSubmitted},
    JobState, RangeState, Terms,
};
use tilth_protocol::{Amount, ContentHash, JobId, RangeId, TaskIndex};
use tilth_verification::RangeClaim;

/// One range as the chain tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeView {
    /// Number in the job.
    pub seq: u32,
    /// Owner account of the provider.
    pub provider: Address,
    /// First task.
    pub from: TaskIndex,
    /// Number of tasks.
    pub count: u32,
    /// Where it stands.
    pub state: RangeState,
    /// Base units per unit.
    pub price: u128,
    /// Submitted units.
    pub units: u64,
    /// Submitted number of failed leaves.
    pub failures: u32,
    /// Submitted root; zero while only a seal is known.
    pub root: B256,
    /// What a replicated range was handed in as, until its root is known.
    pub seal: Option<B256>,
    /// Submitted content.
    pub content: ContentHash,
    /// Paid to the provider, once settled.
    pub paid: Amount,
    /// Protocol fee, once settled.
    pub fee: Amount,
    /// The second provider of a replicated range, if it was paid.
    pub mate: Option<Mate>,
}

/// Who did a replicated range, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mate {
    /// Owner account of the provider.
    pub provider: Address,
    /// Paid to it.
    pub paid: Amount,
    /// What of its part did not go to it.
    pub fee: Amount,
}

impl RangeView {
    /// Whether its results are part of the job: handed in and not taken back.
    pub fn has_results(&self) -> bool {
        matches!(self.state, RangeState::Submitted | RangeState::Settled)
    }

    /// Whether its results can be compared with what the provider stands for: not while that is sealed.
    pub fn can_be_checked(&self) -> bool {
        self.has_results() && self.seal.is_none()
    }

    /// What the provider stands for, to compare its manifest with.
    pub fn claim(&self, job: JobId) -> RangeClaim {
        RangeClaim {
            range: RangeId { job, seq: self.seq },
            from: self.from,
            count: self.count,
            root: self.root,
            units: self.units,
            failures: self.failures,
        }
    }
}

/// A job's history up to some block.
#[derive(Clone, Debug)]
pub struct Chronicle {
    /// The job.
    pub job: JobId,
    /// Who pays.
    pub client: Address,
    /// What was offered.
    pub terms: Terms,
    /// Where it stands. `Draining` only after too many failures; see [`Chronicle::is_finishable`].
    pub state: JobState,
    /// Whether the escrow pays for no further task.
    pub dry: bool,
    /// Money no range has reserved.
    pub escrow: Amount,
    /// All ranges ever claimed.
    pub ranges: BTreeMap<u32, RangeView>,
    /// The result accumulator after the last settlement.
    pub result_root: B256,
    /// Given back at the end.
    pub refunded: Amount,
}

/// An event that cannot follow on what was known: events were lost, or the chain lies.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the events of job {job} do not fit together: {detail}")]
pub struct GapError {
    /// The job.
    pub job: JobId,
    /// What does not fit.
    pub detail: String,
}

impl RangeView {
    fn claimed(e: &RangeClaimed) -> Self {
        Self {
            seq: e.seq,
            provider: e.provider,
            from: e.from,
            count: e.count,
            state: RangeState::Claimed,
            price: e.price.to::<u128>(),
            units: 0,
            failures: 0,
            root: B256::ZERO,
            seal: None,
            content: ContentHash::default(),
            paid: Amount::ZERO,
            fee: Amount::ZERO,
            mate: None,
        }
    }
}

impl Chronicle {
    /// Begins with `JobOpened`; other events give `None`.
    pub fn begin(event: &JobBookEvents) -> Option<Self> {
        let JobBookEvents::JobOpened(opened) = event else { return None };
        Some(Self {
            job: JobId(opened.jobId),
            client: opened.client,
            terms: opened.terms.clone(),
            state: JobState::Open,
            dry: false,
            escrow: Amount(opened.escrow),
            ranges: BTreeMap::new(),
            result_root: B256::ZERO,
            refunded: Amount::ZERO,
        })
    }

    /// Takes in the next event. Returns the range it is about, if any.
    ///
    /// # Errors
    /// [`GapError`] when a range appears out of nowhere.
    pub fn apply(&mut self, event: &JobBookEvents) -> Result<Option<u32>, GapError> {
        match event {
            JobBookEvents::JobOpened(_) | JobBookEvents::JobCallback(_) => Ok(None),
            JobBookEvents::JobFunded(e) => {
                (self.escrow, self.dry) = (Amount(e.escrow), false);
                Ok(None)
            }
            JobBookEvents::JobDry(e) => {
                (self.escrow, self.dry) = (Amount(e.escrow), true);
                Ok(None)
            }
            JobBookEvents::JobDraining(_) => {
                self.state = JobState::Draining;
                Ok(None)
            }
            JobBookEvents::JobReopened(_) => {
                self.state = JobState::Open;
                Ok(None)
            }
            JobBookEvents::JobCancelled(_) => {
                (self.escrow, self.state) = (Amount::ZERO, JobState::Cancelling);
                Ok(None)
            }
            JobBookEvents::JobDone(e) => {
                self.state = match self.state {
                    JobState::Cancelling => JobState::Cancelled,
                    _ => JobState::Done,
                };
                (self.escrow, self.refunded) = (Amount::ZERO, Amount(e.refunded));
                self.result_root = e.resultRoot;
                Ok(None)
            }
            JobBookEvents::RangeClaimed(e) => {
                self.escrow = Amount(e.escrow);
                self.ranges.insert(e.seq, RangeView::claimed(e));
                Ok(Some(e.seq))
            }
            JobBookEvents::RangeSubmitted(e) => self.submitted(e),
            JobBookEvents::RangeUnsealed(e) => {
                let range = self.range(e.seq)?;
                (range.root, range.seal) = (e.root, None);
                Ok(Some(e.seq))
            }
            JobBookEvents::MateSettled(e) => self.mate_settled(e),
            JobBookEvents::RangeSettled(e) => {
                self.result_root = e.resultRoot;
                let range = self.range(e.seq)?;
                range.state = RangeState::Settled;
                (range.paid, range.fee) = (Amount(e.paid), Amount(e.fee));
                Ok(Some(e.seq))
            }
            JobBookEvents::RangeReleased(e) => {
                self.give_back(e.seq, RangeState::Released, e.escrow)
            }
            JobBookEvents::RangeExpired(e) => self.give_back(e.seq, RangeState::Expired, e.escrow),
            JobBookEvents::RangeRejected(e) => {
                self.give_back(e.seq, RangeState::Rejected, e.escrow)
            }
        }
    }

    fn submitted(&mut self, e: &RangeSubmitted) -> Result<Option<u32>, GapError> {
        (self.escrow, self.dry) = (Amount(e.escrow), false);
        let replicated = self.terms.replicas != 0;
        let range = self.range(e.seq)?;
        range.state = RangeState::Submitted;
        (range.units, range.failures) = (e.units, e.failures);
        (range.root, range.seal) =
            if replicated { (B256::ZERO, Some(e.root)) } else { (e.root, None) };
        range.content = ContentHash(e.contentHash.0);
        Ok(Some(e.seq))
    }

    /// The second part of a replicated range's money: to the mate, or back if nobody has earned it. That the range is settled is
    /// said next.
    fn mate_settled(&mut self, e: &MateSettled) -> Result<Option<u32>, GapError> {
        let (provider, paid, fee) = (e.provider, Amount(e.paid), Amount(e.fee));
        if provider.is_zero() {
            (self.escrow, self.dry) = (sum(self.escrow, paid), false);
        } else {
            self.range(e.seq)?.mate = Some(Mate { provider, paid, fee });
        }
        Ok(None)
    }

    fn give_back(
        &mut self,
        seq: u32,
        state: RangeState,
        escrow: u128,
    ) -> Result<Option<u32>, GapError> {
        (self.escrow, self.dry) = (Amount(escrow), false);
        self.range(seq)?.state = state;
        Ok(Some(seq))
    }

    fn range(&mut self, seq: u32) -> Result<&mut RangeView, GapError> {
        let job = self.job;
        self.ranges
            .get_mut(&seq)
            .ok_or_else(|| GapError { job, detail: format!("range {seq} was never claimed") })
    }

    fn tasks(&self, of: impl Fn(&RangeView) -> bool) -> u32 {
        self.ranges
            .values()
            .filter(|range| of(range))
            .fold(0, |sum, range| sum.saturating_add(range.count))
    }

    /// Tasks nobody holds or has handed in.
    pub fn unclaimed(&self) -> u32 {
        let held = self.tasks(|range| {
            matches!(range.state, RangeState::Claimed | RangeState::Submitted | RangeState::Settled)
        });
        self.terms.taskCount.saturating_sub(held)
    }

    /// Ranges claimed or submitted and not yet judged.
    pub fn outstanding(&self) -> usize {
        let open =
            |range: &&RangeView| matches!(range.state, RangeState::Claimed | RangeState::Submitted);
        self.ranges.values().filter(open).count()
    }

    /// Whether `finish` would be accepted at chain time `now` (seconds).
    pub fn is_finishable(&self, now: u64) -> bool {
        let claims_are_over = self.state != JobState::Open
            || self.unclaimed() == 0
            || now > self.terms.deadline.to::<u64>();
        !self.state.is_over() && self.outstanding() == 0 && claims_are_over
    }

    /// The state for people: an open job with nothing left to claim is draining.
    pub fn shown_state(&self) -> JobState {
        match self.state {
            JobState::Open if self.unclaimed() == 0 => JobState::Draining,
            state => state,
        }
    }

    /// Sums for people.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            tasks: self.terms.taskCount,
            claimed: self.tasks(|range| range.state == RangeState::Claimed),
            submitted: self.tasks(|range| range.state == RangeState::Submitted),
            settled: self.tasks(|range| range.state == RangeState::Settled),
            escrow: self.escrow,
            ..Totals::default()
        };
        let mut providers: BTreeMap<Address, Share> = BTreeMap::new();
        for range in self.ranges.values() {
            let share =
                providers.entry(range.provider).or_insert_with(|| Share::of(range.provider));
            share.add(range);
            if range.state == RangeState::Settled {
                totals.paid = sum(totals.paid, range.paid);
                totals.fees = sum(totals.fees, range.fee);
                if let Some(mate) = range.mate {
                    totals.paid = sum(totals.paid, mate.paid);
                    totals.fees = sum(totals.fees, mate.fee);
                    let provider = mate.provider;
                    providers.entry(provider).or_insert_with(|| Share::of(provider)).add_mate(mate);
                }
            }
            if range.state == RangeState::Submitted {
                totals.pending = sum(totals.pending, value(range));
                if self.terms.replicas != 0 {
                    totals.pending = sum(totals.pending, value(range));
                }
            }
            if range.has_results() {
                totals.failures = totals.failures.saturating_add(range.failures);
                totals.units = totals.units.saturating_add(range.units);
            }
        }
        totals.providers = providers.into_values().collect();
        totals
    }
}

/// Sums are only shown; what the contract refuses to overflow cannot overflow here either.
fn sum(a: Amount, b: Amount) -> Amount {
    a.checked_add(b).unwrap_or(Amount(u128::MAX))
}

/// What a submitted range will cost.
fn value(range: &RangeView) -> Amount {
    Amount(range.price.saturating_mul(u128::from(range.units)))
}

/// A job in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Tasks of the job.
    pub tasks: u32,
    /// Tasks being worked on.
    pub claimed: u32,
    /// Tasks handed in and not yet settled.
    pub submitted: u32,
    /// Tasks settled.
    pub settled: u32,
    /// Failed tasks (and prepare phases) among those handed in.
    pub failures: u32,
    /// Units handed in.
    pub units: u64,
    /// Paid to providers.
    pub paid: Amount,
    /// Paid as protocol fee.
    pub fees: Amount,
    /// Cost of what is handed in and not yet settled, at most: of a replicated range for both of its providers.
    pub pending: Amount,
    /// Money that no range has reserved.
    pub escrow: Amount,
    /// Who did what.
    pub providers: Vec<Share>,
}

/// One provider's part of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Share {
    /// Owner account.
    pub provider: Address,
    /// Ranges held or handed in.
    pub ranges: u32,
    /// Tasks in ranges being worked on.
    pub working: u32,
    /// Tasks handed in.
    pub tasks: u32,
    /// Units handed in.
    pub units: u64,
    /// Others' ranges that it did, too, and was paid for.
    pub mated: u32,
    /// Earned by settled ranges, those as a mate included.
    pub earned: Amount,
    /// Ranges given back or expired.
    pub lost: u32,
}

impl Share {
    fn of(provider: Address) -> Self {
        let (earned, ranges, working, tasks, units) = (Amount::ZERO, 0, 0, 0, 0);
        Self { provider, ranges, working, tasks, units, mated: 0, earned, lost: 0 }
    }

    fn add_mate(&mut self, mate: Mate) {
        self.mated = self.mated.saturating_add(1);
        self.earned = sum(self.earned, mate.paid);
    }

    fn add(&mut self, range: &RangeView) {
        match range.state {
            RangeState::Released | RangeState::Expired | RangeState::Rejected => {
                self.lost = self.lost.saturating_add(1);
                return;
            }
            RangeState::Claimed => self.working = self.working.saturating_add(range.count),
            _ => {
                self.tasks = self.tasks.saturating_add(range.count);
                self.units = self.units.saturating_add(range.units);
                self.earned = sum(self.earned, range.paid);
            }
        }
        self.ranges = self.ranges.saturating_add(1);
    }
}

#[cfg(test)]
#[path = "chronicle_tests.rs"]
mod tests;
