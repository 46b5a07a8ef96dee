//! Work that goes well, and work that is interrupted from outside.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tilth_protocol::{Amount, amount::GRAIN};

use crate::{
    script::{PREPARE_UNITS, Script, TASK_UNITS},
    world::{Order, PATIENCE, World, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_do_a_job_with_large_outputs_and_are_paid() {
    let world = World::start().await;
    let client = world.client().await;
    let mut providers = [2, 3].map(|key| world.provider(key, 1).expect("up"));
    let script = Script { output: 5_000, task_micros: 20_000, ..Script::default() };
    let order = Order { prepare: true, ..Order::new(60, script.clone()) };
    let agreed = client.submit(&world, &order).await;
    let progress = client.finish(client.tend(&agreed)).await;
    assert!(progress.over && progress.refused.is_empty(), "{progress:?}");
    assert_eq!((progress.checked, progress.totals.settled), (60, 60));
    client.check_outputs(&world, &agreed, &script).await;

    // One prepare phase is paid per range, one share of units per task, and the shares add up.
    let mut sums = (0, 0, 0);
    for provider in &mut providers {
        provider.say("drain");
        assert_eq!(provider.hear(), "drained");
        let totals = provider.status()["totals"].clone();
        let number = |name: &str| totals[name].as_u64().unwrap();
        assert!(number("tasks") > 0, "both took part: {totals}");
        assert_eq!(
            number("units"),
            number("tasks") * TASK_UNITS + number("ranges") * PREPARE_UNITS
        );
        let free = tilth_client::money::balances(client.jobs.account().link(), provider.address)
            .await
            .unwrap()
            .free;
        assert_eq!(free, Amount(u128::from(number("earned"))));
        sums = (sums.0 + number("tasks"), sums.1 + number("units"), sums.2 + number("earned"));
    }
    assert_eq!((sums.0, sums.1), (60, progress.totals.units));
    assert_eq!(u128::from(sums.2), progress.totals.paid.0);
}

/// Bytes of all journals of a provider's job: they grow with every task done.
fn journalled(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.map(|entry| entry.unwrap().metadata().map_or(0, |data| data.len())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_killed_again_and_again_loses_only_tasks_in_flight() {
    let world = World::start().await;
    let client = world.client().await;
    let script = Script { output: 100, task_micros: 60_000, ..Script::default() };
    let order = Order { first_range: 16, prepare: true, ..Order::new(120, script.clone()) };
    let agreed = client.submit(&world, &order).await;
    let tending = client.tend(&agreed);
    let mut kills = 0;
    for lives in 1..=5 {
        let provider = world.provider(2, 2).expect("up");
        let journals = provider.dir.join(format!("jobs/{}/ranges", agreed.job));
        // Killed in the middle of ranges, after some more tasks; each life begins where the last one
        // ended, or the fifth would not see so many.
        let goal = lives * 10 * 57;
        let deadline = Instant::now() + PATIENCE;
        while journalled(&journals) < goal {
            assert!(Instant::now() < deadline, "life {lives} does not get on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let state = client.jobs.state(agreed.job).await.unwrap();
        kills += u32::from(state.outstanding > 0 && state.settledTasks < 120);
        provider.kill();
    }
    assert!(kills >= 4, "killed in the middle of the job");
    let mut provider = world.provider(2, 2).expect("up");
    let progress = client.finish(tending).await;
    assert_eq!((progress.checked, progress.totals.settled), (120, 120));
    client.check_outputs(&world, &agreed, &script).await;
    provider.say("drain");
    assert_eq!(provider.hear(), "drained");
    // Totals are exact although no life saw all of it.
    let totals = provider.status()["totals"].clone();
    assert_eq!(totals["tasks"], 120);
    assert_eq!(totals["settled"], totals["ranges"]);
    assert_eq!(u128::from(totals["earned"].as_u64().unwrap()), progress.totals.paid.0);
    // No range was lost: each range ever given out was settled.
    let state = client.jobs.state(agreed.job).await.unwrap();
    assert_eq!(u64::from(state.ranges), totals["ranges"].as_u64().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_through_an_outage_of_the_chain() {
    let mut world = World::start().await;
    let client = world.client().await;
    let script = Script { output: 40, task_micros: 30_000, ..Script::default() };
    let agreed = client.submit(&world, &Order::new(60, script.clone())).await;
    let tending = client.tend(&agreed);
    let mut progress = tending.progress();
    let mut provider = world.provider(2, 1).expect("up");
    until("some is checked", &mut progress, |p| p.checked >= 3).await;
    world.stop_chain().await;
    until("the outage is seen", &mut progress, |p| p.away.is_some()).await;
    let deadline = Instant::now() + PATIENCE;
    while provider.status()["chain"] != "away" {
        assert!(Instant::now() < deadline, "the provider does not notice");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.start_chain().await;
    let progress = client.finish(tending).await;
    assert_eq!((progress.checked, progress.totals.settled), (60, 60));
    client.check_outputs(&world, &agreed, &script).await;
    assert_eq!(provider.status()["chain"], "here");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_client_is_no_loss_the_window_settles() {
    let world = World::start().await;
    let client = world.client().await;
    let mut provider = world.provider(2, 1).expect("up");
    let script = Script { output: 4, ..Script::default() };
    let agreed = client.submit(&world, &Order { first_range: 4, ..Order::new(4, script) }).await;
    // Nobody tends the job.
    let deadline = Instant::now() + PATIENCE;
    while provider.status()["totals"]["tasks"] != 4 {
        assert!(Instant::now() < deadline, "not everything is submitted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    provider.say("drain");
    assert_eq!(provider.hear(), "drained");
    let totals = provider.status()["totals"].clone();
    let earned = u128::from(totals["earned"].as_u64().unwrap());
    assert!(earned > 0 && earned < GRAIN, "{totals}");
    assert_eq!(client.jobs.state(agreed.job).await.unwrap().settledTasks, 4);
}

/// Printed, not judged: other tests run at the same time on the same cores.
#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_that_do_nothing() {
    let world = World::start().await;
    let client = world.client().await;
    let providers = [2, 3].map(|key| world.provider(key, 1).expect("up"));
    let script = Script { output: 8, batch: 1_000, ..Script::default() };
    let order = Order { first_range: 4_096, ..Order::new(100_000, script) };
    let began = Instant::now();
    let agreed = client.submit(&world, &order).await;
    let tending = client.tend(&agreed);
    let mut progress = tending.progress();
    until("all is submitted", &mut progress, |p| p.totals.submitted + p.totals.settled == 100_000)
        .await;
    let seconds = began.elapsed().as_secs_f64();
    println!("100000 tasks in {seconds:.2} s: {:.0} tasks/s", 100_000.0 / seconds);
    let progress = client.finish(tending).await;
    assert_eq!(progress.totals.settled, 100_000);
    drop(providers);
}
