//! What is said of whole blocks: traces of a range, roots between transactions, witnesses.

use std::collections::BTreeMap;

use alloy::{
    network::TransactionBuilder,
    primitives::{U256, hex, keccak256},
    providers::Provider,
    rpc::types::TransactionRequest,
};
use serde_json::{Value, json};
use tilth_chain::{Chain, Config, Limits, Production};

use crate::{
    errors::ask,
    fixture::{client, config, deploying, signer, start},
    programs::{SENDERS, Scribe},
    socket::Socket,
};

/// A chain of random transactions in blocks of several.
async fn grown(blocks: u64) -> Chain {
    let chain = start(Config { production: Production::Manual, ..config() }).await;
    let mut scribe = Scribe::new(7);
    for _ in 0..blocks {
        for _ in 0..2 * SENDERS {
            let act = scribe.act();
            ask(&chain, "eth_sendRawTransaction", json!([act.raw])).await;
        }
        chain.mine().await.unwrap();
    }
    chain
}

async fn result(chain: &Chain, method: &str, params: Value) -> Value {
    let answer = ask(chain, method, params.clone()).await;
    answer.get("result").unwrap_or_else(|| panic!("{method} {params}: {answer}")).clone()
}

async fn refused(chain: &Chain, method: &str, params: Value) -> String {
    let answer = ask(chain, method, params).await;
    assert_eq!(answer["error"]["code"], -32000, "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

async fn block(chain: &Chain, number: u64) -> Value {
    result(chain, "eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await
}

#[tokio::test]
async fn a_range_of_blocks_is_traced_in_order() {
    let chain = grown(9).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let options = json!({ "tracer": "callTracer" });
    let params = json!(["traceChain", "0x1", "latest", options]);
    let answer = socket.call("debug_subscribe", params).await;
    let id = answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    for number in 2..=9 {
        let message: Value = match socket.news.is_empty() {
            true => serde_json::from_str(&socket.text().await).unwrap(),
            false => socket.news.remove(0),
        };
        assert_eq!(message["method"], "debug_subscription");
        assert_eq!(message["params"]["subscription"], id);
        let traced = &message["params"]["result"];
        let name = json!(format!("{number:#x}"));
        assert_eq!(traced["block"], name);
        assert_eq!(traced["hash"], block(&chain, number).await["hash"]);
        let alone = result(&chain, "debug_traceBlockByNumber", json!([name, options])).await;
        assert_eq!(traced["traces"], alone);
    }
    let ended = socket.call("debug_unsubscribe", json!([id])).await;
    assert_eq!(ended["result"], true, "{ended}");
    for (params, code, message) in [
        (json!(["traceChain", "0x1"]), -32602, "missing value for required argument 2"),
        (json!(["traceChain", "0x1", "0x77"]), -32000, "block #119 not found"),
        (
            json!(["traceChain", "0x3", "0x3"]),
            -32000,
            "end block (#3) needs to come after start block (#3)",
        ),
        (json!(["newHeads"]), -32601, "no \"newHeads\" subscription in debug namespace"),
    ] {
        let answer = socket.call("debug_subscribe", params).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert_eq!(answer["error"]["message"], message);
    }
    let plain = ask(&chain, "debug_subscribe", json!(["traceChain", "0x1", "0x2"])).await;
    assert_eq!(plain["error"]["message"], "notifications not supported");
    chain.shutdown().await;
}

/// What waits for a slow reader on this side and in the kernel: 1 MiB here, 4 MiB of Linux's for what is sent.
const UNREAD: usize = 6 << 20;

/// A chain in which each of `blocks` blocks after the first runs through some thousand instructions.
async fn looping(blocks: u64, limits: Limits) -> Chain {
    let chain = start(Config { production: Production::Manual, limits, ..config() }).await;
    let provider = client(&chain);
    // Counts down from 255, seven instructions for each.
    let code = deploying(&hex::decode("60ff5b6001900380600257").unwrap());
    let gas = |request: TransactionRequest| request.with_gas_limit(200_000);
    let deploy = TransactionRequest::default().with_deploy_code(code);
    let _ = provider.send_transaction(gas(deploy)).await.unwrap();
    chain.mine().await.unwrap();
    let contract = signer(0).address().create(0);
    for _ in 0..blocks {
        let call = TransactionRequest::default().with_to(contract);
        let _ = provider.send_transaction(gas(call)).await.unwrap();
        chain.mine().await.unwrap();
    }
    chain
}

/// The next block told on a connection: the subscription, the block's number, and how long the message was.
async fn told(socket: &mut Socket) -> (String, u64, usize) {
    let message: Value = match socket.news.is_empty() {
        true => serde_json::from_str(&socket.text().await).unwrap(),
        false => socket.news.remove(0),
    };
    let traced = &message["params"]["result"];
    let number = traced["block"].as_str().unwrap_or_else(|| panic!("{message:.300}"));
    let traces = traced["traces"].as_array().unwrap();
    assert!(traces.iter().all(|trace| trace["error"].is_null()), "{message:.300}");
    let id = message["params"]["subscription"].as_str().unwrap().to_owned();
    (id, u64::from_str_radix(&number[2..], 16).unwrap(), message.to_string().len())
}

/// More is traced than may wait for a connection; whoever reads late still gets all of it.
#[tokio::test]
async fn traces_of_a_range_wait_for_a_slow_reader() {
    let limits = Limits { subscription_bytes_max: 1 << 20, ..Limits::default() };
    let chain = looping(80, limits).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let answer = socket.call("debug_subscribe", json!(["traceChain", "0x1", "latest", {}])).await;
    assert!(answer["result"].is_string(), "{answer}");
    // As long as it takes to trace all of them, nothing is read.
    for number in 2..=81 {
        let name = json!([format!("{number:#x}"), {}]);
        result(&chain, "debug_traceBlockByNumber", name).await;
    }
    // The connection stays usable meanwhile.
    assert_eq!(socket.call("eth_blockNumber", json!([])).await["result"], "0x51");
    let mut bytes = 0;
    for number in 2..=81 {
        let (_, told, length) = told(&mut socket).await;
        assert_eq!(told, number);
        bytes += length;
    }
    assert!(bytes > UNREAD, "{bytes} bytes could have waited unread");
    chain.shutdown().await;
}

#[tokio::test]
async fn many_ranges_are_traced_on_one_connection() {
    let limits = Limits { subscription_bytes_max: 1 << 20, ..Limits::default() };
    let chain = looping(12, Limits { subscriptions_per_connection_max: 9, ..limits }).await;
    let mut socket = Socket::connect(chain.rpc_addr()).await;
    let params = json!(["traceChain", "0x1", "latest", {}]);
    let mut next = BTreeMap::new();
    for _ in 0..9 {
        let answer = socket.call("debug_subscribe", params.clone()).await;
        next.insert(answer["result"].as_str().unwrap().to_owned(), 2);
    }
    let answer = socket.call("debug_subscribe", params.clone()).await;
    assert_eq!(answer["error"]["message"], "too many subscriptions on this connection");
    // One is not wanted any more, another connection comes in between: neither disturbs the rest.
    let gone = next.keys().next().unwrap().clone();
    assert_eq!(socket.call("debug_unsubscribe", json!([gone])).await["result"], true);
    let mut other = Socket::connect(chain.rpc_addr()).await;
    assert!(other.call("debug_subscribe", params).await["result"].is_string());
    for number in 2..=13 {
        assert_eq!(told(&mut other).await.1, number);
    }
    while next.iter().any(|(id, next)| *id != gone && *next < 14) {
        let (id, number, _) = told(&mut socket).await;
        let expected = next.get_mut(&id).unwrap();
        assert_eq!(number, *expected, "{id}");
        *expected += 1;
    }
    assert!(next.values().all(|next| *next <= 14), "{next:?}");
    chain.shutdown().await;
}

#[tokio::test]
async fn roots_between_transactions_lead_to_the_blocks_root() {
    let chain = grown(6).await;
    for number in [6, 3, 1] {
        let block = block(&chain, number).await;
        let count = block["transactions"].as_array().unwrap().len();
        let roots = result(&chain, "debug_intermediateRoots", json!([block["hash"]])).await;
        let roots = roots.as_array().unwrap();
        assert_eq!(roots.len(), count);
        // Nothing in these blocks comes after the transactions.
        assert_eq!(roots.last(), Some(&block["stateRoot"]));
        assert!(roots.windows(2).all(|pair| pair[0] != pair[1]), "{roots:?}");
    }
    let genesis = block(&chain, 0).await;
    let message = refused(&chain, "debug_intermediateRoots", json!([genesis["hash"]])).await;
    assert_eq!(message, "genesis is not traceable");
    let unknown = format!("0x{}", "11".repeat(32));
    let message = refused(&chain, "debug_intermediateRoots", json!([unknown])).await;
    assert_eq!(message, format!("block {unknown} not found"));
    chain.mine().await.unwrap();
    let empty = block(&chain, 7).await;
    assert_eq!(
        result(&chain, "debug_intermediateRoots", json!([empty["hash"]])).await,
        Value::Null
    );
    chain.shutdown().await;
}

#[tokio::test]
async fn witnesses_hold_the_parents_root_and_the_code_that_runs() {
    let chain = grown(4).await;
    let parent = block(&chain, 3).await;
    let witness = result(&chain, "debug_executionWitness", json!(["0x4"])).await;
    let headers = witness["headers"].as_array().unwrap();
    assert_eq!(headers.last().unwrap()["hash"], parent["hash"]);
    let hashes = |field: &str| -> Vec<String> {
        let texts = witness[field].as_array().unwrap().iter();
        texts.map(|t| keccak256(hex::decode(t.as_str().unwrap()).unwrap()).to_string()).collect()
    };
    let root = parent["stateRoot"].as_str().unwrap().to_owned();
    assert!(hashes("state").contains(&root));
    let codes = hashes("codes");
    assert!(!codes.is_empty());
    // Code is what a preimage is known of.
    for (hash, code) in codes.iter().zip(witness["codes"].as_array().unwrap()) {
        assert_eq!(&result(&chain, "debug_preimage", json!([hash])).await, code);
    }
    assert_eq!(refused(&chain, "debug_preimage", json!([root])).await, "unknown preimage");
    let by_hash = json!([block(&chain, 4).await["hash"]]);
    assert_eq!(result(&chain, "debug_executionWitness", by_hash).await, witness);
    let message = refused(&chain, "debug_executionWitness", json!(["0x0"])).await;
    assert_eq!(message, "block 0x0 found, but parent missing");
    let message = refused(&chain, "debug_executionWitness", json!(["0x9"])).await;
    assert_eq!(message, "block 0x9 not found");
    chain.shutdown().await;
}

#[tokio::test]
async fn states_that_can_be_read_are_found_from_both_sides() {
    let limits = Limits { history_blocks: 3, ..Limits::default() };
    let chain = start(Config { production: Production::Manual, limits, ..config() }).await;
    for _ in 0..10 {
        chain.mine().await.unwrap();
    }
    for (from, to, first) in [("0x0", "latest", 7), ("latest", "0x0", 10), ("0x8", "0x2", 8)] {
        let found = result(&chain, "debug_getAccessibleState", json!([from, to])).await;
        assert_eq!(found, first, "{from} to {to}");
    }
    for (from, to, message) in [
        ("0x0", "0x7", "no state found"),
        ("0x5", "0x0", "no state found"),
        ("0x63", "0x0", "missing header 99"),
        ("latest", "0xa", "from and to needs to be different"),
    ] {
        let params = json!([from, to]);
        assert_eq!(refused(&chain, "debug_getAccessibleState", params).await, message);
    }
    chain.shutdown().await;
}

#[tokio::test]
async fn a_block_to_trace_has_one_encoding() {
    let chain = grown(1).await;
    let raw = result(&chain, "debug_getRawBlock", json!(["0x1"])).await;
    let traced = result(&chain, "debug_traceBlock", json!([raw])).await;
    assert_eq!(traced, result(&chain, "debug_traceBlockByNumber", json!(["0x1"])).await);
    let rlp = hex::decode(raw.as_str().unwrap()).unwrap();
    // Wrong lengths around typed transactions, and what stands behind the block.
    let typed = (0..rlp.len() - 2).filter(|at| {
        let [head, length, kind] = [rlp[*at], rlp[at + 1], rlp[at + 2]];
        head == 0xb8 && length > 0x60 && (1..=4).contains(&kind)
    });
    let mut wrong: Vec<Vec<u8>> = vec![[&rlp[..], &[0]].concat(), rlp[..rlp.len() - 1].to_vec()];
    for at in typed {
        for change in [1, 0xff] {
            let mut damaged = rlp.clone();
            damaged[at + 1] = damaged[at + 1].wrapping_add(change);
            wrong.push(damaged);
        }
    }
    assert!(wrong.len() > 2, "there is a typed transaction");
    for rlp in wrong {
        let message = refused(&chain, "debug_traceBlock", json!([hex::encode_prefixed(rlp)])).await;
        assert!(message.starts_with("could not decode block: "), "{message}");
    }
    assert_eq!(U256::from(chain.head().number), U256::ONE);
    chain.shutdown().await;
}
