//! The agent: owns the machine, feeds it events, performs its effects. Decides nothing.
//!
//! One task runs [`Agent::work`]. Each effect that takes time is a task of its own in the provider's
//! scope, or an order to a slot, and ends with the event that the machine waits for. Events come back
//! through one bounded mailbox; the agent never waits for those who fill it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tilth_blobs::Tag;
use tilth_client::{
    ChainError, News,
    clock::{now, until},
    mates::Part,
};
use tilth_protocol::{Amount, JobId, Price, RangeId};
use tilth_service::Spawner;
use tilth_verification::replica::Found;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use crate::{
    ProviderError,
    bookmark::Bookmark,
    fetch::{self, FetchError},
    folder::remove,
    guards,
    hand::Leash,
    ignored::Ignored,
    journal::Extent,
    machine::{
        Ask, ChainEvent, Commitment, Effect, Event, Machine, Millis, MoveFailure, Note, Refusal,
        SlotId, Trouble, Unfit, Work,
    },
    news::{Heard, More, hear},
    role,
    shop::Shop,
    slot::{Order, Slot, Task},
    status::{ChainStatus, SlotStatus, Status},
    store, sweep,
};

/// Events that may wait for the agent. Senders wait when it is full.
pub(crate) const MAILBOX: usize = 256;
/// Orders that may wait for a slot: an unload and what follows it.
const ORDERS: usize = 4;
/// Blocks read after which the bookmark is moved although nothing else happens.
const MOVE_BOOKMARK: u64 = 1_000;

/// What the handle tells the agent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    /// Take no more work.
    Drain,
}

/// The agent's side of a slot.
struct Desk {
    orders: mpsc::Sender<Order>,
    abort: watch::Sender<Option<Task>>,
    leash: watch::Sender<bool>,
    running: Option<Task>,
}

/// The agent's ears.
pub(crate) struct Ears {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

pub(crate) struct Agent {
    machine: Machine,
    shop: Arc<Shop>,
    bookmark: Bookmark,
    tasks: Spawner,
    events: mpsc::Sender<Event>,
    status: watch::Sender<Status>,
    desks: Vec<Desk>,
    /// By which fetches that are under way are left off.
    fetches: BTreeMap<JobId, oneshot::Sender<()>>,
    /// Tasks of ranges that are ours, for the totals.
    counts: BTreeMap<RangeId, u32>,
    ignored: Ignored,
    caught_up: bool,
    bookmark_at: u64,
}

impl Agent {
    pub(crate) fn new(
        machine: Machine,
        shop: Arc<Shop>,
        bookmark: Bookmark,
        tasks: Spawner,
        events: mpsc::Sender<Event>,
        status: watch::Sender<Status>,
    ) -> Self {
        let bookmark_at = bookmark.next_block();
        let slots = machine.work().count();
        let mut agent = Self {
            machine,
            shop,
            bookmark,
            tasks,
            events,
            status,
            desks: Vec::new(),
            fetches: BTreeMap::new(),
            counts: BTreeMap::new(),
            ignored: Ignored::default(),
            caught_up: false,
            bookmark_at,
        };
        agent.desks = (0..slots).map(|slot| agent.open_slot(slot)).collect();
        agent
    }

    fn open_slot(&self, slot: usize) -> Desk {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (abort, aborted) = watch::channel(None);
        let (leash, pulled) = watch::channel(false);
        let slot = Slot {
            id: SlotId::try_from(slot).unwrap_or(SlotId::MAX),
            shop: Arc::clone(&self.shop),
            orders: inbox,
            aborted,
            leash: Leash::new(pulled),
            events: self.events.clone(),
            loaded: None,
        };
        self.spawn(format!("slot {}", slot.id), slot.follow());
        Desk { orders, abort, leash, running: None }
    }

    /// Works until the scope stops or the chain turns out to be another one.
    pub(crate) async fn work(mut self, mut ears: Ears) -> Result<(), ProviderError> {
        let stop = self.tasks.token();
        loop {
            let wake = self.machine.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = ears.events.recv() => self.take(event)?,
                Some(news) = ears.news.recv() => self.hear(news)?,
                Some(Command::Drain) = ears.commands.recv() => {
                    info!("taking no more work");
                    self.take(Event::Drain)?;
                    // Who waits for the end of it must not see what was before.
                    self.show();
                    self.status.send_modify(|status| status.draining = true);
                }
                () = until(wake) => self.take(Event::Tick)?,
            }
            self.show();
        }
        self.save_bookmark();
        Ok(())
    }

    /// One event, and whatever is waiting behind it need not be asked for one by one.
    fn take(&mut self, event: Event) -> Result<(), ProviderError> {
        if let Event::Calibrated { slot, .. }
        | Event::RangeComplete { slot, .. }
        | Event::RunFailed { slot, .. } = &event
            && let Some(desk) = self.desks.get_mut(usize::from(*slot))
        {
            desk.running = None;
        }
        if let Event::Fetched { job }
        | Event::FetchFailed { job, .. }
        | Event::FetchRefused { job, .. } = &event
        {
            self.fetches.remove(job);
        }
        debug!(?event, "event");
        for effect in self.machine.step(event, now()) {
            self.perform(effect)?;
        }
        Ok(())
    }

    fn hear(&mut self, news: News) -> Result<(), ProviderError> {
        match news {
            News::Logs { logs, to, at_head, .. } => {
                for heard in logs.iter().filter_map(hear) {
                    self.heed(heard)?;
                }
                self.bookmark.read_up_to(to.saturating_add(1));
                if at_head && !self.caught_up {
                    self.caught_up = true;
                    self.take(Event::CaughtUp)?;
                    self.save_bookmark();
                    self.sweep();
                    // Who is told that the past is known must see what was in it.
                    self.show();
                    self.set_chain(ChainStatus::Here);
                    info!(block = to, "up to date with the chain");
                }
                if self.bookmark.next_block() >= self.bookmark_at.saturating_add(MOVE_BOOKMARK) {
                    self.save_bookmark();
                }
            }
            News::Away { detail } => {
                warn!(detail, "the chain does not answer; running ranges go on");
                self.set_chain(ChainStatus::Away);
            }
            News::Back { after } => {
                let away_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                info!(away_ms, "the chain answers again");
                let here = if self.caught_up { ChainStatus::Here } else { ChainStatus::Reading };
                self.set_chain(here);
            }
            News::Rewound { expected, found } => {
                let error = ChainError::Rewound { expected, found };
                return Err(ProviderError::Stopped(error.to_string()));
            }
        }
        Ok(())
    }

    fn heed(&mut self, heard: Heard) -> Result<(), ProviderError> {
        let job = heard.job();
        if self.bookmark.is_counted(job) {
            return Ok(());
        }
        let owner = self.shop.chain.owner.address();
        match (&heard.event, heard.more) {
            (_, More::Opened(opening)) => {
                self.bookmark.opened(job, heard.block);
                self.shop.opened(job, opening);
            }
            (ChainEvent::Claimed { provider, claim }, _) if *provider == owner => {
                self.counts.insert(claim.range, claim.count);
            }
            (ChainEvent::Submitted { range, .. }, More::Submitted { provider, units })
                if provider == owner =>
            {
                let tasks = self.counts.remove(range).unwrap_or(0);
                self.bookmark.submitted(job, tasks, units);
            }
            (ChainEvent::Settled { paid, .. }, More::Settled { provider }) if provider == owner => {
                self.bookmark.settled(job, *paid);
            }
            (ChainEvent::MatePaid { provider, paid, .. }, _) if *provider == owner => {
                self.bookmark.settled(job, *paid);
            }
            // Somebody else's place in a line.
            (_, More::Line { number }) if !self.shop.is_number(number) => return Ok(()),
            (ChainEvent::Released { range } | ChainEvent::Expired { range }, _) => {
                self.counts.remove(range);
            }
            (ChainEvent::Closed { job }, _) => {
                self.bookmark.closed(*job);
                self.ignored.until(*job, 0);
            }
            _ => {}
        }
        self.take(Event::Chain(heard.event))
    }

    fn perform(&mut self, effect: Effect) -> Result<(), ProviderError> {
        debug!(?effect, "effect");
        match effect {
            Effect::Fetch { job, holds, epoch } => self.fetch(job, holds, epoch),
            Effect::StopFetch { job } => {
                if let Some(stop) = self.fetches.remove(&job) {
                    // One that has ended meanwhile says so itself.
                    let _ = stop.send(());
                }
            }
            Effect::Calibrate { slot, job, index } => {
                self.begin(slot, Task::Calibration(job));
                self.order(slot, Order::Calibrate { job, index })?;
            }
            Effect::Run { slot, range, from, count, silence_ms } => {
                let silence = Duration::from_millis(silence_ms);
                self.begin(slot, Task::Range(range));
                self.order(slot, Order::Run { range, from, count, silence })?;
            }
            Effect::Abort { slot } => {
                if let Some(desk) = self.desks.get(usize::from(slot)) {
                    desk.abort.send_replace(desk.running);
                }
            }
            Effect::Freeze { slot } => self.pull(slot, true),
            Effect::Thaw { slot } => self.pull(slot, false),
            Effect::Unload { slot } => self.order(slot, Order::Unload)?,
            Effect::Claim(ask) => {
                let chain = self.shop.chain.clone();
                self.answer(format!("claim {}", ask.job), async move {
                    answer_to(&ask, chain.claim(&ask).await)
                });
            }
            Effect::Wait { job, bond, min_price } => self.line_up(job, Some((bond, min_price))),
            Effect::Leave { job } => self.line_up(job, None),
            Effect::Found { range, from, count, commitment } => {
                self.shop.tell_found(range, Part { from, count }, found_of(&commitment));
            }
            Effect::Store { range, from, count } => self.store(range, from, count),
            Effect::Submit { range, commitment, ask } => self.submit(range, commitment, ask),
            Effect::Release { range } => self.release(range),
            Effect::Settle { job, seqs } => {
                let chain = self.shop.chain.clone();
                self.answer(format!("settle {job}"), async move {
                    Event::SettleEnded { job, done: chain.settle(job, seqs).await }
                });
            }
            Effect::Expire { job, seqs } => {
                let chain = self.shop.chain.clone();
                self.answer(format!("expire {job}"), async move {
                    Event::ExpireEnded { job, done: chain.expire(job, seqs).await }
                });
            }
            Effect::Withdraw => {
                let chain = self.shop.chain.clone();
                self.answer("withdraw".into(), async move {
                    Event::WithdrawEnded { done: chain.withdraw().await }
                });
            }
            Effect::Discard { range } => self.discard(range),
            Effect::Forget { job, until } => self.forget(job, until),
            Effect::Note(note) => self.note(&note),
        }
        Ok(())
    }

    fn note(&mut self, note: &Note) {
        if let Note::Ignored { job, why } = note {
            self.ignored.note(*job, *why);
        }
        tell(note);
    }

    /// Notes what a slot is about to be told.
    fn begin(&mut self, slot: SlotId, task: Task) {
        if let Some(desk) = self.desks.get_mut(usize::from(slot)) {
            // What was stopped once may be run again.
            desk.abort.send_replace(None);
            desk.running = Some(task);
        }
    }

    fn pull(&self, slot: SlotId, pulled: bool) {
        if let Some(desk) = self.desks.get(usize::from(slot)) {
            desk.leash.send_replace(pulled);
        }
    }

    fn order(&self, slot: SlotId, order: Order) -> Result<(), ProviderError> {
        let sent = self.desks.get(usize::from(slot)).map(|desk| desk.orders.try_send(order));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(ProviderError::Stopped(format!("slot {slot} takes no orders"))),
        }
    }

    fn fetch(&mut self, job: JobId, holds: bool, epoch: u64) {
        let shop = Arc::clone(&self.shop);
        let (stop, stopped) = oneshot::channel();
        self.fetches.insert(job, stop);
        self.answer(format!("fetch {job}"), async move {
            let fetched = tokio::select! {
                fetched = fetch::fetch(&shop, job, holds) => fetched,
                // Dropping it ends its transfers and its compiler.
                Ok(()) = stopped => {
                    debug!(%job, "left a fetch off");
                    return Event::FetchFailed { job, trouble: Trouble::Aborted };
                }
            };
            match fetched {
                Ok(()) => Event::Fetched { job },
                Err(error) => {
                    fetch::report(job, &error);
                    match error {
                        FetchError::Refused(why) => Event::FetchRefused { job, epoch, why },
                        error => Event::FetchFailed { job, trouble: error.trouble() },
                    }
                }
            }
        });
    }

    fn store(&self, range: RangeId, from: u32, count: u32) {
        let shop = Arc::clone(&self.shop);
        self.answer(format!("store {range}"), async move {
            let extent = Extent { range, from, count, prepare: false };
            match store::store(&shop, extent).await {
                Ok(commitment) => Event::Stored { range, commitment },
                Err(error) => {
                    let lost = error.is_lost();
                    warn!(%range, %error, lost, "a range cannot be stored");
                    if lost && let Err(error) = remove(&shop.folder.journal(range)) {
                        warn!(%range, %error, "its journal cannot be removed");
                    }
                    Event::StoreFailed { range, lost }
                }
            }
        });
    }

    /// Moves in a line of those who wait to be drawn: waits there with a bond and a least price, or leaves it.
    fn line_up(&self, job: JobId, wanted: Option<(Amount, Price)>) {
        let (chain, partner) = (self.shop.chain.clone(), self.shop.partner);
        self.answer(format!("line of {job}"), async move {
            let place = match (partner.map(|partner| partner.number), wanted) {
                (Some(number), Some((bond, min_price))) => {
                    chain.wait_in_line(job, number, bond, min_price).await
                }
                (Some(number), None) => chain.leave_line(job, number).await,
                (None, _) => None,
            };
            Event::Moved { job, place }
        });
    }

    /// What is handed in: a seal, where a second provider does the range, too.
    fn sealed(&self, range: RangeId, commitment: Commitment) -> Option<Commitment> {
        if !self.shop.opening(range.job)?.replicated {
            return Some(commitment);
        }
        let root = self.shop.partner?.sealer.seal(range, &found_of(&commitment));
        Some(Commitment { root, ..commitment })
    }

    fn submit(&self, range: RangeId, commitment: Commitment, ask: Option<Ask>) {
        let chain = self.shop.chain.clone();
        let events = self.events.clone();
        let sealed = self.sealed(range, commitment);
        self.spawn(format!("submit {range}"), async move {
            let (submitted, given) = match sealed {
                Some(commitment) => chain.submit(range, &commitment, ask.as_ref()).await,
                // Whether a root or a seal is wanted is not known: neither may take the other's place.
                None => (Err(MoveFailure::Later), None),
            };
            let event = match submitted {
                Ok(at) => {
                    let Commitment { units, failures, .. } = commitment;
                    info!(%range, units, failures, "submitted a range");
                    Event::Submitted { range, at }
                }
                Err(why) => Event::SubmitFailed { range, why },
            };
            // A closed mailbox means that the provider stops.
            let _ = events.send(event).await;
            if let Some(ask) = ask {
                let given = given.unwrap_or(Err(Refusal::Later));
                let _ = events.send(answer_to(&ask, given)).await;
            }
        });
    }

    fn release(&self, range: RangeId) {
        let chain = self.shop.chain.clone();
        self.answer(format!("release {range}"), async move {
            match chain.release(range).await {
                Ok(None) => Event::Released { range },
                Ok(Some(at)) => Event::Submitted { range, at },
                Err(why) => Event::ReleaseFailed { range, why },
            }
        });
    }

    fn discard(&self, range: RangeId) {
        let shop = Arc::clone(&self.shop);
        self.spawn(format!("discard {range}"), async move {
            if let Err(error) = shop.blobs.unpin(&Tag::range(range.job, range.seq)).await {
                warn!(%range, %error, "a range's content stays pinned until its job is forgotten");
            }
            guards::lift(&shop, range);
            shop.forget_found(range);
            if let Err(error) = remove(&shop.folder.journal(range)) {
                warn!(%range, %error, "a journal cannot be removed");
            }
        });
    }

    fn forget(&mut self, job: JobId, until: Millis) {
        self.ignored.until(job, until);
        self.bookmark.leave(job, until);
        // While the past is read there are many, and the end of that is saved, too.
        if self.caught_up {
            self.save_bookmark();
        }
        self.shop.forget(job);
        self.clear(job);
    }

    /// Removes a job's files and pins.
    fn clear(&self, job: JobId) {
        let shop = Arc::clone(&self.shop);
        self.spawn(format!("clear {job}"), async move { sweep::clear(&shop, job).await });
    }

    /// Removes what jobs of an earlier life have left.
    fn sweep(&self) {
        let known: BTreeSet<_> = self.machine.jobs().collect();
        match self.shop.folder.jobs() {
            Ok(jobs) => jobs.into_iter().filter(|job| !known.contains(job)).for_each(|job| {
                let shop = Arc::clone(&self.shop);
                self.spawn(format!("sweep {job}"), async move { sweep::sweep(&shop, job).await });
            }),
            Err(error) => warn!(%error, "old jobs' folders cannot be listed"),
        }
    }

    /// Starts a task that ends with an event.
    fn answer(&self, name: String, future: impl Future<Output = Event> + Send + 'static) {
        let events = self.events.clone();
        self.spawn(name, async move {
            let event = future.await;
            // A closed mailbox means that the provider stops.
            let _ = events.send(event).await;
        });
    }

    /// Starts a task that ends with the provider. A panic in it would leave the machine waiting for an
    /// answer for ever, so it stops everything and is seen.
    fn spawn(&self, name: String, future: impl Future<Output = ()> + Send + 'static) {
        if !role::spawn(&self.tasks, name, future) {
            debug!("nothing is started any more, the provider stops");
        }
    }

    fn set_chain(&self, chain: ChainStatus) {
        self.status.send_modify(|status| status.chain = chain);
    }

    /// Shows what has changed.
    fn show(&mut self) {
        let standing = self.machine.standing();
        let (waiting, ignored) = (self.machine.waits(), self.ignored.counts(now()));
        let slots: Vec<_> = self.machine.work().map(slot_status).collect();
        let (totals, caught_up) = (self.bookmark.totals(), self.caught_up);
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.slots.clone_from(&slots);
            status.held = standing.held;
            status.unsettled = standing.unsettled;
            status.mates = standing.mates;
            status.lines = standing.lines;
            status.bonds = standing.bonds;
            status.jobs = standing.jobs;
            status.pending = standing.pending;
            status.still = standing.still;
            status.known = caught_up;
            status.crowded = standing.crowded;
            status.waiting.clone_from(&waiting);
            status.ignored.clone_from(&ignored);
            status.totals = totals;
            *status != before
        });
    }

    fn save_bookmark(&mut self) {
        self.bookmark_at = self.bookmark.next_block();
        if let Err(error) = self.bookmark.save(&self.shop.folder.bookmark(), now()) {
            error!(%error, "the bookmark cannot be written; the next start reads more of the chain");
        }
    }
}

fn answer_to(ask: &Ask, given: Result<crate::machine::Claim, Refusal>) -> Event {
    match given {
        Ok(claim) => {
            info!(range = %claim.range, from = claim.from, count = claim.count, "claimed a range");
            Event::Claimed { claim }
        }
        Err(why) => Event::ClaimRefused { job: ask.job, epoch: ask.epoch, why },
    }
}

fn found_of(commitment: &Commitment) -> Found {
    let Commitment { root, units, failures, .. } = *commitment;
    Found { root, units, failures }
}

fn slot_status(work: Work) -> SlotStatus {
    match work {
        Work::Idle => SlotStatus::Idle,
        Work::Calibrating(job) => SlotStatus::Calibrating { job },
        Work::Running(range, since_ms) => SlotStatus::Running { range, since_ms },
    }
}

fn tell(note: &Note) {
    match note {
        Note::Ignored { job, why: Unfit::Audited } => fetch::tell_unauditable(*job),
        Note::Ignored { job, why } => info!(%job, ?why, "leaving a job alone"),
        Note::Lost { range } => warn!(%range, "a range was taken from us: its time was over"),
        Note::TooLate { range } => {
            warn!(%range, "giving a range back: the owner has the machine and it would be late");
        }
        Note::Rejected { range } => {
            warn!(%range, "an audit rejected a range: it is not paid; see `tilth providers` for the stake");
        }
        Note::StakeTooLow { job } => {
            warn!(%job, "the stake does not cover a single task of this job, or the job is audited and there are too few auditors, or it is kept and its client has to fill up its deposit; stake more to work on it in the first case");
        }
        Note::GaveUp { range, deaths } => warn!(%range, deaths, "giving a range back"),
        Note::Missed { range } => {
            warn!(%range, "a range that we are the mate of is not done: that costs a tenth of its value");
        }
    }
}
