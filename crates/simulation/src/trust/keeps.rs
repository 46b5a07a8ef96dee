//! Watches over kept ranges: who may sign that it holds one, what that is paid and out of what, when asks end, and how often
//! those are held that nobody could fetch.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::{SolEvent, SolEventInterface};
use tilth_contracts::{
    Auditors::AuditorsEvents, HoldState, Holders, Holders::HoldersEvents, JobBook::JobBookEvents,
    SoloRandomness,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{
    arithmetic::ONE,
    draw::{Person, Seed},
    holding::{self, ASKS, HOLDERS, Prices, is_majority},
};

use super::{
    counts::Counts,
    kept::{Deposit, Holder, LATE, Seen, is_due},
    mind::Conduct,
    public::range,
    sample::held,
    scene::Scene,
};
use crate::farm::FarmError;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Keeps {
    /// What went wrong.
    pub faults: Vec<String>,
    /// Auditors in the order of their numbers.
    people: Vec<Holder>,
    /// Seconds by the chain's clock: of what was told of them last.
    at: u64,
    /// Their stakes in the second before that.
    before: Vec<u128>,
    deposits: BTreeMap<JobId, Deposit>,
    ranges: BTreeMap<RangeId, Seen>,
    /// Values of the beacon, by their rounds.
    beacons: BTreeMap<u64, B256>,
}

impl Keeps {
    /// An auditor has joined with the next number and a stake.
    pub fn meet(&mut self, who: Address, conduct: Conduct, stake: u128) {
        self.people.push(Holder { who, conduct, stake });
    }

    /// From now on all auditors pass for such as fetch what they sign for: whatever they do besides is a fault.
    pub fn trust_all(&mut self) {
        self.people.iter_mut().for_each(|one| one.conduct = Conduct::Fetches);
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
        } else if log.address == at.job_book
            && let Ok(event) = JobBookEvents::decode_log(log)
        {
            self.read_job(&event.data, (time, acknowledged), scene, counts);
        }
    }

    /// Something is told of this second.
    fn pass(&mut self, time: u64) {
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
            JobBookEvents::RangeSubmitted(e) => {
                let id = range(e.jobId, e.seq);
                let terms = scene.public.jobs.get(&id.job).map(|facts| &facts.terms);
                let Some(terms) = terms.filter(|terms| terms.kept) else { return };
                self.pass(time);
                let window_end = time + u64::from(terms.window);
                self.ranges.insert(id, Seen::new(self.before.clone(), window_end));
            }
            JobBookEvents::RangeSettled(e) => {
                self.pay(range(e.jobId, e.seq), (time, acknowledged), counts);
            }
            JobBookEvents::RangeRejected(e) => {
                if let Some(seen) = self.ranges.get_mut(&range(e.jobId, e.seq)) {
                    seen.over_at.get_or_insert(time);
                }
            }
            _ => {}
        }
    }

    /// Without its client a range is paid when it is held, or when nobody could be paid for holding it.
    fn pay(&mut self, id: RangeId, (time, acknowledged): (u64, bool), counts: &mut Counts) {
        let Some(seen) = self.ranges.get_mut(&id) else { return };
        seen.over_at.get_or_insert(time);
        if acknowledged || seen.state == HoldState::Held {
            return;
        }
        counts.holds[0] += 1;
        let is_waived = self.deposits.entry(id.job).or_default().is_waived();
        if seen.state != HoldState::None || !is_waived {
            self.faults.push(format!("{id} is paid, and nobody holds it: {seen:?}"));
        }
    }

    fn read_hold(&mut self, event: &HoldersEvents, time: u64, scene: &Scene, counts: &mut Counts) {
        match event {
            HoldersEvents::KeepFunded(e) => self.fund(e),
            HoldersEvents::KeepClosed(e) => {
                let deposit = self.deposits.entry(JobId(e.jobId)).or_default();
                deposit.closed += e.amount.to::<u128>();
                let left = e.deposit.to::<u128>();
                if left != deposit.left() || left != deposit.reserved {
                    self.faults.push(format!("{e:?} was left of {deposit:?}"));
                }
            }
            HoldersEvents::HoldAsked(e) => self.ask(e, time),
            HoldersEvents::HoldersDrawn(e) => self.draw(range(e.jobId, e.seq), time, scene),
            HoldersEvents::Held(e) => self.sign(e, time, scene),
            HoldersEvents::RangeHeld(e) => self.hold(e, time, counts),
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

    fn ask(&mut self, e: &Holders::HoldAsked, time: u64) {
        let id = range(e.jobId, e.seq);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is asked for and was never handed in"));
        };
        let may = match seen.state {
            HoldState::None => !deposit.is_waived(),
            HoldState::Again => seen.asked < ASKS && e.mib == seen.mib,
            _ => false,
        };
        if seen.state == HoldState::None {
            deposit.reserved += deposit.fee(e.mib) * HOLDERS as u128;
        }
        let reserved = e.reserved.to::<u128>();
        let is_due = seen.over_at.is_none() && time >= seen.window_end;
        if !may || !is_due || reserved != deposit.reserved || e.asked != seen.asked + 1 {
            let text = format!("{e:?} at {time}, after {seen:?}, out of {deposit:?}");
            self.faults.push(text);
        }
        seen.spent = seen.votes();
        (seen.state, seen.asked, seen.asked_at) = (HoldState::Asked, e.asked, time);
        (seen.round, seen.mib, seen.from, seen.bits) = (e.round, e.mib, 0, 0);
    }

    /// Who is not drawn: the range's provider and the client.
    fn out(id: RangeId, scene: &Scene) -> [Option<Address>; 2] {
        let client = scene.public.jobs.get(&id.job).map(|facts| facts.client);
        let provider = scene.public.ranges.get(&id).map(|facts| facts.provider);
        [client, provider]
    }

    /// Whom the draws of a range's ask name; nobody, if the beacon is not known.
    fn named(&self, id: RangeId, scene: &Scene) -> Vec<u32> {
        let Some(seen) = self.ranges.get(&id) else { return Vec::new() };
        let Some(beacon) = self.beacons.get(&seen.round) else { return Vec::new() };
        let people = self.people.iter().zip(&seen.line);
        let line: Vec<Person<Address>> =
            people.map(|(one, stake)| Person { owner: one.who, stake: *stake }).collect();
        let out = Self::out(id, scene);
        let seed = Seed::new(*beacon, id, 0);
        let places = holding::named(seed, &line, |who| out.contains(&Some(*who)));
        places.into_iter().filter_map(|place| u32::try_from(place + 1).ok()).collect()
    }

    /// The chance that enough of a range's draws sign, billionths.
    fn chance(&self, id: RangeId, scene: &Scene) -> u32 {
        let Some(seen) = self.ranges.get(&id) else { return 0 };
        let (out, service) = (Self::out(id, scene), scene.service(id));
        let stake = |all: bool| -> u128 {
            let people = self.people.iter().zip(&seen.line);
            let counted = people
                .filter(|(one, _)| !out.contains(&Some(one.who)) && (all || one.signs(service)));
            counted.map(|(_, stake)| *stake).sum()
        };
        let share = stake(false) * u128::from(ONE.0) / stake(true).max(1);
        held(u32::try_from(share).unwrap_or(ONE.0))
    }

    fn draw(&mut self, id: RangeId, time: u64, scene: &Scene) {
        let (named, chance) = (self.named(id, scene), self.chance(id, scene));
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} has holders and was never handed in"));
        };
        let is_asked = seen.state == HoldState::Asked && time <= seen.asked_at + LATE;
        if !is_asked || named.is_empty() {
            self.faults.push(format!("holders of {id} are drawn at {time}, after {seen:?}"));
        }
        (seen.state, seen.from) = (HoldState::Open, time);
        (seen.named, seen.chance) = (named, chance);
    }

    fn sign(&mut self, e: &Holders::Held, time: u64, scene: &Scene) {
        let id = range(e.jobId, e.seq);
        let service = scene.service(id);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is signed for and was never handed in"));
        };
        let (place, fee) = (usize::from(e.draw), e.fee.to::<u128>());
        let bit = 1_u16.checked_shl(e.draw.into()).unwrap_or(0);
        let may = seen.state == HoldState::Open && place < seen.open(time) && seen.bits & bit == 0;
        let is_named = seen.named.get(place) == Some(&e.number);
        let number = usize::try_from(e.number).unwrap_or(usize::MAX);
        let signer = number.checked_sub(1).and_then(|place| self.people.get(place));
        let is_kept = signer.is_some_and(|one| one.signs(service));
        if !may || !is_named || !is_kept || fee != deposit.fee(seen.mib) {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}, out of {deposit:?}"));
        }
        seen.bits |= bit;
        deposit.fees += fee;
        deposit.reserved = deposit.reserved.saturating_sub(fee);
    }

    fn hold(&mut self, e: &Holders::RangeHeld, time: u64, counts: &mut Counts) {
        let id = range(e.jobId, e.seq);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is held and was never handed in"));
        };
        let kept = deposit.prices.map_or(0, |prices| prices.keep_seconds);
        let is_enough = is_majority(seen.votes(), seen.open(time)) && e.bits == seen.bits;
        let is_right = e.until.to::<u64>() == time + u64::from(kept);
        if seen.state != HoldState::Open || !is_enough || !is_right {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}"));
        }
        deposit.release(seen.mib, seen.spent + seen.votes());
        seen.state = HoldState::Held;
        counts.holds[usize::from(u8::from(HoldState::Held))] += 1;
        counts.held.add(seen.chance, true);
    }

    fn fail(&mut self, e: &Holders::HoldFailed, time: u64, scene: &Scene, counts: &mut Counts) {
        let id = range(e.jobId, e.seq);
        let is_due = is_due(id, e.cut, scene);
        let deposit = self.deposits.entry(id.job).or_default();
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is not held and was never handed in"));
        };
        let state = HoldState::try_from(e.state).unwrap_or(HoldState::None);
        let is_right = match state {
            HoldState::Again => seen.asked < ASKS && seen.has_run_out(time) && e.cut == 0,
            HoldState::Lost => seen.asked == ASKS && seen.has_run_out(time) && is_due,
            HoldState::Dropped => {
                let over_at = seen.over_at.filter(|_| seen.state.is_open());
                over_at.is_some_and(|at| time <= at + LATE) && e.cut == 0
            }
            _ => false,
        };
        if !is_right {
            self.faults.push(format!("{e:?} at {time}, after {seen:?}"));
        }
        if state != HoldState::Dropped && seen.state == HoldState::Open {
            counts.held.add(seen.chance, false);
            if seen.chance == ONE.0 {
                self.faults.push(format!("{id} is not held, and all could sign: {seen:?}"));
            }
        }
        if state != HoldState::Again {
            deposit.release(seen.mib, seen.spent + seen.votes());
        }
        seen.state = state;
        counts.holds[usize::from(e.state).min(counts.holds.len() - 1)] += 1;
    }

    /// Nothing is open in the end, and every deposit has become fees or gone back.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn check(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        let holders = scene.farm.addresses().holders;
        let kept = scene.public.jobs.iter().filter(|(_, facts)| facts.terms.kept);
        let jobs: Vec<JobId> = kept.map(|(job, _)| *job).collect();
        for job in jobs {
            let keep = scene.farm.read(holders, &Holders::keptCall { jobId: job.0 })?;
            let deposit = self.deposits.entry(job).or_default();
            let is_gone = keep.deposit.is_zero() && keep.reserved.is_zero();
            let spent = deposit.fees + deposit.closed;
            if !is_gone || deposit.reserved != 0 || deposit.funded != spent {
                self.faults.push(format!("{job} ended with {keep:?} and {deposit:?}"));
            }
        }
        for (id, seen) in &self.ranges {
            let call = Holders::askedCall { jobId: id.job.0, seq: id.seq };
            let state = scene.farm.read(holders, &call)?.state;
            if seen.state.is_open() || state != u8::from(seen.state) {
                self.faults.push(format!("{id} ended as {state}: {seen:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "keeps_tests.rs"]
mod tests;
