//! What must hold of jobs and of all money: what is paid for, when jobs end, and that nothing is made or lost.
//!
//! A deadline ends what a job gives out: nothing is claimed after it. What was claimed by then is handed in, judged and paid
//! after it, so a job is over by its deadline and the longest time of such a range, if somebody moves it on.

use alloy_primitives::{B256, U256, keccak256};
use tilth_contracts::{AuditOutcome, JobBook::JobBookEvents, Ledger, WGrain};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{
    arithmetic::Share,
    audit::{Decision, MAX_RANGE_TIMEOUT_S, decide},
    draw::Seed,
    holding::{ASK_FIRST_S, ASKS, HOLD_TIME_S},
    walk::DISPUTED_RATE,
};

use super::{
    cast::{Allowed, Side},
    kept::LATE,
    oracle::{Oracle, Seen},
    public::range,
    scene::Scene,
    workload::worth,
};
use crate::farm::{FarmError, TREASURY};

/// Seconds after a job's deadline by which its last range is judged: it is claimed at the deadline, and its case asks
/// fifteen auditors one after the other, which is half an hour less than a day. Its window is over long before.
const LONGEST_CASE: u64 = MAX_RANGE_TIMEOUT_S as u64 + 86_400;
/// So much longer if it is replicated, seconds.
const LONGEST_REPLICA: u64 = 36_000;
/// And if a leaf of it is disputed, whose case comes before its own.
const LONGEST_DISPUTE: u64 = 86_400;
/// And if it is kept: two asks, each of which its client begins when the hour is over that is its provider's alone, and two
/// hours of holders each. Who asks, draws and ends them is late at most.
const LONGEST_HOLD: u64 = ASKS as u64 * (ASK_FIRST_S + 2 * HOLD_TIME_S + 3 * LATE);

/// The most that a range can come to, base units.
fn most_worth(id: RangeId, scene: &Scene) -> u128 {
    let cap = scene.public.jobs.get(&id.job).map_or(0, |job| job.terms.unitCap);
    let facts = scene.public.ranges.get(&id);
    facts.map_or(0, |facts| worth(u64::from(facts.count).saturating_mul(cap), facts.price))
}

/// The value of a beacon's round by the hash of the block with its number: `SoloRandomness.value`.
fn beacon(round: u64, hash: B256) -> B256 {
    keccak256([&round.to_be_bytes()[..], hash.as_slice()].concat())
}

impl Oracle {
    /// Whether nobody looks into a range, as everybody could see in the block of what is told now: by the first value of
    /// its round, kept or not. Who waited for another one is audited whatever that says.
    fn is_spared(&self, id: RangeId, seen: Seen, scene: &Scene) -> bool {
        let round = seen.round;
        let kept = self.keeps.beacons.get(&round).copied();
        let value = kept.or_else(|| scene.farm.hash(round).map(|hash| beacon(round, hash)));
        let is_known = round < self.keeps.block && !self.moved.contains(&round);
        value.filter(|_| is_known).is_some_and(|value| {
            decide(Seed::new(value, id, 0), Share::new(seen.rate)) == Decision::Unaudited
        })
    }

    /// An audited range is paid when auditors have upheld it, or when the beacon has spared it; never before one or the
    /// other. Whether others must have found the same or hold it, too, is seen to beside this file (`pairs`, `keeps`).
    fn check_pay(&mut self, id: RangeId, scene: &Scene) {
        if scene.public.jobs.get(&id.job).is_some_and(|job| !job.terms.audited) {
            return;
        }
        let Some(seen) = self.cases.get(&id).copied() else {
            return self.blame(format!("{id} was paid before there was a case about it"));
        };
        // What was found of one leaf says nothing of the others.
        if seen.rate == DISPUTED_RATE {
            return self.blame(format!("{id} was paid for what was found of one leaf"));
        }
        let by = match seen.outcome {
            Some(AuditOutcome::Upheld) if seen.audited => 0,
            None | Some(AuditOutcome::Unaudited)
                if !seen.audited && self.is_spared(id, seen, scene) =>
            {
                1
            }
            _ => {
                let text = format!("{id} was paid, and nobody has upheld it: {seen:?}");
                return self.blame(text);
            }
        };
        self.counts.paid[by] += 1;
    }

    /// Whether a range was audited as often as its rate says. A dispute is no matter of chance.
    fn count_case(&mut self, id: RangeId) {
        if let Some(seen) = self.cases.get(&id).filter(|seen| seen.rate != DISPUTED_RATE) {
            self.counts.audits.add(seen.rate, seen.audited);
        }
    }

    pub(super) fn read_job(&mut self, event: &JobBookEvents, scene: &Scene) {
        match event {
            JobBookEvents::RangeSubmitted(e) => {
                let Some(handed) = scene.handed.get(&range(e.jobId, e.seq)) else { return };
                self.counts.false_ranges += u64::from(handed.faults().0 != 0);
                self.counts.honest_ranges += u64::from(!handed.by_foe);
            }
            JobBookEvents::RangeSettled(e) => {
                let id = range(e.jobId, e.seq);
                let (Some(handed), Some(facts)) =
                    (scene.handed.get(&id), scene.public.ranges.get(&id))
                else {
                    return self.blame(format!("{id} was paid and nobody handed it in"));
                };
                let (count, units) = handed.faults();
                if count != 0 {
                    self.counts.false_paid += 1;
                    self.counts.paid_for_nothing += worth(units, facts.price);
                }
                self.count_case(id);
                self.check_pay(id, scene);
            }
            JobBookEvents::RangeRejected(e) => {
                let id = range(e.jobId, e.seq);
                self.count_case(id);
                if scene.handed.get(&id).is_some_and(|handed| !handed.by_foe) {
                    self.counts.honest_unpaid += 1;
                    let Allowed { bought_votes, idle_votes, .. } = self.allowed;
                    if !bought_votes && !idle_votes && !self.is_left_undrawn(id) {
                        self.blame(format!("honest work is not paid: {id}"));
                    }
                }
            }
            JobBookEvents::JobDone(e) => {
                let terms = scene.public.jobs.get(&JobId(e.jobId)).map(|job| &job.terms);
                let replica =
                    terms.filter(|terms| terms.replicas != 0).map_or(0, |_| LONGEST_REPLICA);
                let deadline = terms.map_or(0, |terms| terms.deadline.to::<u64>());
                let kept = terms.filter(|terms| terms.kept).map_or(0, |_| LONGEST_HOLD);
                let dispute =
                    if self.disputed.contains(&JobId(e.jobId)) { LONGEST_DISPUTE } else { 0 };
                // The last range may be claimed at the deadline itself, and all of this come one after the other.
                let last = deadline + replica + dispute + kept + LONGEST_CASE;
                if scene.farm.now > last {
                    self.blame(format!("job {} ended long after its deadline", e.jobId));
                }
            }
            JobBookEvents::RangeExpired(e)
                if self.people.get(&e.provider) == Some(&Side::Honest) =>
            {
                let id = range(e.jobId, e.seq);
                let worth = most_worth(id, scene);
                if !self.allowed.bonds {
                    self.blame(format!("an honest provider was late with {id}"));
                } else if !self.cuts.bonds.late(e.provider, e.bond, worth) {
                    self.blame(format!(
                        "{id}, worth at most {worth}, cost {} for being late",
                        e.bond
                    ));
                }
            }
            _ => {}
        }
    }

    /// All that was ever paid in is still there: in accounts, or burned.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn check_money(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        let at = *scene.farm.addresses();
        let burned = scene.farm.read(at.ledger, &Ledger::BURN_ACCOUNTCall {})?;
        let all = self.people.keys().copied().chain([TREASURY, burned, at.audits]);
        let (mut sum, mut locked) = (0_u128, 0_u128);
        for owner in all {
            let account = scene.farm.read(at.ledger, &Ledger::accountCall { owner })?;
            sum += account.free + account.locked;
            locked += account.locked;
        }
        let minted: u128 = self.funded.values().sum();
        let mut in_modules = 0_u128;
        for module_ in [at.registry, at.job_book, at.auditors, at.audits, at.holders, at.tabs] {
            in_modules += scene.farm.read(at.ledger, &Ledger::moduleCall { module_ })?.locked;
        }
        let held = scene.farm.read(at.token, &WGrain::balanceOfCall { account: at.ledger })?;
        if sum != minted || locked != in_modules || held != U256::from(minted) {
            self.blame(format!(
                "money: minted {minted}, held {held}, in accounts {sum}; locked {locked}, by modules {in_modules}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "paying_tests.rs"]
mod tests;
