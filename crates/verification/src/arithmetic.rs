//! What honesty costs and what cheating costs, in integers.
//!
//! Shares are [`Share`]s: billionths, so that a product of two shares and 96 bits of money fits 128 bits.
//! Every rounding is against the one who might cheat. The same rules in Solidity:
//! `contracts/src/libraries/AuditRules.sol`; both read `vectors/trust.json`.

/// The whole, in shares.
pub const ONE: Share = Share(1_000_000_000);
/// Largest amount that the rules take, base units: the contracts hold stakes and values in 96 bits.
pub const MAX_AMOUNT: u128 = (1 << 96) - 1;
/// Most samples that [`samples_for`] looks at.
pub const MAX_SAMPLES: u32 = 4_096;

/// A part of a whole, or a probability, in billionths: `0 ..= 1_000_000_000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(pub u32);

impl Share {
    /// A share that is at most the whole.
    pub const fn new(billionths: u32) -> Self {
        Self(if billionths > ONE.0 { ONE.0 } else { billionths })
    }

    /// What is left of the whole.
    pub const fn rest(self) -> Self {
        Self(ONE.0.saturating_sub(self.0))
    }

    /// The share of a share, rounded down.
    pub fn of(self, other: Self) -> Self {
        let product = u64::from(self.0) * u64::from(other.0) / u64::from(ONE.0);
        Self(u32::try_from(product).unwrap_or(ONE.0))
    }

    /// The share of an amount up to [`MAX_AMOUNT`], rounded down.
    pub fn of_amount(self, amount: u128) -> u128 {
        amount.min(MAX_AMOUNT) * u128::from(self.0) / u128::from(ONE.0)
    }
}

/// The chance that `samples` independent draws hit at least one of a fraction `wrong` of all:
/// `1 - (1 - wrong)^samples`, rounded down.
pub fn detection(wrong: Share, samples: u32) -> Share {
    // The chance to miss, rounded up in every step, by squaring.
    let up = |a: u64, b: u64| (a * b).div_ceil(u64::from(ONE.0));
    let mut miss = u64::from(ONE.0);
    let mut base = u64::from(wrong.rest().0);
    let mut left = samples;
    while left > 0 {
        if left & 1 == 1 {
            miss = up(miss, base);
        }
        base = up(base, base);
        left >>= 1;
    }
    Share(u32::try_from(miss).unwrap_or(ONE.0)).rest()
}

/// The fewest samples whose [`detection`] is at least `wanted`; `None` above [`MAX_SAMPLES`].
pub fn samples_for(wrong: Share, wanted: Share) -> Option<u32> {
    let enough = |samples: u32| detection(wrong, samples) >= wanted;
    if !enough(MAX_SAMPLES) {
        return None;
    }
    let (mut low, mut high) = (0, MAX_SAMPLES);
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}

/// The value of unsettled work that a stake carries: `stake x caught / (1 - caught)`, rounded down, at most
/// [`MAX_AMOUNT`]. `caught` is the audit rate times the detection: whoever cheats with that much at once
/// loses `stake` with chance `caught` and wins the value with chance `1 - caught`, so it gains nothing.
pub fn exposure(stake: u128, caught: Share) -> u128 {
    let stake = stake.min(MAX_AMOUNT);
    match u128::from(caught.rest().0) {
        0 => MAX_AMOUNT,
        rest => (stake * u128::from(caught.0) / rest).min(MAX_AMOUNT),
    }
}

/// The stake that carries a value: the smallest whose [`exposure`] reaches it. `None` if no stake up to
/// [`MAX_AMOUNT`] does, or nobody is ever caught.
pub fn stake_for(value: u128, caught: Share) -> Option<u128> {
    let value = value.min(MAX_AMOUNT);
    let needed = (value * u128::from(caught.rest().0)).checked_add(u128::from(caught.0))?;
    // div_ceil by hand, because the divisor may be 0.
    let stake = needed.saturating_sub(1).checked_div(u128::from(caught.0))?;
    (stake <= MAX_AMOUNT).then_some(stake)
}

/// The smallest share at which a stake carries an exposure, the inverse of [`exposure`]:
/// `exposure / (stake + exposure)`, rounded up; 0 for none. A range is audited at no lower rate than its
/// provider's exposure asks for when it is submitted.
pub fn rate_for(stake: u128, exposure: u128) -> Share {
    let (stake, exposure) = (stake.min(MAX_AMOUNT), exposure.min(MAX_AMOUNT));
    if exposure == 0 {
        return Share(0);
    }
    let rate = (u128::from(ONE.0) * exposure).div_ceil(stake + exposure);
    Share(u32::try_from(rate).unwrap_or(ONE.0))
}

/// What becomes of a cut: never more than half goes to somebody, so that nobody gains by having itself
/// punished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// From stake that is not leaving.
    pub from_active: u128,
    /// From stake that is leaving.
    pub from_leaving: u128,
    /// To whoever was harmed; rounded down.
    pub to_harmed: u128,
    /// Out of circulation.
    pub burned: u128,
}

/// Cuts `penalty` from active stake first, then from what is leaving; never more than there is. No rounding
/// happens between the two, so what is left can always be withdrawn in full.
pub fn cut(active: u128, leaving: u128, penalty: u128) -> Cut {
    let from_active = penalty.min(active);
    let from_leaving = (penalty - from_active).min(leaving);
    let whole = from_active.saturating_add(from_leaving);
    let to_harmed = whole / 2;
    Cut { from_active, from_leaving, to_harmed, burned: whole - to_harmed }
}

/// What somebody did wrong, or did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A provider's result was overturned by the votes.
    WrongResult,
    /// A provider did not name or open the drawn leaves in time. It must cost what a wrong result costs, or a
    /// cheat would rather be silent.
    NotOpened,
    /// An auditor's commitment was overturned by the votes.
    WrongAudit,
    /// An auditor committed and did not reveal. It must cost what a wrong vote costs: the leaves are open by then, and
    /// whoever sees that it was wrong would rather be silent.
    NotRevealed,
    /// An auditor that was drawn did not commit, in a kept job, where votes decided and no more people were absent than
    /// came: elsewhere it may be that whoever has what the tasks need did not serve it.
    Absent,
}

impl Fault {
    /// Every fault, in the order of the table in `docs/reference/trust.md`.
    pub const ALL: [Self; 5] =
        [Self::WrongResult, Self::NotOpened, Self::WrongAudit, Self::NotRevealed, Self::Absent];

    /// The part of the stake that it costs, leaving stake included.
    pub const fn severity(self) -> Share {
        match self {
            // The rule of exposure takes the whole stake as the stake of the game.
            Self::WrongResult | Self::NotOpened => ONE,
            // A wrong vote needs company to do harm; half leaves room for a broken memory module.
            Self::WrongAudit | Self::NotRevealed => Share(500_000_000),
            // A machine may be down; a hundred absences cost a tenth.
            Self::Absent => Share(1_000_000),
        }
    }

    /// The penalty for a stake: its share, but at least `floor` (so that no fault is too cheap to be worth
    /// a case), and never more than the stake.
    pub fn penalty(self, stake: u128, floor: u128) -> u128 {
        self.severity().of_amount(stake).max(floor).min(stake)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share() -> impl Strategy<Value = Share> {
        (0..=ONE.0).prop_map(Share)
    }

    #[test]
    fn the_samples_of_the_literature() {
        let wanted = Share(950_000_000);
        for (wrong, samples) in [(10_000_000, 299), (50_000_000, 59), (100_000_000, 29)] {
            assert_eq!(samples_for(Share(wrong), wanted), Some(samples));
        }
        assert_eq!(samples_for(Share(0), wanted), None);
        assert_eq!(samples_for(Share(1), Share(0)), Some(0));
    }

    #[test]
    fn the_stakes_of_the_literature() {
        for (percent, times) in [(1, 99), (2, 49), (5, 19), (10, 9), (50, 1)] {
            let caught = Share(percent * 10_000_000);
            assert_eq!(stake_for(1_000_000, caught), Some(times * 1_000_000));
            assert_eq!(exposure(times * 1_000_000, caught), 1_000_000);
        }
        assert_eq!(stake_for(1, Share(0)), None);
        assert_eq!(stake_for(MAX_AMOUNT, ONE), Some(0));
        assert_eq!(exposure(0, ONE), MAX_AMOUNT);
        assert_eq!(stake_for(MAX_AMOUNT, Share(1)), None);
    }

    proptest! {
        #[test]
        fn detection_is_never_overstated(wrong in share(), samples in 0_u32..2_000) {
            let found = f64::from(detection(wrong, samples).0) / 1e9;
            let exact = 1.0 - (1.0 - f64::from(wrong.0) / 1e9).powi(i32::try_from(samples).unwrap());
            prop_assert!(found <= exact + 1e-12, "{found} > {exact}");
            prop_assert!(found > exact - 1e-6, "{found} is far from {exact}");
            prop_assert!(detection(wrong, samples + 1) >= detection(wrong, samples));
        }

        #[test]
        fn fewest_samples_are_fewest(wrong in 1_000_000..=ONE.0, wanted in 0..=999_000_000_u32) {
            if let Some(samples) = samples_for(Share(wrong), Share(wanted)) {
                prop_assert!(detection(Share(wrong), samples) >= Share(wanted));
                prop_assert!(samples == 0 || detection(Share(wrong), samples - 1) < Share(wanted));
            }
        }

        #[test]
        fn cheating_with_all_that_a_stake_carries_gains_nothing(stake in 0..=MAX_AMOUNT, caught in share()) {
            let value = exposure(stake, caught);
            prop_assume!(caught < ONE);
            // (1 - caught) x value <= caught x stake
            prop_assert!(value * u128::from(caught.rest().0) <= stake * u128::from(caught.0));
        }

        #[test]
        fn the_stake_for_a_value_is_the_smallest(value in 0..MAX_AMOUNT, caught in 1..ONE.0) {
            let caught = Share(caught);
            if let Some(stake) = stake_for(value, caught) {
                prop_assert!(exposure(stake, caught) >= value);
                prop_assert!(stake == 0 || exposure(stake - 1, caught) < value);
            }
        }

        #[test]
        fn at_the_rate_for_an_exposure_the_stake_carries_it(stake in 0..=MAX_AMOUNT, value in 0..=MAX_AMOUNT) {
            let rate = rate_for(stake, value);
            prop_assert!(exposure(stake, rate) >= value);
            prop_assert!(rate.0 < 2 || exposure(stake, Share(rate.0 - 1)) <= value);
        }

        #[test]
        fn cuts_take_what_is_there_and_burn_half(active in 0..=MAX_AMOUNT, leaving in 0..=MAX_AMOUNT,
            penalty: u128) {
            let cut = cut(active, leaving, penalty);
            prop_assert!(cut.from_active <= active && cut.from_leaving <= leaving);
            let whole = cut.from_active + cut.from_leaving;
            prop_assert_eq!(whole, penalty.min(active + leaving));
            prop_assert_eq!(cut.to_harmed + cut.burned, whole);
            prop_assert!(cut.burned >= cut.to_harmed);
        }

        #[test]
        fn penalties_keep_to_floor_and_stake(stake in 0..=MAX_AMOUNT, floor in 0..=MAX_AMOUNT) {
            for fault in Fault::ALL {
                let penalty = fault.penalty(stake, floor);
                prop_assert!(penalty <= stake && penalty >= floor.min(stake));
            }
        }
    }
}
