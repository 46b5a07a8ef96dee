//! The tries of earlier blocks: the head's, led back by what was changed since.

use std::collections::BTreeMap;

use alloy_primitives::Address;

use super::Head;
use crate::state::{
    AccountDiff, Commitment, SlotDiff, StateCommitment as _, StateDiff, StateError, TrieSource as _,
};

impl Head {
    /// The tries of the state after block `number`, and the changes that lead there from the head.
    /// What is not in memory of them is found in the head's snapshot, also when they are led on.
    ///
    /// # Errors
    /// `StateError::Pruned` if that state is no longer kept, `StateError::TooFar` if more than
    /// `changes_max` keys have changed since.
    pub(crate) fn tries_after(
        &self,
        number: u64,
        changes_max: usize,
    ) -> Result<(Commitment, StateDiff), StateError> {
        let mut commitment = Commitment::of(self.tries.clone());
        let mut back = StateDiff::default();
        if number >= self.header.number {
            return Ok((commitment, back));
        }
        let earlier = self.snapshot.state_at(number)?;
        let header = self.snapshot.header(number)?.ok_or(StateError::Damaged { what: "header" })?;
        let changed = self
            .snapshot
            .changed_keys(number + 1..=self.header.number, changes_max)?
            .ok_or(StateError::TooFar { number, head: self.header.number })?;
        for (key, slots) in changed {
            let mut account = AccountDiff {
                // Tries and layers know accounts by their keys.
                address: Address::ZERO,
                before: self.snapshot.account_by_key(&key)?,
                after: earlier.account_by_key(&key)?,
                slots: BTreeMap::new(),
            };
            for slot in slots {
                let before = self.snapshot.storage_leaf(&key, &slot)?;
                let after = earlier.slot_by_key(&key, &slot)?;
                if before != after {
                    account.slots.insert(slot, SlotDiff { before, after });
                }
            }
            back.accounts.insert(key, account);
        }
        let (root, advance) = commitment.advance(&mut back, &self.snapshot)?;
        if root != header.state_root {
            return Err(StateError::Damaged { what: "earlier state" });
        }
        commitment.adopt(advance);
        Ok((commitment, back))
    }
}
