//! What a provider whose work a machine decides does when that asks for it. What comes of what it sends is beside this file
//! (`agent_ends`).

use std::collections::VecDeque;

use alloy_primitives::{B256, aliases::U96};
use alloy_sol_types::SolCall;
use tilth_client::mates::Part;
use tilth_contracts::{HoldState, JobBook};
use tilth_protocol::{JobId, RangeId};
use tilth_provider::{
    machine::{Ask, Commitment, Effect, Event, Refusal, Trouble},
    words,
};

use super::{
    agent::Agent,
    cast::Side,
    provider::Provider,
    scene::{Handed, Scene, What},
};
use crate::farm::FarmError;

impl Provider {
    /// Does what its machine asks for by now.
    pub(super) fn work_by_machine(
        &mut self,
        agent: &mut Agent,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        self.pairing.miss_late(&mut *self.mind, &self.work, scene)?;
        let events = agent.news(&self.pairing, scene);
        self.tell(agent, events, scene)
    }

    /// Tells the machine what has happened, and does what it asks for.
    pub(super) fn tell(
        &mut self,
        agent: &mut Agent,
        events: Vec<Event>,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        let mut queue = VecDeque::from(events);
        while let Some(event) = queue.pop_front() {
            for effect in agent.machine.step(event, scene.now) {
                queue.extend(self.carry_out(agent, effect, scene)?);
            }
        }
        self.executed += std::mem::take(&mut agent.executed);
        Ok(())
    }

    /// What has ended at once. All else ends later, or with a transaction.
    fn carry_out(
        &mut self,
        agent: &mut Agent,
        effect: Effect,
        scene: &mut Scene,
    ) -> Result<Option<Event>, FarmError> {
        let now = scene.now;
        Ok(match effect {
            Effect::Fetch { job, holds, epoch } => Some(self.fetch(job, holds, epoch, scene)?),
            Effect::Calibrate { slot, job, index } => {
                agent.calibrate(slot, job, index, now);
                None
            }
            Effect::Run { slot, range, from, count, .. } => {
                agent.run(slot, range, Part { from, count }, now)
            }
            Effect::Abort { slot } => agent.abort(slot, now),
            Effect::Store { range, from, count } => Some(agent.store(range, Part { from, count })),
            Effect::Found { range, from, count, .. } => {
                if let Some(work) = agent.take_stored(range) {
                    let of = (range, Part { from, count });
                    self.pairing.has_done(of, work, &mut *self.mind, &self.work, scene)?;
                }
                None
            }
            Effect::Claim(ask) => self.claim_by_machine(agent, ask, scene)?,
            Effect::Submit { range, commitment, ask } => {
                self.submit(agent, range, commitment, ask, scene);
                None
            }
            Effect::Release { range } => {
                let call = JobBook::releaseCall { jobId: range.job.0, seq: range.seq };
                self.send(agent, Effect::Release { range }, &call, scene);
                None
            }
            Effect::Settle { job, seqs } => {
                let call = JobBook::settleCall { jobId: job.0, seqs: seqs.clone() };
                let sent = self.try_out(agent, Effect::Settle { job, seqs }, &call, scene)?;
                (!sent).then_some(Event::SettleEnded { job, done: false })
            }
            Effect::Expire { job, seqs } => {
                let call = JobBook::expireCall { jobId: job.0, seqs: seqs.clone() };
                let sent = self.try_out(agent, Effect::Expire { job, seqs }, &call, scene)?;
                (!sent).then_some(Event::ExpireEnded { job, done: false })
            }
            Effect::Wait { job, bond, min_price } => {
                self.line_up(agent, job, (bond, min_price), scene)?
            }
            Effect::Leave { job } => self.leave_line(agent, job, scene)?,
            Effect::Discard { range } => {
                self.clear(agent, |other| other == range);
                None
            }
            Effect::Forget { job, .. } => {
                self.clear(agent, |range| range.job == job);
                None
            }
            // The owner never wants its machine back, nothing is loaded for long, and money stays in the Ledger.
            Effect::StopFetch { .. }
            | Effect::Freeze { .. }
            | Effect::Thaw { .. }
            | Effect::Unload { .. }
            | Effect::Withdraw
            | Effect::Note(_) => None,
        })
    }

    /// Removes all that is kept of ranges.
    fn clear(&mut self, agent: &mut Agent, is_gone: impl Fn(RangeId) -> bool) {
        self.work.retain(|range, _| !is_gone(*range));
        self.pairing.clear(&is_gone);
        agent.clear(is_gone);
    }

    /// Its files come at once, if somebody serves them.
    fn fetch(
        &self,
        job: JobId,
        holds: bool,
        epoch: u64,
        scene: &mut Scene,
    ) -> Result<Event, FarmError> {
        if !holds && let Err(why) = self.may_begin(job, scene)? {
            return Ok(Event::FetchRefused { job, epoch, why });
        }
        Ok(if scene.serves_providers(job, self.who) {
            Event::Fetched { job }
        } else {
            Event::FetchFailed { job, trouble: Trouble::Passing }
        })
    }

    /// Whether it would get a range of a job, if it had its files.
    fn may_begin(&self, job: JobId, scene: &mut Scene) -> Result<Result<(), Refusal>, FarmError> {
        if scene.public.jobs.get(&job).is_some_and(|facts| facts.terms.kept) {
            // Without a deposit nobody asks; that it is looked for first makes no difference.
            let ask = scene.ask(RangeId::inputs(job))?;
            let held = HoldState::try_from(ask.state).unwrap_or(HoldState::None);
            if let Err(why) = words::inputs_held(held) {
                return Ok(Err(why));
            }
        }
        self.would_give(job, scene)
    }

    /// Whether the contract would give it a range now.
    pub(super) fn would_give(
        &self,
        job: JobId,
        scene: &mut Scene,
    ) -> Result<Result<(), Refusal>, FarmError> {
        let book = scene.farm.addresses().job_book;
        let call = JobBook::claimableCall { jobId: job.0, provider: self.who };
        Ok(words::would_give(scene.farm.read(book, &call)?.why))
    }

    /// As the real one, it sends nothing that would be refused now.
    fn claim_by_machine(
        &self,
        agent: &Agent,
        ask: Ask,
        scene: &mut Scene,
    ) -> Result<Option<Event>, FarmError> {
        if let Err(why) = self.would_give(ask.job, scene)? {
            return Ok(Some(Event::ClaimRefused { job: ask.job, epoch: ask.epoch, why }));
        }
        let min_price = U96::saturating_from(ask.min_price.0);
        let call = JobBook::claimCall { jobId: ask.job.0, want: ask.want, minPrice: min_price };
        self.send(agent, Effect::Claim(ask), &call, scene);
        Ok(None)
    }

    fn submit(
        &mut self,
        agent: &mut Agent,
        range: RangeId,
        commitment: Commitment,
        ask: Option<Ask>,
        scene: &mut Scene,
    ) {
        if let Some(work) = agent.take_stored(range) {
            self.work.insert(range, work);
        }
        let RangeId { job, seq } = range;
        let Commitment { mut root, units, failures, content } = commitment;
        let facts = scene.public.jobs.get(&job);
        let is_replicated = facts.is_some_and(|facts| facts.terms.replicas != 0);
        if let Some(work) = self.work.get(&range) {
            let leaves = work.hand_in.leaves.clone();
            let (wrong, by_foe) = (vec![false; leaves.len()], self.side == Side::Foe);
            scene.handed.insert(range, Handed { leaves, wrong, units, by_foe });
            if is_replicated {
                root = self.pairing.seal(range, &work.found());
            }
        }
        let content = B256::from(content.0);
        let effect = Effect::Submit { range, commitment, ask };
        match ask {
            Some(Ask { want, min_price, .. }) => {
                let call = JobBook::submitAndClaimCall {
                    jobId: job.0,
                    seq,
                    root,
                    units,
                    failures,
                    contentHash: content,
                    want,
                    minPrice: U96::saturating_from(min_price.0),
                };
                self.send(agent, effect, &call, scene);
            }
            None => {
                let call = JobBook::submitCall {
                    jobId: job.0,
                    seq,
                    root,
                    units,
                    failures,
                    contentHash: content,
                };
                self.send(agent, effect, &call, scene);
            }
        }
    }

    /// Whether it was sent: anybody may, so it can be tried out whether it would be refused now.
    fn try_out<C: SolCall>(
        &self,
        agent: &Agent,
        effect: Effect,
        call: &C,
        scene: &mut Scene,
    ) -> Result<bool, FarmError> {
        let book = scene.farm.addresses().job_book;
        match scene.farm.read(book, call) {
            Ok(_) => {}
            Err(FarmError::Refused { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.send(agent, effect, call, scene);
        Ok(true)
    }

    /// Sends what a machine has asked for.
    pub(super) fn send<C: SolCall>(
        &self,
        agent: &Agent,
        effect: Effect,
        call: &C,
        scene: &mut Scene,
    ) {
        let at = *scene.farm.addresses();
        let is_of_line = matches!(effect, Effect::Wait { .. } | Effect::Leave { .. });
        let to = if is_of_line { at.waiting } else { at.job_book };
        let what = What::Work(agent.life, Box::new(effect));
        scene.send(self.me, self.who, to, call, what);
    }
}
