//! The pending block: what the next block would be, before it is made.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Clock, Config, Production};

use crate::fixture::{client, config, deploying, post, register, signer, start, words};

async fn answer(chain: &Chain, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    serde_json::from_str(&post(chain, body.to_string()).await).unwrap()
}

async fn result(chain: &Chain, method: &str, params: Value) -> Value {
    let answer = answer(chain, method, &params).await;
    assert!(answer.get("error").is_none(), "{method} {params}: {answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn what_waits_is_seen_before_it_is_mined() {
    let clock = Clock::manual(1_800_000_000);
    let config = Config { production: Production::Manual, clock, ..config() };
    let chain = start(config).await;
    let provider = client(&chain);
    let to = Address::repeat_byte(0x77);
    let empty = result(&chain, "eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&empty["number"], &empty["transactions"]), (&json!("0x1"), &json!([])));
    let mut hashes = Vec::new();
    for value in [5, 6] {
        let request = TransactionRequest::default().with_to(to).with_value(U256::from(value));
        hashes.push(provider.send_transaction(request).await.unwrap().tx_hash().to_string());
    }
    let balance = |tag: &'static str| result(&chain, "eth_getBalance", json!([to, tag]));
    assert_eq!(balance("pending").await, "0xb");
    assert_eq!(balance("latest").await, "0x0");
    let nonce = result(&chain, "eth_getTransactionCount", json!([signer(0).address(), "pending"]));
    assert_eq!(nonce.await, "0x2");
    // balance(to), as a call in the pending block sees it.
    let code = format!("0x73{}315f5260205ff3", &to.to_string()[2..].to_lowercase());
    let overrides = json!({ Address::repeat_byte(1).to_string(): { "code": code } });
    let request = json!({ "to": Address::repeat_byte(1) });
    let seen = result(&chain, "eth_call", json!([request, "pending", overrides])).await;
    assert_eq!(seen, format!("{:#066x}", U256::from(11)));
    let simulated = json!([{ "blockStateCalls": [{ "calls": [request] }] }, "pending"]);
    let simulated = result(&chain, "eth_simulateV1", simulated).await;
    assert_eq!(simulated[0]["number"], "0x2");

    let pending = result(&chain, "eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!(pending["transactions"], json!(hashes));
    for field in ["hash", "nonce", "miner"] {
        assert_eq!(pending[field], Value::Null, "{field}");
    }
    let count = result(&chain, "eth_getBlockTransactionCountByNumber", json!(["pending"])).await;
    assert_eq!(count, "0x2");
    // What is made then is what was pending.
    let mined = chain.mine().await.unwrap();
    assert_eq!(pending["stateRoot"], mined.state_root.to_string());
    assert_eq!(pending["receiptsRoot"], mined.receipts_root.to_string());
    assert_eq!(balance("latest").await, "0xb");
    let next = result(&chain, "eth_getBlockByNumber", json!(["pending", true])).await;
    assert_eq!((&next["number"], &next["transactions"]), (&json!("0x2"), &json!([])));
    assert_eq!(next["parentHash"], mined.hash().to_string());
}

/// Every method that takes a block, with what it asks of the block called `TAG`.
fn questions(contract: Address) -> Vec<(&'static str, Value)> {
    let from = signer(0).address();
    let store = json!({ "from": from, "to": contract, "data": words(&[3, 9]) });
    let slot = format!("{:#066x}", 1);
    let simulated = json!({ "blockStateCalls": [{ "calls": [store] }] });
    vec![
        ("eth_getBlockByNumber", json!(["TAG", false])),
        ("eth_getBlockByNumber", json!(["TAG", true])),
        ("eth_getHeaderByNumber", json!(["TAG"])),
        ("eth_getBlockTransactionCountByNumber", json!(["TAG"])),
        ("eth_getUncleCountByBlockNumber", json!(["TAG"])),
        ("eth_getUncleByBlockNumberAndIndex", json!(["TAG", "0x0"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["TAG", "0x1"])),
        ("eth_getRawTransactionByBlockNumberAndIndex", json!(["TAG", "0x1"])),
        ("eth_getBlockReceipts", json!(["TAG"])),
        ("eth_feeHistory", json!(["0x2", "TAG", [10, 90]])),
        ("eth_getBalance", json!([signer(0).address(), "TAG"])),
        ("eth_getTransactionCount", json!([signer(0).address(), "TAG"])),
        ("eth_getCode", json!([contract, "TAG"])),
        ("eth_getStorageAt", json!([contract, "0x1", "TAG"])),
        ("eth_getStorageAt", json!([contract, "0x1", { "blockNumber": "TAG" }])),
        ("eth_getStorageValues", json!([{ contract.to_string(): [slot] }, "TAG"])),
        ("eth_getProof", json!([contract, ["0x1", "0x2"], "TAG"])),
        ("eth_call", json!([{ "to": contract, "data": words(&[1]) }, "TAG"])),
        ("eth_estimateGas", json!([store, "TAG"])),
        ("eth_createAccessList", json!([store, "TAG"])),
        ("eth_simulateV1", json!([simulated, "TAG"])),
        ("debug_traceBlockByNumber", json!(["TAG", { "tracer": "callTracer" }])),
        ("debug_storageRangeAt", json!(["TAG", 2, contract, "0x", 10])),
    ]
}

fn about(params: &Value, tag: &str) -> Value {
    serde_json::from_str(&params.to_string().replace("TAG", tag)).unwrap()
}

#[tokio::test]
async fn every_method_that_takes_a_block_knows_the_pending_one() {
    let clock = Clock::manual(1_800_000_000);
    let config = Config { production: Production::Manual, clock, ..config() };
    let chain = start(config).await;
    let provider = client(&chain);
    chain.mine().await.unwrap();
    let contract = signer(0).address().create(0);
    let deploy = TransactionRequest::default().with_deploy_code(deploying(&register()));
    let store = |words| TransactionRequest::default().with_to(contract).with_input(words);
    let requests = [deploy, store(words(&[1, 5])), store(words(&[2, 6]))];
    for (nonce, request) in (0..).zip(requests) {
        let request = request.with_nonce(nonce).with_gas_limit(200_000);
        let _ = provider.send_transaction(request).await.unwrap();
    }
    let questions = questions(contract);
    let mut seen = Vec::new();
    for (method, params) in &questions {
        let pending = result(&chain, method, about(params, "pending")).await;
        let latest = answer(&chain, method, &about(params, "latest")).await;
        if !method.contains("Uncle") {
            assert_ne!(latest["result"], pending, "{method}: pending is the head");
        }
        seen.push(pending);
    }
    chain.mine().await.unwrap();
    for ((method, params), mut pending) in questions.iter().zip(seen) {
        let mut made = result(&chain, method, about(params, "latest")).await;
        if matches!(*method, "eth_getBlockByNumber" | "eth_getHeaderByNumber") {
            for field in ["hash", "nonce", "miner"] {
                assert_eq!(pending[field], Value::Null, "{method} {field}");
                pending[field] = made[field].take();
                made[field] = pending[field].clone();
            }
            assert_ne!(pending["mixHash"], made["mixHash"], "the next randomness is shown");
        }
        // What is simulated on top of a block has its hash as parent and in the state (EIP-2935).
        let mut hashes = vec!["mixHash", "blockHash"];
        if *method == "eth_simulateV1" {
            hashes.extend(["hash", "parentHash", "stateRoot"]);
        }
        without(&mut pending, &hashes);
        without(&mut made, &hashes);
        assert_eq!(pending, made, "{method} {params}");
    }
    refuses_what_pending_has_not(&chain).await;
}

/// Takes away these fields wherever they are: the randomness, which nobody may see before the block is there, and the
/// hashes that hang on it.
fn without(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|value| without(value, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| without(value, names)),
        _ => {}
    }
}

/// What the pending block cannot be asked for.
async fn refuses_what_pending_has_not(chain: &Chain) {
    for (method, params, code, message) in [
        (
            "debug_traceCall",
            json!([{}, "pending"]),
            -32000,
            "tracing on top of pending is not supported",
        ),
        (
            "eth_getLogs",
            json!([{ "fromBlock": "pending" }]),
            -32602,
            "pending logs are not supported",
        ),
        (
            "eth_newFilter",
            json!([{ "toBlock": "pending" }]),
            -32602,
            "pending logs are not supported",
        ),
    ] {
        let error = answer(chain, method, &params).await["error"].take();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!(code), &json!(message)),
            "{method}"
        );
    }
    for (method, what) in [("debug_getRawHeader", "header"), ("debug_getRawBlock", "block")] {
        let error = answer(chain, method, &json!(["pending"])).await["error"].take();
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("{what} #[")) && message.ends_with("] not found"),
            "{message}"
        );
    }
    assert_eq!(result(chain, "debug_getRawReceipts", json!(["pending"])).await, json!([]));
}
