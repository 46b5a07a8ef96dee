//! Ends the process when the device does not answer in time.
//!
//! A driver may hang inside a call that knows no time limit, and so may its clean-up, so nothing is tidied
//! up: the reason goes to standard error, whose end the agent keeps, and the process aborts. A device that
//! answers late is this machine's failure and never becomes a result.
//!
//! Time in which the whole process stands still does not count: the machine's owner may want the machine for an hour,
//! and the worker goes on afterwards. So time is counted in short steps, and of a step at most [`LONGEST`].

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How often the time is looked at while something is watched.
const STEP: Duration = Duration::from_millis(250);
/// What a step counts at most: one that took longer was not this process's time, for it stood still.
const LONGEST: Duration = Duration::from_secs(1);

/// A call that is watched.
#[derive(Debug)]
struct Call {
    what: &'static str,
    left: Duration,
    /// Tells it from calls before and after it.
    number: u64,
}

impl Call {
    /// Takes a step off; true when the time is over.
    fn step(&mut self, took: Duration) -> bool {
        self.left = self.left.saturating_sub(took.min(LONGEST));
        self.left.is_zero()
    }
}

#[derive(Debug, Default)]
struct State {
    call: Option<Call>,
    calls: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A thread that watches one call at a time.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog(Arc<Shared>);

/// The call is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    shared: &'a Shared,
    /// What was watched when this call began, and goes on afterwards; its time stands still meanwhile.
    outer: Option<Call>,
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchdog {
    /// Starts the thread. It lives as long as the process.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        thread::spawn(move || {
            let mut state = lock(&watched);
            loop {
                let (number, wait) = match &state.call {
                    None => (None, Duration::MAX),
                    Some(call) => (Some(call.number), STEP.min(call.left)),
                };
                let began = Instant::now();
                let waited = watched.changed.wait_timeout(state, wait);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                // A call that began meanwhile has spent nothing yet.
                let same = state.call.as_mut().filter(|call| Some(call.number) == number);
                if let Some(call) = same
                    && call.step(began.elapsed())
                {
                    eprintln!(
                        "worker: the GPU does not answer: {} takes longer than it may. \
                         The program may be endless, or the device hangs.",
                        call.what
                    );
                    std::process::abort();
                }
            }
        });
        Self(shared)
    }

    /// Ends the process unless the result is dropped before the time is over. A call inside of a watched one is watched
    /// in its place, and must end before it.
    pub(crate) fn watch(&self, what: &'static str, time: Duration) -> Watched<'_> {
        let mut state = lock(&self.0);
        state.calls += 1;
        let number = state.calls;
        let outer = state.call.replace(Call { what, left: time, number });
        drop(state);
        self.0.changed.notify_one();
        Watched { shared: &self.0, outer }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        lock(self.shared).call = self.outer.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_process_stands_still_does_not_count() {
        let call = |seconds| Call { what: "", left: Duration::from_secs(seconds), number: 1 };
        let mut hung = call(2);
        let steps = (1..).find(|_| hung.step(STEP)).unwrap();
        assert_eq!(steps, 8, "two seconds are eight steps");
        let mut frozen = call(2);
        assert!(!frozen.step(Duration::from_secs(3600)), "an hour's pause");
        assert!(!frozen.step(STEP));
        assert!(frozen.step(Duration::from_secs(3600)));
    }

    #[test]
    fn a_call_inside_of_another_leaves_the_other_watched() {
        let watchdog = Watchdog(Arc::default());
        let watched = || lock(&watchdog.0).call.as_ref().map(|call| (call.what, call.left));
        let (long, short) = (Duration::from_secs(9), Duration::from_secs(2));
        let outer = watchdog.watch("outer", long);
        for _ in 0..2 {
            let inner = watchdog.watch("inner", short);
            assert_eq!(watched(), Some(("inner", short)));
            drop(inner);
            assert_eq!(watched(), Some(("outer", long)));
        }
        drop(outer);
        assert_eq!(watched(), None);
    }
}
