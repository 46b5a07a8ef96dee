//! geth's own answers to calls, estimates, access lists and simulations on a public test chain, which `conformance`
//! finds.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tilth_chain::{Chain, Config, Genesis, Production};

use crate::{
    conformance::folder as fixtures,
    fixture::{post, start},
};

async fn public_chain() -> Chain {
    let json = fs::read(fixtures().join("genesis.json")).unwrap();
    let config = Config::in_memory(Genesis::from_json(&json).unwrap());
    let chain = start(Config { production: Production::Manual, ..config }).await;
    let blocks = fs::File::open(fixtures().join("chain.rlp")).unwrap();
    chain.import(blocks, |_| ()).await.unwrap();
    chain
}

/// Requests and answers of a file: lines of `>> request` and `<< answer`.
fn exchanges(text: &str) -> Vec<(&str, Value)> {
    let requests = text.lines().filter_map(|line| line.strip_prefix(">> "));
    let answers = text.lines().filter_map(|line| line.strip_prefix("<< "));
    requests.zip(answers.map(|answer| serde_json::from_str(answer).unwrap())).collect()
}

/// Runs every file of a folder; returns how many exchanges were the same, and those that were not.
async fn run(chain: &Chain, folder: &str) -> (usize, Vec<String>) {
    let mut files: Vec<PathBuf> =
        fs::read_dir(fixtures().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut same, mut different) = (0, Vec::new());
    for file in files {
        for (request, expected) in exchanges(&fs::read_to_string(&file).unwrap()) {
            let answer: Value = serde_json::from_str(&post(chain, request).await).unwrap();
            if answer == expected {
                same += 1;
            } else {
                let name = file.file_name().unwrap().to_string_lossy();
                different.push(format!("{name}: {}", difference("", &expected, &answer)));
            }
        }
    }
    (same, different)
}

/// The first place where two answers differ.
fn difference(at: &str, expected: &Value, found: &Value) -> String {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            let null = Value::Null;
            let mut differing = keys.filter(|key| a.get(*key) != b.get(*key));
            let key = differing.next().unwrap();
            let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
            difference(&format!("{at}.{key}"), a, b)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let index = a.iter().zip(b).position(|(a, b)| a != b).unwrap();
            difference(&format!("{at}[{index}]"), &a[index], &b[index])
        }
        _ => format!("{at}: geth has {expected}, we have {found}"),
    }
}

#[tokio::test]
#[ignore = "needs a checkout of ethereum/execution-apis: TILTH_EXECUTION_APIS=DIR cargo nextest run --release -p tilth-chain --run-ignored only ours"]
async fn geths_answers_to_simulations_are_ours() {
    let chain = public_chain().await;
    let (same, different) = run(&chain, "eth_simulateV1").await;
    println!("{same} exchanges are the same, {} are not", different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(same, 91);
}

#[tokio::test]
#[ignore = "needs a checkout of ethereum/execution-apis: TILTH_EXECUTION_APIS=DIR cargo nextest run --release -p tilth-chain --run-ignored only ours"]
async fn geths_answers_to_calls_and_estimates_are_ours() {
    let chain = public_chain().await;
    for (folder, count) in [("eth_call", 6), ("eth_estimateGas", 7), ("eth_createAccessList", 4)] {
        let (same, different) = run(&chain, folder).await;
        assert!(different.is_empty(), "{folder}\n{}", different.join("\n"));
        assert_eq!(same, count, "{folder}");
    }
}
