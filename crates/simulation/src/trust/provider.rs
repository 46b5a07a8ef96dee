//! A provider: claims, works, hands in, plays its part in audits. How it sees to its pay is beside this file
//! (`earning`). Whoever works by a machine (`agent`) leaves all but its part in audits to that.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, aliases::U96};
use alloy_sol_types::SolCall;
use tilth_client::{
    audit::{Effect, Event, Millis, Party},
    holding,
};
use tilth_contracts::{Audits, JobBook};
use tilth_protocol::{JobId, RangeId};

use super::{
    agent::Agent,
    cast::Side,
    duty::{Duty, rules},
    holding::Holding,
    mind::ProviderMind,
    pairing::{Name, Pairing},
    scene::{Actor, Handed, Scene, Tx, What},
    work::Work,
    workload,
};
use crate::farm::{FarmError, Receipt};

/// A range in work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    range: RangeId,
    from: u32,
    count: u32,
    ready: Millis,
}

/// See the module's head.
pub struct Provider {
    /// Owner and node key.
    pub who: Address,
    /// Whether it means well.
    pub side: Side,
    /// Units it has executed.
    pub executed: u64,
    pub(super) me: Actor,
    slots: usize,
    /// Milliseconds for a task.
    pace: Millis,
    pub(super) mind: Box<dyn ProviderMind>,
    pub(super) duty: Duty,
    pub(super) pairing: Pairing,
    pub(super) holding: Holding,
    pub(super) held: Vec<Held>,
    pub(super) work: BTreeMap<RangeId, Work>,
    claiming: bool,
    /// As of which [moment](Scene::moment) a job had nothing for it.
    refused: BTreeMap<JobId, (u64, u64)>,
    pub(super) dies: Option<Millis>,
    /// What works for it, if that is the real one's machine.
    pub(super) agent: Option<Box<Agent>>,
}

impl Provider {
    /// A provider that is registered with this number, and waits in replicated jobs with this bond.
    pub fn new(
        me: Actor,
        (who, number, side): (Address, u32, Side),
        (slots, bond): (u16, u128),
        skew: i64,
        mind: Box<dyn ProviderMind>,
        scene: &mut Scene,
    ) -> Self {
        scene.serves_auditors.insert(who, mind.serves_inputs());
        scene.keeps_outputs.insert(who, !mind.serves_outputs());
        scene.serves_holders.insert(who, mind.serves_holders());
        let rules = rules(Party::Provider(number), who);
        let pace = 500 + scene.random.below(1_000);
        let pace = mind.pace().unwrap_or(pace);
        let dies = mind.life().map(|life| scene.now + scene.random.below(life));
        let name = Name { me, who, number, pace };
        let replicas = scene.farm.addresses().replicas;
        let holding = Holding::new(holding::Party::Provider(who), (me, who), skew);
        let holding = holding.asking(mind.asks_for_holders());
        let agent = mind.works_by_machine().then(|| Box::new(Agent::new(name, slots, bond)));
        let pairing = match agent {
            // It waits in lines by itself.
            Some(_) => Pairing::new(name, 0, skew, replicas).by_machine(),
            None => Pairing::new(name, bond, skew, replicas),
        };
        Self {
            who,
            side,
            executed: 0,
            me,
            slots: slots.into(),
            pace,
            mind,
            duty: Duty::new(rules, skew),
            pairing,
            holding,
            held: Vec::new(),
            work: BTreeMap::new(),
            claiming: false,
            refused: BTreeMap::new(),
            dies,
            agent,
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn act(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        self.crash(scene);
        let effects = self.duty.catch_up(scene)?;
        self.perform(effects, scene);
        self.pairing.act(&mut *self.mind, &self.work, scene)?;
        self.executed += std::mem::take(&mut self.pairing.executed);
        self.holding.act(scene)?;
        if let Some(mut agent) = self.agent.take() {
            let done = self.work_by_machine(&mut agent, scene);
            self.agent = Some(agent);
            return done;
        }
        self.hand_in(scene);
        self.see_to_pay(scene);
        self.claim(scene)
    }

    /// When it acts next without news.
    pub fn due(&self, scene: &Scene) -> Option<Millis> {
        let ready = self.held.iter().map(|held| held.ready);
        let pay = self.work.keys().filter_map(|range| self.payable_from(*range, scene));
        let duties = self.duty.due().into_iter().chain(self.pairing.due());
        let duties = duties.chain(self.holding.due()).chain(self.next_death());
        if let Some(agent) = &self.agent {
            return duties.chain(agent.due()).chain(self.pairing.missed_from()).min();
        }
        ready.chain(pay).chain(duties).min()
    }

    /// Ranges that were handed in because a machine said so.
    pub fn handed_in_by_machine(&self) -> u64 {
        self.agent.as_ref().map_or(0, |agent| agent.submitted)
    }

    /// How often its machine died with something at stake, and ranges that this has handed in since.
    pub fn restarts(&self) -> [u64; 2] {
        self.agent.as_ref().map_or([0; 2], |agent| [agent.life.into(), agent.submitted_later])
    }

    /// A transaction of its has ended.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn done(&mut self, tx: &Tx, receipt: &Receipt, scene: &mut Scene) -> Result<(), FarmError> {
        match &tx.what {
            What::Audit(range) => {
                let event = Event::Ended { range: *range, done: receipt.success };
                let effects = self.duty.take(event, scene)?;
                self.perform(effects, scene);
            }
            What::Mate(_) | What::Line(_) => {
                self.pairing.done((tx, receipt), &mut *self.mind, &self.work, scene)?;
            }
            What::Hold(_) => self.holding.done(tx, receipt, scene)?,
            What::Work(..) => {
                if let Some(mut agent) = self.agent.take() {
                    let done = self.answer_machine(&mut agent, (tx, receipt), scene);
                    self.agent = Some(agent);
                    return done;
                }
            }
            What::Claim(job) => {
                self.claiming = false;
                let given = JobBook::claimCall::abi_decode_returns(&receipt.output).ok();
                let Some(given) = given.filter(|_| receipt.success) else {
                    self.refused.insert(*job, scene.moment());
                    return Ok(());
                };
                let range = RangeId { job: *job, seq: given.seq };
                let ready = scene.now + self.pace * u64::from(given.count);
                self.held.push(Held { range, from: given.from, count: given.count, ready });
            }
            What::Submit(range) if !receipt.success => {
                // Too late: somebody had it expired.
                self.work.remove(range);
                scene.handed.remove(range);
            }
            What::Pay(ranges) => {
                for range in ranges {
                    if let Some(work) = self.work.get_mut(range) {
                        work.paying = false;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn perform(&mut self, effects: Vec<Effect>, scene: &mut Scene) {
        let audits = scene.farm.addresses().audits;
        for effect in effects {
            let range = effect.range();
            if scene.send_common(self.me, self.who, &effect) {
                continue;
            }
            let Some(work) = self.work.get(&range) else { continue };
            let what = What::Audit(range);
            match effect {
                Effect::Name { seed, .. } if self.mind.names() => {
                    let positions = work.positions(seed);
                    let call = Audits::nameCall { jobId: range.job.0, seq: range.seq, positions };
                    scene.send(self.me, self.who, audits, &call, what);
                }
                Effect::Open { positions, .. } if self.mind.opens() => {
                    if let Some(call) = work.opened(range, &positions) {
                        scene.send(self.me, self.who, audits, &call, what);
                    }
                }
                // Silence: the machine waits for an end that does not come.
                _ => {}
            }
        }
    }

    fn hand_in(&mut self, scene: &mut Scene) {
        let now = scene.now;
        let (done, held): (Vec<Held>, Vec<Held>) =
            self.held.drain(..).partition(|held| held.ready <= now);
        self.held = held;
        for Held { range, from, count, .. } in done {
            let truth = workload::leaves(range.job, from, count);
            let Scene { public, random, .. } = scene;
            let Some(hand_in) = self.mind.hand_in(range, &truth, public, random) else { continue };
            let Some(work) = Work::new(range.job, hand_in) else { continue };
            self.executed += work.hand_in.executed;
            let found = work.found();
            let false_root = work.hand_in.instead.is_some();
            let leaves = work.hand_in.leaves.clone();
            let wrong = leaves.iter().zip(&truth).map(|(said, is)| false_root || said != is);
            let wrong = wrong.collect();
            let by_foe = self.side == Side::Foe;
            scene.handed.insert(range, Handed { leaves, wrong, units: found.units, by_foe });
            let job = scene.public.jobs.get(&range.job);
            let is_replicated = job.is_some_and(|facts| facts.terms.replicas != 0);
            let seal = is_replicated.then(|| self.pairing.seal(range, &found));
            let call = JobBook::submitCall {
                jobId: range.job.0,
                seq: range.seq,
                root: seal.unwrap_or(found.root),
                units: found.units,
                failures: found.failures,
                contentHash: B256::repeat_byte(5),
            };
            self.work.insert(range, work);
            let book = scene.farm.addresses().job_book;
            scene.send(self.me, self.who, book, &call, What::Submit(range));
        }
    }

    fn claim(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        if self.claiming || self.held.len() >= self.slots {
            return Ok(());
        }
        let open: Vec<JobId> =
            scene.public.jobs.iter().filter(|(_, j)| !j.over).map(|(id, _)| *id).collect();
        for job in open {
            if self.refused.get(&job) == Some(&scene.moment()) {
                continue;
            }
            let facts = &scene.public.jobs[&job];
            let served = scene.serves_providers(job, self.who);
            if !served || !self.mind.wants(job, facts, &scene.public) {
                continue;
            }
            let book = scene.farm.addresses().job_book;
            let call = JobBook::claimableCall { jobId: job.0, provider: self.who };
            if scene.farm.read(book, &call)?.count == 0 {
                self.refused.insert(job, scene.moment());
                continue;
            }
            let want = self.mind.asks_for(&scene.public);
            let call = JobBook::claimCall { jobId: job.0, want, minPrice: U96::ZERO };
            scene.send(self.me, self.who, book, &call, What::Claim(job));
            self.claiming = true;
            return Ok(());
        }
        Ok(())
    }
}
