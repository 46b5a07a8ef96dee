//! A node under load is killed hundreds of times, at moments that nobody chose.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{B256, Bytes, TxKind, keccak256},
    signers::SignerSync,
};
use tilth_chain::{
    Config, Limits,
    fsck::{Level, Options, fsck},
    state::StateReader,
    store::{Store, StoreOptions},
};

use crate::fixture::{config, deploying, genesis, register, signer, start, words};

const CHILD_DIR: &str = "TILTH_TEST_CRASH_DIR";

/// How often the child is killed.
const KILLS: u64 = 200;

/// Tries are saved and dropped from memory all the time, so that kills fall into that, too.
fn busy(dir: &Path) -> Config {
    let limits = Limits {
        history_blocks: 20,
        trie_nodes_max: 200,
        trie_unsaved_max: 40,
        ..Limits::default()
    };
    Config { dir: Some(dir.to_owned()), limits, ..config() }
}

/// Not a test of its own: the process that [`killed_hundreds_of_times_under_load`] kills. Prints
/// every transaction whose receipt it saw, after it saw it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of a test: cargo nextest run --release -p tilth-chain killed_hundreds_of_times_under_load"]
async fn child_under_load() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let chain = start(busy(Path::new(&dir))).await;
    let address = chain.rpc_addr();
    println!("ready");
    let _ = tokio::task::spawn_blocking(move || load(address)).await;
}

fn load(address: SocketAddr) {
    let mut client = Client::connect(address);
    let contract = signer(0).address().create(0);
    let sender = signer(0).address();
    let count = client.request("eth_getTransactionCount", &format!(r#""{sender}","latest""#));
    let count = count.trim_matches('"').trim_start_matches("0x");
    let mut nonce = u64::from_str_radix(count, 16).unwrap();
    loop {
        let mut sent = Vec::new();
        for nonce in nonce..nonce + 4 {
            let raw = if nonce == 0 {
                signed(nonce, TxKind::Create, deploying(&register()))
            } else {
                // Slots come and go.
                let value = if nonce % 5 == 0 { 0 } else { nonce };
                signed(nonce, TxKind::Call(contract), words(&[nonce * 7 % 97, value]))
            };
            client.request("eth_sendRawTransaction", &format!(r#""{raw}""#));
            sent.push(keccak256(&raw));
        }
        for hash in sent {
            let receipt = format!(r#""{hash}""#);
            while client.request("eth_getTransactionReceipt", &receipt) == "null" {
                std::thread::yield_now();
            }
            println!("seen {hash} {nonce}");
            nonce += 1;
        }
    }
}

fn signed(nonce: u64, to: TxKind, input: Bytes) -> Bytes {
    let tx = TxEip1559 {
        chain_id: genesis().chain_id,
        nonce,
        gas_limit: 300_000,
        max_fee_per_gas: 1_000_000_000_000,
        to,
        input,
        ..TxEip1559::default()
    };
    let signature = signer(0).sign_hash_sync(&tx.signature_hash()).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

/// The least of an HTTP client, so that a cycle is short.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// The result of a request, as JSON.
    fn request(&mut self, method: &str, params: &str) -> String {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{params}]}}"#);
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all((head + &body).as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut reply = vec![0; length];
        self.stream.read_exact(&mut reply).unwrap();
        let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        assert!(reply.get("error").is_none(), "{method}: {reply}");
        reply["result"].to_string()
    }
}

/// Runs the child until `pause` after it was ready, kills it, and returns what it had seen.
fn run_and_kill(dir: &Path, pause: Duration) -> Vec<(B256, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_under_load", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut seen = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left).expect("the child starts");
        if line.contains("ready") {
            break;
        }
    }
    let end = Instant::now() + pause;
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        seen.extend(parse(&line));
    }
    // SIGKILL: the process gets no chance to tidy up.
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    seen.extend(lines.try_iter().filter_map(|line| parse(&line)));
    seen
}

fn parse(line: &str) -> Option<(B256, u64)> {
    let mut words = line.strip_prefix("seen ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[test]
fn killed_hundreds_of_times_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut seen: HashMap<B256, u64> = HashMap::new();
    for round in 0..KILLS {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        seen.extend(run_and_kill(path, Duration::from_micros(chance % 60_000)));
        let level = if round % 25 == 24 { Level::Full } else { Level::Quick };
        let report = fsck(path, Options { level, repair: false }, &mut |_| {}).unwrap();
        assert_eq!(report.findings, Vec::new(), "round {round}");
        let options = StoreOptions::default();
        let store = Store::open(&path.join("chain.redb"), &options).unwrap();
        let snapshot = store.snapshot().unwrap();
        // No transaction whose receipt was seen is lost.
        for hash in seen.keys() {
            assert!(snapshot.place_of(hash).unwrap().is_some(), "round {round}: {hash} is lost");
        }
        let account = snapshot.account(&signer(0).address()).unwrap().unwrap();
        let last = seen.values().max().map_or(0, |nonce| nonce + 1);
        assert!(account.nonce >= last, "round {round}: nonce {} after {last}", account.nonce);
    }
    assert!(seen.len() > 200, "only {} transactions were mined", seen.len());
}
