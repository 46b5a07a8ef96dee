//! Watches over replicated ranges: who may be drawn as a mate, how often that is a friend, and what both are paid.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::{SolEvent, SolEventInterface};
use tilth_contracts::{
    Audits::AuditsEvents, EntryState, JobBook::JobBookEvents, Registry::RegistryEvents,
    ReplicaOutcome, Replicas::ReplicasEvents, SoloRandomness, Waiting::WaitingEvents,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{arithmetic::ONE, replica::DRAW_SPAN_S, walk::DISPUTED_RATE};

use super::{
    cast::Side,
    counts::Counts,
    lines::{Entry, Line},
    public::range,
    scene::Scene,
};

/// What was seen of a range.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Up to when mates are drawn, by the chain's clock, seconds.
    pub(super) until: u64,
    /// Bonds of all who could be drawn.
    pub(super) line: BTreeMap<u32, u128>,
    /// The beacon's round that draws them.
    pub(super) round: u64,
    /// Draws that are used up.
    pub(super) next: usize,
    pub(super) primary: u32,
    /// Its mate; 0: none.
    pub(super) mate: u32,
    /// All that were drawn.
    pub(super) asked: Vec<u32>,
    /// The chance that whoever was drawn first is a friend of its primary that might have more to do, billionths; asked
    /// or not.
    pub(super) chance: Option<u32>,
    pub(super) lapsed: bool,
    /// Whether auditors vote on a leaf of it.
    pub(super) disputed: bool,
    pub(super) outcome: Option<ReplicaOutcome>,
    /// Who was paid for it besides, what it got, and what of its part it did not get.
    pub(super) paid: Option<(Address, u128, u128)>,
}

/// See the module's head. All foes of a world are each other's friends.
#[derive(Debug, Default)]
pub struct Pairs {
    /// What went wrong.
    pub faults: Vec<String>,
    /// Providers in the order of their numbers, and what each has to lose.
    pub(super) people: Vec<(Address, Side, u128)>,
    pub(super) lines: BTreeMap<JobId, Line>,
    pub(super) ranges: BTreeMap<RangeId, Seen>,
    /// Values of the beacon, by their rounds.
    pub(super) beacons: BTreeMap<u64, B256>,
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
