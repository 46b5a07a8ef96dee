//! Owners who want their machines back: what is not a range's work stops, too.

use tilth_provider::{Control, Wish};

use crate::{
    script::Script,
    world::{Order, World, wait},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_being_compiled_is_left_off_and_compiled_later() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let script =
        Script { output: 50, task_micros: 1_000, compile_millis: 3_000, ..Script::default() };
    let agreed = client.submit(&world, &Order::new(4, script.clone())).await;
    let control = Control::of(&provider.dir).unwrap();
    wait("it compiles", async || provider.programs("compile") > 0).await;
    control.tell(Wish::Pause).await.unwrap().expect("it runs");
    wait("the compiler is gone", async || provider.programs("compile") == 0).await;
    let bench = provider.dir.join("work");
    let left =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("compile-");
    wait("what it wrote is gone", async || {
        !std::fs::read_dir(&bench).unwrap().flatten().any(|entry| left(&entry))
    })
    .await;
    control.tell(Wish::Resume).await.unwrap().expect("it runs");
    let progress = client.finish(client.tend(&agreed)).await;
    assert_eq!(progress.totals.settled, 4);
    client.check_outputs(&world, &agreed, &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_task_ends_when_the_owner_wants_the_memory() {
    let world = World::start().await;
    let client = world.client().await;
    let mut provider = world.provider_that(2, 1, &["release"]).expect("up");
    let script = Script { output: 50, task_micros: 2_000_000, ..Script::default() };
    let agreed = client.submit(&world, &Order::new(3, script.clone())).await;
    let control = Control::of(&provider.dir).unwrap();
    wait("it tries a task", async || {
        provider.status()["slots"][0]["doing"] == "calibrating" && provider.programs("serve") > 0
    })
    .await;
    control.tell(Wish::Pause).await.unwrap().expect("it runs");
    wait("the worker is gone", async || provider.programs("serve") == 0).await;
    control.tell(Wish::Resume).await.unwrap().expect("it runs");
    let progress = client.finish(client.tend(&agreed)).await;
    assert_eq!(progress.totals.settled, 3);
    client.check_outputs(&world, &agreed, &script).await;
}
