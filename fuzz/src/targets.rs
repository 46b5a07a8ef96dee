//! What is fuzzed in the node: plain functions of bytes that must not panic, whatever the bytes are.
//!
//! `cargo fuzz run NAME` feeds them with libFuzzer, `tests/fuzz` of `tilth-chain` with the corpus and mutations of
//! it, so that every test run exercises them. What each of them decodes: `README.md`.

#[path = "targets/configuration.rs"]
mod configuration;
#[path = "targets/database.rs"]
mod database;
#[path = "targets/files.rs"]
mod files;
#[path = "targets/node.rs"]
mod node;
#[path = "targets/records.rs"]
mod records;
#[path = "targets/rpc.rs"]
mod rpc;
#[path = "targets/tries.rs"]
mod tries;

#[allow(unused_imports, reason = "the test of the method table asks them")]
pub use rpc::{called, methods};
pub use {
    configuration::{configuration, genesis, node_config},
    database::database,
    files::{journal, snapshot},
    records::{block, blocks, stored, transaction},
    rpc::{arguments, calls, frames, logs, parameters, request, traces},
    tries::trie,
};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[
    ("request", request),
    ("parameters", parameters),
    ("arguments", arguments),
    ("calls", calls),
    ("traces", traces),
    ("logs", logs),
    ("frames", frames),
    ("transaction", transaction),
    ("block", block),
    ("blocks", blocks),
    ("stored", stored),
    ("trie", trie),
    ("database", database),
    ("snapshot", snapshot),
    ("journal", journal),
    ("genesis", genesis),
    ("configuration", configuration),
    ("node_config", node_config),
];

/// Longest input in bytes; real requests are bounded, too.
const BYTES_MAX: usize = 64 << 10;
