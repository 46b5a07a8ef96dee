//! Owners who want their machines back: what is not a range's work stops, too.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, Bytes, U256};
use tilth_chain::Clock;
use tilth_client::money;
use tilth_contracts::Registry;
use tilth_protocol::{Amount, amount::GRAIN};
use tilth_provider::{Control, Stake, Wish, stake};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_sold_stops_the_start_before_anything_is_on_chain() {
    let world = World::start().await;
    let model = world.dir.path().join("model");
    std::fs::write(&model, "no model").unwrap();
    // The scripted worker loads none; a file that is not there is not even tried.
    for (file, why) in [(model.clone(), "cannot be sold"), (model.join("x"), "cannot be read")] {
        let provider = world.provider_selling(2, 1, &[], Some(&file));
        let what = provider.hear();
        assert!(what.contains("the configuration is not valid"), "{what}");
        let detail = provider.hear();
        assert!(detail.contains(&file.display().to_string()) && detail.contains(why), "{detail}");
        let account = world.account(2);
        let link = account.link();
        let call = Registry::providerCall { owner: account.address() };
        let known = link.read(link.addresses().registry, call).await.unwrap();
        assert_eq!(known.number, 0, "it is not registered");
    }
    world.provider(2, 1).expect("up");
}

#[tokio::test(flavor = "multi_thread")]
async fn stake_leaves_and_is_the_owners_again_after_its_time() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let clock = Clock::manual(now);
    let world = World::start_at(clock.clone()).await;
    let owner = world.account(2);
    let (link, address) = (owner.link().clone(), owner.address());
    assert_eq!(Stake::of(&link, address).await.unwrap(), None, "nobody's yet");
    world.provider(2, 1).expect("up").kill();
    let read = async || Stake::of(&link, address).await.unwrap().unwrap();
    let all = read().await;
    assert_eq!((all.staked, all.free), (Amount(50 * GRAIN), Amount(50 * GRAIN)));
    assert_eq!((all.leaving, all.ready_at), (Amount(0), 0));

    stake::unstake(&owner, Amount(20 * GRAIN)).await.unwrap();
    let left = read().await;
    assert_eq!((left.staked, left.leaving), (Amount(30 * GRAIN), Amount(20 * GRAIN)));
    let week = 7 * 86_400;
    assert!((now + week..now + week + 60).contains(&left.ready_at), "{left:?} at {now}");
    let free = async || money::balances(&link, address).await.unwrap().free;
    let before = free().await;
    assert!(stake::withdraw_stake(&owner).await.is_err(), "a week too early");
    assert!(stake::unstake(&owner, Amount(31 * GRAIN)).await.is_err(), "more than there is");

    assert!(clock.advance(week + 60));
    // A transaction of anybody's makes a block that shows the time.
    owner.send(Address::repeat_byte(9), Bytes::new(), U256::ONE).await.unwrap();
    stake::withdraw_stake(&owner).await.unwrap();
    assert_eq!(free().await.0, before.0 + 20 * GRAIN);
    assert_eq!((read().await.leaving, read().await.ready_at), (Amount(0), 0));
    // The next start locks what the configuration asks for again.
    world.provider(2, 1).expect("up").kill();
    assert_eq!(read().await.staked, Amount(50 * GRAIN));
}
