//! The actor around [`Machine`]: follows the contract's logs, performs effects. Decides nothing.

use std::{future::Future, sync::Arc};

use alloy::{primitives::Log, rpc::types::Log as ReadLog, sol_types::SolEvent};
use tilth_contracts::{ReplicaState, Replicas, SoloRandomness};
use tilth_protocol::{JobId, Leaf, RangeId};
use tilth_service::Doing;
use tilth_verification::replica::{Found, Sealer};
use tokio::{sync::watch, task::JoinSet};
use tracing::{debug, info, warn};

use super::{
    machine::Machine,
    view::look,
    walking::{Move, posted},
    words::{Effect, Event, Part, Party, Role, Rules},
};
use crate::{
    Account, ChainError, Follow, Scope,
    audit::Millis,
    clock::{now, until},
    follow::Following,
    keeping::{Firsts, Reader, finished, pace, range_of},
};

/// What only a provider can do, and what it wants to know.
pub trait Hand: Send + Sync + 'static {
    /// Finds the results of a range in its folder, or runs the range and keeps them ([`Effect::Run`]). `None`: neither.
    fn run(
        &self,
        range: RangeId,
        role: Role,
        part: Part,
        left: Millis,
    ) -> impl Future<Output = Option<Found>> + Send;

    /// The leaves of a range that we have committed to, or runs it again if they are lost ([`Effect::Post`],
    /// [`Effect::Open`]). `None`: neither.
    fn leaves(
        &self,
        range: RangeId,
        role: Role,
        part: Part,
        left: Millis,
    ) -> impl Future<Output = Option<Vec<Leaf>>> + Send;

    /// Learns of [`Effect::Show`] and [`Effect::Forget`].
    fn note(&self, effect: &Effect);

    /// A move failed: a role refills its key for gas here.
    fn failed(&self, error: &ChainError) -> impl Future<Output = ()> + Send;

    /// The past has been read, and these are all replicas that are not over: what is kept for others can go.
    fn caught_up(&self, cases: Vec<RangeId>);

    /// All logs below this block need not be read again.
    fn read_up_to(&self, block: u64);
}

/// Where and for whom replicas are kept.
#[derive(Clone, Debug)]
pub struct Post {
    /// Sends everything: a provider's is its node key.
    pub account: Account,
    /// Who we are.
    pub party: Party,
    /// A provider's: makes its seals.
    pub sealer: Option<Sealer>,
    /// First block to read.
    pub from_block: u64,
    /// Only this job.
    pub job: Option<JobId>,
}

/// A party's keeper of replicas.
#[derive(Debug)]
pub struct Keeper<H> {
    post: Post,
    hand: Arc<H>,
    machine: Machine,
    work: JoinSet<Event>,
    /// The block in which each open replica was heard of first.
    heard: Firsts,
    caught_up: bool,
    at_stake: watch::Sender<Option<usize>>,
}

impl<H: Hand> Keeper<H> {
    /// A keeper that has not begun.
    pub fn new(post: Post, hand: Arc<H>) -> Self {
        let (spread, poke_after) = pace(post.account.link());
        let name = post.account.address().into_word();
        let rules = Rules { party: post.party, name, spread, poke_after };
        let (machine, work) = (Machine::new(rules), JoinSet::new());
        let at_stake = watch::Sender::new(None);
        Self { post, hand, machine, work, heard: Firsts::default(), caught_up: false, at_stake }
    }

    /// Number of open replicas that cost us something if we are stopped and do not come back in time; `None` until the
    /// chain's past has been read.
    pub fn at_stake(&self) -> watch::Receiver<Option<usize>> {
        self.at_stake.subscribe()
    }

    /// Keeps replicas until it is dropped, which stops everything that is under way.
    ///
    /// # Errors
    /// [`ChainError::Rewound`]: the chain is another one than it was. [`ChainError::Unread`]: it is not read any more.
    pub fn keep(self) -> Doing<'static, Result<(), ChainError>> {
        Box::pin(async move {
            let link = self.post.account.link().clone();
            let mut scope = Scope::contracts([link.addresses().replicas], self.post.from_block);
            if let Some(job) = self.post.job {
                scope = scope.job(job);
            }
            self.keep_reading(Follow::new(&link, scope).twice().spawn()).await
        })
    }

    async fn keep_reading(mut self, follow: Following) -> Result<(), ChainError> {
        let mut reader = Reader::new(follow, "replicas");
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
            let Some(event) = heard(&log.inner) else { continue };
            if let Event::Due { range, .. } | Event::Drawn { range, .. } = &event {
                self.heard.note(*range, block);
            }
            self.step(event);
        }
        if at_head && !self.caught_up {
            self.caught_up = true;
            self.step(Event::CaughtUp { head: to });
            self.hand.caught_up(self.machine.cases().collect());
        }
        self.hand.read_up_to(self.heard.read_up_to(self.machine.cases(), certain));
    }

    fn step(&mut self, event: Event) {
        debug!(?event, "replica event");
        for effect in self.machine.step(event, now()) {
            debug!(?effect, "replica effect");
            self.perform(effect);
        }
        let at_stake = self.caught_up.then(|| self.machine.at_stake());
        self.at_stake.send_if_modified(|known| std::mem::replace(known, at_stake) != at_stake);
    }

    fn perform(&mut self, effect: Effect) {
        if matches!(effect, Effect::Show { .. } | Effect::Forget { .. }) {
            self.hand.note(&effect);
            return;
        }
        let (post, hand) = (self.post.clone(), Arc::clone(&self.hand));
        self.work.spawn(async move {
            let range = effect.range();
            match effect {
                Effect::Look { .. } => {
                    let seen = look(post.account.link(), range).await;
                    if let Err(error) = &seen {
                        warn!(%range, %error, "a replica cannot be looked at");
                    }
                    Event::Looked { range, view: seen.ok().map(Box::new) }
                }
                Effect::Run { role, part, left, .. } => {
                    match hand.run(range, role, part, left).await {
                        Some(found) => Event::Found { range, part, found },
                        None => Event::Ended { range, done: false },
                    }
                }
                Effect::Post { role, part, left, .. } | Effect::Open { role, part, left, .. } => {
                    let sent = match hand.leaves(range, role, part, left).await {
                        Some(leaves) => post.walk(effect.clone(), leaves).await,
                        None => return Event::Ended { range, done: false },
                    };
                    ended(&*hand, &effect, sent).await
                }
                effect => {
                    let sent = post.send(&effect).await;
                    ended(&*hand, &effect, sent).await
                }
            }
        });
    }
}

impl Post {
    /// Sends what an effect asks for.
    async fn send(&self, effect: &Effect) -> Result<(), ChainError> {
        let (account, at) = (&self.account, *self.account.link().addresses());
        let range = effect.range();
        let (job, seq) = (range.job.0, range.seq);
        match (effect, self.sealer) {
            (Effect::Poke { round, .. }, _) => {
                let call = SoloRandomness::noteCall { round: *round };
                account.execute(at.randomness, call).await.map(drop)
            }
            (Effect::Draw { .. }, _) => {
                let call = Replicas::drawCall { jobId: job, seq };
                account.execute(at.replicas, call).await.map(drop)
            }
            (Effect::Advance { .. }, _) => {
                info!(%range, "somebody is late in a replica; going on without them");
                let call = Replicas::advanceCall { jobId: job, seq };
                account.execute(at.replicas, call).await.map(drop)
            }
            (Effect::Conclude { .. }, _) => {
                let call = Replicas::concludeCall { jobId: job, seq };
                account.execute(at.replicas, call).await.map(drop)
            }
            (Effect::Commit { part, found, .. }, Some(sealer)) => {
                // Of other tasks it could never be shown, and that costs the stake.
                let seen = look(account.link(), range).await?;
                if seen.state != ReplicaState::Working
                    || seen.part != *part
                    || seen.role(self.party) != Role::Mate
                {
                    return Ok(());
                }
                let sealed_ = sealer.seal(range, found);
                let call = Replicas::commitCall { jobId: job, seq, sealed_ };
                account.execute(at.replicas, call).await.map(drop)
            }
            (Effect::Reveal { found, .. }, Some(sealer)) => {
                let Found { root, units, failures } = *found;
                let salt = sealer.salt(range, found);
                let call = Replicas::revealCall { jobId: job, seq, root, units, failures, salt };
                account.execute(at.replicas, call).await.map(drop)
            }
            // Whoever has no seals is asked for none; the rest is not sent.
            _ => Ok(()),
        }
    }

    /// Sends the next move of a walk.
    async fn walk(&self, effect: Effect, leaves: Vec<Leaf>) -> Result<(), ChainError> {
        let range = effect.range();
        // A tree over a million leaves is a second's work.
        let made = tokio::task::spawn_blocking(move || Move::of(&effect, &leaves)).await;
        match made {
            Ok(Some(made)) => made.send(&self.account).await,
            _ => {
                warn!(%range, "our leaves of a range are not those that its walk is about");
                Ok(())
            }
        }
    }
}

/// The end of a move. That a contract refuses it mostly means that somebody else was quicker, and the look that follows
/// tells; but nobody else commits or shows for us, and whoever does not loses for it.
async fn ended<H: Hand>(hand: &H, effect: &Effect, sent: Result<(), ChainError>) -> Event {
    let range = effect.range();
    if let Err(error) = &sent {
        let is_our_own =
            matches!(effect, Effect::Commit { .. } | Effect::Reveal { .. } | Effect::Open { .. });
        match error.revert_data().filter(|_| !is_our_own) {
            Some(_) => debug!(%range, %error, ?effect, "a move in a replica was refused"),
            None => warn!(%range, %error, ?effect, "a move in a replica failed"),
        }
        hand.failed(error).await;
    }
    Event::Ended { range, done: sent.is_ok() }
}

/// What a log of the contract says to the machine. That something was said about a range is all it needs of most.
pub fn heard(log: &Log) -> Option<Event> {
    let at = |job: u64, seq: u32| RangeId { job: JobId(job), seq };
    if let Ok(due) = Replicas::MateDue::decode_log(log) {
        let (range, provider, round) = (at(due.jobId, due.seq), due.provider, due.round);
        return Some(Event::Due { range, provider, round });
    }
    if let Ok(closed) = Replicas::ReplicaClosed::decode_log(log) {
        return Some(Event::Closed { range: at(closed.jobId, closed.seq) });
    }
    if let Ok(drawn) = Replicas::MateDrawn::decode_log(log) {
        return Some(Event::Drawn { range: at(drawn.jobId, drawn.seq), mate: drawn.number });
    }
    if let Some(posted) = posted(log) {
        return Some(posted);
    }
    // Of everything else the range's two numbers are the first topics.
    range_of(log).map(|range| Event::News { range })
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{Address, B256, aliases::U40},
        signers::local::PrivateKeySigner,
    };
    use tilth_contracts::Addresses;

    use super::*;
    use crate::Link;

    /// Has nothing to do.
    struct Idler;

    impl Hand for Idler {
        async fn run(&self, _: RangeId, _: Role, _: Part, _: Millis) -> Option<Found> {
            None
        }

        async fn leaves(&self, _: RangeId, _: Role, _: Part, _: Millis) -> Option<Vec<Leaf>> {
            None
        }

        fn note(&self, _: &Effect) {}

        async fn failed(&self, _: &ChainError) {}

        fn caught_up(&self, _: Vec<RangeId>) {}

        fn read_up_to(&self, _: u64) {}
    }

    #[tokio::test]
    async fn replicas_that_cannot_be_seen_any_more_end_with_an_error() {
        let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
        let account = Account::new(link, PrivateKeySigner::random());
        let party = Party::Provider(1);
        let post = Post { account, party, sealer: None, from_block: 0, job: None };
        let ended = Keeper::new(post, Arc::new(Idler)).keep_reading(Following::dead()).await;
        assert!(matches!(ended, Err(ChainError::Unread)), "{ended:?}");
    }

    fn log<E: SolEvent>(event: &E) -> Log {
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    #[test]
    fn whatever_is_said_about_a_range_is_news_of_it() {
        let range = RangeId { job: JobId(7), seq: 3 };
        let time = U40::from(9);
        let due = Replicas::MateDue { jobId: 7, seq: 3, round: 1, provider: 5, due: time };
        assert_eq!(heard(&log(&due)), Some(Event::Due { range, provider: 5, round: 1 }));
        let drawn = Replicas::MateDrawn { jobId: 7, seq: 3, number: 4, due: time };
        assert_eq!(heard(&log(&drawn)), Some(Event::Drawn { range, mate: 4 }));
        let alone = Replicas::NoMate { jobId: 7, seq: 3, lapsed: false, due: time };
        assert_eq!(heard(&log(&alone)), Some(Event::News { range }));
        let closed = Replicas::ReplicaClosed { jobId: 7, seq: 3, outcome: 1 };
        assert_eq!(heard(&log(&closed)), Some(Event::Closed { range }));
        // A topic that is no number of a range.
        let mut strange = log(&alone);
        strange.data.topics_mut()[2] = B256::repeat_byte(0xff);
        assert_eq!(heard(&strange), None);
    }
}
