//! Whoever doubts a range executes it again: without stake, without keys, and whether or not anybody audits it.

use tilth_client::{Agreed, RangeView};
use tilth_contracts::RangeState;
use tilth_protocol::RangeId;
use tilth_provider::{Recheck, Rechecked};
use tilth_sandbox::{CommandLine, GpuUse};

use crate::{
    script::Script,
    world::{Client, Order, Running, World, until, wait},
};

/// Tasks of a twentieth of a second, two minutes of them, so that there is something left for whoever comes second on the
/// slowest machine. Ranges take about two seconds each, the first one has one task, and nothing is waited for at the end.
fn order() -> Order {
    let script = Script { output: 100, task_micros: 50_000, ..Script::default() };
    Order::new(2_400, script)
}

/// A place that belongs to nobody: a folder of its own, honest workers, and what everybody knows of the network.
async fn anybody(world: &World) -> Recheck {
    let command = |name: &str| CommandLine {
        program: env!("CARGO_BIN_EXE_provider-fixture").into(),
        args: vec![name.into()],
    };
    let dir = world.dir.path().join("anybody");
    let (worker, init) = (command("worker"), command("sandbox-init"));
    let opened = Recheck::open(&dir, &world.network, worker, init, GpuUse::Off);
    Box::pin(opened).await.unwrap()
}

async fn again(recheck: &Recheck, range: RangeId) -> Rechecked {
    Box::pin(recheck.range(range)).await.unwrap()
}

/// The first range with results that a provider has handed in, of those that are wanted.
async fn range_of(
    client: &Client,
    agreed: &Agreed,
    provider: &Running,
    wanted: impl Fn(&RangeView) -> bool,
) -> Option<RangeView> {
    let history = client.jobs.history(agreed.job).await.unwrap();
    let is_its = |range: &&RangeView| range.provider == provider.address && range.has_results();
    history.ranges.values().filter(is_its).find(|range| wanted(range)).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_liar_handed_in_is_found_by_anybody() {
    let world = World::start().await;
    let client = world.client().await;
    // It does the first task, for nobody else is there.
    let mut cheat = world.provider_that(2, 1, &["flips"]).expect("up");
    let agreed = client.submit(&world, &order()).await;
    let tending = client.tend(&agreed);
    let mut progress = tending.progress();
    until("the wrong range is there", &mut progress, |progress| {
        progress.totals.submitted + progress.totals.settled > 0
    })
    .await;
    // It takes no more, but stays to be asked for the job's files.
    cheat.say("drain");
    assert_eq!(cheat.hear(), "drained");
    let honest = world.provider(3, 1).expect("up");
    wait("an honest range is there", async || {
        range_of(&client, &agreed, &honest, |_| true).await.is_some()
    })
    .await;

    let recheck = anybody(&world).await;
    let liars = range_of(&client, &agreed, &cheat, |range| range.from == 0).await.unwrap();
    let wrong = again(&recheck, RangeId { job: agreed.job, seq: liars.seq }).await;
    assert!(!wrong.is_right(), "{wrong:?}");
    // Only the root shows it, and it names the one task.
    assert_ne!(wrong.claimed.hash, wrong.found.hash);
    assert_eq!((wrong.claimed.hash, wrong.claimed.tally), (liars.root, wrong.found.tally));
    assert_eq!((wrong.from, wrong.count, wrong.leaves), (0, 1, 1));
    assert_eq!(wrong.state, RangeState::Settled, "in a plain job it is paid all the same");

    let theirs = range_of(&client, &agreed, &honest, |_| true).await.unwrap();
    let right = again(&recheck, RangeId { job: agreed.job, seq: theirs.seq }).await;
    assert!(right.is_right(), "{right:?}");
    let its = (theirs.root, theirs.from, theirs.count);
    assert_eq!((right.found.hash, right.from, right.count), its);
    // Whose range it is says nothing: what the liar did right is found to be right.
    if let Some(fair) = range_of(&client, &agreed, &cheat, |range| range.from > 0).await {
        let fair = again(&recheck, RangeId { job: agreed.job, seq: fair.seq }).await;
        assert!(fair.is_right(), "{fair:?}");
    }
    recheck.close().await.unwrap();
}
