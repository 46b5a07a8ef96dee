//! A large chain in little time: transactions that store and log as much as fits.

use alloy::primitives::{Bytes, TxKind, U256, hex, keccak256};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    BATCH,
    client::{Client, number},
    token::{SENDERS, send, settled, sign, signer},
};

/// Writes the complement of each slot's number into the slots from the first word of its calldata up to the second,
/// and then logs 32 KiB four times.
const FILLER: &str =
    "6000355b8019815560010160203581106003576180006000a06180006000a06180006000a06180006000a000";

/// Slots that one transaction writes, for some ten million gas: more would go (16.8 million, EIP-7825), but cost more
/// than the one coin that a node takes for a fee.
const SLOTS: u64 = 380;
const GAS: u64 = 9_900_000;

/// Sends so many transactions and waits until all are mined.
pub fn run(client: &mut Client, count: u64) -> Result<Value> {
    let mut senders = Vec::new();
    for index in 0..SENDERS {
        let signer = signer(index)?;
        let nonce = json!([signer.address(), "latest"]);
        let nonce = client.number("eth_getTransactionCount", &nonce)?;
        senders.push((signer, nonce));
    }
    let (creator, nonce) = senders.first_mut().context("a sender")?;
    let filler = creator.address().create(*nonce);
    let runtime = hex::decode(FILLER)?;
    // Returns what follows these eleven bytes.
    let mut code =
        [&[0x60, u8::try_from(runtime.len())?], &hex::decode("80600b6000396000f3")?[..]].concat();
    code.extend(runtime);
    send(client, &[sign(creator, *nonce, TxKind::Create, U256::ZERO, code.into(), 3_000_000)?])?;
    *nonce += 1;
    settled(client)?;
    let mut last = None;
    let mut sent = 0;
    while sent < count {
        let mut raw = Vec::with_capacity(BATCH);
        while raw.len() < BATCH && sent < count {
            let sender = usize::try_from(sent % SENDERS)?;
            let (signer, nonce) = senders.get_mut(sender).context("a sender")?;
            let slots = [sent * SLOTS, (sent + 1) * SLOTS].map(U256::from);
            let input = Bytes::from(slots.map(|word| word.to_be_bytes::<32>()).concat());
            raw.push(sign(signer, *nonce, TxKind::Call(filler), U256::ZERO, input, GAS)?);
            *nonce += 1;
            sent += 1;
        }
        last = raw.last().map(keccak256);
        send(client, &raw)?;
    }
    settled(client)?;
    let reply = client.call("eth_getTransactionReceipt", &json!([last]))?;
    let receipt = &reply["result"];
    let logs = receipt["logs"].as_array().map(Vec::len);
    ensure!(number(&receipt["status"]) == Some(1) && logs == Some(4), "it failed: {reply:.300}");
    Ok(json!({ "transactions": count, "slots": count * SLOTS }))
}
