//! What a key may still spend. Pure: amounts are held before a question is put, and either become a charge or are
//! free again, each exactly once.

use borsh::{BorshDeserialize, BorshSerialize};
use tilth_protocol::Amount;

/// Why an amount cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} base units are needed, {left} are left")]
pub struct Short {
    /// What was asked for.
    pub asked: u128,
    /// What there is.
    pub left: u128,
}

/// Charging more than was held: a fault of whoever does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{charge} base units are charged where {held} were held")]
pub struct Beyond {
    /// The charge.
    pub charge: u128,
    /// What was held for it.
    pub held: u128,
}

/// A budget and what became of it. Only `budget` and `spent` are remembered; what is held is forgotten with the
/// process, as are the questions it was held for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Budget {
    /// What may be spent in all.
    pub budget: Amount,
    /// What was.
    pub spent: Amount,
    /// What is held for questions under way.
    #[borsh(skip)]
    pub held: Amount,
}

impl Budget {
    /// Nothing spent yet.
    pub fn new(budget: Amount) -> Self {
        Self { budget, ..Self::default() }
    }

    /// What is neither spent nor held. A budget may be lowered below what is.
    pub fn left(&self) -> Amount {
        Amount(self.budget.0.saturating_sub(self.spent.0).saturating_sub(self.held.0))
    }

    /// Holds an amount.
    ///
    /// # Errors
    /// There is not so much left.
    pub fn hold(&mut self, amount: Amount) -> Result<(), Short> {
        let short = Short { asked: amount.0, left: self.left().0 };
        if amount > self.left() {
            return Err(short);
        }
        self.held = self.held.checked_add(amount).ok_or(short)?;
        Ok(())
    }

    /// Makes a charge of what was held for it, and frees the rest.
    ///
    /// # Errors
    /// More is charged than was held; nothing has changed then.
    pub fn settle(&mut self, held: Amount, charge: Amount) -> Result<(), Beyond> {
        let beyond = Beyond { charge: charge.0, held: held.0 };
        if charge > held {
            return Err(beyond);
        }
        let left = self.held.checked_sub(held).ok_or(beyond)?;
        let spent = self.spent.checked_add(charge).ok_or(beyond)?;
        (self.held, self.spent) = (left, spent);
        Ok(())
    }

    /// Frees what was held.
    pub fn release(&mut self, held: Amount) {
        self.held = Amount(self.held.0.saturating_sub(held.0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_held_or_charged_beyond_the_budget() {
        let mut budget = Budget::new(Amount(10));
        budget.hold(Amount(7)).unwrap();
        assert_eq!(budget.hold(Amount(4)), Err(Short { asked: 4, left: 3 }));
        assert!(budget.settle(Amount(7), Amount(8)).is_err());
        budget.settle(Amount(7), Amount(5)).unwrap();
        assert_eq!((budget.spent, budget.held, budget.left()), (Amount(5), Amount(0), Amount(5)));
        assert!(budget.settle(Amount(1), Amount(1)).is_err(), "settled twice");
        budget.budget = Amount(2);
        assert_eq!(budget.left(), Amount(0));
    }

    proptest! {
        #[test]
        fn money_is_conserved(steps in proptest::collection::vec((0u128..50, 0u128..60, any::<bool>()), 0..200)) {
            let mut budget = Budget::new(Amount(500));
            let (mut under_way, mut spent) = (Vec::new(), 0u128);
            for (amount, charge, keep) in steps {
                if keep {
                    if budget.hold(Amount(amount)).is_ok() {
                        under_way.push(amount);
                    }
                } else if let Some(held) = under_way.pop() {
                    if budget.settle(Amount(held), Amount(charge)).is_ok() {
                        prop_assert!(charge <= held);
                        spent += charge;
                    } else {
                        budget.release(Amount(held));
                    }
                }
                prop_assert_eq!(budget.spent.0, spent);
                prop_assert_eq!(budget.held.0, under_way.iter().sum::<u128>());
                prop_assert!(budget.spent.0 + budget.held.0 <= 500);
                prop_assert_eq!(budget.left().0, 500 - budget.spent.0 - budget.held.0);
            }
        }
    }
}
