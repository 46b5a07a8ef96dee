//! Clients of other people, as their registries give them, run their usual flows against a node.
//!
//! Each test starts a node and runs one script of this folder, or a program of Foundry, as a process of its own;
//! what that wrote is shown when it fails. `cargo xtask setup` installs the clients (`package-lock.json`,
//! `requirements.txt`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../it/fixture.rs"]
#[expect(dead_code, reason = "the fixture serves the other tests, too")]
mod fixture;
mod foundry;
#[path = "../it/long_chain.rs"]
mod long_chain;
mod world;

use world::World;

/// Runs a script of a JavaScript client.
async fn javascript(script: &str) {
    let world = World::start().await;
    world.run("node", &[script], &[]).await;
    world.stop().await;
}

/// Runs a script of web3.py.
async fn python(script: &str) {
    let world = World::start().await;
    let python = world::here("venv/bin/python");
    world.run(&python, &[script], &[]).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viem_deploys_writes_reads_and_delegates() {
    javascript("viem-transact.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viem_simulates() {
    javascript("viem-simulate.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viem_watches_over_websocket_and_by_polling() {
    javascript("viem-watch.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viem_connects_again() {
    javascript("viem-reconnect.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ethers_connects_again() {
    javascript("ethers-reconnect.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ethers_deploys_writes_and_decodes_errors() {
    javascript("ethers-transact.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ethers_listens_over_websocket() {
    javascript("ethers-watch.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web3py_transacts_filters_and_tells_reverts_apart() {
    python("web3py_transact.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web3py_subscribes() {
    python("web3py_watch.py").await;
}

/// The chain that `tests/it/chains.rs` makes and imports, executed by an implementation that shares no
/// code with this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ethereumjs_executes_the_long_chain_to_the_same_head() {
    let made = long_chain::make();
    let dir = tempfile::tempdir().unwrap();
    let (genesis, blocks) = (dir.path().join("genesis.json"), dir.path().join("chain.rlp"));
    std::fs::write(&genesis, &made.genesis).unwrap();
    std::fs::write(&blocks, &made.rlp).unwrap();
    let world = World::start().await;
    let files = [genesis.to_str().unwrap(), blocks.to_str().unwrap()];
    let said = world.run("node", &["ethereumjs-import.mjs", files[0], files[1]], &[]).await;
    world.stop().await;
    let head: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(head["number"], made.head.number);
    assert_eq!(head["hash"], long_chain::HEAD.to_string());
    assert_eq!(head["stateRoot"], long_chain::STATE_ROOT.to_string());
}
