//! A case as the chain shows it.

use alloy::primitives::B256;
use tilth_contracts::{
    AuditOutcome, AuditState, Audits, JobBook, RangeState, SeatState, SoloRandomness,
};
use tilth_protocol::RangeId;
use tilth_service::Doing;
use tilth_verification::{
    arithmetic::Share,
    audit::{SAMPLES, positions},
    walk::DISPUTED_RATE,
};

use super::words::{Millis, Question};
use crate::{ChainError, Link, clock};

/// A case at a moment: as it is in the last block that is believed, by the clock of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub state: AuditState,
    /// What it came to.
    pub outcome: AuditOutcome,
    /// Up to when the next move is possible, by the chain's clock; 0 before the draw and after the end.
    pub deadline: Millis,
    /// The beacon's round.
    pub round: u64,
    /// How often the provider is audited.
    pub rate: Share,
    /// Whether it is about one leaf, in which two providers differ. If the provider is right in it, the range's own case takes
    /// the place of this one, with a later round.
    pub disputed: bool,
    /// Places of the drawn leaves, once the provider has named them.
    pub positions: [u32; SAMPLES as usize],
    /// Our own seat in this very case, if we have one.
    pub seat: Option<(u8, SeatState)>,
    /// The beacon's value, if it is known.
    pub beacon: Option<B256>,
    /// How often the beacon's value was not kept in time: 0; 1, and it is that of a later block; 2, and there is none.
    pub lapses: u8,
    /// The latest block.
    pub block: u64,
    /// Its time: no later one is earlier, whatever clocks say.
    pub now: Millis,
    /// The time that the next block is likely to have: our clock's, if that is ahead of the chain's.
    pub next: Millis,
    /// Whether the range is settled or rejected: nothing that is done about the case matters any more.
    pub range_over: bool,
}

/// Reads a case. `seated`: our number as an auditor, and the seat in which we have sat last, as far as we have heard: it may have
/// been another case of the range, so it is checked who sits there.
///
/// # Errors
/// Those of [`Link::read`]; [`ChainError::BadAnswer`] for states that this version does not know.
pub fn look(
    link: &Link,
    range: RangeId,
    seated: Option<(u32, u8)>,
) -> Doing<'_, Result<View, ChainError>> {
    Box::pin(async move {
        let at = *link.addresses();
        let (job, seq) = (range.job.0, range.seq);
        // What is shown on the strength of a view stays shown: leaves, answers and salts are in the open as soon as they
        // are sent. Were the commitment taken back that had come before, whoever made it could make another one with what
        // it has read. So nothing is seen that could be taken back. Deadlines do not wait for that: time and head are of
        // now.
        let link = &link.confirmed().await?;
        // The head first: where nothing is taken back, what is read after it is at least as new.
        let block = link.block_number().await?;
        // The range before its case: the verdict that ends a range closes its case, and a case that is read later is not older.
        let state = link.read(at.job_book, JobBook::rangeCall { jobId: job, seq }).await?.state;
        let case = link.read(at.audits, Audits::auditCaseCall { jobId: job, seq }).await?;
        let value = SoloRandomness::valueCall { round: case.round };
        let beacon = link.read(at.randomness, value).await?;
        let lapses = SoloRandomness::lapsesCall { round: case.round };
        let lapses = link.read(at.randomness, lapses).await?;
        let seat = match seated {
            Some(seated) => our_seat(link, range, case.given, seated).await?,
            None => None,
        };
        let state = RangeState::try_from(state);
        let (now, wall) = (link.now().await?, clock::wall().as_secs());
        Ok(View {
            state: known(AuditState::try_from(case.state))?,
            outcome: known(AuditOutcome::try_from(case.outcome))?,
            deadline: case.deadline.to::<u64>().saturating_mul(1_000),
            round: case.round,
            rate: Share::new(case.rate),
            disputed: case.rate == DISPUTED_RATE,
            positions: positions(case.positions),
            seat,
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block,
            now: now.saturating_mul(1_000),
            next: now.max(wall).saturating_mul(1_000),
            range_over: matches!(state, Ok(RangeState::Settled | RangeState::Rejected)),
        })
    })
}

/// Where we sit among all seats that are given: mostly where we have heard.
async fn our_seat(
    link: &Link,
    range: RangeId,
    given: u8,
    (auditor, heard): (u32, u8),
) -> Result<Option<(u8, SeatState)>, ChainError> {
    let audits = link.addresses().audits;
    let others = (0..given).filter(|number| *number != heard);
    for number in [heard].into_iter().chain(others) {
        let call = Audits::seatCall { jobId: range.job.0, seq: range.seq, number };
        let seat = link.read(audits, call).await?;
        if seat.auditor == auditor {
            return Ok(Some((number, known(SeatState::try_from(seat.state))?)));
        }
    }
    Ok(None)
}

impl View {
    /// Whether it is a dispute in which the provider was right: the range's own case is still to come.
    pub fn is_followed(&self) -> bool {
        let upheld = self.state == AuditState::Closed && self.outcome == AuditOutcome::Upheld;
        self.disputed && upheld && !self.range_over
    }

    /// What its auditors are asked, as soon as that is known.
    pub fn question(&self) -> Option<Question> {
        Some(Question { beacon: self.beacon?, positions: self.positions })
    }
}

fn known<T>(value: Result<T, impl ToString>) -> Result<T, ChainError> {
    value.map_err(|error| ChainError::BadAnswer {
        action: "reading an audit",
        detail: error.to_string(),
    })
}
