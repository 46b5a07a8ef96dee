//! Measures log queries on a wide range: `cargo run --release -p tilth-chain --example logs -- [BLOCKS] [LOGS] [DIR]`.
//!
//! Makes a chain of BLOCKS blocks (100,000) with LOGS logs each (5) straight in the store, without
//! executing anything, serves it, and asks for logs over HTTP. Transfers of 100 tokens between 50,000
//! accounts, and one contract that logs in ten blocks. Prints one line per figure; times are the
//! median of 21, from request to last byte, with a connection for each. The scan of blooms reads them
//! from a table of their own, as a node without the index would, and does not even look at the false
//! positives among what it finds.
//!
//! DIR should be in memory (`/dev/shm`, the default) unless the disk is to be measured: every block
//! is a durable transaction.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use alloy::{
    consensus::{Header, Sealable, Signed, TxEip1559, TxEnvelope, TxType, transaction::Recovered},
    primitives::{Address, B256, Bloom, BloomInput, Log, Signature, U256},
};
use anyhow::{Context, Result, ensure};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Value, json};
use tilth_chain::{
    Config, Genesis, Production, SealedHeader,
    block::{Block, ExecutedReceipt},
    state::StateDiff,
    store::{Store, StoreOptions},
};

const TOKENS: u64 = 100;
const ACCOUNTS: u64 = 50_000;
const TRANSFER: B256 = B256::repeat_byte(0xdd);
const RARE: Address = Address::repeat_byte(0xfe);
const ROUNDS: usize = 21;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let blocks = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let logs = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let base = arguments.next().map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let dir = tempfile::tempdir_in(&base)?;
    let config = Config {
        dir: Some(dir.path().to_owned()),
        production: Production::Manual,
        ..Config::in_memory(genesis())
    };
    let chain = tilth_chain::spawn(config.clone()).await.map_err(|error| error.problem())?;
    let head = chain.head();
    chain.shutdown().await;
    let blooms = fill(dir.path(), head, blocks, logs)?;
    let chain = tilth_chain::spawn(config).await.map_err(|error| error.problem())?;
    query(chain.rpc_addr(), blocks, logs)?;
    let table = save(&dir.path().join("blooms"), &blooms)?;
    scan("blooms, address of ten blocks", &table, RARE.as_slice())?;
    scan("blooms, recipient", &table, account(77).as_slice())?;
    chain.shutdown().await;
    Ok(())
}

fn genesis() -> Genesis {
    Genesis {
        chain_id: 31,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: 1_000_000_000,
        balances: Vec::new(),
        ..Genesis::default()
    }
}

fn token(index: u64) -> Address {
    Address::from_word(B256::from(U256::from(0x7000_0000 + index)))
}

fn account(index: u64) -> B256 {
    B256::from(U256::from(0xacc0_0000_0000_u64 + index))
}

/// The same numbers at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Appends blocks to the chain in `dir`; returns their blooms.
fn fill(dir: &Path, mut head: SealedHeader, blocks: u64, logs: u64) -> Result<Vec<Bloom>> {
    let file = dir.join("chain.redb");
    let options =
        StoreOptions { cache_bytes: 256 << 20, history_blocks: 1000, ..StoreOptions::default() };
    let store = Store::open(&file, &options)?;
    let mut numbers = Numbers(7);
    let mut blooms = vec![Bloom::ZERO];
    let (mut total, mut slowest) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..blocks {
        let (block, receipts) = block(&head, logs, blocks, &mut numbers);
        blooms.push(block.header.logs_bloom);
        let begun = Instant::now();
        store.commit(&block, &receipts, &StateDiff::default())?;
        total += begun.elapsed();
        slowest = slowest.max(begun.elapsed());
        head = block.header;
    }
    println!("blocks {blocks}, logs per block {logs}");
    println!("commit: {:.1} us per block, slowest {slowest:.1?}", micros(total) / blocks as f64);
    let index = store.log_index_bytes()?;
    let count = (blocks * logs) as f64;
    println!("file: {} MB", std::fs::metadata(&file)?.len() >> 20);
    println!("index: {:.1} MB, {:.1} bytes per log", index as f64 / 1e6, index as f64 / count);
    Ok(blooms)
}

fn block(
    parent: &SealedHeader,
    logs: u64,
    blocks: u64,
    numbers: &mut Numbers,
) -> (Block, Vec<ExecutedReceipt>) {
    let number = parent.number + 1;
    let mut found: Vec<Log> = (0..logs)
        .map(|_| {
            let topics =
                vec![TRANSFER, account(numbers.below(ACCOUNTS)), account(numbers.below(ACCOUNTS))];
            let value = U256::from(numbers.below(u64::MAX)).to_be_bytes_vec();
            Log::new_unchecked(token(numbers.below(TOKENS)), topics, value.into())
        })
        .collect();
    if number % (blocks / 10).max(1) == 1 {
        found.push(Log::new_unchecked(
            RARE,
            vec![B256::from(U256::from(number))],
            Default::default(),
        ));
    }
    let logs_bloom = alloy::primitives::logs_bloom(&found);
    let transaction = TxEip1559 { nonce: number, ..TxEip1559::default() };
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    let envelope = TxEnvelope::Eip1559(Signed::new_unhashed(transaction, signature));
    let header = Header {
        parent_hash: parent.hash(),
        number,
        timestamp: parent.timestamp + 1,
        logs_bloom,
        gas_used: 21_000,
        ..parent.inner().clone()
    };
    let receipt = ExecutedReceipt::after(None, TxType::Eip1559, true, 21_000, found);
    let transactions = vec![Recovered::new_unchecked(envelope, Address::repeat_byte(1))];
    (Block::new(header.seal_slow(), transactions), vec![receipt])
}

fn query(address: SocketAddr, blocks: u64, logs: u64) -> Result<()> {
    let tail = (10_000 / logs.max(1)).clamp(1, blocks);
    let many: Vec<B256> = (0..100).map(account).collect();
    let some: Vec<Address> = (0..3).map(token).collect();
    let cases = [
        ("address of ten blocks", json!({"address": RARE})),
        ("address of no block", json!({"address": Address::ZERO})),
        ("recipient", json!({"topics": [TRANSFER, null, account(77)]})),
        ("one of 100 senders, three tokens", json!({"address": some, "topics": [TRANSFER, many]})),
        (
            "token and recipient",
            json!({"address": token(1), "topics": [null, null, account(1234)]}),
        ),
        (
            "everything in the last blocks",
            json!({"fromBlock": format!("{:#x}", blocks - tail + 1)}),
        ),
    ];
    for (name, mut criteria) in cases {
        if criteria["fromBlock"].is_null() {
            criteria["fromBlock"] = json!("0x1");
        }
        criteria["toBlock"] = json!(format!("{blocks:#x}"));
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [criteria]});
        let request = request.to_string();
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let answer = post(address, &request)?;
            times.push(begun.elapsed());
            let answer: Value = serde_json::from_slice(&answer)?;
            found = answer["result"].as_array().context(answer["error"].to_string())?.len();
        }
        report(name, times, found);
    }
    let gone = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs",
        "params": [{"fromBlock": "0x1", "toBlock": format!("{blocks:#x}"), "topics": [TRANSFER]}]});
    let begun = Instant::now();
    let answer: Value = serde_json::from_slice(&post(address, &gone.to_string())?)?;
    println!("everything: refused after {:.1?}: {}", begun.elapsed(), answer["error"]["message"]);
    Ok(())
}

const BLOOMS: TableDefinition<'_, u64, &[u8; 256]> = TableDefinition::new("blooms");

fn save(file: &Path, blooms: &[Bloom]) -> Result<Database> {
    let database = Database::builder().set_cache_size(256 << 20).create(file)?;
    let transaction = database.begin_write()?;
    for (number, bloom) in (0..).zip(blooms) {
        transaction.open_table(BLOOMS)?.insert(number, &bloom.0.0)?;
    }
    transaction.commit()?;
    Ok(database)
}

fn scan(name: &str, database: &Database, value: &[u8]) -> Result<()> {
    let wanted = Bloom::from(BloomInput::Raw(value));
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let table = database.begin_read()?.open_table(BLOOMS)?;
        found = 0;
        for entry in table.iter()? {
            found += usize::from(Bloom::from(entry?.1.value()).contains(&wanted));
        }
        times.push(begun.elapsed());
    }
    report(name, times, found);
    Ok(())
}

fn report(name: &str, mut times: Vec<Duration>, found: usize) {
    times.sort_unstable();
    println!("{name}: {:.3} ms, {found} found", micros(times[times.len() / 2]) / 1e3);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn post(address: SocketAddr, body: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: \
         {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").context("no body")?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(answer.split_off(start + 4))
}
