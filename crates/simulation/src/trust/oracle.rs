//! Watches a world and says what must not have happened. It knows what everybody did; nobody asks it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Log, U256};
use alloy_sol_types::SolEventInterface;
use tilth_contracts::{
    AuditOutcome, Auditors::AuditorsEvents, Audits::AuditsEvents, DeployParams,
    JobBook::JobBookEvents, Ledger, Registry::RegistryEvents, WGrain,
};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::{
    arithmetic::Share,
    audit::{MAX_RANGE_TIMEOUT_S, first_votes, positions},
    walk::DISPUTED_RATE,
};

use super::{
    cast::{Allowed, Side},
    counts::Counts,
    cuts::{Cut, Cuts, Stake},
    keeps::Keeps,
    pairs::Pairs,
    public::range,
    sample::detection,
    scene::{Handed, Scene},
};
use crate::farm::{FarmError, TREASURY};

/// The chance, billionths, that a quarter of the stake has an honest range overturned: drawn first, and then
/// five ahead (`(3^6 - 1) / (3^10 - 1)` of a quarter, 0.3 %), with room for how few people there are.
pub const FRAMED: u32 = 10_000_000;

/// The chance, billionths, that a case about honest work finds no lead where four of thirteen auditors, with a third of the stake,
/// do not execute. The rules alone, played with the stakes of that cast, come to it in 2.5 % of cases that begin with one vote and in
/// 2.9 % of those that begin with two: the test `lead` beside this file plays them.
pub const NO_LEAD: u32 = 40_000_000;

/// Seconds after a job's deadline by which its last range is judged: it is claimed at the deadline, and its case asks
/// fifteen auditors one after the other.
const LONGEST_CASE: u64 = MAX_RANGE_TIMEOUT_S as u64 + 600 + 86_400;
/// So much longer if it is replicated, seconds.
const LONGEST_REPLICA: u64 = 36_000;
/// And if a leaf of it is disputed, whose case comes before its own.
const LONGEST_DISPUTE: u64 = 86_400;
/// And if it is kept: two asks of two hours each, and what is between them.
const LONGEST_HOLD: u64 = 18_000;

/// What became of one case: of the last one of its range.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    rate: u32,
    outcome: Option<AuditOutcome>,
    audited: bool,
    /// Whether a wrong leaf was among those drawn.
    hit: Option<bool>,
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
    allowed: Allowed,
    /// Part of the auditors' stake that is for sale.
    bought: Share,
    people: BTreeMap<Address, Side>,
    funded: BTreeMap<Address, u128>,
    cases: BTreeMap<RangeId, Seen>,
    /// Jobs in which a leaf was disputed.
    disputed: BTreeSet<JobId>,
    given: BTreeMap<Address, u128>,
    cuts: Cuts,
}

/// The most that a range can come to, base units.
fn most_worth(id: RangeId, scene: &Scene) -> u128 {
    let cap = scene.public.jobs.get(&id.job).map_or(0, |job| job.terms.unitCap);
    let of = |facts: &super::public::Range| u128::from(facts.count) * facts.price;
    scene.public.ranges.get(&id).map_or(0, of) * u128::from(cap)
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
            disputed: BTreeSet::new(),
            given: BTreeMap::new(),
            cuts: Cuts::default(),
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
        } else if log.address == at.job_book
            && let Ok(event) = JobBookEvents::decode_log(log)
        {
            self.read_job(&event.data, scene);
        }
    }

    /// The same, about replicated ranges; `time` is that of the log's block, seconds.
    pub fn read_pairs(&mut self, log: &Log, time: u64, scene: &Scene) {
        self.pairs.read(log, time, scene, &mut self.counts);
        self.faults.append(&mut self.pairs.faults);
    }

    /// The same, about kept ranges; `acknowledged`: the log is of a client's acknowledgement.
    pub fn read_keeps(&mut self, log: &Log, (time, acknowledged): (u64, bool), scene: &Scene) {
        self.keeps.read(log, (time, acknowledged), scene, &mut self.counts);
        self.faults.append(&mut self.keeps.faults);
    }

    /// Nothing is open in the end, and every deposit has become fees or gone back.
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
            AuditsEvents::AuditDue(e) => self.begin(range(e.jobId, e.seq), e.rate),
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
        let upheld =
            |seen: Seen| seen.rate == DISPUTED_RATE && seen.outcome == Some(AuditOutcome::Upheld);
        if before.is_some_and(|seen| is_dispute || !upheld(seen)) {
            self.blame(format!("{id} is audited again at {rate}, after {before:?}"));
        }
    }

    /// Compares a verdict with what execution finds in the drawn leaves: about work in which that finds nothing wrong as about
    /// work in which it does, whoever handed it in.
    fn judge(&mut self, id: RangeId, outcome: AuditOutcome, answer: B256, scene: &Scene) {
        let Some(handed) = scene.handed.get(&id) else {
            return self.blame(format!("{id} is judged and nobody handed it in"));
        };
        if matches!(outcome, AuditOutcome::Unaudited | AuditOutcome::Open) {
            return;
        }
        self.counts.verdicts += 1;
        let by_foe = handed.by_foe;
        let hit = self.cases.get(&id).and_then(|seen| seen.hit);
        let found = hit == Some(true);
        // Without an answer nobody has voted it down: its provider did not name or open its leaves in time.
        let silent = outcome == AuditOutcome::Overturned && answer.is_zero();
        let wrong = match outcome {
            AuditOutcome::Upheld => found,
            AuditOutcome::Overturned => !found && !silent,
            AuditOutcome::Undecided | AuditOutcome::Unaudited | AuditOutcome::Open => false,
        };
        if wrong {
            let overturned = outcome == AuditOutcome::Overturned;
            let owner = scene.public.ranges.get(&id).map(|facts| facts.provider);
            self.cuts.misjudged(id, owner.filter(|_| overturned));
        }
        let Allowed { bought_votes, idle_votes, absences, .. } = self.allowed;
        // Where nobody who can look is kept from it, somebody decides.
        let undecided = outcome == AuditOutcome::Undecided && !(by_foe && absences);
        if silent {
            if !by_foe {
                self.blame(format!("{id} was overturned as if its provider had been silent"));
            }
        } else if found && bought_votes {
            let chance = self.chance_to_buy(id, handed, scene);
            self.counts.bought.add(chance, outcome == AuditOutcome::Upheld);
        } else if !found && (bought_votes || idle_votes) {
            self.counts.framed.add(FRAMED, outcome == AuditOutcome::Overturned);
            if idle_votes {
                self.counts.no_lead.add(NO_LEAD, outcome == AuditOutcome::Undecided);
            }
        } else if wrong || undecided && !idle_votes {
            self.blame(format!("{id}, by a foe: {by_foe}, hit: {hit:?}, came to {outcome}"));
        }
    }

    /// The chance that all who are drawn first for a range are bought, billionths.
    fn chance_to_buy(&self, id: RangeId, handed: &Handed, scene: &Scene) -> u32 {
        let small = DeployParams::standard(TREASURY).small_value;
        let price = scene.public.ranges.get(&id).map_or(0, |facts| facts.price);
        let first = first_votes(u128::from(handed.units) * price, small);
        (1..first).fold(self.bought, |chance, _| chance.of(self.bought)).0
    }

    /// Whether a range was audited as often as its rate says. A dispute is no matter of chance.
    fn count_case(&mut self, id: RangeId) {
        if let Some(seen) = self.cases.get(&id).filter(|seen| seen.rate != DISPUTED_RATE) {
            self.counts.audits.add(seen.rate, seen.audited);
        }
    }

    fn read_job(&mut self, event: &JobBookEvents, scene: &Scene) {
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
                    self.counts.paid_for_nothing += u128::from(units) * facts.price;
                }
                self.count_case(id);
                // What was found of one leaf says nothing of the others.
                if self.cases.get(&id).is_some_and(|seen| seen.rate == DISPUTED_RATE) {
                    self.blame(format!("{id} was paid for what was found of one leaf"));
                }
            }
            JobBookEvents::RangeRejected(e) => {
                let id = range(e.jobId, e.seq);
                self.count_case(id);
                if scene.handed.get(&id).is_some_and(|handed| !handed.by_foe) {
                    self.counts.honest_unpaid += 1;
                    if !self.allowed.bought_votes && !self.allowed.idle_votes {
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

    /// What somebody was given out of others' cuts.
    pub fn given(&self, who: &Address) -> u128 {
        self.given.get(who).copied().unwrap_or(0)
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
#[path = "oracle_tests.rs"]
mod tests;
