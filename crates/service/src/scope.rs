//! Supervised tasks: every task of a role runs in a [`Scope`] under a name, with a declared answer to its failure.
//!
//! A failure is an `Err` or a panic; a task that returns `Ok` is simply done. Invariants: nothing started in a scope
//! outlives it (dropping the scope drops every future at its next await point); a panic never disappears; after the
//! scope has begun to stop, nothing new starts in it.
//!
//! The soft stop is a [`CancellationToken`] that tasks watch; the hard stop drops their futures. CPU-bound work does
//! not belong here: a future that never awaits cannot be dropped by anyone.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, error, error_span, warn};

/// How long [`Scope::shutdown`] waits, after dropping the futures, for threads that are still inside one.
const DROP_GRACE: Duration = Duration::from_secs(2);

/// What to do when a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Stop the whole scope softly; the failure becomes the scope's [`Failure`].
    StopAll,
    /// Write it to the log and go on without the task.
    Log,
}

/// How often and how patiently a task is started again after failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Failures in a row after which the scope is stopped instead.
    pub max: u32,
    /// Wait before the first restart; doubles with every failure in a row.
    pub backoff: Duration,
    /// The longest wait. A run that lasted longer than this starts the count anew.
    pub max_backoff: Duration,
}

/// The failure that stopped a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the task.
    pub task: String,
    /// The error's text with its causes, or the panic's message.
    pub cause: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} failed: {}", self.task, self.cause)
    }
}

/// How a scope ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// The failure that had stopped the scope, if one had.
    pub failure: Option<Failure>,
    /// Names of the tasks that did not stop in time and were dropped.
    pub dropped: Vec<String>,
}

/// What a supervised future may return: nothing, or a result whose error can be shown.
pub trait Outcome {
    /// The failure's text, or `None` when all went well.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        let error = self.err()?.into();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(below) = cause {
            text.push_str(": ");
            text.push_str(&below.to_string());
            cause = below.source();
        }
        Some(text)
    }
}

/// The owner of a set of supervised tasks; dropping it ends them all.
#[derive(Debug)]
pub struct Scope {
    spawner: Spawner,
}

/// Starts tasks in a [`Scope`] it does not own; cheap to clone and to hand to tasks.
#[derive(Debug, Clone)]
pub struct Spawner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    roll: Mutex<Roll>,
}

/// The running tasks by number, and the failure that stopped the scope.
#[derive(Debug, Default)]
struct Roll {
    next: u64,
    running: BTreeMap<u64, String>,
    failure: Option<Failure>,
    closed: bool,
}

impl Scope {
    /// A scope without tasks. The name appears in the logs.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_token(name, CancellationToken::new())
    }

    /// A scope that also begins its soft stop when `stop` is cancelled; its own stop leaves `stop` alone.
    #[must_use]
    pub fn child_of(name: impl Into<String>, stop: &CancellationToken) -> Self {
        Self::with_token(name, stop.child_token())
    }

    fn with_token(name: impl Into<String>, soft: CancellationToken) -> Self {
        let shared = Shared {
            name: name.into(),
            tracker: TaskTracker::new(),
            soft,
            hard: CancellationToken::new(),
            roll: Mutex::default(),
        };
        Self { spawner: Spawner { shared: Arc::new(shared) } }
    }

    /// Starts a task. Returns whether it was started: a stopping scope takes no new tasks.
    pub fn spawn<F>(&self, name: impl Into<String>, policy: OnFailure, future: F) -> bool
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.spawner.spawn(name, policy, future)
    }

    /// Starts a task that is made anew by `make` after each failure. Returns whether it was started.
    pub fn spawn_restarting<M, F>(&self, name: impl Into<String>, policy: Restart, make: M) -> bool
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output: Outcome> + Send + 'static,
    {
        self.spawner.spawn_restarting(name, policy, make)
    }

    /// The soft stop, for tasks to watch; cancelling it stops the scope.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.spawner.token()
    }

    /// A handle to start further tasks from inside tasks.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Names of the tasks that run now, in order of their start.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.spawner.shared.roll().running.values().cloned().collect()
    }

    /// Waits until the scope begins to stop, for whatever reason, and returns the failure behind it, if any.
    pub async fn stopped(&self) -> Option<Failure> {
        self.spawner.shared.soft.cancelled().await;
        self.spawner.shared.roll().failure.clone()
    }

    /// Asks all tasks to stop, waits for them up to `deadline`, then drops those that are left.
    pub async fn shutdown(self, deadline: Duration) -> Ending {
        let shared = &self.spawner.shared;
        shared.close();
        shared.soft.cancel();
        let mut dropped = Vec::new();
        if tokio::time::timeout(deadline, shared.tracker.wait()).await.is_err() {
            dropped = self.running();
            warn!(scope = shared.name, tasks = ?dropped, "tasks did not stop in time and are dropped");
            shared.hard.cancel();
            if tokio::time::timeout(DROP_GRACE, shared.tracker.wait()).await.is_err() {
                error!(scope = shared.name, tasks = ?self.running(), "tasks block their threads and cannot be dropped");
            }
        }
        Ending { failure: shared.roll().failure.clone(), dropped }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let shared = &self.spawner.shared;
        shared.close();
        shared.soft.cancel();
        shared.hard.cancel();
    }
}

impl Spawner {
    /// Like [`Scope::spawn`].
    pub fn spawn<F>(&self, name: impl Into<String>, policy: OnFailure, future: F) -> bool
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let name = name.into();
        let shared = Arc::clone(&self.shared);
        self.enter(name.clone(), async move {
            let Some(cause) = run_once(future).await else { return };
            match policy {
                OnFailure::StopAll => shared.stop_for(Failure { task: name, cause }),
                OnFailure::Log => error!(cause, "task failed; the others go on"),
            }
        })
    }

    /// Like [`Scope::spawn_restarting`].
    pub fn spawn_restarting<M, F>(
        &self,
        name: impl Into<String>,
        policy: Restart,
        mut make: M,
    ) -> bool
    where
        M: FnMut() -> F + Send + 'static,
        F: Future<Output: Outcome> + Send + 'static,
    {
        let name = name.into();
        let shared = Arc::clone(&self.shared);
        self.enter(name.clone(), async move {
            let mut failures: u32 = 0;
            loop {
                let began = tokio::time::Instant::now();
                let Some(cause) = run_once(make()).await else { return };
                failures = if began.elapsed() > policy.max_backoff {
                    1
                } else {
                    failures.saturating_add(1)
                };
                if failures > policy.max {
                    shared.stop_for(Failure { task: name, cause });
                    return;
                }
                let wait = backoff(policy, failures);
                warn!(
                    cause,
                    failures,
                    wait_ms = wait.as_millis(),
                    "task failed and will be started again"
                );
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shared.soft.cancelled() => return,
                }
            }
        })
    }

    /// The soft stop, for tasks to watch; cancelling it stops the scope.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.shared.soft.clone()
    }

    fn enter(&self, name: String, supervised: impl Future<Output = ()> + Send + 'static) -> bool {
        let shared = Arc::clone(&self.shared);
        let span = error_span!("task", scope = shared.name, name);
        let id = {
            let mut roll = shared.roll();
            if roll.closed || shared.soft.is_cancelled() {
                debug!(parent: &span, "not started: the scope is stopping");
                return false;
            }
            let id = roll.next;
            roll.next += 1;
            roll.running.insert(id, name);
            id
        };
        let entry = Entry { shared: Arc::clone(&shared), id };
        let hard = shared.hard.clone();
        shared.tracker.spawn(
            async move {
                let _entry = entry;
                tokio::select! {
                    biased;
                    () = hard.cancelled() => {}
                    () = supervised => {}
                }
            }
            .instrument(span),
        );
        true
    }
}

impl Shared {
    fn roll(&self) -> MutexGuard<'_, Roll> {
        // No code panics while it holds the lock, and the roll is whole between any two statements.
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.roll().closed = true;
        self.tracker.close();
    }

    fn stop_for(&self, failure: Failure) {
        error!(
            scope = self.name,
            task = failure.task,
            cause = failure.cause,
            "task failed; the scope stops"
        );
        self.roll().failure.get_or_insert(failure);
        self.soft.cancel();
    }
}

/// Takes a task off the roll when its future is gone, however it went.
struct Entry {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.roll().running.remove(&self.id);
    }
}

/// Runs a future to its end; a panic inside it is a failure like any other.
async fn run_once<F: Future<Output: Outcome>>(future: F) -> Option<String> {
    let mut future = pin!(future);
    // Unwind safety: the future is never polled again after a panic, only dropped.
    let ended =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        })
        .await;
    match ended {
        Ok(outcome) => outcome.failure(),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Some(format!("panicked: {}", text.unwrap_or_else(|| "no message".into())))
        }
    }
}

fn backoff(policy: Restart, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    policy.backoff.saturating_mul(factor).min(policy.max_backoff)
}
