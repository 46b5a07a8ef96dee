//! Supervised scopes and stop signals as roles use them.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tilth_service::{Failure, OnFailure, Restart, Scope, StopSignals, Urgency};
use tokio::{sync::oneshot, time::timeout};

const DEADLINE: Duration = Duration::from_secs(10);

/// Says that it was dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            let _ = told.send(());
        }
    }
}

fn guard() -> (Guard, oneshot::Receiver<()>) {
    let (tell, told) = oneshot::channel();
    (Guard(Some(tell)), told)
}

fn fail(what: &str) {
    panic!("{what}: {}", what.len() / 3);
}

#[tokio::test]
async fn a_failing_task_stops_the_scope_and_is_named() {
    let scope = Scope::new("test");
    let stop = scope.token();
    scope.spawn("patient", OnFailure::Log, async move { stop.cancelled().await });
    scope.spawn("broken", OnFailure::StopAll, async { Err::<(), _>("no disk") });
    let failure = timeout(DEADLINE, scope.stopped()).await.unwrap();
    let expected = Some(Failure { task: "broken".into(), cause: "no disk".into() });
    assert_eq!(failure, expected);
    let ending = scope.shutdown(DEADLINE).await;
    assert_eq!((ending.failure, ending.dropped), (expected, vec![]));
}

#[tokio::test]
async fn a_panic_counts_as_failure_and_a_logged_failure_stops_nothing() {
    let scope = Scope::new("test");
    scope.spawn("logged", OnFailure::Log, async { fail("first") });
    let (guard, gone) = guard();
    scope.spawn("other", OnFailure::Log, async move {
        let _guard = guard;
    });
    timeout(DEADLINE, gone).await.unwrap().unwrap();
    assert!(!scope.token().is_cancelled());
    scope.spawn("loud", OnFailure::StopAll, async { fail("second") });
    let failure = timeout(DEADLINE, scope.stopped()).await.unwrap().unwrap();
    assert_eq!((failure.task.as_str(), failure.cause.as_str()), ("loud", "panicked: second: 2"));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_restarted_until_its_patience_ends() {
    let scope = Scope::new("test");
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let policy =
        Restart { max: 3, backoff: Duration::from_millis(10), max_backoff: Duration::from_secs(1) };
    scope.spawn_restarting("flaky", policy, move || {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move { Err::<(), _>(format!("run {run}")) }
    });
    let failure = timeout(DEADLINE, scope.stopped()).await.unwrap().unwrap();
    assert_eq!(failure.cause, "run 3");
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lasted_forgives_earlier_failures() {
    let scope = Scope::new("test");
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let policy =
        Restart { max: 1, backoff: Duration::from_millis(10), max_backoff: Duration::from_secs(1) };
    scope.spawn_restarting("slow", policy, move || {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if run < 5 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                return Err("late");
            }
            Ok(())
        }
    });
    timeout(Duration::from_secs(100), async {
        while !scope.running().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 6);
    assert!(!scope.token().is_cancelled());
}

#[tokio::test]
async fn dropping_the_scope_drops_its_tasks() {
    let scope = Scope::new("test");
    let (guard, gone) = guard();
    scope.spawn("endless", OnFailure::Log, async move {
        let _guard = guard;
        pending::<()>().await;
    });
    let spawner = scope.spawner();
    drop(scope);
    timeout(DEADLINE, gone).await.unwrap().unwrap();
    assert!(!spawner.spawn("late", OnFailure::Log, async {}), "a stopped scope starts nothing");
}

#[tokio::test]
async fn shutdown_waits_for_the_willing_and_drops_the_stubborn() {
    let scope = Scope::new("test");
    let stop = scope.token();
    scope.spawn("willing", OnFailure::Log, async move { stop.cancelled().await });
    let (guard, gone) = guard();
    scope.spawn("stubborn", OnFailure::Log, async move {
        let _guard = guard;
        pending::<()>().await;
    });
    let ending = timeout(DEADLINE, scope.shutdown(Duration::from_millis(50))).await.unwrap();
    assert_eq!(ending.dropped, ["stubborn"]);
    timeout(DEADLINE, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_child_scope_stops_with_its_parent_but_not_the_other_way_round() {
    let parent = Scope::new("parent");
    let child = Scope::child_of("child", &parent.token());
    let sibling = Scope::child_of("sibling", &parent.token());
    child.token().cancel();
    assert!(!parent.token().is_cancelled());
    parent.token().cancel();
    assert_eq!(timeout(DEADLINE, sibling.stopped()).await.unwrap(), None);
}

#[tokio::test]
async fn the_first_signal_drains_and_the_second_insists() {
    let mut signals = StopSignals::listen().unwrap();
    let kill = |name: &str| {
        let status = std::process::Command::new("kill")
            .args([name, &std::process::id().to_string()])
            .status();
        assert!(status.unwrap().success());
    };
    kill("-TERM");
    assert_eq!(timeout(DEADLINE, signals.next()).await.unwrap(), Urgency::Drain);
    kill("-INT");
    assert_eq!(timeout(DEADLINE, signals.next()).await.unwrap(), Urgency::Now);
    // Whoever only waits for the word "at once" passes the first one over.
    let mut insisting = StopSignals::listen().unwrap();
    kill("-TERM");
    let early = timeout(DEADLINE, signals.next()).await.unwrap();
    assert_eq!(early, Urgency::Now);
    tokio::select! {
        biased;
        () = insisting.insisted() => panic!("one signal does not insist"),
        () = tokio::task::yield_now() => {}
    }
    kill("-INT");
    timeout(DEADLINE, insisting.insisted()).await.unwrap();
}
