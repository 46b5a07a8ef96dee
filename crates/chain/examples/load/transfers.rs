//! Sustained transfers in batches, and single ones for their latency.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use alloy::primitives::{Bytes, keccak256};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    BATCH,
    client::{Client, Process, number},
    token::{SENDERS, Token, receiver, sending, signer, waiting},
};

/// Connections that send, each for its own senders.
const CONNECTIONS: u64 = 2;

/// Sends `count` transfers and waits until all are mined, at most `seconds`.
pub fn run(client: &Client, process: &Process, count: u64, seconds: f64) -> Result<Value> {
    let mut client = client.again()?;
    let token = Token::deployed(&mut client)?;
    let idle = process.memory()?;
    let bodies = sign_all(&mut client, &token, count)?;
    let first = client.number("eth_blockNumber", &json!([]))?;
    let start = process.start()?;
    let late = AtomicBool::new(false);
    let senders: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = bodies
            .iter()
            .map(|bodies| {
                let (client, late, start) = (client.again(), &late, &start);
                scope.spawn(move || -> Result<()> {
                    let mut client = client?;
                    for body in bodies {
                        if start.wall() > seconds {
                            late.store(true, Ordering::Relaxed);
                            return Ok(());
                        }
                        let reply = client.request(body)?;
                        anyhow::ensure!(!reply.contains("\"error\""), "refused: {reply:.400}");
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    for sender in senders {
        sender.map_err(|_| anyhow::anyhow!("a sender stopped"))??;
    }
    let submitted = start.wall();
    let mut memory = process.memory()?;
    let mut left = waiting(&mut client)?;
    while left > 0 && start.wall() < seconds {
        std::thread::sleep(Duration::from_millis(10));
        left = waiting(&mut client)?;
        memory = memory.max(process.memory()?);
    }
    let (cpu, wall) = start.spent()?;
    let last = client.number("eth_blockNumber", &json!([]))?;
    let mined = mined(&mut client, first, last)?;
    let late = late.into_inner();
    anyhow::ensure!(late || left > 0 || mined == count / SENDERS * SENDERS, "{mined} were mined");
    if !late && left == 0 {
        succeeded(&mut client, last)?;
    }
    Ok(json!({
        "mined": mined, "cpu": cpu, "wall": wall, "submitted": submitted, "blocks": last - first,
        "memory_before": idle, "memory": memory, "in_time": !late && left == 0,
    }))
}

/// The signed transfers as batches per connection; a batch holds different senders in turn.
fn sign_all(client: &mut Client, token: &Token, count: u64) -> Result<Vec<Vec<String>>> {
    let groups = (0..CONNECTIONS).map(|group| {
        let mut senders = Vec::new();
        for index in (0..SENDERS).filter(|index| index % CONNECTIONS == group) {
            let signer = signer(index)?;
            let nonce = json!([signer.address(), "latest"]);
            let nonce = client.number("eth_getTransactionCount", &nonce)?;
            senders.push((index, signer, nonce));
        }
        Ok(senders)
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = groups
            .into_iter()
            .map(|senders| {
                scope.spawn(move || -> Result<Vec<String>> {
                    let mut bodies = Vec::new();
                    let mut raw: Vec<Bytes> = Vec::with_capacity(BATCH);
                    for round in 0..count / SENDERS {
                        for (index, signer, nonce) in &senders {
                            let to = receiver(index * 7919 + (nonce + round) * 104_729);
                            raw.push(token.transfer(signer, nonce + round, to)?);
                            if raw.len() == BATCH {
                                bodies.push(sending(&raw));
                                raw.clear();
                            }
                        }
                    }
                    if !raw.is_empty() {
                        bodies.push(sending(&raw));
                    }
                    Ok(bodies)
                })
            })
            .collect();
        let stopped = |_| anyhow::anyhow!("a signer stopped");
        threads.into_iter().map(|thread| thread.join().map_err(stopped)?).collect()
    })
}

/// Transactions in the blocks after `first`.
fn mined(client: &mut Client, first: u64, last: u64) -> Result<u64> {
    let mut mined = 0;
    for block in first + 1..=last {
        let block = json!([format!("{block:#x}")]);
        mined += client.number("eth_getBlockTransactionCountByNumber", &block)?;
    }
    Ok(mined)
}

/// The last transactions must have taken effect, or the figures mean nothing.
fn succeeded(client: &mut Client, block: u64) -> Result<()> {
    let reply = client.call("eth_getBlockReceipts", &json!([format!("{block:#x}")]))?;
    let receipts = reply["result"].as_array().context("receipts")?;
    let good = |receipt: &Value| {
        number(&receipt["status"]) == Some(1) && receipt["logs"].as_array().map(Vec::len) == Some(1)
    };
    anyhow::ensure!(receipts.iter().all(good), "a transfer failed in block {block}");
    Ok(())
}

/// Sends transfers one after the other, each when the one before has its receipt.
pub fn single(client: &mut Client, process: &Process, count: u64) -> Result<Value> {
    let token = Token::deployed(client)?;
    let signer = signer(1)?;
    let nonce = client.number("eth_getTransactionCount", &json!([signer.address(), "latest"]))?;
    let signed = (0..count).map(|i| token.transfer(&signer, nonce + i, receiver(i)));
    let signed = signed.collect::<Result<Vec<_>>>()?;
    let start = process.start()?;
    for raw in &signed {
        client.call("eth_sendRawTransaction", &json!([raw]))?;
        let hash = json!([keccak256(raw)]);
        while client.call("eth_getTransactionReceipt", &hash)?["result"].is_null() {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    let (cpu, wall) = start.spent()?;
    Ok(json!({ "transfers": count, "cpu": cpu, "wall": wall }))
}
