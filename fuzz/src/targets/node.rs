//! The node that requests are put to.

use std::sync::OnceLock;

use alloy::{
    network::TransactionBuilder as _, providers::Provider as _, rpc::types::TransactionRequest,
};
use serde_json::Value;
use tilth_chain::{Chain, Config, Limits, Production, hostile};

use crate::fixture;

/// A node that makes no blocks by itself, with little room and little time for each request.
pub fn node() -> &'static (tokio::runtime::Runtime, Chain) {
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
            for request in transactions() {
                let sent = client.send_transaction(request).await;
                drop(sent.expect("the fixture's transaction is good"));
                chain.mine().await.expect("the fixture's block is good");
            }
            chain
        });
        (runtime, chain)
    })
}

fn transactions() -> [TransactionRequest; 2] {
    let code = fixture::deploying(&fixture::register());
    let contract = fixture::signer(0).address().create(0);
    [
        TransactionRequest::default().with_deploy_code(code),
        TransactionRequest::default().with_to(contract).with_input(fixture::words(&[5, 50])),
    ]
}

/// Puts a body to the node as if it came in a WebSocket message, where everything can be asked. The
/// answer must be JSON-RPC and must not be the node's own failure.
pub fn answered(body: &[u8]) -> Option<Value> {
    let (runtime, chain) = node();
    let answer = runtime.block_on(hostile::in_session(chain, body));
    if answer.is_empty() {
        return None;
    }
    let said: Value = serde_json::from_slice(&answer).expect("the answer is JSON");
    let one = std::slice::from_ref(&said);
    for each in said.as_array().map_or(one, Vec::as_slice) {
        assert_eq!(each["jsonrpc"], "2.0", "{each}");
        let has_result = each.get("result").is_some();
        assert!(has_result != each.get("error").is_some(), "{each}");
        let error = each["error"]["message"].as_str().unwrap_or_default();
        // What a method is answered with that panicked, or met what cannot be.
        let faults = ["crashed", "interrupted", "damaged", "a block is missing", "is lost"];
        let fault = faults.iter().find(|fault| error.contains(**fault));
        assert_eq!(fault, None, "{} gave {each}", String::from_utf8_lossy(body));
    }
    Some(said)
}

/// Calls a method; the answer, as [`answered`] has judged it.
pub fn call(method: &str, parameters: &Value) -> Value {
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters
    });
    answered(body.to_string().as_bytes()).expect("a call is answered")
}
