//! Workers and jobs that misbehave. A good job beside them is done all the same.

use std::fs;

use tilth_contracts::RangeState;
use tilth_protocol::JobId;

use crate::{
    script::Script,
    world::{Client, Order, World, wait},
};

fn good() -> Script {
    Script { output: 50, task_micros: 1_000, ..Script::default() }
}

/// States of all ranges of a job.
async fn ranges(client: &Client, job: JobId) -> Vec<RangeState> {
    let history = client.jobs.history(job).await.unwrap();
    history.ranges.values().map(|range| range.state).collect()
}

/// A job whose later tasks are bad, and a good one after it: the bad one's ranges are given back.
async fn bad_then_good(bad: Script) {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let spoiled = client.submit(&world, &Order::new(20, bad)).await;
    wait("a range is given back", async || {
        ranges(&client, spoiled.job).await.contains(&RangeState::Released)
    })
    .await;
    let agreed = client.submit(&world, &Order::new(20, good())).await;
    let progress = client.finish(client.tend(&agreed)).await;
    assert_eq!(progress.totals.settled, 20);
    client.check_outputs(&world, &agreed, &good()).await;
    wait("nothing of the bad job is held", async || {
        !ranges(&client, spoiled.job).await.contains(&RangeState::Claimed)
    })
    .await;
    drop(provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_kills_its_worker_is_given_back() {
    bad_then_good(Script { dies_at: vec![3], ..good() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_out_of_order_are_not_believed() {
    bad_then_good(Script { misnumbers: Some(2), ..good() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_above_the_cap_are_not_believed() {
    bad_then_good(Script { overcharges: Some(2), ..good() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_program_is_never_claimed() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let refused = client.submit(&world, &Order::new(20, Script { refused: true, ..good() })).await;
    let agreed = client.submit(&world, &Order::new(20, good())).await;
    let progress = client.finish(client.tend(&agreed)).await;
    assert_eq!(progress.totals.settled, 20);
    assert_eq!(ranges(&client, refused.job).await, []);
    drop(provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepare_phase_that_traps_fails_every_task_and_is_paid_once_per_range() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let script = Script { prepare_traps: true, ..good() };
    let order = Order { prepare: true, first_range: 5, ..Order::new(10, script) };
    let agreed = client.submit(&world, &order).await;
    let progress = client.finish(client.tend(&agreed)).await;
    assert!(progress.refused.is_empty(), "{progress:?}");
    let ranges = ranges(&client, agreed.job).await;
    assert!(ranges.iter().all(|state| *state == RangeState::Settled));
    assert_eq!(progress.totals.units, agreed.spec.limits.prepare_cap * ranges.len() as u64);
    drop(provider);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_a_provider_that_vanished_are_done_by_another() {
    let world = World::start().await;
    let client = world.client().await;
    let slow = Script { output: 40, task_micros: 300_000, ..Script::default() };
    let order = Order { first_range: 2, timeout: "10s", ..Order::new(8, slow.clone()) };
    let agreed = client.submit(&world, &order).await;
    let tending = client.tend(&agreed);
    let vanishing = world.provider(2, 1).expect("up");
    wait("a range is claimed", async || {
        ranges(&client, agreed.job).await.contains(&RangeState::Claimed)
    })
    .await;
    vanishing.kill();
    let other = world.provider(3, 1).expect("up");
    let progress = client.finish(tending).await;
    assert_eq!(progress.totals.settled, 8);
    assert!(ranges(&client, agreed.job).await.contains(&RangeState::Expired));
    client.check_outputs(&world, &agreed, &slow).await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_provider_in_the_same_folder_is_refused_with_advice() {
    let world = World::start().await;
    let first = world.provider(2, 1).expect("up");
    let second = world.provider(2, 1);
    assert!(second.hear().starts_with("failed the folder is in use"));
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_leave_no_files_once_they_are_not_served_any_more() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let agreed = client.submit(&world, &Order::new(5, good())).await;
    client.finish(client.tend(&agreed)).await;
    let folder = provider.dir.join("jobs").join(agreed.job.to_string());
    assert!(folder.join("inputs").join("large").exists(), "served for an hour");
    // An earlier life's folder of a job that is over is swept at the next start.
    let stray = provider.dir.join("jobs").join("77");
    fs::create_dir_all(&stray).unwrap();
    provider.kill();
    let provider = world.provider(2, 1).expect("up");
    wait("the stray folder is gone", async || !stray.exists()).await;
    assert!(folder.exists());
    drop(provider);
}
