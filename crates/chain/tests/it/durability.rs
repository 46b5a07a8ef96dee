//! What was mined is there after every kind of end.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use alloy::{
    network::TransactionBuilder, primitives::Address, providers::Provider,
    rpc::types::TransactionRequest,
};
use tilth_chain::{ChainError, Config, Forks, Genesis, NodeError, Production, spec::BlobCounts};

use crate::fixture::{
    client, client_as, config, deploying, genesis, register, signer, start, words,
};

fn on_disk(dir: &Path) -> Config {
    Config { dir: Some(dir.to_owned()), ..config() }
}

#[tokio::test]
async fn a_stopped_chain_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let to = Address::repeat_byte(0x12);
    let mut heads = Vec::new();
    for round in 0..3_u64 {
        let chain = start(on_disk(dir.path())).await;
        let head = chain.head();
        assert_eq!(head.number, round * 2);
        if let Some(last) = heads.last() {
            assert_eq!(head.hash(), *last);
        }
        let provider = client(&chain);
        assert_eq!(provider.get_balance(to).await.unwrap().to::<u64>(), round * 2);
        for _ in 0..2 {
            let request =
                TransactionRequest::default().with_to(to).with_value(1.try_into().unwrap());
            provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        }
        heads.push(chain.head().hash());
        chain.shutdown().await;
    }
}

#[tokio::test]
async fn another_genesis_or_a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(on_disk(dir.path())).await;
    let second = tilth_chain::spawn(on_disk(dir.path())).await.unwrap_err();
    assert!(second.problem().advice.contains("no other process"), "{}", second.problem());
    chain.shutdown().await;
    let other = Genesis { chain_id: 1, ..genesis() };
    let error = tilth_chain::spawn(Config { genesis: other, ..on_disk(dir.path()) }).await;
    assert!(error.unwrap_err().problem().advice.contains("genesis"));
}

#[tokio::test]
async fn forks_are_kept_beside_the_chain_and_move_only_ahead_of_its_head() {
    let dir = tempfile::tempdir().unwrap();
    let with = |change: fn(&mut Forks)| {
        let mut genesis = genesis();
        genesis.forks.osaka = Some(u64::MAX);
        change(&mut genesis.forks);
        Config { genesis, production: Production::Manual, ..on_disk(dir.path()) }
    };
    let chain = start(with(|_| ())).await;
    let head = chain.mine().await.unwrap();
    chain.shutdown().await;
    // Block 0 is the same with and without Osaka, so its hash does not tell.
    for change in [
        (|forks| forks.osaka = Some(0)) as fn(&mut Forks),
        |forks| forks.blobs.prague = Some(BlobCounts { max: 10, ..BlobCounts::PRAGUE }),
        |forks| forks.later_than_parent = true,
    ] {
        let error = tilth_chain::spawn(with(change)).await.unwrap_err();
        assert!(matches!(error, ChainError::Node(NodeError::OtherForks(_))), "{error:?}");
        assert!(error.problem().advice.contains("fresh folder"), "{}", error.problem());
    }
    for change in [
        (|forks| forks.osaka = Some(u64::MAX - 1)) as fn(&mut Forks),
        |forks| {
            forks.blob_forks[0] = Some(u64::MAX);
            forks.blobs.forks[0] = Some(BlobCounts::PRAGUE);
        },
        |forks| forks.osaka = None,
    ] {
        let chain = start(with(change)).await;
        assert_eq!(chain.head().hash(), head.hash());
        chain.shutdown().await;
    }
    // The last one is what is stored: Osaka can come with the next block, but not with the last.
    let error = tilth_chain::spawn(with(|forks| forks.osaka = Some(1_700_000_001))).await;
    assert!(error.is_err());
    let mut config = with(|_| ());
    config.genesis.forks.osaka = Some(head.timestamp + 1);
    let chain = start(config).await;
    chain.shutdown().await;
    let mut config = with(|_| ());
    config.genesis.forks.osaka = Some(head.timestamp);
    assert!(tilth_chain::spawn(config).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let chain = start(config()).await;
    let taken = Config { rpc: chain.rpc_addr(), ..config() };
    let error = tilth_chain::spawn(taken).await.unwrap_err();
    assert!(error.problem().advice.contains("another port"), "{}", error.problem());
}

const CHILD_DIR: &str = "TILTH_TEST_CHAIN_DIR";

/// Not a test of its own: the process that [`killing_at_any_moment_loses_nothing_shown`] kills.
#[tokio::test]
#[ignore = "the child of a test: cargo nextest run --release -p tilth-chain killing_at_any_moment_loses_nothing_shown"]
async fn child_that_mines_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let chain = start(on_disk(Path::new(&dir))).await;
    println!("ready {}", chain.rpc_url());
    let provider = client(&chain);
    let contract = signer(0).address().create(0);
    if provider.get_code_at(contract).await.unwrap().is_empty() {
        let deploy = TransactionRequest::default().with_deploy_code(deploying(&register()));
        provider.send_transaction(deploy).await.unwrap().get_receipt().await.unwrap();
    }
    loop {
        let next = provider.get_transaction_count(signer(0).address()).await.unwrap();
        let mut pending = Vec::new();
        for nonce in next..next + 20 {
            let store = TransactionRequest::default()
                .with_to(contract)
                .with_input(words(&[nonce % 64, nonce]))
                .with_gas_limit(100_000)
                .with_nonce(nonce);
            pending.push(provider.send_transaction(store).await.unwrap());
        }
        for sent in pending {
            let receipt = sent.get_receipt().await.unwrap();
            assert!(receipt.status());
        }
        let head = chain.head();
        println!("shown {} {}", head.number, head.hash());
    }
}

fn start_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::child_that_mines_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child after a pause that differs from round to round, and returns the last block it
/// had shown to a client.
fn run_and_kill(dir: &Path, pause: Duration) -> Option<(u64, String)> {
    let mut child = start_child(dir);
    let (sender, lines) = std::sync::mpsc::sync_channel(1024);
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left).expect("the child starts");
        if line.contains("ready ") {
            break;
        }
    }
    let mut shown = None;
    let end = Instant::now() + pause;
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        shown = parse(&line).or(shown);
    }
    // SIGKILL: the process gets no chance to tidy up.
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    lines.try_iter().filter_map(|line| parse(&line)).last().or(shown)
}

fn parse(line: &str) -> Option<(u64, String)> {
    let mut words = line.strip_prefix("shown ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
}

#[tokio::test]
async fn killing_at_any_moment_loses_nothing_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut highest = 0;
    for round in 0..12_u64 {
        let (path, pause) = (dir.path().to_owned(), Duration::from_millis(20 + round * 37 % 250));
        let shown = tokio::task::spawn_blocking(move || run_and_kill(&path, pause)).await.unwrap();
        // Opening verifies the state root against the header.
        let chain = start(on_disk(dir.path())).await;
        let head = chain.head();
        assert!(head.number >= highest);
        highest = head.number;
        let provider = client_as(&chain, 1);
        if let Some((number, hash)) = shown {
            let block = provider.get_block_by_number(number.into()).await.unwrap();
            assert_eq!(block.unwrap().header.hash.to_string(), hash, "round {round}");
        }
        // Every block's state agrees with its transactions: the sender's nonce counts them.
        let mut sent = 0;
        for number in 1..=head.number {
            let block = provider.get_block_by_number(number.into()).await.unwrap().unwrap();
            sent += block.transactions.len() as u64;
        }
        // As of that block: what waited when the child was killed is mined meanwhile.
        let nonce = provider.get_transaction_count(signer(0).address()).number(head.number);
        let nonce = nonce.await.unwrap();
        assert_eq!(nonce, sent, "round {round}");
        chain.shutdown().await;
    }
    assert!(highest > 1, "the child never mined");
}
