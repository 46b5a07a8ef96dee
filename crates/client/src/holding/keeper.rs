//! The actor around [`Machine`]: follows the contracts' logs, performs effects. Decides nothing.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{primitives::Log, rpc::types::Log as ReadLog, sol_types::SolEvent};
use tilth_contracts::JobBook;
use tilth_protocol::{JobId, Problem, RangeId};
use tilth_service::Doing;
use tilth_verification::holding::ASK_FIRST_S;
use tokio::{sync::watch, task::JoinSet};
use tracing::{debug, warn};

use super::{
    hand::{Hand, Post},
    heard::heard,
    inputs::unpaid,
    machine::Machine,
    party::{Party, Rules},
    view::look,
    words::{Effect, Event},
};
use crate::{
    ChainError, Follow, Scope,
    audit::Millis,
    clock::{now, until},
    follow::Following,
    keeping::{Firsts, Reader, finished, pace},
};

/// So long a client gives the provider of a range to ask for holders itself, milliseconds: as the contract does.
const ASK_AFTER: Millis = ASK_FIRST_S * 1_000;

/// A party's keeper of kept ranges.
#[derive(Debug)]
pub struct Keeper<H> {
    post: Post,
    hand: Arc<H>,
    machine: Machine,
    work: JoinSet<Event>,
    /// Jobs that are kept, as far as their openings were read.
    kept: BTreeSet<JobId>,
    /// What was handed in, with its block, in jobs of whose opening nothing was read before it: a node may not have had it
    /// when it was asked, and then it still comes.
    early: Vec<(u64, JobId, Event)>,
    /// The block in which each range was heard of first.
    heard: Firsts,
    caught_up: bool,
    /// The head then, until nothing of before is still to come.
    past: Option<u64>,
    at_stake: watch::Sender<Option<usize>>,
}

impl<H: Hand> Keeper<H> {
    /// A keeper that has not begun.
    pub fn new(post: Post, hand: Arc<H>) -> Self {
        let (spread, poke_after) = pace(post.account.link());
        let rules = Rules {
            party: post.party,
            name: post.account.address().into_word(),
            spread,
            poke_after,
            ask_after: ASK_AFTER,
            most: post.most,
        };
        let (mut machine, work) = (Machine::new(rules), JoinSet::new());
        let started = now();
        for range in hand.noted() {
            // Nothing is due before the past is known.
            machine.step(Event::Noted { range }, started);
        }
        let at_stake = watch::Sender::new(None);
        Self {
            post,
            hand,
            machine,
            work,
            kept: BTreeSet::new(),
            early: Vec::new(),
            heard: Firsts::default(),
            caught_up: false,
            past: None,
            at_stake,
        }
    }

    /// Number of our ranges that cost us a part of our stake if nobody can fetch them; `None` until the chain's past has
    /// been read.
    pub fn at_stake(&self) -> watch::Receiver<Option<usize>> {
        self.at_stake.subscribe()
    }

    /// Follows kept ranges until it is dropped, which stops everything that is under way.
    ///
    /// # Errors
    /// [`ChainError::Rewound`]: the chain is another one than it was. [`ChainError::Unread`]: it is not read any more.
    pub fn keep(self) -> Doing<'static, Result<(), ChainError>> {
        Box::pin(async move {
            let link = self.post.account.link().clone();
            let at = *link.addresses();
            // An auditor looks at what is asked for. What becomes of the ranges themselves it sees when it looks.
            let contracts = match self.post.party {
                Party::Auditor(_) => vec![at.holders, at.spots],
                Party::Client | Party::Provider(_) => vec![at.holders, at.spots, at.job_book],
            };
            let mut scope = Scope::contracts(contracts, self.post.from_block);
            if let Some(job) = self.post.job {
                scope = scope.job(job);
            }
            self.keep_reading(Follow::new(&link, scope).twice().spawn()).await
        })
    }

    async fn keep_reading(mut self, follow: Following) -> Result<(), ChainError> {
        let mut reader = Reader::new(follow, "kept ranges");
        loop {
            let wake = self.machine.next_wake();
            tokio::select! {
                read = reader.next() => {
                    let (logs, blocks, at_head) = read?;
                    self.read(&logs, blocks, at_head);
                }
                Some(done) = self.work.join_next() => self.step(finished(done)),
                () = until(wake) => self.step(Event::Tick),
            }
        }
    }

    fn read(&mut self, logs: &[ReadLog], (to, certain): (u64, u64), at_head: bool) {
        for log in logs {
            let Some(block) = log.block_number else { continue };
            for event in self.concerns(block, &log.inner) {
                if let Event::Asked { range, .. }
                | Event::Signed { range, .. }
                | Event::Called { range } = &event
                {
                    self.heard.note(*range, block);
                }
                self.step(event);
            }
        }
        // Of no block before that is there still something to come.
        self.early.retain(|(block, ..)| *block >= certain);
        if at_head && !self.caught_up {
            (self.caught_up, self.past) = (true, Some(to));
            self.step(Event::CaughtUp { head: to });
        }
        // What we have signed for must not go because a node is late in saying so.
        if self.past.take_if(|head| *head < certain).is_some() {
            self.hand.caught_up(self.machine.cases().collect());
        }
        let noted = self.hand.noted();
        let unnoted = self.machine.cases().filter(|range| !noted.contains(range));
        self.hand.read_up_to(self.heard.read_up_to(unnoted, certain));
    }

    /// What a log of this block says to the machine: nothing, if it is about a job that is not kept.
    fn concerns(&mut self, block: u64, log: &Log) -> Vec<Event> {
        if let Ok(opened) = JobBook::JobOpened::decode_log(log) {
            return self.opened(JobId(opened.jobId), opened.terms.kept);
        }
        let Some(event) = heard(log) else { return Vec::new() };
        let concerns = match &event {
            Event::Submitted { range, .. } => {
                let is_kept = self.kept.contains(&range.job);
                if !is_kept {
                    self.early.push((block, range.job, event.clone()));
                }
                is_kept
            }
            // Of a client there is one job, and the others need not know.
            Event::JobOver => self.post.party == Party::Client,
            _ => true,
        };
        if concerns { vec![event] } else { Vec::new() }
    }

    /// Notes of which kind a job is; what is due then, and what was handed in in it before that was read.
    fn opened(&mut self, job: JobId, is_kept: bool) -> Vec<Event> {
        let early = self.early.extract_if(.., |(_, of, _)| *of == job);
        let mut events: Vec<_> = early.map(|(_, _, event)| event).collect();
        if !is_kept {
            return Vec::new();
        }
        self.kept.insert(job);
        if self.post.party == Party::Client {
            events.insert(0, Event::Opened { inputs: RangeId::inputs(job) });
        }
        events
    }

    fn step(&mut self, event: Event) {
        debug!(?event, "kept range event");
        for effect in self.machine.step(event, now()) {
            debug!(?effect, "kept range effect");
            self.perform(effect);
        }
        let at_stake = self.caught_up.then(|| self.machine.at_stake());
        self.at_stake.send_if_modified(|known| std::mem::replace(known, at_stake) != at_stake);
    }

    fn perform(&mut self, effect: Effect) {
        if matches!(effect, Effect::Show { .. } | Effect::Keep { .. } | Effect::Forget { .. }) {
            self.hand.note(&effect);
            return;
        }
        let (post, hand) = (self.post.clone(), Arc::clone(&self.hand));
        self.work.spawn(async move { carry_out(&post, &*hand, effect).await });
    }
}

/// Carries out an effect; answers with the event that ends it.
async fn carry_out<H: Hand>(post: &Post, hand: &H, effect: Effect) -> Event {
    match effect {
        Effect::Look { range } => {
            let seen = Box::pin(look(post.account.link(), range, post.party)).await;
            if let Err(error) = &seen {
                warn!(%range, %error, "a kept range cannot be looked at");
            }
            Event::Looked { range, view: seen.ok().map(Box::new) }
        }
        Effect::Size { range, part } => match hand.size(range, part).await {
            Some(mib) => Event::Sized { range, part, mib },
            None => Event::Ended { range, done: false },
        },
        Effect::Fetch { range, part, mib, left } => {
            if Box::pin(hand.fetch(range, part, mib, left)).await {
                Event::Fetched { range, part }
            } else {
                Event::Ended { range, done: false }
            }
        }
        Effect::Inspect { range, part, draw, seed, holders, left } => {
            let looked = Box::pin(hand.inspect(range, part, draw, seed, holders, left)).await;
            let failed = Event::Ended { range, done: false };
            looked.map_or(failed, |seen| Event::Inspected { range, draw, seen })
        }
        Effect::Close => {
            let done = post.close().await;
            if let Err(error) = &done {
                warn!(%error, "what is left of a deposit cannot be taken back now");
                hand.failed(error).await;
            } else {
                hand.closed();
            }
            Event::Closed { done: done.is_ok() }
        }
        effect => {
            let Some(range) = effect.range() else { return Event::Tick };
            let sent = Box::pin(post.send(range, &effect)).await;
            ended(hand, range, &effect, sent).await
        }
    }
}

/// The end of a move. That a contract refuses it mostly means that somebody else was quicker, and the look that follows
/// tells; what nobody but a client can mend it is told, and the move is not made again before something is different.
async fn ended<H: Hand>(
    hand: &H,
    range: RangeId,
    effect: &Effect,
    sent: Result<(), ChainError>,
) -> Event {
    if let Err(error) = &sent {
        if matches!(effect, Effect::Ask { .. })
            && let Some(problem) = unpaid(range, error)
        {
            let Problem { what, detail, advice } = problem;
            warn!(%range, detail, advice, "{what}");
            return Event::Unpaid { range };
        }
        match error.revert_data() {
            Some(_) => debug!(%range, %error, ?effect, "a move about a kept range was refused"),
            None => warn!(%range, %error, ?effect, "a move about a kept range failed"),
        }
        hand.failed(error).await;
    }
    Event::Ended { range, done: sent.is_ok() }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
