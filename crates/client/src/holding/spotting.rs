//! How looking at those who hold a range stands, as the chain shows it.

use alloy::primitives::B256;
use tilth_contracts::{HoldState, SpotState, Spots};
use tilth_protocol::RangeId;
use tilth_verification::{
    draw::Seed,
    holding::{SPOT_DUE_S, SPOT_TIME_S, SPOTTERS},
};

use super::{
    party::Party,
    view::{SECOND, View, known},
};
use crate::{ChainError, Link, audit::Millis, cases::REACH};

/// How looking at who serves a range stands, when the time of its holders is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotView {
    /// Where it stands.
    pub state: SpotState,
    /// Up to when who is drawn may say what it has seen, by the chain's clock; 0: nobody has called for it.
    pub end: Millis,
    /// Draws that have said it, draw 0 lowest.
    pub bits: u8,
    /// Draws that name us.
    pub draws: u8,
}

impl Default for SpotView {
    fn default() -> Self {
        Self { state: SpotState::None, end: 0, bits: 0, draws: 0 }
    }
}

/// How looking at the holders of a range stands, and the beacon's round that draws who looks, as long as they do.
pub(super) async fn spot_of(
    link: &Link,
    range: RangeId,
    party: Party,
) -> Result<(SpotView, Option<u64>), ChainError> {
    let (spots, job, seq) = (link.addresses().spots, range.job.0, range.seq);
    let spot = link.read(spots, Spots::spotOfCall { jobId: job, seq }).await?;
    let state = known(SpotState::try_from(spot.state))?;
    let end = match state {
        SpotState::None => 0,
        SpotState::Asked | SpotState::Over => {
            spot.asOf.to::<u64>().saturating_add(SPOT_TIME_S).saturating_mul(SECOND)
        }
    };
    let mut seen = SpotView { state, end, bits: spot.bits, draws: 0 };
    if state != SpotState::Asked {
        return Ok((seen, None));
    }
    if let Party::Auditor(us) = party {
        let named = link.read(spots, Spots::spottersCall { jobId: job, seq }).await?;
        seen.draws = spots_of(&named, us);
    }
    Ok((seen, Some(spot.round)))
}

/// The draws of those who look that name an auditor.
fn spots_of(named: &[u32], us: u32) -> u8 {
    let ours = named.iter().take(SPOTTERS).enumerate().filter(|(_, number)| **number == us);
    ours.fold(0, |draws, (draw, _)| draws | 1_u8 << draw)
}

impl View {
    /// Whether the time is over in which the beacon's value had to be noted: if it is not known now, it never counts.
    pub fn is_beacon_lost(&self) -> bool {
        self.lapses > 0 || self.block > self.round.saturating_add(REACH)
    }

    /// Whether we have signed that we keep it, and somebody may still look whether we do. That the range was rejected,
    /// or that the job whose inputs it is is over, makes no difference to who looks.
    pub fn is_kept(&self) -> bool {
        let is_awaited = match self.spot.state {
            SpotState::None => self.now <= self.spot_due(),
            SpotState::Asked => true,
            SpotState::Over => false,
        };
        self.state == HoldState::Held && self.has_signed() && is_awaited
    }

    /// Up to when auditors may be called for that look who serves it, by the chain's clock; later nobody looks any
    /// more.
    pub fn spot_due(&self) -> Millis {
        self.until.saturating_add(SPOT_DUE_S * SECOND)
    }

    /// How long whoever has signed keeps it at most, as things stand, by the chain's clock: as long as somebody may
    /// look for it. What is not ended then is still to be ended.
    pub fn kept_until(&self) -> Millis {
        match self.spot.state {
            SpotState::None => self.spot_due().saturating_add(SPOT_TIME_S * SECOND),
            SpotState::Asked | SpotState::Over => self.spot.end,
        }
    }

    /// Who is to be looked at: the draws that have signed, and whom they name.
    pub fn holders(&self) -> Vec<(u8, u32)> {
        let draws = (0_u8..16).zip(self.named);
        draws.filter(|(draw, number)| *number != 0 && self.bits >> draw & 1 == 1).collect()
    }

    /// The next of our draws that is to look and has not said what it has seen.
    pub fn next_spot(&self) -> Option<u8> {
        let waiting = self.spot.draws & !self.spot.bits;
        (0..8_u8).find(|draw| waiting >> draw & 1 == 1)
    }

    /// What those who look at this range are drawn by, and the pieces that they fetch, if it is known and counts.
    pub fn spot_seed(&self, range: RangeId) -> Option<B256> {
        let beacon = self.beacon.filter(|_| self.lapses == 0)?;
        Some(Seed::new(beacon, range, 0).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draws_of_whoever_looks_are_those_that_name_it() {
        assert_eq!(spots_of(&[3, 1, 3, 2, 9, 9, 3], 3), 0b100_0101);
        assert_eq!(spots_of(&[], 3), 0);
        assert_eq!(spots_of(&[5, 5, 5, 5, 5, 5, 5, 3], 3), 0, "only seven look");
    }
}
