//! Challenges over the network, to real agents; the scripted worker answers as the reference does, or lies.

use std::time::Instant;

use alloy_primitives::Address;
use tilth_client::{
    Contacts,
    challenge::{Announced, Asker, ChallengeError, Report, Wish, announced},
};
use tilth_protocol::challenge::{
    MemoryTask, ProductTask, Task, Transcript, class, message::MAX_WORK_MS,
};
use tilth_verification::challenge::{
    asking::{Finding, Try},
    check,
};

use crate::{
    script::Script,
    world::{Client, Order, PATIENCE, World},
};

const PRODUCTS: Task = Task::Products(ProductTask { order: 64, rounds: 3, samples: 64 });
const MEMORY: Task = Task::Memory(MemoryTask {
    lanes: 64,
    depth: 20,
    walks: 32,
    steps: 4,
    samples: 20,
    walk_samples: 8,
});

async fn of(world: &World, owner: Address) -> Announced {
    let link = world.account(1).link().clone();
    let contacts = Contacts::new(link.clone(), 0).of(owner, true).await.unwrap();
    announced(&link, owner, contacts[0].clone()).await.unwrap()
}

async fn ask(
    world: &World,
    client: &Client,
    of: &Announced,
    task: Task,
) -> Result<Report, ChallengeError> {
    let link = world.account(1).link().clone();
    let asker = Asker { blobs: &client.blobs, link: &link };
    asker.challenge(of, None, Wish::Exactly(task)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_provider_passes_and_anybody_can_check_it() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let of = of(&world, provider.address).await;
    assert_eq!(of.class_bits, 0, "it was not measured");
    for task in [PRODUCTS, MEMORY] {
        let report = ask(&world, &client, &of, task).await.unwrap();
        assert_eq!((report.finding, report.tries.len()), (Finding::Right, 1), "{report:#?}");
        let transcript = report.transcript().unwrap();
        let read = Transcript::from_bytes(&transcript.to_bytes()).unwrap();
        check(&read).unwrap();
        assert_eq!(read.statement.task, task);
        assert_eq!(Address::from(read.statement.subject.node), of.node);
        assert!(read.statement.beacon.block > 0, "it is dated by the chain");
        assert_eq!(read.ends.is_some(), matches!(task, Task::Memory(_)));
    }
    // Whom else it is asked of gets no answer from this one.
    let other = Announced { node: Address::repeat_byte(7), ..of.clone() };
    let refused = ask(&world, &client, &other, PRODUCTS).await;
    assert!(matches!(refused, Err(ChallengeError::Stranger(_))), "{refused:?}");
    let link = world.account(1).link().clone();
    let asker = Asker { blobs: &client.blobs, link: &link };
    let refused = asker.challenge(&of, Some("gpu"), Wish::Exactly(PRODUCTS)).await;
    assert!(matches!(refused, Err(ChallengeError::Stranger(_))), "{refused:?}");
    let refused =
        asker.challenge(&of, None, Wish::Exactly(Task::Memory(class::memory(1_000)))).await;
    assert!(matches!(refused, Err(ChallengeError::TooLarge { .. })), "{refused:?}");
    let refused = asker.challenge(&of, None, Wish::Vram).await;
    assert!(matches!(refused, Err(ChallengeError::NoVram)), "{refused:?}");
    // Its processor's memory does not show what it would announce for a card.
    let boast = Announced { vram_mib: 4, ..of.clone() };
    let refused = asker.challenge(&boast, None, Wish::Vram).await;
    assert!(matches!(refused, Err(ChallengeError::Stranger(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_lies_is_found_and_its_signature_shows_it() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider_that(2, 1, &["lies"]).expect("up");
    let of = of(&world, provider.address).await;
    for task in [PRODUCTS, MEMORY] {
        let report = ask(&world, &client, &of, task).await.unwrap();
        assert_eq!(report.finding, Finding::Wrong, "{report:#?}");
        let wrong: Vec<_> =
            report.tries.iter().filter(|tried| tried.outcome == Try::Wrong).collect();
        assert_eq!(report.tries.len(), 3, "{report:#?}");
        assert!(!wrong.is_empty());
        let nonces: Vec<_> = report
            .tries
            .iter()
            .filter_map(|tried| Some(tried.transcript.as_ref()?.statement.nonce))
            .collect();
        assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2], "each try is another question");
        let transcript = report.transcript().unwrap();
        let fault = check(&Transcript::from_bytes(&transcript.to_bytes()).unwrap()).unwrap_err();
        assert!(fault.is_providers(), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_computes_wrong_announces_nothing() {
    let world = World::start().await;
    let provider = world.provider_that(2, 1, &["lies", "measure"]).expect("up");
    assert_eq!(of(&world, provider.address).await.class_bits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_at_work_is_busy_which_is_no_failure() {
    let world = World::start().await;
    let client = world.client().await;
    let mut provider = world.provider(2, 1).expect("up");
    let of = of(&world, provider.address).await;
    let slow = Script { output: 8, task_micros: 60_000_000, ..Script::default() };
    client.submit(&world, &Order::new(4, slow)).await;
    let deadline = Instant::now() + PATIENCE;
    while provider.status()["slots"][0]["doing"] == "idle" {
        assert!(Instant::now() < deadline, "it never works");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let report = ask(&world, &client, &of, PRODUCTS).await.unwrap();
    assert_eq!((report.finding, report.tries.len()), (Finding::Unknown, 1), "{report:#?}");
    assert_eq!(report.tries[0].outcome, Try::Busy);
}

/// Its prover never ends: without the job the provider would end it after 20 s as a failure of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_comes_during_a_challenge_ends_it() {
    let world = World::start().await;
    let client = world.client().await;
    let mut provider = world.provider_that(2, 1, &["hangs"]).expect("up");
    let of = of(&world, provider.address).await;
    let slow = Script { output: 8, task_micros: 60_000_000, ..Script::default() };
    let asked = async { ask(&world, &client, &of, PRODUCTS).await.unwrap() };
    let job = async {
        let deadline = Instant::now() + PATIENCE;
        while provider.programs("prove") == 0 {
            assert!(Instant::now() < deadline, "it never begins");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        client.submit(&world, &Order::new(4, slow)).await;
    };
    let (report, ()) = tokio::join!(asked, job);
    assert_eq!((report.finding, report.tries.len()), (Finding::Unknown, 1), "{report:#?}");
    assert_eq!(report.tries[0].outcome, Try::Busy);
    assert!(report.tries[0].times.commit_ms < MAX_WORK_MS, "{report:#?}");
    let deadline = Instant::now() + PATIENCE;
    while provider.programs("prove") > 0 {
        assert!(Instant::now() < deadline, "its worker lives on");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // A job begins with a task that nobody pays for, and those here are long.
    let doing = provider.status()["slots"][0]["doing"].clone();
    assert!(["calibrating", "running"].iter().any(|work| doing == *work), "{doing}");
}

/// Who announces no class cannot be too slow for it.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_takes_longer_than_a_provider_works_says_nothing_without_a_class() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider_that(2, 1, &["hangs"]).expect("up");
    let of = of(&world, provider.address).await;
    let report = ask(&world, &client, &of, PRODUCTS).await.unwrap();
    assert_eq!((report.finding, report.tries.len()), (Finding::Unknown, 1), "{report:#?}");
    assert!(report.tries[0].times.commit_ms >= MAX_WORK_MS, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_gone_is_away_and_not_wrong() {
    let world = World::start().await;
    let client = world.client().await;
    let provider = world.provider(2, 1).expect("up");
    let of = of(&world, provider.address).await;
    provider.kill();
    let gone = ask(&world, &client, &of, PRODUCTS).await;
    assert!(matches!(gone, Err(ChallengeError::Away(_))), "{gone:?}");
}
