//! What the contracts answer, in the words of the [`machine`](crate::machine), and what they tell it. Pure: whoever plays a
//! provider anywhere else hears and answers as the real one does.

use alloy_primitives::Address;
use tilth_client::holding::is_unserved;
use tilth_contracts::{
    HoldState, JobBook::JobBookErrors, Range as OnChain, RangeState, Refusal as Contract,
};

use crate::machine::{Millis, MoveFailure, Refusal};

pub use crate::{
    line::{Leaving, Terms as LineTerms, is_in_line, on_leaving, terms as line_terms},
    news::heard,
};

/// A refusal in the machine's words.
pub fn refusal(why: Contract) -> Refusal {
    match why {
        Contract::NothingLeft => Refusal::NoWork,
        Contract::Dry => Refusal::NoFunds,
        Contract::NoExposure => Refusal::Exposure,
        Contract::NoSuchJob | Contract::NotOpen | Contract::DeadlinePassed => Refusal::Closed,
        Contract::NotQualified => Refusal::Unfit,
        Contract::PriceTooLow => Refusal::Price,
        Contract::None
        | Contract::NotRegistered
        | Contract::ProviderPaused
        | Contract::NoFreeSlot
        | Contract::WantZero => Refusal::Later,
    }
}

/// Whether a provider would get a range of whom `JobBook.claimable` says this: also who only holds as many as it may.
///
/// # Errors
/// Why it would not.
pub fn would_give(why: u8) -> Result<(), Refusal> {
    match Contract::try_from(why) {
        Ok(Contract::None | Contract::NoFreeSlot) => Ok(()),
        Ok(why) => Err(refusal(why)),
        Err(_) => Err(Refusal::Later),
    }
}

/// Whether auditors hold the inputs of a kept job, of which nobody gets a range before.
///
/// # Errors
/// [`Refusal::Unheld`], or [`Refusal::Closed`] where they were not held in time: then nobody ever does.
pub fn inputs_held(state: HoldState) -> Result<(), Refusal> {
    match state {
        HoldState::Held => Ok(()),
        state if is_unserved(state) => Err(Refusal::Closed),
        _ => Err(Refusal::Unheld),
    }
}

/// Why a claim was refused, if the contract did so.
pub fn claim_refused(error: &JobBookErrors) -> Option<Refusal> {
    match error {
        JobBookErrors::ClaimRefused(refused) => Contract::try_from(refused.why).ok().map(refusal),
        _ => None,
    }
}

/// Whether what was submitted is refused for good, as long as the range is ours.
pub fn is_refused(error: &JobBookErrors) -> bool {
    matches!(
        error,
        JobBookErrors::TooManyUnits(_)
            | JobBookErrors::TooManyFailures(_)
            | JobBookErrors::EmptyRoot(_)
            | JobBookErrors::SubmittedLate(_)
    )
}

/// Where a range of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// With us.
    Ours,
    /// Submitted at this time of the chain's clock, and perhaps paid.
    Delivered(Millis),
    /// With us no more, and not delivered; or its results do not count.
    Gone,
    /// The node that was asked does not know.
    Unknown,
}

/// Where a range of ours stands, by what a node says of it.
pub fn standing(now: &OnChain, owner: Address) -> Standing {
    let state = RangeState::try_from(now.state);
    // We were given it, so a state without it is older than that: a node that is late. Work must not be
    // thrown away for that.
    if matches!(state, Ok(RangeState::None)) {
        return Standing::Unknown;
    }
    if now.provider != owner {
        return Standing::Gone;
    }
    match state {
        Ok(RangeState::Claimed) => Standing::Ours,
        Ok(RangeState::Submitted | RangeState::Settled) => {
            Standing::Delivered(now.at.to::<u64>().saturating_mul(1_000))
        }
        Ok(RangeState::Released | RangeState::Expired | RangeState::Rejected) => Standing::Gone,
        Ok(RangeState::None) | Err(_) => Standing::Unknown,
    }
}

/// What has become of a range whose submission was not carried out; `refused`: for good ([`is_refused`]). When it was
/// delivered, if an earlier transaction has done that.
///
/// # Errors
/// What to make of it.
pub fn not_submitted(standing: Standing, refused: bool) -> Result<Millis, MoveFailure> {
    match standing {
        Standing::Delivered(at) => Ok(at),
        Standing::Ours if refused => Err(MoveFailure::Refused),
        Standing::Ours | Standing::Unknown => Err(MoveFailure::Later),
        Standing::Gone => Err(MoveFailure::Gone),
    }
}

/// What has become of a range that could not be given back. A transaction of an earlier life can have delivered it:
/// then its journal is what proves it.
///
/// # Errors
/// What to make of it.
pub fn not_released(standing: Standing) -> Result<Option<Millis>, MoveFailure> {
    match standing {
        Standing::Delivered(at) => Ok(Some(at)),
        Standing::Ours | Standing::Unknown => Err(MoveFailure::Later),
        Standing::Gone => Err(MoveFailure::Gone),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{
        B256,
        aliases::{U40, U96},
    };

    use super::*;

    #[test]
    fn a_node_that_is_late_does_not_make_us_throw_work_away() {
        let owner = Address::repeat_byte(7);
        let range = |state: RangeState, provider: Address| OnChain {
            provider,
            state: state.into(),
            from: 0,
            count: 1,
            units: 0,
            failures: 0,
            at: U40::from(5),
            price: U96::ZERO,
            root: B256::ZERO,
        };
        let ours = |state| standing(&range(state, owner), owner);
        let nothing = range(RangeState::None, Address::ZERO);
        assert_eq!(standing(&nothing, owner), Standing::Unknown, "not claimed yet");
        assert_eq!(ours(RangeState::Claimed), Standing::Ours);
        assert_eq!(ours(RangeState::Submitted), Standing::Delivered(5_000));
        assert_eq!(ours(RangeState::Settled), Standing::Delivered(5_000));
        assert_eq!(ours(RangeState::Expired), Standing::Gone);
        assert_eq!(ours(RangeState::Released), Standing::Gone);
        let other = range(RangeState::Claimed, Address::repeat_byte(8));
        assert_eq!(standing(&other, owner), Standing::Gone);
    }

    #[test]
    fn what_an_earlier_life_has_delivered_is_not_taken_for_given_back() {
        assert_eq!(not_released(Standing::Delivered(5_000)), Ok(Some(5_000)));
        assert_eq!(not_released(Standing::Gone), Err(MoveFailure::Gone));
        for standing in [Standing::Ours, Standing::Unknown] {
            assert_eq!(not_released(standing), Err(MoveFailure::Later));
        }
    }

    #[test]
    fn only_what_is_still_ours_is_refused_for_good() {
        for refused in [false, true] {
            assert_eq!(not_submitted(Standing::Delivered(5_000), refused), Ok(5_000));
            assert_eq!(not_submitted(Standing::Gone, refused), Err(MoveFailure::Gone));
            assert_eq!(not_submitted(Standing::Unknown, refused), Err(MoveFailure::Later));
        }
        assert_eq!(not_submitted(Standing::Ours, true), Err(MoveFailure::Refused));
        assert_eq!(not_submitted(Standing::Ours, false), Err(MoveFailure::Later));
    }

    #[test]
    fn inputs_that_were_not_held_in_time_close_their_job() {
        assert_eq!(inputs_held(HoldState::Held), Ok(()));
        assert_eq!(inputs_held(HoldState::Lost), Err(Refusal::Closed));
        assert_eq!(inputs_held(HoldState::Open), Err(Refusal::Unheld));
    }
}
