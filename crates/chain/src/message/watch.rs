//! How long a request may execute, and whose turn it is.
//!
//! Executions on behalf of requests share one processor less than the machine has, taking turns
//! of a few milliseconds, so that they can never keep blocks from being made, nor a long one a
//! short one. Turns go round among callers and not among executions ([`Shares`]), so that many of
//! one caller delay another's no more than a few do. A [`Watch`] ends an execution whose time is
//! over. It is asked where loops pass: at jumps, calls and whatever reads or copies much (see
//! `machine`), and at every read of state.

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;

use super::{Caller, Shares};
use crate::state::{AccountState, StateError, StateReader};

/// Ticks between two looks at the clock: tens of microseconds of execution.
const BATCH: u32 = 4096;

/// How long one execution keeps its turn while others wait.
const SLICE: Duration = Duration::from_millis(10);

thread_local! {
    /// On whose behalf this thread executes.
    static CALLER: Cell<Caller> = const { Cell::new(Caller::NODE) };
}

/// Does work on behalf of a caller, whose turns all executions take that begin on this thread meanwhile.
pub(crate) fn on_behalf_of<T>(caller: Caller, work: impl FnOnce() -> T) -> T {
    struct Restore(Caller);
    impl Drop for Restore {
        fn drop(&mut self) {
            CALLER.set(self.0);
        }
    }
    let _restore = Restore(CALLER.replace(caller));
    work()
}

/// The right to execute, for so many at a time; the others wait until it is theirs.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue {
    shares: Shares<u64>,
    /// Tickets whose turn it is and who have not yet noticed.
    called: BTreeSet<u64>,
    next: u64,
}

impl Turns {
    /// So many executions at a time; at least one.
    pub(crate) fn new(count: usize) -> Self {
        let queue = Queue { shares: Shares::new(count), called: BTreeSet::new(), next: 0 };
        Self { state: Mutex::new(queue), changed: Condvar::new() }
    }

    /// As many as the machine has processors, less one for making blocks.
    pub(crate) fn of_this_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, |count| count.get() - 1))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, caller: Caller) {
        self.wait(self.queue(), caller);
    }

    /// Waits for a turn behind those that wait already.
    fn wait(&self, mut queue: MutexGuard<'_, Queue>, caller: Caller) {
        let ticket = queue.next;
        queue.next = queue.next.wrapping_add(1);
        queue.shares.ask(caller, ticket);
        self.call(&mut queue);
        while !queue.called.remove(&ticket) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Calls those whose turn it is.
    fn call(&self, queue: &mut Queue) {
        while let Some((_, ticket)) = queue.shares.serve() {
            queue.called.insert(ticket);
        }
        if !queue.called.is_empty() {
            self.changed.notify_all();
        }
    }

    fn give_back(&self, caller: Caller) {
        let mut queue = self.queue();
        queue.shares.give_back(caller);
        self.call(&mut queue);
    }

    /// Lets others have their turn before this caller's next one, if anybody waits.
    fn pass(&self, caller: Caller) {
        let mut queue = self.queue();
        if queue.shares.anybody_waits() {
            queue.shares.give_back(caller);
            self.wait(queue, caller);
        }
    }
}

/// Keeps one execution within its time and its turns. Dropping it ends the turn.
#[derive(Debug)]
pub(crate) struct Watch {
    turns: Arc<Turns>,
    caller: Caller,
    limit: Duration,
    end: Option<Instant>,
    ticks: Cell<u32>,
    since: Cell<Instant>,
}

impl Watch {
    /// Waits for a turn of the caller on whose behalf this thread works. The time begins now, waiting
    /// included; a limit of zero is none.
    pub(crate) fn start(turns: &Arc<Turns>, limit: Duration) -> Self {
        let end = (!limit.is_zero()).then(|| Instant::now().checked_add(limit)).flatten();
        let caller = CALLER.get();
        turns.take(caller);
        let since = Cell::new(Instant::now());
        Self { turns: Arc::clone(turns), caller, limit, end, ticks: Cell::new(BATCH), since }
    }

    /// Counts work of the given weight (1 is a jump) and now and then looks at the clock.
    ///
    /// # Errors
    /// [`StateError::Interrupted`] once the time is over.
    #[inline]
    pub(crate) fn tick(&self, weight: u32) -> Result<(), StateError> {
        match self.ticks.get().checked_sub(weight) {
            Some(left) => {
                self.ticks.set(left);
                Ok(())
            }
            None => self.look(),
        }
    }

    /// Looks at the clock, and lets others have their turn if this one's is over.
    #[cold]
    pub(crate) fn look(&self) -> Result<(), StateError> {
        self.ticks.set(BATCH);
        let now = Instant::now();
        if self.end.is_some_and(|end| now >= end) {
            return Err(StateError::Interrupted { limit: self.limit });
        }
        if now.duration_since(self.since.get()) >= SLICE {
            self.turns.pass(self.caller);
            self.since.set(Instant::now());
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.turns.give_back(self.caller);
    }
}

/// State read under a watch, as a block with a certain number sees it.
#[derive(Debug)]
pub(crate) struct Watched<R> {
    pub(crate) reader: R,
    pub(crate) watch: Rc<Watch>,
    /// Blocks from this number on have no hash yet, whatever number an override gives the block.
    pub(crate) hashes_below: u64,
}

/// Weight of a read of state.
const READ: u32 = 64;

impl<R: StateReader> StateReader for Watched<R> {
    fn account(&self, address: &Address) -> Result<Option<AccountState>, StateError> {
        self.watch.tick(READ)?;
        self.reader.account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.watch.tick(READ)?;
        self.reader.storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Bytecode, StateError> {
        self.watch.tick(READ)?;
        self.reader.code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.watch.tick(READ)?;
        if number >= self.hashes_below {
            return Ok(B256::ZERO);
        }
        self.reader.block_hash(number)
    }
    fn storage_entries(&self, address: &Address) -> Result<Vec<(B256, U256)>, StateError> {
        self.watch.look()?;
        self.reader.storage_entries(address)
    }
}

/// A duration as geth writes it: `5s`, `1m30s`, `250ms`.
pub(crate) fn in_words(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{millis}ms"),
        (hours, minutes, seconds) => {
            let mut text = String::new();
            if hours > 0 {
                text.push_str(&format!("{hours}h"));
            }
            if hours > 0 || minutes > 0 {
                text.push_str(&format!("{minutes}m"));
            }
            text.push_str(&seconds.to_string());
            if millis > 0 {
                text.push_str(format!(".{millis:03}").trim_end_matches('0'));
            }
            text.push('s');
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_geth() {
        for (millis, text) in [
            (5000, "5s"),
            (250, "250ms"),
            (1500, "1.5s"),
            (60_000, "1m0s"),
            (90_050, "1m30.05s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn many_executions_of_one_caller_are_one_to_another() {
        let turns = Arc::new(Turns::new(1));
        let caller = |number| Caller::new(None, number);
        let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let looks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let order = std::sync::atomic::Ordering::SeqCst;
        let greedy: Vec<_> = (0..20)
            .map(|_| {
                let (turns, is_over, looks) =
                    (Arc::clone(&turns), Arc::clone(&is_over), Arc::clone(&looks));
                std::thread::spawn(move || {
                    on_behalf_of(caller(1), || {
                        let watch = Watch::start(&turns, Duration::ZERO);
                        while !is_over.load(order) {
                            // Its turn is over at once.
                            watch.since.set(Instant::now() - SLICE);
                            watch.look().unwrap();
                            looks.fetch_add(1, order);
                        }
                    });
                })
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while looks.load(order) < 40 {
            assert!(Instant::now() < deadline, "the executions do not take turns");
            std::thread::yield_now();
        }
        let modest = on_behalf_of(caller(2), || Watch::start(&turns, Duration::ZERO));
        let before = looks.load(order);
        for _ in 0..50 {
            modest.since.set(Instant::now() - SLICE);
            modest.look().unwrap();
        }
        // Each time one of the twenty had its turn, and not all of them.
        let between = looks.load(order) - before;
        drop(modest);
        is_over.store(true, order);
        greedy.into_iter().for_each(|thread| thread.join().unwrap());
        assert!((25..=100).contains(&between), "{between} turns of others in 50");
        assert_eq!(CALLER.get(), Caller::NODE);
    }

    #[test]
    fn a_long_execution_lets_a_short_one_through_and_ends() {
        let turns = Arc::new(Turns::new(1));
        let long = Watch::start(&turns, Duration::from_secs(20));
        let short = std::thread::spawn({
            let turns = Arc::clone(&turns);
            move || drop(Watch::start(&turns, Duration::from_secs(5)))
        });
        let deadline = Instant::now() + Duration::from_secs(15);
        while !short.is_finished() {
            assert!(Instant::now() < deadline, "the short execution never got a turn");
            long.tick(1).unwrap();
        }
        short.join().unwrap();
        drop(long);
        let brief = Watch::start(&turns, Duration::from_millis(1));
        let deadline = Instant::now() + Duration::from_secs(15);
        let error = loop {
            assert!(Instant::now() < deadline, "the time never ended");
            if let Err(error) = brief.tick(1) {
                break error;
            }
        };
        assert_eq!(error.to_string(), "execution aborted (timeout = 1ms)");
    }
}
