//! What becomes of a kept job's deposit, by logs: what asks may still cost, what was paid for signing and for
//! looking, what was burned, and what went back.

use tilth_verification::holding::{HOLDERS, INPUTS_AFTER_S, MOST_HELD, Prices, SPOTTERS};

use super::cast::least_fee;

/// Base units.
#[derive(Debug, Default)]
pub(super) struct Deposit {
    pub(super) prices: Option<Prices>,
    pub(super) funded: u128,
    pub(super) fees: u128,
    pub(super) closed: u128,
    /// Whether some of it went back since a range was claimed last: by nothing else it comes not to reach for one that is out.
    pub(super) is_taken_back: bool,
    /// What it has lost because nobody could hold the job's inputs.
    pub(super) burned: u128,
    /// What asks may still cost, and those who look.
    pub(super) reserved: u128,
}

impl Deposit {
    pub(super) fn left(&self) -> u128 {
        self.funded.saturating_sub(self.fees + self.closed + self.burned)
    }

    /// What is neither spent nor reserved.
    pub(super) fn free(&self) -> u128 {
        self.left().saturating_sub(self.reserved)
    }

    /// What a vote for so much of a range's content earns when it is signed.
    pub(super) fn fee(&self, mib: u32) -> u128 {
        self.prices.map_or(0, |prices| prices.fee(least_fee(), mib))
    }

    /// The same for the inputs of a job whose deadline is in so many seconds.
    pub(super) fn inputs_fee(&self, mib: u32, left: u64) -> u128 {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let keep_seconds = left.saturating_add(INPUTS_AFTER_S);
        self.prices.map_or(0, |prices| Prices { keep_seconds, ..prices }.fee(least_fee(), mib))
    }

    /// Whether it does not pay for holding one more range.
    pub(super) fn is_waived(&self) -> bool {
        !self.reaches_for(1)
    }

    /// Whether it pays for holding so many more ranges, as large as can be.
    pub(super) fn reaches_for(&self, ranges: u128) -> bool {
        self.prices
            .is_some_and(|prices| self.free() >= ranges * prices.cost(least_fee(), prices.max_mib))
    }

    /// What an ask whose votes earn so much may cost: two halves of votes, and seven who look.
    pub(super) fn cost(fee: u128) -> u128 {
        (HOLDERS + MOST_HELD) as u128 * fee + SPOTTERS as u128 * least_fee()
    }

    /// Somebody is paid out of what is reserved.
    pub(super) fn pay(&mut self, fee: u128) {
        self.fees += fee;
        self.reserved = self.reserved.saturating_sub(fee);
    }

    /// An ask whose votes earn so much has ended without holders, or with so many of them; `votes`: all that have
    /// signed.
    pub(super) fn release(&mut self, fee: u128, votes: usize, held: usize) {
        let halves = (HOLDERS + MOST_HELD).saturating_sub(votes + held) as u128;
        let looks = if held == 0 { SPOTTERS as u128 * least_fee() } else { 0 };
        self.reserved = self.reserved.saturating_sub(halves * fee + looks);
    }

    /// Who holds was looked at by so many: `served` of `votes` halves were paid.
    pub(super) fn conclude(&mut self, fee: u128, (votes, served): (usize, usize), looked: usize) {
        let looks = SPOTTERS.saturating_sub(looked) as u128 * least_fee();
        self.reserved = self.reserved.saturating_sub(votes as u128 * fee + looks);
        self.fees += served as u128 * fee;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEE: u128 = 1_000;

    fn reserved() -> Deposit {
        let reserved = Deposit::cost(FEE);
        Deposit { funded: reserved, reserved, ..Deposit::default() }
    }

    #[test]
    fn an_ask_that_fails_twice_leaves_nothing_reserved() {
        let mut deposit = reserved();
        // Three votes of the first ask, and seven of the second one.
        (0..10).for_each(|_| deposit.pay(FEE));
        deposit.release(FEE, 10, 0);
        assert_eq!((deposit.reserved, deposit.free()), (0, deposit.funded - 10 * FEE));
    }

    #[test]
    fn second_halves_wait_for_those_who_look() {
        let mut deposit = reserved();
        (0..4).for_each(|_| deposit.pay(FEE));
        deposit.release(FEE, 4, 4);
        assert_eq!(deposit.reserved, 4 * FEE + SPOTTERS as u128 * least_fee());
        (0..5).for_each(|_| deposit.pay(least_fee()));
        deposit.conclude(FEE, (4, 3), 5);
        assert_eq!((deposit.reserved, deposit.fees), (0, 7 * FEE + 5 * least_fee()));
        assert_eq!(deposit.free(), deposit.funded - deposit.fees);
    }

    #[test]
    fn the_worst_case_is_what_is_reserved() {
        // Seven votes in vain, then eight, who all serve, and all look.
        let mut deposit = reserved();
        (0..15).for_each(|_| deposit.pay(FEE));
        deposit.release(FEE, 15, MOST_HELD);
        (0..SPOTTERS).for_each(|_| deposit.pay(least_fee()));
        deposit.conclude(FEE, (MOST_HELD, MOST_HELD), SPOTTERS);
        assert_eq!((deposit.reserved, deposit.free()), (0, 0));
        assert_eq!(deposit.fees, deposit.funded);
    }
}
