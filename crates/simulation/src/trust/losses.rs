//! Watches over what it costs that nobody holds something. A provider loses twice what the audit of its range would
//! have had of it, of which the purse has half, and then a part of the range's value, of which the client has half;
//! the rest of both is burned. Of inputs it is their client that pays.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use tilth_contracts::Registry;
use tilth_protocol::RangeId;
use tilth_verification::{
    arithmetic::{ONE, Share},
    holding::{INPUTS_LOST, lost},
};

use super::{cast::least_fee, scene::Scene, workload::worth};

/// The part of a range's value that its audit has of it at least, and at most: `Parameters.AUDIT_SHARE` and
/// `MAX_CHARGE`.
const BILL: (Share, Share) = (Share(ONE.0 / 50), Share(ONE.0 / 2));

/// A cut of a provider's stake, base units.
#[derive(Debug)]
struct Loss {
    owner: Address,
    /// Who was given a part of it.
    to: Address,
    given: u128,
    sum: u128,
    left: u128,
}

impl Loss {
    /// Whether so much was to be cut, up to how finely shares of a stake are told apart and to all that was left, and
    /// half of it given away.
    fn is(&self, (least, most): (u128, u128)) -> bool {
        let reach = self.left + self.sum;
        let most = most.saturating_add(reach / u128::from(ONE.0) + 1);
        let is_due = (least.min(reach)..=most.min(reach)).contains(&self.sum);
        is_due && self.given == self.sum / 2
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Cuts since a range was rejected last.
    cuts: Vec<Loss>,
    /// What was left of each stake after its last cut.
    left: BTreeMap<Address, u128>,
}

impl Losses {
    /// A range is rejected: what is cut from now on may be for that.
    pub(super) fn begin(&mut self) {
        self.cuts.clear();
    }

    /// A stake was cut.
    pub(super) fn cut(&mut self, e: &Registry::StakeSlashed) {
        let (sum, left) = (e.toBeneficiary + e.burned, e.stake + e.unbonding);
        self.left.insert(e.owner, left);
        let (owner, to, given) = (e.owner, e.beneficiary, e.toBeneficiary);
        self.cuts.push(Loss { owner, to, given, sum, left });
    }

    /// Whether that is what it costs that nobody holds this, of which `Holders` says that it was `cut`: of a range
    /// what its client has half of.
    pub(super) fn are_due(&self, id: RangeId, cut: u128, scene: &Scene) -> bool {
        if id.is_inputs() {
            return cut == INPUTS_LOST * least_fee();
        }
        let (Some(facts), Some(job)) =
            (scene.public.ranges.get(&id), scene.public.jobs.get(&id.job))
        else {
            return false;
        };
        let units = scene.handed.get(&id).map_or(0, |handed| handed.units);
        let value = worth(units, facts.price);
        let bills = (2 * BILL.0.of_amount(value), 2 * BILL.1.of_amount(value));
        let due = lost(value, least_fee());
        let purse = scene.farm.addresses().audits;
        let pays = |loss: &Loss, to: Address| loss.owner == facts.provider && loss.to == to;
        let is_bill = |loss: &Loss| pays(loss, purse) && loss.is(bills);
        let is_lost =
            |loss: &Loss| pays(loss, job.client) && loss.is((due, due)) && loss.sum == cut;
        match &self.cuts[..] {
            [bill, lost] => is_bill(bill) && is_lost(lost),
            // The bill has taken all that there was.
            [bill] if cut == 0 => is_bill(bill) && bill.left == 0,
            // There is no bill for what is worth next to nothing.
            [lost] => bills.0 == 0 && is_lost(lost),
            // Nothing was left before.
            [] => cut == 0 && self.left.get(&facts.provider) == Some(&0),
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "losses_tests.rs"]
mod tests;
