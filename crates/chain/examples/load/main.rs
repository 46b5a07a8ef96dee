//! Drives a node, ours or another one, for `cargo xtask bench node`; each command prints one JSON object.
//!
//! The node is a process of its own, so its CPU time and memory are not mixed with the driver's, and everything is
//! signed before the measurement begins.
//!
//! - `load genesis`: the genesis with the funded senders, in geth's format.
//! - `load serve DIR`: our node on that genesis, `-` for one in memory; prints its address.
//! - `load transfers ADDRESS PID COUNT SECONDS`: ERC-20 transfers as raw transactions in batches.
//! - `load calls ADDRESS PID COUNT`: `eth_call` of a balance, in batches.
//! - `load build DIR COUNT`: makes a chain of so many blocks with a transfer each.
//! - `load fill ADDRESS COUNT SECONDS`: the same on a running node that makes a block at once, for so long at the most.
//! - `load grow ADDRESS COUNT`: transactions that write 380 new slots and 128 KiB of logs each.
//! - `load logs ADDRESS PID BLOCKS`: `eth_getLogs` over such a chain.
//! - `load single ADDRESS PID COUNT`: transfers one after the other, each when the one before has its receipt.

mod blocks;
mod client;
mod growth;
mod token;
mod transfers;

use std::time::Duration;

use alloy::primitives::U256;
use anyhow::{Context, Result, bail};
use client::{Client, Process, batch};
use serde_json::{Value, json};
use tilth_chain::{Config, Genesis};
use token::{SENDERS, Token, signer};

/// Of the measured chains. Large, so that it is the node that limits a block and not the number.
const GAS_LIMIT: u64 = 1_000_000_000;
const CHAIN_ID: u64 = 31;
/// Requests of one batch.
const BATCH: usize = 100;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let figures = match words.as_slice() {
        ["genesis"] => genesis_json()?,
        ["serve", dir] => return serve(dir),
        ["transfers", address, pid, count, seconds] => transfers::run(
            &Client::connect(address)?,
            &Process::new(pid)?,
            count.parse()?,
            seconds.parse()?,
        )?,
        ["calls", address, pid, count] => {
            calls(&mut Client::connect(address)?, &Process::new(pid)?, count.parse()?)?
        }
        ["build", dir, count] => blocks::build(dir, count.parse()?)?,
        ["fill", address, count, seconds] => {
            let time = Duration::from_secs(seconds.parse()?);
            json!({ "blocks": blocks::one_each(address, count.parse()?, time)? })
        }
        ["grow", address, count] => growth::run(&mut Client::connect(address)?, count.parse()?)?,
        ["logs", address, pid, count] => {
            blocks::queries(&mut Client::connect(address)?, &Process::new(pid)?, count.parse()?)?
        }
        ["single", address, pid, count] => {
            let (mut client, process) = (Client::connect(address)?, Process::new(pid)?);
            transfers::single(&mut client, &process, count.parse()?)?
        }
        _ => bail!("the commands are in the first lines of the source"),
    };
    println!("{figures}");
    Ok(())
}

fn coins() -> U256 {
    U256::from(10).pow(U256::from(24))
}

fn genesis() -> Result<Genesis> {
    let balances = (0..SENDERS).map(|i| Ok((signer(i)?.address(), coins())));
    Ok(Genesis {
        chain_id: CHAIN_ID,
        timestamp: 1_700_000_000,
        gas_limit: GAS_LIMIT,
        base_fee: 1_000_000_000,
        balances: balances.collect::<Result<_>>()?,
        ..Genesis::default()
    })
}

fn genesis_json() -> Result<Value> {
    let mut accounts = serde_json::Map::new();
    for index in 0..SENDERS {
        let address = signer(index)?.address().to_string();
        accounts.insert(address, json!({ "balance": format!("{:#x}", coins()) }));
    }
    Ok(json!({
        "config": {
            "chainId": CHAIN_ID, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0,
            "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "osakaTime": 0,
        },
        "timestamp": "0x6553f100",
        "gasLimit": format!("{GAS_LIMIT:#x}"),
        "difficulty": "0x0",
        "baseFeePerGas": "0x3b9aca00",
        "alloc": accounts,
    }))
}

#[tokio::main]
async fn serve(dir: &str) -> Result<()> {
    let dir = (dir != "-").then(|| dir.into());
    let config = Config { dir, ..Config::in_memory(genesis()?) };
    let chain = tilth_chain::spawn(config).await.map_err(|error| error.problem())?;
    println!("{}", chain.rpc_addr());
    std::future::pending::<()>().await;
    Ok(())
}

/// `eth_call` of balances, each of another account.
fn calls(client: &mut Client, process: &Process, count: usize) -> Result<Value> {
    let token = Token::deployed(client)?;
    let bodies: Vec<String> = (0..count / BATCH)
        .map(|round| {
            batch("eth_call", (0..BATCH).map(|i| token.balance_call(round * BATCH + i).to_string()))
        })
        .collect();
    let start = process.start()?;
    for body in &bodies {
        let reply = client.request(body)?;
        anyhow::ensure!(!reply.contains("\"error\""), "refused: {reply:.300}");
    }
    let (cpu, wall) = start.spent()?;
    let reply = client.call("eth_call", &token.balance_call(0))?;
    let balance = reply["result"].as_str().context("a balance")?;
    anyhow::ensure!(balance.len() == 66, "not a balance: {reply}");
    Ok(json!({ "calls": bodies.len() * BATCH, "cpu": cpu, "wall": wall }))
}
