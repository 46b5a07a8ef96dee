//! What is fuzzed: plain functions of bytes that must not panic, whatever the bytes are.
//!
//! `cargo fuzz run NAME` feeds them with libFuzzer, `tests/fuzz` of `tilth-chain` with the corpus and mutations of
//! it, so that every test run exercises them.

use std::sync::OnceLock;

use alloy::{
    consensus::{Block, Header, ReceiptEnvelope, TxEnvelope},
    eips::eip2718::{Decodable2718 as _, Encodable2718 as _},
    primitives::hex,
    rlp::Decodable as _,
};
use serde_json::Value;
use tilth_chain::{
    Chain, Config, Genesis, Limits, Production, hostile,
    pool::PoolJournal,
    snapshot::{self, ImportOptions},
};

use crate::fixture;

/// A target: its name, which is that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("request", request),
    ("parameters", parameters),
    ("transaction", transaction),
    ("block", block),
    ("stored", stored),
    ("snapshot", snapshot),
    ("journal", journal),
    ("genesis", genesis),
];

/// Longest input in bytes; real requests are bounded, too.
const BYTES_MAX: usize = 64 << 10;

/// A node that makes no blocks by itself, with little room and little time for each request.
fn node() -> &'static (tokio::runtime::Runtime, Chain) {
    static NODE: OnceLock<(tokio::runtime::Runtime, Chain)> = OnceLock::new();
    NODE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads can be started");
        let limits = Limits { call_gas_max: 1_000_000, ..Limits::default() };
        let config = Config { production: Production::Manual, limits, ..fixture::config() };
        let chain = runtime.block_on(async {
            let chain = fixture::start(config).await;
            let client = fixture::client(&chain);
            // Something to find: a contract, with one slot and one log.
            for request in fixture_transactions() {
                let sent = alloy::providers::Provider::send_transaction(&client, request).await;
                drop(sent.expect("the fixture's transaction is good"));
                chain.mine().await.expect("the fixture's block is good");
            }
            chain
        });
        (runtime, chain)
    })
}

fn fixture_transactions() -> [alloy::rpc::types::TransactionRequest; 2] {
    use alloy::{network::TransactionBuilder as _, rpc::types::TransactionRequest};
    let code = fixture::deploying(&fixture::register());
    let contract = fixture::signer(0).address().create(0);
    [
        TransactionRequest::default().with_deploy_code(code),
        TransactionRequest::default().with_to(contract).with_input(fixture::words(&[5, 50])),
    ]
}

/// The answer must be JSON-RPC and must not be the node's own failure.
fn answered(body: &[u8]) {
    let (runtime, chain) = node();
    let answer = runtime.block_on(chain.answer(body));
    if answer.is_empty() {
        return;
    }
    let said: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    let one = std::slice::from_ref(&said);
    for each in said.as_array().map_or(one, Vec::as_slice) {
        assert_eq!(each["jsonrpc"], "2.0", "{each}");
        let error = each["error"]["message"].as_str().unwrap_or_default();
        // What a method that panicked is answered with.
        assert!(!error.contains("interrupted"), "{} gave {each}", String::from_utf8_lossy(body));
    }
}

/// A request body as it comes over HTTP or in a WebSocket message.
pub fn request(data: &[u8]) {
    if data.len() <= BYTES_MAX {
        answered(data);
    }
}

/// Parameters for each method in turn: the first byte chooses the method, the rest is the JSON.
pub fn parameters(data: &[u8]) {
    let Some((choice, json)) = data.split_first().filter(|_| data.len() <= BYTES_MAX) else {
        return;
    };
    let Ok(json) = serde_json::from_slice::<Value>(json) else { return };
    let methods = node().1.methods();
    let method = methods[usize::from(*choice) % methods.len()];
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": json });
    answered(body.to_string().as_bytes());
}

/// A signed transaction: what decodes encodes to the same bytes, and the pool survives it.
pub fn transaction(data: &[u8]) {
    if let Ok(decoded) = TxEnvelope::decode_2718_exact(data) {
        assert_eq!(decoded.encoded_2718(), data, "another encoding of the same transaction");
    }
    if data.len() <= BYTES_MAX {
        let raw = hex::encode_prefixed(data);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["{raw}"]}}"#
        );
        answered(body.as_bytes());
    }
}

/// RLP of blocks, headers and receipts.
pub fn block(mut data: &[u8]) {
    let all = data;
    if let Ok(header) = Header::decode(&mut data) {
        assert_eq!(alloy::rlp::encode(&header), all[..all.len() - data.len()], "another encoding");
    }
    let _ = Block::<TxEnvelope>::decode(&mut &*all);
    let _ = ReceiptEnvelope::<alloy::primitives::Log>::decode_2718(&mut &*all);
}

/// Records of a database.
pub fn stored(data: &[u8]) {
    hostile::stored_records(data);
}

/// A snapshot file: it becomes a chain or it is refused, and then nothing is left of it.
pub fn snapshot(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("file");
    std::fs::write(&file, data).expect("a temporary file");
    let chain = dir.path().join("chain");
    let imported = snapshot::import(&file, &chain, &ImportOptions::default(), &mut |_| {});
    assert_eq!(imported.is_ok(), chain.join("chain.redb").exists());
}

/// The pool's journal: damaged records are dropped, what is read is within the bounds.
pub fn journal(data: &[u8]) {
    const TRANSACTION_MAX: usize = 4096;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("journal");
    std::fs::write(&path, data).expect("a temporary file");
    let (_, found) = PoolJournal::open(path, 1 << 20, TRANSACTION_MAX).expect("a readable file");
    assert!(found.iter().all(|transaction| transaction.len() <= TRANSACTION_MAX));
    assert!(found.iter().map(Vec::len).sum::<usize>() <= data.len());
}

/// A genesis file in geth's format.
pub fn genesis(data: &[u8]) {
    let _ = Genesis::from_json(data);
}
