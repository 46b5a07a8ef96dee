//! What holders are asked for, as the chain shows it: a range, or the inputs of a job.

use alloy::primitives::{Address, U256};
use tilth_contracts::{Audits, Job, JobBook, JobState, RangeState};
use tilth_protocol::{JobId, RangeId};

use super::{
    view::{SECOND, known},
    words::Part,
};
use crate::{ChainError, Link, audit::Millis};

/// What holders are asked for, but for the ask.
pub(super) struct Subject {
    pub(super) range: RangeState,
    pub(super) part: Part,
    pub(super) provider: Address,
    pub(super) window_end: Millis,
    pub(super) may_pay: bool,
    /// For how many ranges the deposit must reach ([`ranges_due`]); of a range for 1 at least.
    pub(super) out: u32,
}

impl Subject {
    pub(super) async fn range(link: &Link, range: RangeId) -> Result<Self, ChainError> {
        let at = link.addresses();
        let (job, seq) = (range.job.0, range.seq);
        let record = link.read(at.job_book, JobBook::rangeCall { jobId: job, seq }).await?;
        let shown = link.read(at.job_book, JobBook::jobCall { jobId: job }).await?;
        let out = ranges_due(link, &shown).await?.max(1);
        let window = shown.terms.window;
        let value = U256::from(record.units).saturating_mul(U256::from(record.price.to::<u128>()));
        let bill = Audits::billCall { jobId: job, seq, value };
        let bill = link.read(at.audits, bill).await?;
        let submitted = record.at.to::<u64>();
        Ok(Self {
            range: known(RangeState::try_from(record.state))?,
            part: Part { from: record.from, count: record.count, root: record.root },
            provider: record.provider,
            window_end: submitted.saturating_add(window.into()).saturating_mul(SECOND),
            may_pay: bill.mayPay,
            out,
        })
    }

    pub(super) async fn inputs(link: &Link, job: JobId) -> Result<Self, ChainError> {
        let call = JobBook::jobCall { jobId: job.0 };
        let shown = link.read(link.addresses().job_book, call).await?;
        let state = known(JobState::try_from(shown.state))?;
        Ok(Self {
            range: stands(state),
            part: Part { root: shown.terms.specHash, ..Part::default() },
            provider: Address::ZERO,
            window_end: 0,
            may_pay: true,
            out: 0,
        })
    }
}

/// For how many ranges a job's deposit must reach, as the job stands: for those that are out, and for the next one as
/// long as it has one to give out. One that comes back is one less that is out. 0: nothing need be free for it.
pub(super) async fn ranges_due(link: &Link, job: &Job) -> Result<u32, ChainError> {
    if known(JobState::try_from(job.state))? != JobState::Open {
        return Ok(0);
    }
    let gives = job.unclaimed != 0 && link.now().await? <= job.terms.deadline.to::<u64>();
    Ok(job.outstanding.saturating_add(u32::from(gives)))
}

/// How inputs stand, as if they were a range: by the state of their job.
fn stands(job: JobState) -> RangeState {
    match job {
        JobState::None => RangeState::None,
        JobState::Open | JobState::Draining => RangeState::Submitted,
        // Ranges of before are still judged.
        JobState::Cancelling => RangeState::Settled,
        JobState::Done | JobState::Cancelled => RangeState::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_needed_until_their_job_is_over() {
        assert_eq!(stands(JobState::Open), RangeState::Submitted);
        assert_eq!(stands(JobState::Draining), RangeState::Submitted, "a range may come back");
        assert_eq!(stands(JobState::Cancelling), RangeState::Settled);
        for over in [JobState::Done, JobState::Cancelled] {
            assert_eq!(stands(over), RangeState::Rejected);
        }
    }
}
