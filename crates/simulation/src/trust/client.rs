//! A client: opens its jobs, accepts what may be paid, has late ranges expired, ends what is over. What an honest one
//! accepts and ends is decided by the real one's machine (`tending`), what others do by their minds (`minding`).

use std::collections::VecDeque;

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use tilth_client::{
    audit::{Event, Millis, Party},
    holding, mates,
};
use tilth_contracts::{JobBook, RangeState};
use tilth_protocol::{JobId, RangeId};

use super::{
    cast::Side,
    duty::{Duty, rules},
    holding::Holding,
    mates::Mates,
    mind::ClientMind,
    public::Kept,
    scene::{Actor, Scene, Tx, What},
    tending::Tending,
};
use crate::farm::{FarmError, Receipt};

/// So long after the last moment in which something can be said about what is held a client comes back, seconds.
const BACK_AFTER_S: u64 = 300;

/// See the module's head.
pub struct Client {
    /// Its account.
    pub who: Address,
    /// Whether it means well.
    pub side: Side,
    pub(super) me: Actor,
    pub(super) mind: Box<dyn ClientMind>,
    pub(super) duty: Duty,
    mates: Mates,
    holding: Holding,
    /// What sees to its jobs, if that is the real one's machine.
    tending: Option<Tending>,
    /// Whether it has asked for its deposit back before its time.
    pub(super) withdrew: bool,
    /// Whether it has come back for what was not free when its job was over.
    is_back: bool,
    /// Whether it has cancelled its job.
    pub(super) gave_up: bool,
    pub(super) busy: bool,
    /// The [moment](Scene::moment) as of which nothing was to be done.
    pub(super) seen: Option<(u64, u64)>,
}

impl Client {
    /// A client without jobs, which fills up a deposit to at most `most` base units.
    pub fn new(
        me: Actor,
        (who, side): (Address, Side),
        (skew, most): (i64, u128),
        mind: Box<dyn ClientMind>,
        scene: &mut Scene,
    ) -> Self {
        scene.serves_auditors.insert(who, mind.serves_auditors());
        scene.serves_holders.insert(who, mind.serves_holders());
        let rules = rules(Party::Client, who);
        let (duty, mates) = (Duty::new(rules, skew), Mates::new(mates::Party::Client, who, skew));
        let holding = Holding::new(holding::Party::Client, (me, who), skew).up_to(most);
        let tending = mind.tends_by_machine().then(|| Tending::new(me, who, scene.now));
        Self {
            who,
            side,
            me,
            mind,
            duty,
            mates,
            holding,
            tending,
            withdrew: false,
            is_back: false,
            gave_up: false,
            busy: false,
            seen: None,
        }
    }

    /// Whether a provider gets inputs from it.
    pub fn serves(&self, provider: Address) -> bool {
        self.mind.serves(provider)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn act(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        let effects = self.duty.catch_up(scene)?;
        for effect in effects {
            scene.send_common(self.me, self.who, &effect);
        }
        let effects = self.mates.catch_up(scene)?;
        self.go_on(effects, scene)?;
        self.come_back(scene);
        self.holding.act(scene)?;
        if let Some(tending) = &mut self.tending {
            tending.act(|range| self.duty.may_be_paid(range), scene);
        }
        if self.busy {
            return Ok(());
        }
        let jobs: Vec<JobId> = self.jobs(scene).collect();
        for job in jobs {
            if self.tending.is_some() {
                // The real program leaves this to providers that want the tasks. Not everybody here does so.
                self.expire(job, scene);
                continue;
            }
            self.cancel(job, scene);
            self.expire(job, scene);
            self.acknowledge(job, scene);
            self.withdraw(job, scene);
            self.finish(job, scene)?;
        }
        Ok(())
    }

    /// When it acts next without news.
    pub fn due(&self, scene: &Scene) -> Option<Millis> {
        let late = self.jobs(scene).flat_map(|job| {
            let timeout = u64::from(scene.public.jobs[&job].terms.rangeTimeout);
            ranges(job, scene)
                .filter(|(_, range)| range.state == RangeState::Claimed)
                .map(move |(_, range)| (range.at + timeout + 1).saturating_mul(1_000))
        });
        let over = self
            .jobs(scene)
            .filter(|job| !scene.public.is_outstanding(*job))
            .map(|job| deadline(job, scene).saturating_add(1).saturating_mul(1_000));
        let duties = self.duty.due().into_iter().chain(self.mates.due()).chain(self.holding.due());
        let tended = self.tending.as_ref().and_then(|tending| tending.due(scene.now));
        late.chain(over).chain(duties).chain(tended).chain(self.back_at(scene)).min()
    }

    /// Acknowledgements that it has sent because a machine said so.
    pub fn acknowledged_by_machine(&self) -> u64 {
        self.tending.as_ref().map_or(0, Tending::acknowledged)
    }

    /// A later command of its, when nobody looks at what is held any more: what was reserved for that is free now.
    fn come_back(&mut self, scene: &Scene) {
        if self.back_at(scene).is_some_and(|at| at <= scene.now) {
            self.holding.restart();
            self.is_back = true;
        }
    }

    /// When it comes back for that, by the true time. `None`: not, or its first command goes on.
    fn back_at(&self, scene: &Scene) -> Option<Millis> {
        if self.is_back || !self.holding.has_closed() {
            return None;
        }
        let is_ours =
            |job: &JobId| scene.public.jobs.get(job).is_some_and(|facts| facts.client == self.who);
        let held = scene.public.held.iter().filter(|(id, _)| is_ours(&id.job));
        // Those whose own it is do what is due before.
        let due = |kept: &Kept| kept.due.saturating_add(BACK_AFTER_S).saturating_mul(1_000);
        held.map(|(_, kept)| if kept.over { 0 } else { due(kept) }).max()
    }

    /// A transaction of its has ended.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn done(&mut self, tx: &Tx, receipt: &Receipt, scene: &mut Scene) -> Result<(), FarmError> {
        match tx.what {
            What::Audit(range) => {
                let event = Event::Ended { range, done: receipt.success };
                for effect in self.duty.take(event, scene)? {
                    scene.send_common(self.me, self.who, &effect);
                }
            }
            What::Mate(range) => {
                let event = mates::Event::Ended { range, done: receipt.success };
                let effects = self.mates.take(event, scene)?;
                self.go_on(effects, scene)?;
            }
            What::Hold(_) | What::Close(_) => self.holding.done(tx, receipt, scene)?,
            What::Acknowledge(_) | What::Finish(_) => {
                if let Some(tending) = &mut self.tending {
                    tending.done(tx, receipt);
                }
            }
            _ => self.busy = false,
        }
        Ok(())
    }

    /// Has replicas of its jobs go on.
    fn go_on(&mut self, effects: Vec<mates::Effect>, scene: &mut Scene) -> Result<(), FarmError> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let range = effect.range();
            if matches!(effect, mates::Effect::Draw { .. }) && !self.mind.draws() {
                let event = mates::Event::Ended { range, done: false };
                effects.extend(self.mates.take(event, scene)?);
            } else {
                scene.send_about_pair(self.me, self.who, &effect);
            }
        }
        Ok(())
    }

    fn jobs<'a>(&self, scene: &'a Scene) -> impl Iterator<Item = JobId> + 'a {
        let who = self.who;
        let jobs = scene.public.jobs.iter();
        jobs.filter(move |(_, job)| job.client == who && !job.over).map(|(id, _)| *id)
    }

    fn expire(&mut self, job: JobId, scene: &mut Scene) {
        let timeout = u64::from(scene.public.jobs[&job].terms.rangeTimeout);
        let clock = scene.farm.now;
        let late = |range: &super::public::Range| {
            range.state == RangeState::Claimed && clock > range.at + timeout
        };
        let seqs: Vec<u32> =
            ranges(job, scene).filter(|(_, range)| late(range)).map(|(id, _)| id.seq).collect();
        if !seqs.is_empty() {
            let call = JobBook::expireCall { jobId: job.0, seqs };
            self.send(job, &call, scene);
        }
    }

    /// Sends something about a job. Until it has ended nothing more is done.
    pub(super) fn send<C: SolCall>(&mut self, job: JobId, call: &C, scene: &mut Scene) {
        let book = scene.farm.addresses().job_book;
        scene.send(self.me, self.who, book, call, What::Job(job));
        self.busy = true;
    }
}

/// The ranges of a job.
pub(super) fn ranges(
    job: JobId,
    scene: &Scene,
) -> impl Iterator<Item = (&RangeId, &super::public::Range)> + '_ {
    let all = RangeId { job, seq: 0 }..=RangeId { job, seq: u32::MAX };
    scene.public.ranges.range(all)
}

/// When nothing of it is given out any more, by the chain's clock, seconds.
pub(super) fn deadline(job: JobId, scene: &Scene) -> u64 {
    scene.public.jobs[&job].terms.deadline.to()
}
