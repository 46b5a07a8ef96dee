//! Watches a world and says what must not have happened. It knows what everybody did; nobody asks it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, Log};
use alloy_sol_types::{SolEvent, SolEventInterface};
use tilth_contracts::{
    AuditOutcome, Auditors::AuditorsEvents, Audits::AuditsEvents, JobBook::JobBookEvents,
    Registry::RegistryEvents, SeatState, SoloRandomness,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{arithmetic::Share, audit::positions, walk::DISPUTED_RATE};

use super::{
    bills::Bills,
    cast::{Allowed, Side},
    counts::Counts,
    cuts::{Cut, Cuts, Stake},
    disputes::Disputes,
    keeps::Keeps,
    pairs::Pairs,
    public::range,
    sample::detection,
    scene::Scene,
    seats::Panel,
};
use crate::farm::FarmError;

/// The chance, billionths, that a quarter of the stake has an honest range overturned: drawn first, and then
/// five ahead (`(3^6 - 1) / (3^10 - 1)` of a quarter, 0.3 %), with room for how few people there are.
pub const FRAMED: u32 = 10_000_000;

/// The chance, billionths, that a case about honest work finds no lead where four of thirteen auditors, with a third of the stake,
/// do not execute. The rules alone, played with the stakes of that cast, come to it in 2.5 % of cases that begin with one vote and in
/// 2.9 % of those that begin with two: the test `lead` beside this file plays them.
pub const NO_LEAD: u32 = 40_000_000;

/// What became of one case: of the last one of its range.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) rate: u32,
    /// The beacon's round that decides whether it is audited, and draws by whom.
    pub(super) round: u64,
    pub(super) outcome: Option<AuditOutcome>,
    pub(super) audited: bool,
    /// Whether a wrong leaf was among those drawn.
    pub(super) hit: Option<bool>,
    /// How many seats it has, and those of them that nobody came to, seat 0 lowest.
    pub(super) given: u8,
    pub(super) absent: u16,
}

/// See the module's head.
#[derive(Debug)]
pub struct Oracle {
    /// What went wrong.
    pub faults: Vec<String>,
    /// What was counted.
    pub counts: Counts,
    /// Who watches over replicated ranges.
    pub pairs: Pairs,
    /// Who watches over kept ranges.
    pub keeps: Keeps,
    pub(super) allowed: Allowed,
    /// Part of the auditors' stake that is for sale.
    pub(super) bought: Share,
    pub(super) people: BTreeMap<Address, Side>,
    pub(super) funded: BTreeMap<Address, u128>,
    pub(super) cases: BTreeMap<RangeId, Seen>,
    /// Who sits in them.
    pub(super) panels: BTreeMap<RangeId, Panel>,
    /// Rounds of the beacon that nobody kept in time.
    pub(super) moved: BTreeSet<u64>,
    /// Jobs in which a leaf was disputed.
    pub(super) disputed: BTreeSet<JobId>,
    given: BTreeMap<Address, u128>,
    pub(super) cuts: Cuts,
    /// What jobs cost their clients.
    pub(super) bills: Bills,
    /// When disputes are drawn.
    pub(super) disputes: Disputes,
}

impl Oracle {
    /// Of a world with nobody in it.
    pub fn new(allowed: Allowed, bought: Share) -> Self {
        Self {
            bought,
            faults: Vec::new(),
            counts: Counts::default(),
            pairs: Pairs::default(),
            keeps: Keeps::default(),
            allowed,
            people: BTreeMap::new(),
            funded: BTreeMap::new(),
            cases: BTreeMap::new(),
            panels: BTreeMap::new(),
            moved: BTreeSet::new(),
            disputed: BTreeSet::new(),
            given: BTreeMap::new(),
            cuts: Cuts::default(),
            bills: Bills::default(),
            disputes: Disputes::default(),
        }
    }

    /// Somebody comes, with so much money.
    pub fn meet(&mut self, who: Address, side: Side, money: u128) {
        self.people.insert(who, side);
        *self.funded.entry(who).or_default() += money;
    }

    /// Something is wrong.
    pub fn blame(&mut self, what: String) {
        self.faults.push(what);
    }

    /// What may happen here.
    pub fn allowed(&self) -> Allowed {
        self.allowed
    }

    /// What somebody brought.
    pub fn funded(&self, who: &Address) -> u128 {
        self.funded.get(who).copied().unwrap_or(0)
    }

    /// Reads a log, after the scene has.
    pub fn read(&mut self, log: &Log, scene: &Scene) {
        let at = scene.farm.addresses();
        if log.address == at.registry
            && let Ok(event) = RegistryEvents::decode_log(log)
            && let RegistryEvents::StakeSlashed(e) = &event.data
        {
            let (stake, left) = (Stake::Provider, e.stake + e.unbonding);
            let (owner, given, burned) = (e.owner, e.toBeneficiary, e.burned);
            self.cut(e.beneficiary, Cut { owner, stake, given, burned, left });
        } else if log.address == at.auditors
            && let Ok(event) = AuditorsEvents::decode_log(log)
            && let AuditorsEvents::AuditorSlashed(e) = &event.data
        {
            let (stake, left) = (Stake::Auditor, e.stake + e.leaving);
            let (owner, given, burned) = (e.owner, e.toBeneficiary, e.burned);
            self.cut(e.beneficiary, Cut { owner, stake, given, burned, left });
        } else if log.address == at.audits
            && let Ok(event) = AuditsEvents::decode_log(log)
        {
            self.read_audit(&event.data, scene);
        } else if log.address == at.randomness
            && let Ok(event) = SoloRandomness::Moved::decode_log(log)
        {
            self.moved.insert(event.data.round);
        } else if log.address == at.job_book
            && let Ok(event) = JobBookEvents::decode_log(log)
        {
            self.bills.read(&event.data, scene, &mut self.counts);
            self.faults.append(&mut self.bills.faults);
            self.read_job(&event.data, scene);
        }
    }

    /// The same, about replicated ranges; `time` is that of the log's block, seconds.
    pub fn read_pairs(&mut self, log: &Log, time: u64, scene: &Scene) {
        self.pairs.read(log, time, scene, &mut self.counts);
        self.faults.append(&mut self.pairs.faults);
        self.disputes.read(log, time, scene, &mut self.counts);
        self.faults.append(&mut self.disputes.faults);
    }

    /// No dispute is open in the end.
    pub fn check_disputes(&mut self) {
        self.disputes.check();
        self.faults.append(&mut self.disputes.faults);
    }

    /// The same, about kept ranges; `acknowledged`: the log is of a client's acknowledgement.
    pub fn read_keeps(&mut self, log: &Log, (time, acknowledged): (u64, bool), scene: &Scene) {
        self.keeps.read(log, (time, acknowledged), scene, &mut self.counts);
        self.faults.append(&mut self.keeps.faults);
    }

    /// Nothing is open in the end, and every deposit has become fees or gone back, or was burned for lost inputs.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn check_keeps(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        self.keeps.check(scene)?;
        self.faults.append(&mut self.keeps.faults);
        Ok(())
    }

    fn cut(&mut self, beneficiary: Address, cut: Cut) {
        if cut.burned < cut.given {
            self.blame(format!("less than half of a cut was burned: {cut:?}"));
        }
        *self.given.entry(beneficiary).or_default() += cut.given;
        let honest = self.people.get(&cut.owner) == Some(&Side::Honest);
        if honest {
            self.counts.honest_cut += cut.sum();
        }
        self.cuts.cut(cut, honest, self.allowed);
    }

    /// Honest stakes were cut for late ranges and for wrong verdicts alone, each of which explains its own cuts.
    pub fn check_cuts(&mut self) {
        self.faults.extend(self.cuts.unexplained());
    }

    fn read_audit(&mut self, event: &AuditsEvents, scene: &Scene) {
        match event {
            AuditsEvents::AuditDue(e) => {
                let id = range(e.jobId, e.seq);
                self.begin(id, e.rate);
                if let Some(seen) = self.cases.get_mut(&id) {
                    seen.round = e.round;
                }
            }
            AuditsEvents::AuditBegun(e) => {
                if let Some(seen) = self.cases.get_mut(&range(e.jobId, e.seq)) {
                    seen.audited = true;
                }
            }
            AuditsEvents::AuditStage(e) => {
                let id = range(e.jobId, e.seq);
                let (Some(seen), Some(handed)) = (self.cases.get_mut(&id), scene.handed.get(&id))
                else {
                    return self.blame(format!("{id} is audited and nobody handed it in"));
                };
                if seen.hit.is_some() {
                    return;
                }
                let places = positions(e.positions);
                let wrong = |place: &u32| {
                    usize::try_from(*place).ok().and_then(|at| handed.wrong.get(at).copied())
                };
                let hit = places.iter().any(|place| wrong(place) == Some(true));
                seen.hit = Some(hit);
                let (count, units) = handed.faults();
                // Nobody draws the leaf of a dispute.
                if count != 0 && seen.rate != DISPUTED_RATE {
                    let leaves = handed.leaves.len() as u64;
                    let chance = detection(count, leaves, units, handed.units);
                    self.counts.hits.add(chance, hit);
                }
            }
            AuditsEvents::AuditClosed(e) => {
                let outcome = AuditOutcome::try_from(e.outcome).unwrap_or(AuditOutcome::Open);
                let id = range(e.jobId, e.seq);
                self.judge(id, outcome, e.answer, scene);
                if let Some(seen) = self.cases.get_mut(&id) {
                    seen.outcome = Some(outcome);
                }
            }
            AuditsEvents::WrongAudit(e) => self.cuts.voted(range(e.jobId, e.seq), e.cut),
            AuditsEvents::SeatGiven(e) => {
                let id = range(e.jobId, e.seq);
                self.seat(id, e.auditor, e.seat, scene);
                self.check_draw(id, e.auditor, (e.seat, e.stage), scene);
            }
            AuditsEvents::SeatLost(e) => {
                let id = range(e.jobId, e.seq);
                self.lose(id, e.seat);
                if SeatState::try_from(e.state) == Ok(SeatState::Absent) {
                    self.miss(id, e.seat, e.cut, scene);
                }
            }
            _ => {}
        }
    }

    /// A case begins: a range's only one, or that which follows a dispute in which its provider was right.
    fn begin(&mut self, id: RangeId, rate: u32) {
        let is_dispute = rate == DISPUTED_RATE;
        if is_dispute {
            self.disputed.insert(id.job);
        }
        let before = self.cases.insert(id, Seen { rate, ..Seen::default() });
        self.panels.insert(id, Panel::default());
        let upheld =
            |seen: Seen| seen.rate == DISPUTED_RATE && seen.outcome == Some(AuditOutcome::Upheld);
        if before.is_some_and(|seen| is_dispute || !upheld(seen)) {
            self.blame(format!("{id} is audited again at {rate}, after {before:?}"));
        }
    }

    /// What somebody was given out of others' cuts.
    pub fn given(&self, who: &Address) -> u128 {
        self.given.get(who).copied().unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
