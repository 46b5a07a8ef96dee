//! How an honest client sees to its jobs: what it acknowledges, when, and when it ends a job, the machine of the real
//! program decides (`tilth_client::attention`). It is told what the real one's driver tells it, by the same history of
//! the job (`tilth_client::Chronicle`), and time is the world's.
//!
//! Fetching and checking take no time here: a range's content is right, or its provider keeps it. Nothing is tried out
//! before it is sent, unlike by the real one: only the client may acknowledge, and the chain is read in nobody's name.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use alloy_primitives::Address;
use alloy_sol_types::SolCall;
use tilth_client::{
    Chronicle,
    attention::{Attention, Effect, Event, Moment},
    audit::Millis,
};
use tilth_contracts::{JobBook, JobBook::JobBookEvents, RangeState};
use tilth_protocol::{JobId, RangeId};

use super::scene::{Actor, Scene, Tx, What};
use crate::farm::Receipt;

/// A job of its.
#[derive(Debug)]
struct Tended {
    chronicle: Chronicle,
    attention: Attention,
    /// Ranges of which the machine was told that they may be paid.
    payable: BTreeSet<u32>,
    /// What it was not told yet.
    news: VecDeque<Event>,
    /// Transactions that have ended: it hears of them after what the logs say, or it would end a job twice.
    ended: Vec<Event>,
}

impl Tended {
    fn new(chronicle: Chronicle) -> Self {
        let attention = Attention::new(true, chronicle.terms.audited);
        let (payable, news, ended) = (BTreeSet::new(), VecDeque::new(), Vec::new());
        Self { chronicle, attention, payable, news, ended }
    }

    /// What the chain says of the job.
    fn hear(&mut self, event: &JobBookEvents) {
        // The contracts leave nothing out. Had they, the job would not end, and oracles see that.
        let Ok(Some(seq)) = self.chronicle.apply(event) else { return };
        let Some(range) = self.chronicle.ranges.get(&seq) else { return };
        let event = match range.state {
            // Of a seal nothing can be said.
            RangeState::Submitted | RangeState::Settled if !range.can_be_checked() => return,
            RangeState::Submitted => Event::Results { seq, settled: false },
            RangeState::Settled => Event::Results { seq, settled: true },
            RangeState::Released | RangeState::Expired | RangeState::Rejected => Event::Lost(seq),
            RangeState::Claimed | RangeState::None => return,
        };
        self.news.push_back(event);
    }

    /// What besides logs is known now.
    fn look(&mut self, may_be_paid: &impl Fn(RangeId) -> bool, scene: &Scene) {
        let Chronicle { job, ranges, .. } = &self.chronicle;
        let is_in = |state: RangeState| ranges.values().any(|range| range.state == state);
        let handed_in = ranges
            .values()
            .filter(|range| range.state == RangeState::Submitted && range.can_be_checked());
        for range in handed_in {
            let (job, seq) = (*job, range.seq);
            if may_be_paid(RangeId { job, seq }) && self.payable.insert(seq) {
                self.news.push_back(Event::MayBePaid(seq));
            }
        }
        self.news.push_back(Event::Job {
            finishable: self.chronicle.is_finishable(scene.farm.now),
            over: self.chronicle.state.is_over(),
            quiet: self.chronicle.unclaimed() == 0 && !is_in(RangeState::Claimed),
        });
        let all_settled = !is_in(RangeState::Submitted);
        self.news.extend(self.ended.drain(..).map(|event| match event {
            // Settled by somebody else in between counts as done.
            Event::Acknowledged { accepted } => {
                Event::Acknowledged { accepted: accepted || all_settled }
            }
            other => other,
        }));
    }

    /// Tells the machine all that it was not told yet, and says what is left to be done.
    fn step(&mut self, now: Moment, scene: &Scene) -> Vec<Effect> {
        let mut left = Vec::new();
        while let Some(event) = self.news.pop_front() {
            for effect in self.attention.step(event, now) {
                match effect {
                    Effect::Fetch(seq) => {
                        let fetched = self.fetch(seq, scene);
                        self.news.push_back(fetched);
                    }
                    other => left.push(other),
                }
            }
        }
        left
    }

    /// What comes of fetching a range.
    fn fetch(&self, seq: u32, scene: &Scene) -> Event {
        let range = self.chronicle.ranges.get(&seq);
        let keeps = range.and_then(|range| scene.keeps_outputs.get(&range.provider));
        if keeps.copied().unwrap_or(false) { Event::Missing(seq) } else { Event::Checked(seq) }
    }
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Tending {
    me: Actor,
    who: Address,
    /// When it began, by the true time. Machines count from then on, whatever its clock says.
    began: Millis,
    /// What the `JobBook` has said that it has taken in.
    read: usize,
    jobs: BTreeMap<JobId, Tended>,
    /// Acknowledgements that machines have asked for.
    acknowledged: u64,
}

impl Tending {
    /// Of a client that has heard nothing.
    pub(super) fn new(me: Actor, who: Address, began: Millis) -> Self {
        Self { me, who, began, read: 0, jobs: BTreeMap::new(), acknowledged: 0 }
    }

    /// Takes in all that is known now, and does what the machines ask for. `may_be_paid`: whether a range's audit lets
    /// it be paid, as far as the client has seen.
    pub(super) fn act(&mut self, may_be_paid: impl Fn(RangeId) -> bool, scene: &mut Scene) {
        self.hear(scene);
        let now = Duration::from_millis(scene.now.saturating_sub(self.began));
        let mut orders = Vec::new();
        for (job, tended) in &mut self.jobs {
            tended.look(&may_be_paid, scene);
            let left = tended.step(now, scene);
            orders.extend(left.into_iter().map(|effect| (*job, effect)));
        }
        for (job, effect) in orders {
            self.carry_out(job, effect, scene);
        }
    }

    /// When it acts next without news, by the true time.
    pub(super) fn due(&self, now: Millis) -> Option<Millis> {
        let wakes = self.jobs.values().filter_map(|tended| tended.attention.wake());
        let wakes = wakes.map(|wake| {
            let wake = u64::try_from(wake.as_millis()).unwrap_or(u64::MAX);
            self.began.saturating_add(wake)
        });
        let is_late = self.jobs.values().any(|tended| !tended.ended.is_empty());
        wakes.chain(is_late.then_some(now)).min()
    }

    /// A transaction that a machine has asked for has ended. It is told when the client acts next.
    pub(super) fn done(&mut self, tx: &Tx, receipt: &Receipt) {
        let accepted = receipt.success;
        let (job, event) = match tx.what {
            What::Acknowledge(job) => (job, Event::Acknowledged { accepted }),
            What::Finish(job) => (job, Event::Finished { accepted }),
            _ => return,
        };
        if let Some(tended) = self.jobs.get_mut(&job) {
            tended.ended.push(event);
        }
    }

    /// Acknowledgements that machines have asked for, each of as many ranges as there were.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn hear(&mut self, scene: &Scene) {
        for (job, event) in scene.public.book.iter().skip(self.read) {
            match Chronicle::begin(event) {
                Some(chronicle) if chronicle.client == self.who => {
                    self.jobs.insert(*job, Tended::new(chronicle));
                }
                Some(_) => {}
                None => {
                    if let Some(tended) = self.jobs.get_mut(job) {
                        tended.hear(event);
                    }
                }
            }
        }
        self.read = scene.public.book.len();
    }

    fn carry_out(&mut self, job: JobId, effect: Effect, scene: &mut Scene) {
        match effect {
            Effect::Acknowledge(seqs) => {
                self.acknowledged += 1;
                let call = JobBook::acknowledgeCall { jobId: job.0, seqs };
                self.send(&call, What::Acknowledge(job), scene);
            }
            Effect::Finish => {
                self.send(&JobBook::finishCall { jobId: job.0 }, What::Finish(job), scene);
            }
            Effect::Leave => {
                self.jobs.remove(&job);
            }
            // It has come to something at once.
            Effect::Fetch(_) => {}
        }
    }

    fn send<C: SolCall>(&self, call: &C, what: What, scene: &mut Scene) {
        let book = scene.farm.addresses().job_book;
        scene.send(self.me, self.who, book, call, what);
    }
}

#[cfg(test)]
#[path = "tending_tests.rs"]
mod tests;
