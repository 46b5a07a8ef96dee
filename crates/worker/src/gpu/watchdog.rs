//! Ends the process when the device does not answer in time.
//!
//! A driver may hang inside a call that knows no time limit, and so may its clean-up, so nothing is tidied
//! up: the reason goes to standard error, whose end the agent keeps, and the process aborts. A device that
//! answers late is this machine's failure and never becomes a result.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What is waited for, and until when.
type Due = Option<(Instant, &'static str)>;

#[derive(Debug, Default)]
struct Shared {
    due: Mutex<Due>,
    changed: Condvar,
}

/// A thread that watches one call at a time.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog(Arc<Shared>);

/// The call is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Watched<'a>(&'a Shared);

fn lock(shared: &Shared) -> MutexGuard<'_, Due> {
    shared.due.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchdog {
    /// Starts the thread. It lives as long as the process.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        thread::spawn(move || {
            let mut due = lock(&watched);
            loop {
                let wait = match *due {
                    None => Duration::MAX,
                    Some((end, _)) => end.saturating_duration_since(Instant::now()),
                };
                if let (Some((_, what)), true) = (*due, wait.is_zero()) {
                    eprintln!(
                        "worker: the GPU does not answer: {what} takes longer than it may. \
                         The program may be endless, or the device hangs."
                    );
                    std::process::abort();
                }
                let waited = watched.changed.wait_timeout(due, wait);
                due = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        });
        Self(shared)
    }

    /// Ends the process unless the result is dropped before the time is over.
    pub(crate) fn watch(&self, what: &'static str, time: Duration) -> Watched<'_> {
        *lock(&self.0) = Some((Instant::now() + time, what));
        self.0.changed.notify_one();
        Watched(&self.0)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}
