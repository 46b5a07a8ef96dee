//! The pending block: what the next block would be, before it is made.

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Clock, Config, Production};

use crate::fixture::{client, config, post, signer, start};

async fn result(chain: &Chain, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer: Value = serde_json::from_str(&post(chain, body.to_string()).await).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
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
