//! Watches over kept jobs: the deposit, ranges and inputs, and how all of it ends. What becomes of asks is beside
//! this file (`asking`), and so is who looks at holders (`spots`), and what is given out and paid (`giving`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::{SolEvent, SolEventInterface};
use tilth_contracts::{
    Auditors::AuditorsEvents, HoldState, Holders, Holders::HoldersEvents, JobBook::JobBookEvents,
    Registry, SoloRandomness, SpotState, Spots, Spots::SpotsEvents,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::Prices;

use super::{
    counts::Counts,
    deposits::Deposit,
    kept::{Holder, Seen},
    losses::Losses,
    mind::{Conduct, Sight},
    owed::Owed,
    public::range,
    scene::Scene,
};
use crate::farm::FarmError;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Keeps {
    /// What went wrong.
    pub faults: Vec<String>,
    /// Auditors in the order of their numbers.
    pub(super) people: Vec<Holder>,
    /// Seconds by the chain's clock: of what was told of them last.
    at: u64,
    /// Their stakes in the second before that.
    pub(super) before: Vec<u128>,
    /// The same of each audited range that was handed in: in the second before that.
    pub(super) lines: BTreeMap<RangeId, Vec<u128>>,
    pub(super) deposits: BTreeMap<JobId, Deposit>,
    /// Ranges that were handed in, and inputs that were asked for.
    pub(super) ranges: BTreeMap<RangeId, Seen>,
    /// Values of the beacon, by their rounds.
    pub(super) beacons: BTreeMap<u64, B256>,
    /// Number of the block of what is told now: values of later rounds nobody knows in it.
    pub(super) block: u64,
    /// Since when jobs give out no range any more, because they were cancelled or are over; as `at`.
    pub(super) over: BTreeMap<JobId, u64>,
    /// Jobs that are over.
    pub(super) done: BTreeSet<JobId>,
    /// What `Holders` had burned of all deposits, base units.
    pub(super) burned: u128,
    /// What it owes, and what it has paid.
    pub(super) owed: Owed,
    /// What providers have lost.
    pub(super) losses: Losses,
}

impl Keeps {
    /// An auditor has joined with the next number and a stake; what it does as a holder, and when it looks at holders.
    pub fn meet(&mut self, who: Address, (conduct, sight): (Conduct, Sight), stake: u128) {
        self.people.push(Holder { who, conduct, sight, stake });
    }

    /// From now on all auditors pass for such as fetch what they sign for, and say what they see: whatever they do
    /// besides is a fault.
    pub fn trust_all(&mut self) {
        for one in &mut self.people {
            (one.conduct, one.sight) = (Conduct::Fetches, Sight::Looks);
        }
    }

    /// Whether the inputs of a job are held.
    pub fn are_inputs_held(&self, job: JobId) -> bool {
        let seen = self.ranges.get(&RangeId::inputs(job));
        seen.is_some_and(|seen| seen.state == HoldState::Held)
    }

    /// Reads a log of a block of this time, seconds, after the scene has; `acknowledged`: it is of a client's
    /// acknowledgement.
    pub fn read(
        &mut self,
        log: &Log,
        (time, acknowledged): (u64, bool),
        scene: &Scene,
        counts: &mut Counts,
    ) {
        let at = scene.farm.addresses();
        if log.address == at.holders
            && let Ok(event) = HoldersEvents::decode_log(log)
        {
            self.read_hold(&event.data, time, scene, counts);
        } else if log.address == at.spots
            && let Ok(event) = SpotsEvents::decode_log(log)
        {
            match &event.data {
                SpotsEvents::SpotAsked(e) => self.call(e, time),
                SpotsEvents::Spotted(e) => self.spot(e, time, scene),
                SpotsEvents::SpotOver(e) => self.conclude(e, time, scene, counts),
            }
        } else if log.address == at.ledger {
            self.read_money(log, at.holders);
        } else if log.address == at.randomness
            && let Ok(event) = SoloRandomness::Noted::decode_log(log)
        {
            self.beacons.insert(event.data.round, event.data.value);
        } else if log.address == at.auditors
            && let Ok(event) = AuditorsEvents::decode_log(log)
            && let AuditorsEvents::AuditorSlashed(e) = &event.data
        {
            self.pass(time);
            if let Some(one) = self.people.iter_mut().find(|one| one.who == e.owner) {
                one.stake = e.stake;
            }
        } else if log.address == at.registry
            && let Ok(event) = Registry::StakeSlashed::decode_log(log)
        {
            self.losses.cut(&event.data);
        } else if log.address == at.job_book
            && let Ok(event) = JobBookEvents::decode_log(log)
        {
            self.read_job(&event.data, (time, acknowledged), scene, counts);
        }
    }

    /// Something is told of this second.
    pub(super) fn pass(&mut self, time: u64) {
        if time > self.at {
            self.before = self.people.iter().map(|one| one.stake).collect();
            self.at = time;
        }
    }

    fn read_job(
        &mut self,
        event: &JobBookEvents,
        (time, acknowledged): (u64, bool),
        scene: &Scene,
        counts: &mut Counts,
    ) {
        match event {
            JobBookEvents::RangeClaimed(e) => self.claim(range(e.jobId, e.seq), scene),
            JobBookEvents::RangeSubmitted(e) => {
                let id = range(e.jobId, e.seq);
                let terms = scene.public.jobs.get(&id.job).map(|facts| &facts.terms);
                let Some(terms) = terms.filter(|terms| terms.audited) else { return };
                self.pass(time);
                self.lines.insert(id, self.before.clone());
                if !terms.kept {
                    return;
                }
                let window_end = time + u64::from(terms.window);
                self.ranges.insert(id, Seen::new(self.before.clone(), window_end));
            }
            JobBookEvents::RangeSettled(e) => {
                self.pay(range(e.jobId, e.seq), (time, acknowledged), counts);
            }
            JobBookEvents::RangeRejected(e) => {
                self.losses.begin();
                self.end(range(e.jobId, e.seq), time);
            }
            JobBookEvents::JobCancelled(e) => self.give_up(JobId(e.jobId), time),
            JobBookEvents::JobDone(e) => {
                self.done.insert(JobId(e.jobId));
                self.give_up(JobId(e.jobId), time);
            }
            _ => {}
        }
    }

    /// A job gives out no range any more: nobody need hold its inputs.
    fn give_up(&mut self, job: JobId, time: u64) {
        self.over.entry(job).or_insert(time);
        self.end(RangeId::inputs(job), time);
    }

    /// A range is paid or rejected, or the job gives out none any more of which these are the inputs.
    pub(super) fn end(&mut self, id: RangeId, time: u64) {
        if let Some(seen) = self.ranges.get_mut(&id) {
            seen.over_at.get_or_insert(time);
        }
    }

    fn read_hold(&mut self, event: &HoldersEvents, time: u64, scene: &Scene, counts: &mut Counts) {
        match event {
            HoldersEvents::KeepFunded(e) => self.fund(e),
            HoldersEvents::KeepClosed(e) => {
                let deposit = self.deposits.entry(JobId(e.jobId)).or_default();
                deposit.closed += e.amount.to::<u128>();
                deposit.is_taken_back = true;
                let left = e.deposit.to::<u128>();
                if left != deposit.left() || left != deposit.reserved {
                    self.faults.push(format!("{e:?} was left of {deposit:?}"));
                }
            }
            HoldersEvents::HoldAsked(e) => self.ask(e, time, scene),
            HoldersEvents::HoldersDrawn(e) => self.draw(range(e.jobId, e.seq), time, scene),
            HoldersEvents::Held(e) => self.sign(e, time, scene),
            HoldersEvents::RangeHeld(e) => self.hold(e, time, scene, counts),
            HoldersEvents::HoldFailed(e) => self.fail(e, time, scene, counts),
            HoldersEvents::HolderContact(_) => {}
        }
    }

    fn fund(&mut self, e: &Holders::KeepFunded) {
        let deposit = self.deposits.entry(JobId(e.jobId)).or_default();
        let prices = Prices {
            max_mib: e.prices.maxMib,
            per_mib: e.prices.perMib.to::<u128>(),
            per_mib_day: e.prices.perMibDay.to::<u128>(),
            keep_seconds: e.prices.keepSeconds,
        };
        deposit.funded += e.amount.to::<u128>();
        let is_same = deposit.prices.is_none_or(|before| before == prices);
        if !is_same || e.deposit.to::<u128>() != deposit.left() {
            self.faults.push(format!("{e:?} after {deposit:?}"));
        }
        deposit.prices = Some(prices);
    }

    /// Nothing is open in the end, all who hold were looked at, and every deposit has become fees of those who have earned
    /// them or gone back, but for what lost inputs cost, which is burned.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn check(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        let (holders, spots) = (scene.farm.addresses().holders, scene.farm.addresses().spots);
        let kept = scene.public.jobs.iter().filter(|(_, facts)| facts.terms.kept);
        let jobs: Vec<JobId> = kept.map(|(job, _)| *job).collect();
        for job in jobs {
            let keep = scene.farm.read(holders, &Holders::keptCall { jobId: job.0 })?;
            let deposit = self.deposits.entry(job).or_default();
            let is_gone = keep.deposit.is_zero() && keep.reserved.is_zero();
            let spent = deposit.fees + deposit.closed + deposit.burned;
            if !is_gone || deposit.reserved != 0 || deposit.funded != spent {
                self.faults.push(format!("{job} ended with {keep:?} and {deposit:?}"));
            }
        }
        let due: u128 = self.deposits.values().map(|deposit| deposit.burned).sum();
        if self.burned != due {
            self.faults.push(format!("{} of deposits was burned, and {due} is due", self.burned));
        }
        self.faults.extend(self.owed.unequal());
        for (id, seen) in &self.ranges {
            let call = Holders::askedCall { jobId: id.job.0, seq: id.seq };
            let state = scene.farm.read(holders, &call)?.state;
            if seen.state.is_open() || state != u8::from(seen.state) {
                self.faults.push(format!("{id} ended as {state}: {seen:?}"));
            }
            if seen.state != HoldState::Held {
                continue;
            }
            let call = Spots::spotOfCall { jobId: id.job.0, seq: id.seq };
            let state = scene.farm.read(spots, &call)?.state;
            if !seen.look.over || state != u8::from(SpotState::Over) {
                self.faults.push(format!("who holds {id} was looked at up to {state}: {seen:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "keeps_tests.rs"]
mod tests;
