//! Measures the node: cold start, memory, transactions per CPU second and per second.
//!
//! `cargo run --release -p tilth-chain --example load -- [TRANSACTIONS] [DIR]`. The node runs in a
//! process of its own, so its CPU time is not mixed with the sender's; transactions are signed
//! before the measurement and sent in batches of 100 over HTTP. Prints one line per figure.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::Encodable2718,
    primitives::{Address, Bytes, TxKind, U256, hex},
    signers::{SignerSync, local::PrivateKeySigner},
};
use anyhow::{Context, Result, bail};
use tilth_chain::{Config, Genesis};

const SENDERS: u64 = 200;
const BATCH: usize = 100;
const GAS: u64 = 120_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(arguments.get(1).cloned()),
        count => measure(count.map_or(Ok(20_000), str::parse)?, arguments.get(1).cloned()),
    }
}

fn signer(index: u64) -> Result<PrivateKeySigner> {
    let mut key = [0x21; 32];
    key[24..].copy_from_slice(&(index + 1).to_be_bytes());
    Ok(PrivateKeySigner::from_bytes(&key.into())?)
}

fn genesis() -> Result<Genesis> {
    let coins = U256::from(10).pow(U256::from(24));
    let balances =
        (0..SENDERS).map(|i| Ok((signer(i)?.address(), coins))).collect::<Result<Vec<_>>>()?;
    Ok(Genesis {
        chain_id: 31,
        timestamp: 1_700_000_000,
        gas_limit: 1_000_000_000,
        base_fee: 1_000_000_000,
        balances,
        ..Genesis::default()
    })
}

#[tokio::main]
async fn serve(dir: Option<String>) -> Result<()> {
    let config = Config { dir: dir.map(Into::into), ..Config::in_memory(genesis()?) };
    let chain = tilth_chain::spawn(config).await.map_err(|error| error.problem())?;
    println!("{}", chain.rpc_addr());
    std::future::pending::<()>().await;
    Ok(())
}

fn measure(count: u64, dir: Option<String>) -> Result<()> {
    let start = Instant::now();
    let mut node = Command::new(std::env::current_exe()?)
        .arg("serve")
        .args(dir)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(node.stdout.take().context("output is piped")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse().context("the node did not start")?;
    let outcome = run(node.id(), address, start, count);
    node.kill()?;
    node.wait()?;
    outcome
}

fn run(pid: u32, address: SocketAddr, start: Instant, count: u64) -> Result<()> {
    let mut client = Client::connect(address)?;
    client.request(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#)?;
    println!("cold start to first reply: {:?}", start.elapsed());
    println!("memory idle: {} MB", resident(pid)? >> 20);
    let token = deploy_token(&mut client)?;
    println!("signing {count} transactions");
    let mut bodies = Vec::new();
    let per_sender = count / SENDERS;
    let mut batch = Vec::new();
    for nonce in 0..per_sender {
        for sender in 0..SENDERS {
            // Sender 0 has deployed the contract with nonce 0.
            let nonce = nonce + u64::from(sender == 0);
            let key = (sender * 7919 + nonce * 104_729) % 20_000;
            let input = [U256::from(key), U256::from(nonce + 1)]
                .iter()
                .flat_map(|word| word.to_be_bytes::<32>())
                .collect::<Vec<u8>>();
            batch.push(sign(sender, nonce, TxKind::Call(token), input.into())?);
            if batch.len() == BATCH {
                bodies.push(body(&std::mem::take(&mut batch)));
            }
        }
    }
    let sent = bodies.len() * BATCH;
    let (cpu, wall) = (cpu_seconds(pid)?, Instant::now());
    for body in &bodies {
        let reply = client.request(body)?;
        if reply.contains("\"error\"") {
            bail!("refused: {}", &reply[..reply.len().min(300)]);
        }
    }
    let submitted = wall.elapsed();
    let mut idle = false;
    while !idle {
        let status =
            client.request(r#"{"jsonrpc":"2.0","id":1,"method":"txpool_status","params":[]}"#)?;
        idle = status.contains(r#""pending":"0x0""#);
        if !idle {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let (cpu, wall) = (cpu_seconds(pid)? - cpu, wall.elapsed());
    println!("storing and logging calls: {sent} in {wall:?} (submitted after {submitted:?})");
    println!(
        "per CPU second: {:.0}; per second: {:.0}",
        sent as f64 / cpu,
        sent as f64 / wall.as_secs_f64()
    );
    let last = bodies.last().context("nothing was sent")?;
    check_last(&mut client, last)?;
    one_by_one(&mut client, pid, per_sender)?;
    println!("memory after: {} MB", resident(pid)? >> 20);
    let blocks =
        client.request(r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#)?;
    println!("blocks: {blocks}");
    Ok(())
}

/// The last transaction of a batch must have taken effect, or the figures mean nothing.
fn check_last(client: &mut Client, body: &str) -> Result<()> {
    let raw = body.rsplit("\"0x").next().and_then(|tail| tail.split('"').next());
    let hash = alloy::primitives::keccak256(hex::decode(raw.context("a raw transaction")?)?);
    let reply = client.request(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["{hash}"]}}"#
    ))?;
    if !reply.contains(r#""status":"0x1""#) {
        bail!("the last transaction did not succeed: {reply}");
    }
    Ok(())
}

/// Sends transfers one after the other, each when the one before has its receipt.
fn one_by_one(client: &mut Client, pid: u32, nonce: u64) -> Result<()> {
    let (rounds, cpu, wall) = (200_u32, cpu_seconds(pid)?, Instant::now());
    for round in 0..u64::from(rounds) {
        let raw = sign(1, nonce + round, TxKind::Call(Address::repeat_byte(9)), Bytes::new())?;
        let hash = alloy::primitives::keccak256(&raw);
        client.request(&body(&[raw]))?;
        let receipt = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["{hash}"]}}"#
        );
        while !client.request(&receipt)?.contains("blockHash") {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    println!(
        "one by one: {:?} per transfer, {:.2} ms CPU each",
        wall.elapsed() / rounds,
        (cpu_seconds(pid)? - cpu) * 1000.0 / f64::from(rounds)
    );
    Ok(())
}

/// With two words of calldata stores the second under the first and logs it.
fn deploy_token(client: &mut Client) -> Result<Address> {
    let runtime = "602035600035556020356000526000356020600 0a100".replace(' ', "");
    let code = format!("60{:02x}80600b6000396000f3{runtime}", runtime.len() / 2);
    let raw = sign(0, 0, TxKind::Create, hex::decode(code)?.into())?;
    let reply = client.request(&body(&[raw]))?;
    if reply.contains("\"error\"") {
        bail!("the contract was refused: {reply}");
    }
    Ok(signer(0)?.address().create(0))
}

fn sign(sender: u64, nonce: u64, to: TxKind, input: Bytes) -> Result<Bytes> {
    let tx = TxEip1559 {
        chain_id: 31,
        nonce,
        gas_limit: GAS,
        max_fee_per_gas: 1_000_000_000_000,
        max_priority_fee_per_gas: 1,
        to,
        input,
        ..TxEip1559::default()
    };
    let signature = signer(sender)?.sign_hash_sync(&tx.signature_hash())?;
    Ok(TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into())
}

fn body(batch: &[Bytes]) -> String {
    let calls: Vec<String> = batch
        .iter()
        .enumerate()
        .map(|(id, raw)| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_sendRawTransaction","params":["{raw}"]}}"#
            )
        })
        .collect();
    format!("[{}]", calls.join(","))
}

/// The least of an HTTP client, so that the sender costs little.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn request(&mut self, body: &str) -> Result<String> {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut reply = vec![0; length];
        std::io::Read::read_exact(&mut self.stream, &mut reply)?;
        Ok(String::from_utf8(reply)?)
    }
}

/// User and system time of a process, in seconds.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.get(11).context("utime")?.parse::<u64>()?
        + fields.get(12).context("stime")?.parse::<u64>()?;
    Ok(ticks as f64 / 100.0)
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> Result<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).context("resident pages")?.parse()?;
    Ok(pages * 4096)
}
