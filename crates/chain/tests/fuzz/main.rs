//! The fuzz targets of the node without libFuzzer; see `fuzz/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../it/fixture.rs"]
#[expect(dead_code, reason = "the fixture serves the other tests, too")]
mod fixture;
#[path = "../../../../fuzz/src/mutate.rs"]
mod mutate;
#[path = "../../../../fuzz/src/smoke.rs"]
mod smoke;
#[path = "../../../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;

use smoke::seeds;

fn smoke(name: &str, count: usize) {
    smoke::smoke(targets::TARGETS, name, count);
}

#[test]
fn requests() {
    smoke("request", 20_000);
}

#[test]
fn parameters_of_every_method() {
    smoke("parameters", 40_000);
}

/// Each method of the table has a seed with parameters that it takes, so that mutations of them get
/// through its decoders.
#[test]
fn no_method_is_left_out() {
    let mut taken = BTreeSet::new();
    for seed in seeds("parameters") {
        let text = String::from_utf8_lossy(&seed).into_owned();
        let (method, answer) = targets::called(&seed).expect("[\"method\", parameters]");
        assert!(text.contains(&format!("\"{method}\"")), "there is no such method: {text}");
        // Neither unknown nor refused for its parameters.
        if ![-32601, -32602].contains(&answer["error"]["code"].as_i64().unwrap_or_default()) {
            taken.insert(method);
        }
    }
    let left_out: Vec<_> =
        targets::methods().into_iter().filter(|method| !taken.contains(*method)).collect();
    assert!(left_out.is_empty(), "add seeds to fuzz/corpus/parameters for {left_out:?}");
}

/// Mutations of what decodes get further than those of what does not.
#[test]
fn seeds_of_binary_forms_are_sound() {
    use alloy::{consensus::TxEnvelope, eips::eip2718::Decodable2718 as _};
    use tilth_chain::{Block, Genesis};

    let transactions = seeds("transaction");
    assert!(transactions.iter().all(|seed| TxEnvelope::decode_2718_exact(seed).is_ok()));
    let spec = Genesis::default().spec();
    let is_block = |seed: &&Vec<u8>| Block::from_rlp(seed, &spec).is_ok();
    assert_eq!(seeds("block").iter().filter(is_block).count(), 6);
}

#[test]
fn types_of_parameters() {
    smoke("arguments", 100_000);
}

#[test]
fn calls_with_overrides() {
    smoke("calls", 5_000);
}

#[test]
fn options_of_traces() {
    smoke("traces", 5_000);
}

#[test]
fn queries_for_logs() {
    smoke("logs", 10_000);
}

#[test]
fn websocket_frames() {
    smoke("frames", 10_000);
}

#[test]
fn transactions() {
    smoke("transaction", 30_000);
}

#[test]
fn blocks_headers_and_receipts() {
    smoke("block", 100_000);
}

#[test]
fn files_of_blocks() {
    smoke("blocks", 20_000);
}

#[test]
fn stored_records() {
    smoke("stored", 200_000);
}

#[test]
fn tries_from_damaged_records() {
    smoke("trie", 4_000);
}

#[test]
fn damaged_databases() {
    smoke("database", 300);
}

#[test]
fn snapshots() {
    smoke("snapshot", 200);
}

#[test]
fn journals() {
    smoke("journal", 1000);
}

#[test]
fn genesis_files() {
    smoke("genesis", 5_000);
}

#[test]
fn configurations() {
    smoke("configuration", 10_000);
}

#[test]
fn configurations_of_a_node() {
    smoke("node_config", 10_000);
}
