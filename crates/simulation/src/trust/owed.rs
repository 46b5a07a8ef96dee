//! Watches over who is paid out of deposits: whoever has signed, served or looked, to the unit, and by the client whose
//! content that was. What is owed is by the logs of `Holders` and `Spots`, what was paid by those of the ledger. Filling
//! up a deposit and taking it back pays nobody: that locks money, and unlocks it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Log};
use alloy_sol_types::SolEvent;
use tilth_contracts::Ledger;
use tilth_protocol::JobId;

use super::{keeps::Keeps, scene::Scene};

/// See the module's head. By client and by who is paid: what is owed, and what was paid, base units. A payment may be told
/// before what it is for.
#[derive(Debug, Default)]
pub(super) struct Owed(BTreeMap<(Address, Address), [u128; 2]>);

impl Owed {
    /// What is wrong with it, when all that is owed should be paid.
    pub(super) fn unequal(&self) -> Vec<String> {
        let wrong = self.0.iter().filter(|(_, [owed, paid])| owed != paid);
        wrong
            .map(|((from, to), [owed, paid])| {
                format!("{owed} is due to {to} for contents of {from}, and it was paid {paid}")
            })
            .collect()
    }
}

impl Keeps {
    /// Reads a log of the ledger: what the contract at `holders` has paid, or had burned.
    pub(super) fn read_money(&mut self, log: &Log, holders: Address) {
        if let Ok(event) = Ledger::Burned::decode_log(log)
            && event.data.module == holders
        {
            self.burned += event.data.amount;
        } else if let Ok(event) = Ledger::Moved::decode_log(log)
            && event.data.module == holders
        {
            let e = &event.data;
            self.owed.0.entry((e.from, e.to)).or_default()[1] += e.amount;
        }
    }

    /// The auditor with this number has earned so much, base units, with a content of this job.
    pub(super) fn earn(&mut self, job: JobId, number: u32, fee: u128, scene: &Scene) {
        let client = scene.public.jobs.get(&job).map_or(Address::ZERO, |facts| facts.client);
        let owner = self.holder(number).map_or(Address::ZERO, |one| one.who);
        self.owed.0.entry((client, owner)).or_default()[0] += fee;
    }
}

#[cfg(test)]
#[path = "owed_tests.rs"]
mod tests;
