//! An auditor: examines, commits, reveals, collects.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, keccak256};
use tilth_client::{
    audit::{Effect, Event, Millis, Party, Question as Asked, Sealed},
    holding,
};
use tilth_contracts::Audits;
use tilth_protocol::{Leaf, RangeId};
use tilth_verification::audit;

use super::{
    cast::Side,
    duty::{Duty, rules},
    holding::Holding,
    mind::{AuditorMind, Question, Reply},
    scene::{Actor, Scene, Tx, What},
    workload,
};
use crate::farm::{FarmError, Receipt};

/// The chain id of the machine in memory.
pub(super) const CHAIN_ID: u64 = 1;
/// Milliseconds to execute a leaf.
const PACE: Millis = 1_500;
/// Milliseconds until an attempt to fetch inputs fails.
const FETCH_FAILS: Millis = 5_000;

/// See the module's head.
pub struct Auditor {
    /// Owner and node key.
    pub who: Address,
    /// Whether it means well.
    pub side: Side,
    /// Units it has executed.
    pub executed: u64,
    me: Actor,
    mind: Box<dyn AuditorMind>,
    duty: Duty,
    holding: Holding,
    /// Commitments of others that it sends as its own.
    copies: BTreeMap<RangeId, B256>,
}

impl Auditor {
    /// An auditor that has joined with this number.
    pub fn new(
        me: Actor,
        (who, number, side): (Address, u32, Side),
        skew: i64,
        mind: Box<dyn AuditorMind>,
    ) -> Self {
        let rules = rules(Party::Auditor(number), who);
        let duty = Duty::new(rules, skew);
        let holding = Holding::new(holding::Party::Auditor(number), (me, who), skew);
        let holding = holding.conducted(mind.holds(), mind.looks());
        Self { who, side, executed: 0, me, mind, duty, holding, copies: BTreeMap::new() }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn act(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        let effects = self.duty.catch_up(scene)?;
        self.perform(effects, scene)?;
        self.holding.act(scene)
    }

    /// When it acts next without news.
    pub fn due(&self) -> Option<Millis> {
        self.duty.due().into_iter().chain(self.holding.due()).min()
    }

    /// A transaction of its has ended.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn done(&mut self, tx: &Tx, receipt: &Receipt, scene: &mut Scene) -> Result<(), FarmError> {
        let What::Audit(range) = tx.what else { return self.holding.done(tx, receipt, scene) };
        let effects = self.duty.take(Event::Ended { range, done: receipt.success }, scene)?;
        self.perform(effects, scene)
    }

    fn perform(&mut self, effects: Vec<Effect>, scene: &mut Scene) -> Result<(), FarmError> {
        let audits = scene.farm.addresses().audits;
        let mut effects = std::collections::VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let range = effect.range();
            if scene.send_common(self.me, self.who, &effect) {
                continue;
            }
            let (job_id, seq, what) = (range.job.0, range.seq, What::Audit(range));
            match effect {
                Effect::Prepare { .. } => {
                    effects.extend(self.duty.take(Event::Ended { range, done: true }, scene)?);
                }
                Effect::Examine { question, .. } => self.examine(range, question, scene),
                Effect::Recall { .. } => {
                    let event = match self.duty.seals.get(&range) {
                        Some((seat, sealed)) => {
                            Event::Sealed { range, seat: *seat, sealed: *sealed }
                        }
                        None => Event::Ended { range, done: false },
                    };
                    effects.extend(self.duty.take(event, scene)?);
                }
                Effect::Seal { seat, question, answer, .. } => {
                    // Nobody else knows it, as far as anybody here tries to find out.
                    let salt = keccak256(
                        [self.who.as_slice(), &job_id.to_be_bytes(), &seq.to_be_bytes()].concat(),
                    );
                    let sealed = Sealed { question, answer, salt };
                    self.duty.seals.insert(range, (seat, sealed));
                    effects.extend(self.duty.take(Event::Sealed { range, seat, sealed }, scene)?);
                }
                Effect::Commit { seat: number, sealed, .. } => {
                    let Sealed { answer, salt, .. } = sealed;
                    let own = audit::seal(CHAIN_ID, audits, range, self.who, answer, salt);
                    let sealed_ = self.copies.get(&range).copied().unwrap_or(own);
                    let call = Audits::commitCall { jobId: job_id, seq, number, sealed_ };
                    scene.send(self.me, self.who, audits, &call, what);
                }
                Effect::Reveal { seat: number, sealed, .. } if self.mind.reveals() => {
                    let Sealed { answer, salt, .. } = sealed;
                    let call = Audits::revealCall { jobId: job_id, seq, number, answer, salt };
                    scene.send(self.me, self.who, audits, &call, what);
                }
                // Silence: the machine waits for an end that does not come.
                _ => {}
            }
        }
        Ok(())
    }

    fn examine(&mut self, range: RangeId, question: Asked, scene: &mut Scene) {
        // What it has copied in a dispute is no answer to the case that follows.
        self.copies.remove(&range);
        let positions = &question.positions;
        let failed = Event::Ended { range, done: false };
        let (now, has_inputs) = (scene.now, scene.has_inputs(range));
        let Scene { public, handed, random, .. } = scene;
        let (Some(facts), Some(of)) = (handed.get(&range), public.ranges.get(&range)) else {
            return self.duty.later(now + FETCH_FAILS, failed);
        };
        let at = |place: &u32| usize::try_from(*place).ok().and_then(|at| facts.leaves.get(at));
        let truth: Vec<Leaf> =
            positions.iter().map(|place| workload::leaf(range.job, of.from + place)).collect();
        let handed: Vec<Leaf> = positions.iter().filter_map(at).copied().collect();
        let ask = Question { range, truth, handed, facts };
        let reply = self.mind.reply(&ask, public, random);
        match reply {
            Reply::Honest if !has_inputs => self.duty.later(now + FETCH_FAILS, failed),
            Reply::Honest => {
                let mut once: BTreeMap<u32, u64> = BTreeMap::new();
                once.extend(ask.truth.iter().map(|leaf| (leaf.index, leaf.units)));
                self.executed += once.values().sum::<u64>();
                let ends = now + PACE * once.len() as u64;
                self.duty.later(ends, Event::Examined { range, question, answer: ask.honest() });
            }
            Reply::Say(answer) => self.duty.later(now, Event::Examined { range, question, answer }),
            Reply::Copy(seal) => {
                self.copies.insert(range, seal);
                self.duty.later(now, Event::Examined { range, question, answer: ask.honest() });
            }
            Reply::Later => self.duty.later(now + FETCH_FAILS, failed),
            Reply::Never => {}
        }
    }
}
