//! An ask as the chain shows it.

use alloy::primitives::{Address, B256, U256};
use tilth_contracts::{HoldState, Holders, RangeState, SoloRandomness};
use tilth_protocol::RangeId;
use tilth_service::Doing;
use tilth_verification::holding::{HOLD_TIME_S, HOLDERS, open_draws};

use super::{
    party::{Party, Role},
    spotting::{SpotView, spot_of},
    subject::Subject,
    words::Part,
};
use crate::{ChainError, Link, audit::Millis, clock};

pub(super) const SECOND: Millis = 1_000;

/// An ask at a moment, and the range it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Where the range stands. Of inputs: `Submitted` while their job gives out ranges, `Settled` when it does not any more,
    /// `Rejected` when it is over and nobody need have them.
    pub range: RangeState,
    /// What it is.
    pub part: Part,
    /// Owner of its provider; zero: inputs.
    pub provider: Address,
    /// When its window is over, by the chain's clock.
    pub window_end: Millis,
    /// Whether its audit and its replica let it be paid.
    pub may_pay: bool,
    /// Where the ask stands.
    pub state: HoldState,
    /// The beacon's round: of the ask, and when there are any of those who look.
    pub round: u64,
    /// Since when holders may sign, or when the first ask has failed, if it must be asked again; 0: not yet.
    pub from: Millis,
    /// Up to when it is kept; 0: it is not held.
    pub until: Millis,
    /// Size as it was stated, MiB; 0: nobody has asked.
    pub mib: u32,
    /// Largest size in this job, MiB; of inputs, which have none, the largest there is.
    pub max_mib: u32,
    /// Draws that have signed, draw 0 lowest.
    pub bits: u16,
    /// Draws that name us.
    pub draws: u16,
    /// An auditor's: whom the draws name, by their numbers; 0: not known, or nobody.
    pub named: [u32; HOLDERS],
    /// How looking at them stands.
    pub spot: SpotView,
    /// How often it was asked for.
    pub asked: u8,
    /// What is left of the job's deposit, base units.
    pub deposit: u128,
    /// What of it is free.
    pub free: u128,
    /// What must be free for an ask of the largest size; 0 for inputs, without which there is nothing.
    pub cost: u128,
    /// What must be free for all that is out and for the next range, or the job does not give it out: `cost` for each.
    /// Where there is no next one, for what is out; where none is given out at all any more, `cost`.
    pub rest: u128,
    /// The beacon's value of that round, if it is known. Of what is held only who looks is drawn by it.
    pub beacon: Option<B256>,
    /// How often the beacon's value was not kept in time.
    pub lapses: u8,
    /// The latest block.
    pub block: u64,
    /// Its time: no later one is earlier, whatever clocks say.
    pub now: Millis,
    /// The time that the next block is likely to have: our clock's, if that is ahead of the chain's.
    pub next: Millis,
}

/// Reads an ask.
///
/// # Errors
/// Those of [`Link::read`]; [`ChainError::BadAnswer`] for states that this version does not know.
pub fn look(link: &Link, range: RangeId, party: Party) -> Doing<'_, Result<View, ChainError>> {
    Box::pin(async move {
        let at = *link.addresses();
        let (job, seq) = (range.job.0, range.seq);
        // As of audits, nothing is seen that could be taken back: who is drawn says so with its own signature, and what it is
        // paid for is fetched first.
        let link = &link.confirmed().await?;
        // The head first: where nothing is taken back, what is read after it is at least as new.
        let block = link.block_number().await?;
        let subject = if range.is_inputs() {
            Subject::inputs(link, range.job).await?
        } else {
            Subject::range(link, range).await?
        };
        let ask = link.read(at.holders, Holders::askedCall { jobId: job, seq }).await?;
        let state = known(HoldState::try_from(ask.state))?;
        let keep = link.read(at.holders, Holders::keptCall { jobId: job }).await?;
        let (max_mib, cost) = if range.is_inputs() {
            (u32::MAX, U256::ZERO)
        } else {
            let call = Holders::costForCall { jobId: job, mib: keep.maxMib };
            (keep.maxMib, link.read(at.holders, call).await?)
        };
        let (spot, of_spot) = match state {
            HoldState::Held => spot_of(link, range, party).await?,
            _ => (SpotView::default(), None),
        };
        let round = of_spot.unwrap_or(ask.round);
        // Who holds it is known, and who looks not before they are called for.
        let is_awaited = state != HoldState::Held || of_spot.is_some();
        let (beacon, lapses) =
            if is_awaited { beacon_of(link, round).await? } else { (B256::ZERO, 0) };
        let named = Holders::namedCall { jobId: job, seq };
        let named = match party {
            Party::Auditor(_) => link.read(at.holders, named).await?,
            Party::Client | Party::Provider(_) => Vec::new(),
        };
        let deposit = keep.deposit.to::<u128>();
        let (now, wall) = (link.now().await?, clock::wall().as_secs());
        let Subject { range, part, provider, window_end, may_pay, out } = subject;
        let cost = u128::try_from(cost).unwrap_or(u128::MAX);
        Ok(View {
            range,
            part,
            provider,
            window_end,
            may_pay,
            state,
            round,
            from: ask.from.to::<u64>().saturating_mul(SECOND),
            until: ask.until.to::<u64>().saturating_mul(SECOND),
            mib: ask.mib,
            max_mib,
            bits: ask.bits,
            draws: draws_of(&named, party),
            named: in_order(&named),
            spot,
            asked: ask.asked,
            deposit,
            free: deposit.saturating_sub(keep.reserved.to::<u128>()),
            cost,
            rest: cost.saturating_mul(out.into()),
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block,
            now: now.saturating_mul(SECOND),
            next: now.max(wall).saturating_mul(SECOND),
        })
    })
}

/// The beacon's value of a round, zero where it is not known, and how often it was not kept in time.
async fn beacon_of(link: &Link, round: u64) -> Result<(B256, u8), ChainError> {
    let randomness = link.addresses().randomness;
    let value = link.read(randomness, SoloRandomness::valueCall { round }).await?;
    let lapses = link.read(randomness, SoloRandomness::lapsesCall { round }).await?;
    Ok((value, lapses))
}

/// The draws that name a party.
fn draws_of(named: &[u32], party: Party) -> u16 {
    let Party::Auditor(us) = party else { return 0 };
    let ours = (0_u32..16).zip(named).filter(|(_, number)| **number == us);
    ours.fold(0, |draws, (draw, _)| draws | 1_u16 << draw)
}

/// Whom draws name, with zeros for those that name nobody.
fn in_order(named: &[u32]) -> [u32; HOLDERS] {
    std::array::from_fn(|draw| named.get(draw).copied().unwrap_or(0))
}

impl View {
    /// What we are in it.
    pub fn role(&self, party: Party) -> Role {
        match party {
            Party::Client => Role::Client,
            Party::Provider(owner) if owner == self.provider => Role::Provider,
            Party::Auditor(_) if self.draws != 0 => Role::Holder,
            Party::Provider(_) | Party::Auditor(_) => Role::Anybody,
        }
    }

    /// Whether the range is paid or rejected.
    pub fn is_range_over(&self) -> bool {
        matches!(self.range, RangeState::Settled | RangeState::Rejected)
    }

    /// Whether nothing more can happen to the ask, but that what is reserved for it is set free, and that it is looked
    /// at whether it is held.
    pub fn is_over(&self) -> bool {
        let ended = matches!(self.state, HoldState::Held | HoldState::Lost | HoldState::Dropped);
        ended || self.is_range_over()
    }

    /// Whether the range is paid without holders.
    pub fn is_waived(&self) -> bool {
        self.state == HoldState::None && self.free < self.cost
    }

    /// Whether all but holders let the range be paid, in the next block.
    pub fn is_payable(&self) -> bool {
        self.may_pay && self.next >= self.window_end
    }

    /// Whether we have signed.
    pub fn has_signed(&self) -> bool {
        self.bits & self.draws != 0
    }

    /// When nobody may sign any more.
    pub fn end(&self) -> Millis {
        self.from.saturating_add(2 * HOLD_TIME_S * SECOND)
    }

    /// The next of our draws that may sign and has not. Whether its time has come is asked of the chain's clock and
    /// of our own: what the contract refuses costs nothing, and is tried again.
    pub fn next_draw(&self) -> Option<u8> {
        let open = |at: Millis| open_draws(at.saturating_sub(self.from) / SECOND);
        let open = open(self.now).max(open(self.next));
        let waiting = self.draws & !self.bits;
        (0..16_u8).find(|draw| usize::from(*draw) < open && waiting >> draw & 1 == 1)
    }
}

pub(super) fn known<T>(value: Result<T, impl ToString>) -> Result<T, ChainError> {
    value.map_err(|error| ChainError::BadAnswer {
        action: "reading an ask for holders",
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_draws_name_stays_in_order() {
        assert_eq!(in_order(&[3, 1])[..3], [3, 1, 0]);
        assert_eq!(in_order(&[])[HOLDERS - 1], 0);
    }

    #[test]
    fn our_draws_are_those_that_name_us() {
        let named = [3, 1, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3];
        assert_eq!(draws_of(&named, Party::Auditor(3)), 1 | 1 << 2 | 1 << 14);
        assert_eq!(draws_of(&named, Party::Auditor(4)), 0);
        assert_eq!(draws_of(&[], Party::Auditor(3)), 0);
        assert_eq!(draws_of(&named, Party::Client), 0);
    }
}
