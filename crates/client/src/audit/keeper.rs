//! The actor around [`Machine`]: follows the contract's logs, performs effects. Decides nothing.

use std::{future::Future, sync::Arc};

use alloy::{primitives::Log, rpc::types::Log as ReadLog, sol_types::SolEvent};
use tilth_contracts::{Audits, SoloRandomness};
use tilth_protocol::{JobId, RangeId};
use tilth_service::Doing;
use tokio::{sync::watch, task::JoinSet};
use tracing::{debug, info, warn};

use super::{
    machine::Machine,
    view::look,
    words::{Effect, Event, Party, Rules, Sealed},
};
use crate::{
    Account, ChainError, Follow, Scope,
    clock::{now, until},
    follow::Following,
    keeping::{Firsts, Reader, finished, pace, range_of},
};

/// What only one party can do, and what it wants to know.
pub trait Hand: Send + Sync + 'static {
    /// Carries out an effect of its own: `Name`, `Open`, `Prepare`, `Examine`, `Seal`, `Recall`, `Commit`, `Reveal`.
    /// Answers with the event that ends it.
    fn perform(&self, effect: Effect) -> impl Future<Output = Event> + Send;

    /// Learns of [`Effect::Show`] and [`Effect::Forget`].
    fn note(&self, effect: &Effect);

    /// A move failed: a role refills its key for gas here.
    fn failed(&self, error: &ChainError) -> impl Future<Output = ()> + Send;

    /// The past has been read, and these are all cases that are not over: what is kept for others can go.
    fn caught_up(&self, cases: Vec<RangeId>);

    /// All logs below this block need not be read again.
    fn read_up_to(&self, block: u64);
}

/// Where and for whom audits are kept.
#[derive(Clone, Debug)]
pub struct Post {
    /// Sends what anybody may send.
    pub account: Account,
    /// Who we are.
    pub party: Party,
    /// First block to read.
    pub from_block: u64,
    /// Only this job.
    pub job: Option<JobId>,
    /// Seals of an earlier life, each with our seat.
    pub seals: Vec<(RangeId, u8, Sealed)>,
}

/// A party's keeper of audits.
#[derive(Debug)]
pub struct Keeper<H> {
    post: Post,
    hand: Arc<H>,
    machine: Machine,
    work: JoinSet<Event>,
    /// The block in which each open case was heard of first.
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

    /// Number of open cases that cost us something if we are stopped and do not come back in time; `None` until the
    /// chain's past has been read.
    pub fn at_stake(&self) -> watch::Receiver<Option<usize>> {
        self.at_stake.subscribe()
    }

    /// Keeps audits until it is dropped, which stops everything that is under way.
    ///
    /// # Errors
    /// [`ChainError::Rewound`]: the chain is another one than it was. [`ChainError::Unread`]: it is not read any more.
    pub fn keep(self) -> Doing<'static, Result<(), ChainError>> {
        Box::pin(async move {
            let link = self.post.account.link().clone();
            let mut scope = Scope::contracts([link.addresses().audits], self.post.from_block);
            if let Some(job) = self.post.job {
                scope = scope.job(job);
            }
            self.keep_reading(Follow::new(&link, scope).twice().spawn()).await
        })
    }

    async fn keep_reading(mut self, follow: Following) -> Result<(), ChainError> {
        let mut reader = Reader::new(follow, "audits");
        for (range, seat, sealed) in std::mem::take(&mut self.post.seals) {
            self.step(Event::Sealed { range, seat, sealed });
        }
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
            if let Event::Due { range, .. } | Event::Seated { range, .. } = &event {
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
        debug!(?event, "audit event");
        for effect in self.machine.step(event, now()) {
            debug!(?effect, "audit effect");
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
        let (account, hand) = (self.post.account.clone(), Arc::clone(&self.hand));
        let party = self.post.party;
        self.work.spawn(async move {
            let at = *account.link().addresses();
            match effect {
                Effect::Look { range, seat } => {
                    let seated = match party {
                        Party::Auditor(number) => seat.map(|seat| (number, seat)),
                        Party::Client | Party::Provider(_) => None,
                    };
                    let seen = look(account.link(), range, seated).await;
                    if let Err(error) = &seen {
                        warn!(%range, %error, "an audit cannot be looked at");
                    }
                    Event::Looked { range, view: seen.ok().map(Box::new) }
                }
                Effect::Poke { range, round } => {
                    let call = SoloRandomness::noteCall { round };
                    let sent = account.execute(at.randomness, call).await.map(drop);
                    ended(&*hand, range, "noting the beacon", sent).await
                }
                Effect::Draw { range } => {
                    let call = Audits::drawCall { jobId: range.job.0, seq: range.seq };
                    let sent = account.execute(at.audits, call).await.map(drop);
                    ended(&*hand, range, "drawing auditors", sent).await
                }
                Effect::Advance { range } => {
                    info!(%range, "somebody is late in an audit; going on without them");
                    let call = Audits::advanceCall { jobId: range.job.0, seq: range.seq };
                    let sent = account.execute(at.audits, call).await.map(drop);
                    ended(&*hand, range, "going on with an audit", sent).await
                }
                effect => hand.perform(effect).await,
            }
        });
    }
}

/// The end of a move. That a contract refuses it mostly means that somebody else was quicker; the
/// look that follows tells.
pub(crate) async fn ended<H: Hand>(
    hand: &H,
    range: RangeId,
    doing: &str,
    sent: Result<(), ChainError>,
) -> Event {
    if let Err(error) = &sent {
        match error.revert_data() {
            Some(_) => debug!(%range, %error, "{doing} was refused"),
            None => warn!(%range, %error, "{doing} failed"),
        }
        hand.failed(error).await;
    }
    Event::Ended { range, done: sent.is_ok() }
}

/// What a log of the contract says to the machine. That something was said about a range is all it needs of most.
pub fn heard(log: &Log) -> Option<Event> {
    let at = |job: u64, seq: u32| RangeId { job: JobId(job), seq };
    if let Ok(due) = Audits::AuditDue::decode_log(log) {
        let (range, provider, round) = (at(due.jobId, due.seq), due.provider, due.round);
        return Some(Event::Due { range, provider, round });
    }
    if let Ok(closed) = Audits::AuditClosed::decode_log(log) {
        return Some(Event::Closed { range: at(closed.jobId, closed.seq) });
    }
    if let Ok(given) = Audits::SeatGiven::decode_log(log) {
        let range = at(given.jobId, given.seq);
        return Some(Event::Seated { range, auditor: given.auditor, seat: given.seat });
    }
    // Of all that is about a range its two numbers are the first topics; the rest is about money and has one.
    range_of(log).map(|range| Event::News { range })
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{Address, B256},
        signers::local::PrivateKeySigner,
    };
    use tilth_contracts::Addresses;

    use super::*;
    use crate::Link;

    /// Has nothing to do.
    struct Idler;

    impl Hand for Idler {
        async fn perform(&self, effect: Effect) -> Event {
            Event::Ended { range: effect.range(), done: false }
        }

        fn note(&self, _: &Effect) {}

        async fn failed(&self, _: &ChainError) {}

        fn caught_up(&self, _: Vec<RangeId>) {}

        fn read_up_to(&self, _: u64) {}
    }

    #[tokio::test]
    async fn audits_that_cannot_be_seen_any_more_end_with_an_error() {
        let link = Link::open("http://127.0.0.1:1", Addresses::predeployed()).unwrap();
        let account = Account::new(link, PrivateKeySigner::random());
        let (party, seals) = (Party::Provider(1), Vec::new());
        let post = Post { account, party, from_block: 0, job: None, seals };
        let ended = Keeper::new(post, Arc::new(Idler)).keep_reading(Following::dead()).await;
        assert!(matches!(ended, Err(ChainError::Unread)), "{ended:?}");
    }

    fn log<E: SolEvent>(event: &E) -> Log {
        Log { address: Address::ZERO, data: event.encode_log_data() }
    }

    #[test]
    fn whatever_is_said_about_a_range_is_news_of_it() {
        let range = RangeId { job: JobId(7), seq: 3 };
        let due = Audits::AuditDue { jobId: 7, seq: 3, round: 1, provider: 5, rate: 9 };
        assert_eq!(heard(&log(&due)), Some(Event::Due { range, provider: 5, round: 1 }));
        let given = Audits::SeatGiven { jobId: 7, seq: 3, auditor: 4, seat: 2, stage: 0 };
        assert_eq!(heard(&log(&given)), Some(Event::Seated { range, auditor: 4, seat: 2 }));
        let revealed = Audits::AuditRevealed { jobId: 7, seq: 3, seat: 1, answer: B256::ZERO };
        assert_eq!(heard(&log(&revealed)), Some(Event::News { range }));
        let owner = Address::ZERO;
        let collected = Audits::FeeCollected { owner, amount: 1, stillOwed: 0 };
        assert_eq!(heard(&log(&collected)), None);
        // A topic that is no number of a range.
        let mut strange = log(&revealed);
        strange.data.topics_mut()[2] = B256::repeat_byte(0xff);
        assert_eq!(heard(&strange), None);
    }
}
