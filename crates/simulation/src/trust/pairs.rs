//! Watches over replicated ranges: who may be drawn as a mate, how often that is a friend, and what both are paid.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::{SolEvent, SolEventInterface};
use tilth_contracts::{
    Audits::AuditsEvents, EntryState, JobBook::JobBookEvents, Registry::RegistryEvents,
    ReplicaOutcome, Replicas::ReplicasEvents, SoloRandomness, Waiting::WaitingEvents,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{
    arithmetic::ONE,
    draw::Seed,
    replica::{self, Asked, DRAW_SPAN_S, MATE_DUTIES, REPLICA_TRIES, Waiter},
    walk::DISPUTED_RATE,
};

use super::{cast::Side, counts::Counts, public::range, scene::Scene};

/// A provider's place on a job's line, as logs tell of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    bond: u128,
    state: EntryState,
    /// Its open ranges.
    busy: u16,
}

/// Those who wait in a job.
#[derive(Debug, Default)]
struct Line {
    entries: BTreeMap<u32, Entry>,
    /// Seconds by the chain's clock: of what was told last.
    at: u64,
    /// Bonds of all who were on the line in the second before that.
    before: BTreeMap<u32, u128>,
}

impl Line {
    /// Something is told of this second.
    fn at(&mut self, time: u64) -> &mut Self {
        if time > self.at {
            let waiting = |entry: &Entry| entry.state == EntryState::Waiting;
            let on = self.entries.iter().filter(|(_, entry)| waiting(entry));
            self.before = on.map(|(number, entry)| (*number, entry.bond)).collect();
            self.at = time;
        }
        self
    }

    /// It has another range to do, and stays where it is.
    fn take(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.busy = entry.busy.saturating_add(1);
        }
    }

    /// One of its ranges is closed. Who loses its place by that, or before, is told of on its own.
    fn give_back(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.busy = entry.busy.saturating_sub(1);
        }
    }

    /// Whether it has as much to do as it may have.
    fn is_full(&self, number: u32) -> bool {
        self.entries.get(&number).is_some_and(|entry| entry.busy >= MATE_DUTIES)
    }
}

/// What was seen of a range.
#[derive(Debug, Default)]
struct Seen {
    /// Up to when mates are drawn, by the chain's clock, seconds.
    until: u64,
    /// Bonds of all who could be drawn.
    line: BTreeMap<u32, u128>,
    /// The beacon's round that draws them.
    round: u64,
    /// Draws that are used up.
    next: usize,
    primary: u32,
    /// Its mate; 0: none.
    mate: u32,
    /// All that were drawn.
    asked: Vec<u32>,
    /// The chance that whoever was drawn first is a friend of its primary that might have more to do, billionths; asked
    /// or not.
    chance: Option<u32>,
    lapsed: bool,
    /// Whether auditors vote on a leaf of it.
    disputed: bool,
    outcome: Option<ReplicaOutcome>,
    /// Who was paid for it besides, what it got, and what of its part it did not get.
    paid: Option<(Address, u128, u128)>,
}

/// See the module's head. All foes of a world are each other's friends.
#[derive(Debug, Default)]
pub struct Pairs {
    /// What went wrong.
    pub faults: Vec<String>,
    /// Providers in the order of their numbers, and what each has to lose.
    people: Vec<(Address, Side, u128)>,
    lines: BTreeMap<JobId, Line>,
    ranges: BTreeMap<RangeId, Seen>,
    /// Values of the beacon, by their rounds.
    beacons: BTreeMap<u64, B256>,
}

impl Pairs {
    /// A provider is registered with the next number and a stake.
    pub fn meet(&mut self, who: Address, side: Side, stake: u128) {
        self.people.push((who, side, stake));
    }

    /// Reads a log of a block of this time, seconds, after the scene has.
    pub fn read(&mut self, log: &Log, time: u64, scene: &Scene, counts: &mut Counts) {
        let at = scene.farm.addresses();
        if log.address == at.waiting
            && let Ok(event) = WaitingEvents::decode_log(log)
        {
            self.read_line(&event.data, time);
        } else if log.address == at.replicas
            && let Ok(event) = ReplicasEvents::decode_log(log)
        {
            self.read_replica(&event.data, time, scene, counts);
        } else if log.address == at.randomness
            && let Ok(event) = SoloRandomness::Noted::decode_log(log)
        {
            self.beacons.insert(event.data.round, event.data.value);
        } else if log.address == at.registry
            && let Ok(event) = RegistryEvents::decode_log(log)
            && let RegistryEvents::StakeSlashed(e) = &event.data
        {
            let mut people = self.people.iter_mut();
            if let Some((.., reach)) = people.find(|(who, ..)| *who == e.owner) {
                *reach = e.stake + e.unbonding;
            }
        } else if log.address == at.audits
            && let Ok(event) = AuditsEvents::decode_log(log)
            && let AuditsEvents::AuditDue(e) = &event.data
        {
            self.begin(range(e.jobId, e.seq), e.rate);
        } else if log.address == at.job_book
            && let Ok(event) = JobBookEvents::decode_log(log)
        {
            self.read_pay(&event.data);
        }
    }

    fn read_line(&mut self, event: &WaitingEvents, time: u64) {
        match event {
            WaitingEvents::ProviderWaits(e) => {
                let line = self.lines.entry(JobId(e.jobId)).or_default().at(time);
                let busy = line.entries.get(&e.number).map_or(0, |entry| entry.busy);
                let state = EntryState::Waiting;
                line.entries.insert(e.number, Entry { bond: e.bond.to(), state, busy });
            }
            WaitingEvents::ProviderLeft(e) => {
                let line = self.lines.entry(JobId(e.jobId)).or_default().at(time);
                if let Some(entry) = line.entries.get_mut(&e.number) {
                    entry.state = EntryState::Left;
                }
            }
            WaitingEvents::BondFreed(e) => {
                let line = self.lines.entry(JobId(e.jobId)).or_default().at(time);
                if line.entries.remove(&e.number).is_none_or(|entry| entry.busy != 0) {
                    self.faults.push(format!("a bond was freed that was not free: {e:?}"));
                }
            }
        }
    }

    fn read_replica(
        &mut self,
        event: &ReplicasEvents,
        time: u64,
        scene: &Scene,
        counts: &mut Counts,
    ) {
        match event {
            ReplicasEvents::MateDue(e) => {
                let line = self.lines.entry(JobId(e.jobId)).or_default().at(time).before.clone();
                let (until, primary) = (time + u64::from(DRAW_SPAN_S), e.provider);
                let seen = Seen { until, line, round: e.round, primary, ..Seen::default() };
                self.ranges.insert(range(e.jobId, e.seq), seen);
            }
            ReplicasEvents::MateDrawn(e) => self.draw(range(e.jobId, e.seq), e.number, time, scene),
            ReplicasEvents::NoMate(e) => {
                self.go_alone(range(e.jobId, e.seq), e.lapsed, time, scene);
            }
            ReplicasEvents::MateLost(e) => {
                let id = range(e.jobId, e.seq);
                if let Some(seen) = self.ranges.get_mut(&id) {
                    seen.mate = 0;
                }
                self.lines.entry(id.job).or_default().at(time).give_back(e.number);
                if self.is_honest(e.number) {
                    self.faults.push(format!("an honest mate of {id} lost its place: {e:?}"));
                }
            }
            ReplicasEvents::LeafDisputed(e) => {
                let id = range(e.jobId, e.seq);
                if let Some(seen) = self.ranges.get_mut(&id) {
                    seen.disputed = true;
                }
            }
            ReplicasEvents::PrimaryLost(e) if self.is_honest(e.number) => {
                let id = range(e.jobId, e.seq);
                self.faults.push(format!("an honest primary of {id} lost its stake: {e:?}"));
            }
            ReplicasEvents::ReplicaClosed(e) => {
                let outcome = ReplicaOutcome::try_from(e.outcome).unwrap_or(ReplicaOutcome::Open);
                self.close(range(e.jobId, e.seq), outcome, time, scene, counts);
            }
            _ => {}
        }
    }

    fn person(&self, number: u32) -> Option<&(Address, Side, u128)> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.people.get(place)
    }

    fn is_honest(&self, number: u32) -> bool {
        self.person(number).is_some_and(|(_, side, _)| *side == Side::Honest)
    }

    /// Whether somebody is not drawn at all: the range's primary and the client.
    fn is_out(&self, id: RangeId, number: u32, scene: &Scene) -> bool {
        let client = scene.public.jobs.get(&id.job).map(|facts| facts.client);
        let is_client = self.person(number).is_some_and(|(who, ..)| client == Some(*who));
        is_client || self.ranges.get(&id).is_some_and(|seen| seen.primary == number)
    }

    /// All who could be drawn for a range, as they are now, and what it asks of them.
    fn waiters(&self, id: RangeId, scene: &Scene) -> Option<(Vec<Waiter<u32>>, Asked)> {
        let (seen, handed) = (self.ranges.get(&id)?, scene.handed.get(&id)?);
        let price = scene.public.ranges.get(&id)?.price;
        let asked = Asked { value: u128::from(handed.units) * price, price };
        let waiter = |(number, bond): (&u32, &u128)| {
            let reach = self.person(*number).map_or(0, |(.., reach)| *reach);
            // Nobody here has a least price.
            Waiter { owner: *number, bond: *bond, min_price: 0, reach }
        };
        Some((seen.line.iter().map(waiter).collect(), asked))
    }

    /// Bonds of all who are fit to be the mate of a range now.
    fn fit(&self, id: RangeId, scene: &Scene) -> BTreeMap<u32, u128> {
        let Some((line, asked)) = self.waiters(id, scene) else { return BTreeMap::new() };
        let fit = |one: &Waiter<u32>| one.fits(asked) && !self.is_out(id, one.owner, scene);
        line.into_iter().filter(fit).map(|one| (one.owner, one.bond)).collect()
    }

    /// Whom the beacon gives a range as its next mate, with too much to do or not, and the draws that are used up then.
    /// `None`: nobody, or the beacon is not known.
    fn found(&self, id: RangeId, scene: &Scene) -> Option<(u32, usize)> {
        let seen = self.ranges.get(&id)?;
        let seed = Seed::new(*self.beacons.get(&seen.round)?, id, 0);
        let (line, asked) = self.waiters(id, scene)?;
        let out = |number: &u32| self.is_out(id, *number, scene);
        let (place, next) = replica::mate(seed, seen.next, &line, asked, out);
        Some((line.get(place?)?.owner, next))
    }

    fn is_full(&self, job: JobId, number: u32) -> bool {
        self.lines.get(&job).is_some_and(|line| line.is_full(number))
    }

    /// The chance that a friend is drawn of these, by their bonds, and becomes the mate, billionths: one that has as much
    /// to do as it may have does not, and nobody does in its place.
    fn chance(&self, id: RangeId, fit: &BTreeMap<u32, u128>) -> u32 {
        let sum = |friends: bool| -> u128 {
            let counted =
                |number: u32| !friends || !self.is_honest(number) && !self.is_full(id.job, number);
            fit.iter().filter(|(number, _)| counted(**number)).map(|(_, bond)| bond).sum()
        };
        let chance = sum(true) * u128::from(ONE.0) / sum(false).max(1);
        u32::try_from(chance).unwrap_or(ONE.0)
    }

    /// A range has no mate, or none any more.
    fn go_alone(&mut self, id: RangeId, lapsed: bool, time: u64, scene: &Scene) {
        let chance = self.chance(id, &self.fit(id, scene));
        let found = self.found(id, scene).map(|(number, _)| number);
        let is_full = found.is_some_and(|number| self.is_full(id.job, number));
        let Some(seen) = self.ranges.get_mut(&id) else { return };
        seen.lapsed = lapsed;
        let all_tried = seen.asked.len() as u64 >= u64::from(REPLICA_TRIES);
        if lapsed || all_tried || time > seen.until {
            return;
        }
        match found {
            // Whoever was drawn has as much to do as it may have: a draw all the same, and no match.
            Some(_) if is_full && seen.asked.is_empty() => seen.chance = Some(chance),
            Some(_) if is_full => {}
            Some(number) => self.faults.push(format!("{id} has no mate, and {number} was drawn")),
            None if !self.beacons.contains_key(&seen.round) => {
                self.faults.push(format!("{id} has no mate, and nobody knows whom it has drawn"));
            }
            None => {}
        }
    }

    fn draw(&mut self, id: RangeId, number: u32, time: u64, scene: &Scene) {
        let chance = self.chance(id, &self.fit(id, scene));
        let found = self.found(id, scene);
        let line = self.lines.entry(id.job).or_default().at(time);
        if line.is_full(number) {
            self.faults.push(format!("{number} is the mate of {id}, and has too much to do"));
        }
        line.take(number);
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} has a mate and was never handed in"));
        };
        match found {
            Some((drawn, next)) if drawn == number => seen.next = next,
            _ => {
                let (line, primary) = (&seen.line, seen.primary);
                let text = format!("{number} is the mate of {id}, by {primary}, on {line:?}");
                self.faults.push(format!("{text}, and not {found:?}"));
            }
        }
        if seen.asked.is_empty() {
            seen.chance = Some(chance);
        }
        seen.asked.push(number);
        seen.mate = number;
    }

    fn close(
        &mut self,
        id: RangeId,
        outcome: ReplicaOutcome,
        time: u64,
        scene: &Scene,
        counts: &mut Counts,
    ) {
        counts.replicas[usize::from(u8::from(outcome))] += 1;
        let Some(seen) = self.ranges.get_mut(&id) else {
            return self.faults.push(format!("{id} is closed and was never handed in"));
        };
        seen.outcome = Some(outcome);
        let (primary, mate, chance) = (seen.primary, seen.mate, seen.chance);
        self.lines.entry(id.job).or_default().at(time).give_back(mate);
        let is_forged = scene.handed.get(&id).is_some_and(|handed| handed.faults().0 != 0);
        if let Some(chance) = chance.filter(|_| is_forged) {
            counts.matches.add(chance, outcome == ReplicaOutcome::Matched);
        }
        let honest = self.is_honest(primary) && self.is_honest(mate);
        if honest && outcome != ReplicaOutcome::Matched {
            self.faults.push(format!("two honest providers of {id} came to {outcome}"));
        }
        if outcome == ReplicaOutcome::Open {
            self.faults.push(format!("{id} is closed and open"));
        }
    }

    /// A range's audit begins: after its replica, and where that says so in any case; or a leaf is before the auditors. If they
    /// find the primary's to be right, its replica is closed as without a mate, and the audit follows.
    fn begin(&mut self, id: RangeId, rate: u32) {
        let Some(seen) = self.ranges.get(&id) else { return };
        let is_right = match seen.outcome {
            None => seen.disputed && rate == DISPUTED_RATE,
            Some(ReplicaOutcome::Matched) if seen.disputed => false,
            Some(ReplicaOutcome::Matched | ReplicaOutcome::Alone) => {
                rate <= ONE.0 && (!seen.lapsed || rate == ONE.0)
            }
            Some(_) => false,
        };
        if !is_right {
            self.faults.push(format!("{id} is audited at {rate}, though {seen:?}"));
        }
    }

    /// Mates are paid as their primaries, but for their audits.
    fn read_pay(&mut self, event: &JobBookEvents) {
        match event {
            JobBookEvents::MateSettled(e) => {
                if let Some(seen) = self.ranges.get_mut(&range(e.jobId, e.seq)) {
                    seen.paid = Some((e.provider, e.paid, e.fee));
                }
            }
            JobBookEvents::RangeSettled(e) => {
                let id = range(e.jobId, e.seq);
                let Some(seen) = self.ranges.get(&id) else { return };
                let matched = seen.outcome == Some(ReplicaOutcome::Matched);
                let mate = self.person(seen.mate).map_or(Address::ZERO, |(who, ..)| *who);
                let owed = if matched { mate } else { Address::ZERO };
                let is_right = seen.paid.is_some_and(|(to, paid, fee)| {
                    let most = if matched { e.fee } else { 0 };
                    to == owed && paid + fee == e.paid + e.fee && fee <= most
                });
                if !is_right {
                    let (paid, fee) = (e.paid, e.fee);
                    let text = format!("the mate of {id}, beside {paid} and {fee}: {seen:?}");
                    self.faults.push(text);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
