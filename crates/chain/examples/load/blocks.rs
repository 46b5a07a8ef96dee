//! A long chain of blocks with one transfer each, and log queries over it.

use std::time::{Duration, Instant};

use alloy::{primitives::B256, sol_types::SolEvent};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tilth_chain::{Config, Production};

use crate::{
    client::{Client, Process, number},
    genesis,
    token::{SENDERS, Token, Transfer, address, receiver, signer},
};

/// Queries per figure.
const QUERIES: u64 = 20;

/// Makes blocks in a folder until the head's number is `count`, each with one transfer.
#[tokio::main]
pub async fn build(dir: &str, count: u64) -> Result<Value> {
    let production = Production::Instant;
    let config = Config { dir: Some(dir.into()), production, ..Config::in_memory(genesis()?) };
    let chain = tilth_chain::spawn(config).await.map_err(|error| error.problem())?;
    let rpc = chain.rpc_addr().to_string();
    let blocks =
        tokio::task::spawn_blocking(move || one_each(&rpc, count, Duration::MAX)).await??;
    chain.shutdown().await;
    Ok(json!({ "blocks": blocks }))
}

/// Sends a transfer whenever the one before is mined, which makes one block of each, until the head's
/// number is `count` or the time is over. Returns the head's number.
pub fn one_each(rpc: &str, count: u64, time: Duration) -> Result<u64> {
    let begun = Instant::now();
    let mut client = Client::connect(rpc)?;
    let token = Token::deployed(&mut client)?;
    let mut nonces = Vec::new();
    for index in 0..SENDERS {
        let address = json!([address(index)?, "latest"]);
        let nonce = client.number("eth_getTransactionCount", &address)?;
        nonces.push((signer(index)?, nonce));
    }
    let mut head = client.number("eth_blockNumber", &json!([]))?;
    let mut sent = 0;
    while head < count && begun.elapsed() < time {
        let (signer, nonce) =
            nonces.get_mut(usize::try_from(sent % SENDERS)?).context("a sender")?;
        let raw = token.transfer(signer, *nonce, receiver(sent))?;
        *nonce += 1;
        sent += 1;
        // Answers with the receipt.
        let receipt = client.call("eth_sendRawTransactionSync", &json!([raw]))?;
        head = number(&receipt["result"]["blockNumber"]).with_context(|| receipt.to_string())?;
    }
    Ok(head)
}

/// Queries over the first `blocks` blocks: of one receiver (few logs), and of every transfer in a tenth of them.
pub fn queries(client: &mut Client, process: &Process, blocks: u64) -> Result<Value> {
    let token = Token::deployed(client)?;
    let topic = Transfer::SIGNATURE_HASH;
    let mut figures = serde_json::Map::new();
    for (name, span) in [("one receiver", blocks), ("all transfers", blocks / 10)] {
        let mut found = 0;
        let start = process.start()?;
        for query in 0..QUERIES {
            let from = if span == blocks { 0 } else { query % 10 * span };
            let mut topics = vec![json!(topic)];
            if span == blocks {
                let receiver = B256::left_padding_from(receiver(query * 761).as_slice());
                topics.extend([Value::Null, json!(receiver)]);
            }
            let reply = client.call(
                "eth_getLogs",
                &json!([{
                    "address": token.address(), "topics": topics,
                    "fromBlock": format!("{from:#x}"), "toBlock": format!("{:#x}", from + span - 1),
                }]),
            )?;
            let logs = reply["result"].as_array().with_context(|| format!("{reply:.300}"))?;
            found += logs.len();
        }
        let (cpu, wall) = start.spent()?;
        anyhow::ensure!(found > 0, "{name}: nothing was found");
        figures.insert(
            name.to_owned(),
            json!({
                "blocks": span, "logs": found as f64 / QUERIES as f64,
                "cpu": cpu / QUERIES as f64, "wall": wall / QUERIES as f64,
            }),
        );
    }
    Ok(Value::Object(figures))
}
