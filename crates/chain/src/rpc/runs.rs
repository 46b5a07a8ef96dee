//! Calls that may take long: away from the threads that serve connections, those that follow one
//! another in a batch in one go.
//!
//! A thread of its own for every call costs more than a small call itself. A run keeps its thread
//! and its place for [`SLICE`] or one call, whichever is longer, and then queues for them again,
//! so a long batch takes no more of the node than many short ones, and one caller no more than
//! another ([`Places`]).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::timeout_at;
use tracing::{Instrument as _, Span};

use super::{
    Arguments, Rpc,
    dispatch::Dispatcher,
    error::RpcError,
    message::{Kind, METHOD_NAME_MAX, Message},
    places::Places,
    table::{Call, Class, guarded},
    traced,
};
use crate::message::{Caller, on_behalf_of};

/// How long a run goes on without letting others through.
const SLICE: Duration = Duration::from_millis(10);

/// One call, to be made on another thread.
struct Work {
    method: String,
    params: Option<String>,
    call: Call,
}

/// Calls of one class, made in their order, and the results so far.
struct Run {
    work: Vec<Work>,
    done: Mutex<Done>,
    /// Nobody waits any more.
    abandoned: AtomicBool,
    /// Bytes of results after which no further call is made.
    bytes_max: usize,
}

#[derive(Default)]
struct Done {
    results: Vec<Result<String, RpcError>>,
    bytes: usize,
}

impl Dispatcher {
    /// How a message runs, and what runs, if it calls a method that may take long.
    fn class(&self, message: &Message<'_>) -> Option<(Class, Call)> {
        let method = &*message.method;
        let calls = matches!(message.kind(), Kind::Call | Kind::Notification);
        if !calls
            || method.len() > METHOD_NAME_MAX
            || method.ends_with("_subscribe")
            || method.ends_with("_unsubscribe")
        {
            return None;
        }
        self.table.class(method, message.params.map(|params| params.get()))
    }

    /// Whether [`Self::run`] makes this call.
    pub(super) fn may_take_long(&self, message: &Message<'_>) -> bool {
        self.class(message).is_some()
    }

    /// Makes the first call, which may take long, and those after it that are of its class. Returns
    /// their results, in their order; no further call is made once these have `bytes_max` bytes.
    pub(super) async fn run(
        &self,
        messages: &[Message<'_>],
        caller: Caller,
        deadline: tokio::time::Instant,
        bytes_max: usize,
    ) -> Vec<Result<String, RpcError>> {
        let start = Instant::now();
        let Some(leader) = messages.first() else { return Vec::new() };
        let kind = leader.kind();
        let meters = &self.rpc.node.meters;
        let (span, _held) = (traced::span(&leader.method), meters.under_way(&leader.method));
        let mut work = Vec::new();
        let mut first = None;
        for message in messages {
            let Some((class, call)) = self.class(message) else { break };
            if message.kind() != kind || *first.get_or_insert(class) != class {
                break;
            }
            let method = message.method.clone().into_owned();
            let params = message.params.map(|params| params.get().to_owned());
            work.push(Work { method, params, call });
        }
        let places = match first {
            Some(Class::Executing) => &self.rpc.executions,
            Some(Class::Reading) | None => &self.rpc.permits,
        };
        let count = work.len();
        let (done, abandoned) = (Mutex::default(), AtomicBool::new(false));
        let run = Arc::new(Run { work, done, abandoned, bytes_max });
        let slices = in_slices(&self.rpc, places, caller, &run).instrument(span.clone());
        let in_time = timeout_at(deadline, slices).await.is_ok();
        run.abandoned.store(true, Ordering::Relaxed);
        let mut results = std::mem::take(&mut run.done().results);
        if !in_time {
            // What was done in time is answered.
            for message in &messages[results.len()..count] {
                meters.request(&message.method, false, start.elapsed());
                results.push(Err(RpcError::timed_out()));
            }
        }
        let refused = results.iter().filter(|result| result.is_err()).count();
        traced::answered(&span, results.len(), refused, start.elapsed());
        results
    }
}

async fn in_slices(rpc: &Arc<Rpc>, places: &Arc<Places>, caller: Caller, run: &Arc<Run>) {
    while !run.is_over() {
        let place = places.take(caller).await;
        let (rpc, slice, here) = (Arc::clone(rpc), Arc::clone(run), Span::current());
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            here.in_scope(|| on_behalf_of(caller, || slice.go_on(&rpc)));
        });
        if work.await.is_err() {
            // The runtime is shutting down.
            run.push(Err(RpcError::crashed()));
        }
    }
}

impl Run {
    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, result: Result<String, RpcError>) {
        let mut done = self.done();
        done.bytes += result.as_ref().map_or(0, String::len);
        done.results.push(result);
    }

    /// The next call, unless all are made or nobody wants more.
    fn next(&self) -> Option<&Work> {
        let done = self.done();
        let goes_on = done.bytes <= self.bytes_max && !self.abandoned.load(Ordering::Relaxed);
        if goes_on { self.work.get(done.results.len()) } else { None }
    }

    fn is_over(&self) -> bool {
        self.next().is_none()
    }

    /// Makes calls for one slice.
    fn go_on(&self, rpc: &Rpc) {
        let start = Instant::now();
        while let Some(work) = self.next() {
            let begun = Instant::now();
            let result =
                guarded(|| (work.call)(rpc, Arguments::new(&work.method, work.params.as_deref())?));
            if self.abandoned.load(Ordering::Relaxed) {
                // It was answered without this result, and counted.
                return;
            }
            rpc.node.meters.request(&work.method, result.is_ok(), begun.elapsed());
            self.push(result);
            if start.elapsed() >= SLICE {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lengths: &[usize], bytes_max: usize) -> Run {
        let work = |length: &usize| {
            let answer = "7".repeat(*length);
            let call: Call = Arc::new(move |_, _| Ok(answer.clone()));
            Work { method: String::new(), params: None, call }
        };
        let work = lengths.iter().map(work).collect();
        Run { work, done: Mutex::default(), abandoned: AtomicBool::new(false), bytes_max }
    }

    #[test]
    fn a_run_ends_when_all_is_done_or_too_much_is_said_or_nobody_listens() {
        let two = run(&[3, 3], 100);
        two.push(Ok("777".to_owned()));
        assert!(!two.is_over());
        two.push(Err(RpcError::crashed()));
        assert!(two.is_over());
        let large = run(&[3, 3, 3], 5);
        large.push(Ok("777".to_owned()));
        assert!(!large.is_over());
        large.push(Ok("777".to_owned()));
        assert!(large.is_over());
        let left = run(&[3], 5);
        left.abandoned.store(true, Ordering::Relaxed);
        assert!(left.is_over());
    }
}
